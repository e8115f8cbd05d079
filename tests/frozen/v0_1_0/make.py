"""Write the frozen set: run it once with the version that is to be frozen, never again for that version.

    python tests/frozen/make.py v0_1_0

It works in /tmp/frozen, which must not exist, so that no file holds a path or a name of a real machine, and
copies what is kept to the folder of that name beside it.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path

PLACE = Path("/tmp/frozen")
HOST, NOBODY = "studio-1", 4_194_303
NOWHERE = "http://127.0.0.1:9"
PASSWORD = "correct horse battery"
for _name in [name for name in os.environ if name.startswith(("MLFLOW_", "TABSTUDIO_"))]:
    del os.environ[_name]
os.environ |= {
    "LOGNAME": "ann",
    "USER": "ann",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "XDG_CACHE_HOME": str(PLACE / "cache"),
}

import numpy as np
import pandas as pd
import polars as pl
import torch
from torch import nn

import tabstudio

QUICK = {"folds": 2, "references": False, "resamples": 100, "learning_rate": 0.02, "seed": 3}
CUT = {"epochs": 8, "network": "mlp", "hidden": (8,), "batch_size": 32, "register": False, **QUICK}


def own_network(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, outputs))


WORDS = ["week", "phone", "spring", "bread", "river", "window", "train", "garden", "music", "market"]


def mixed(rows: int = 400) -> pl.DataFrame:
    """A table of columns of every kind, with gaps; what is to be predicted depends on most of them."""
    rng = np.random.default_rng(20)
    age = rng.integers(18, 90, rows)
    income = rng.lognormal(10, 0.6, rows).round(2)
    zone = rng.integers(0, 10, rows) * 111 + 1000
    city = rng.choice(["Rome", "Oslo", "Lima", "São Paulo"], rows)
    shop = rng.choice([f"shop {n}" for n in range(70)], rows)
    code = [f"{rng.choice(list('ABC'))}{n}" for n in rng.integers(10, 99, rows)]
    smoker = rng.random(rows) < 0.4
    good = rng.random(rows) < 0.5
    words = np.where(good, "the staff was kind and the room was clean", "noise all night and a broken shower")
    ends = [" ".join(rng.choice(WORDS, 5)) for _ in range(rows)]
    born = np.datetime64("2024-01-01") - age * 365 - rng.integers(0, 365, rows)
    odds = (age - 50) / 25 + 1.2 * good - 0.6 + smoker + 3.0 * np.sin(zone) + (city == "Oslo")
    odds = odds + rng.normal(0, 0.7, rows)
    frame = pl.DataFrame(
        {
            "age": age,
            "income": [str(v) for v in income],
            "weight": [f"{v:.1f}".replace(".", ",") + " kg" for v in rng.normal(70, 12, rows)],
            "zone": zone,
            "smoker": np.where(smoker, "yes", "no"),
            "city": city,
            "shop": shop,
            "code": code,
            "born": [str(day) for day in born],
            "review": [f"{w}, {e}" for w, e in zip(words, ends, strict=True)],
            "ill": np.where(odds > 0.4, "yes", "no"),
            "grade": np.digitize(odds, [-0.5, 1.0]) + 1,
            "price": (100 + 20 * odds + rng.normal(0, 3, rows)).round(2),
        }
    )
    every = pl.int_range(pl.len())
    gaps = {"age": 11, "income": 13, "city": 17, "born": 19, "smoker": 23}
    holes = [
        pl.when(every % n == 3).then(pl.lit("n/a" if name == "income" else None)).otherwise(pl.col(name))
        for name, n in gaps.items()
    ]
    return frame.with_columns([hole.alias(name) for hole, name in zip(holes, gaps, strict=True)])


TARGETS = {"binary": "ill", "multiclass": "grade", "regression": "price"}
BUNDLES = {
    "binary": ("binary", {"network": "tabular", "hidden": (16, 16), "epochs": 12, "slice": ["city"]}),
    "binary-costs": ("binary", {"network": "mlp", "hidden": (8,), "epochs": 12, "cost_false_negative": 5.0}),
    "multiclass": ("multiclass", {"network": "tabular", "hidden": (16,), "epochs": 8}),
    "regression": ("regression", {"network": "tabular", "hidden": (16,), "epochs": 8}),
    "tabm": ("binary", {"network": "tabm", "hidden": (16,), "epochs": 6}),
    "resnet": ("regression", {"network": "resnet", "hidden": (16, 16), "epochs": 6}),
    "searched": ("binary", {"search": True, "trials": 4, "epochs": 6, "hidden": (12, 8)}),
    "rounds": ("multiclass", {"network": "mlp", "hidden": (8,), "members": 8, "epochs": 6}),
    "distilled": ("binary", {"network": "mlp", "hidden": (8,), "distill": True, "epochs": 6}),
    "minmax": ("regression", {"network": "mlp", "hidden": (8,), "scaling": "minmax", "epochs": 6}),
    "hashed": ("binary", {"network": "tabular", "hidden": (8,), "embedding": 2, "epochs": 6}),
    "own-network": ("binary", {"network": own_network, "epochs": 6}),
    "tutorial": ("binary", {"recipe": "tutorial", "seed": 3}),
}


def strange(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows to predict: some that were trained on, some with gaps and values that training did not have."""
    rows = frame.head(40).drop(list(TARGETS.values()))
    odd = rows.head(4).with_columns(
        age=pl.Series([None, 400, 18, 55]),
        city=pl.Series(["Atlantis", None, "Rome", "Oslo"]),
        code=pl.Series(["Z9", None, "A10", "B20"]),
        review=pl.Series([None, "", "clean", "words that nobody knows"]),
        zone=pl.Series([None, 1, 1000, 1111]),
    )
    return pl.concat([rows, odd])


def said(model, rows: pl.DataFrame | Path) -> dict:
    answers = {"labels": np.asarray(model.predict(rows)).tolist()}
    if model.target.task != "regression":
        answers["probabilities"] = model.predict_proba(rows).tolist()
    return answers


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def bundles(kept: Path) -> None:
    from tabstudio.model import columns

    frame = mixed()
    (kept / "bundles").mkdir()
    strange(frame).write_csv(kept / "rows.csv")
    for name, (task, options) in BUNDLES.items():
        others = [target for t, target in TARGETS.items() if t != task]
        if name == "hashed":
            columns.MOST_LEVELS, columns.BUCKETS = 40, 256
        recipe = {"drop": [*others, "born", "review"]} if name == "tutorial" else QUICK | {"drop": others}
        result = tabstudio.train(
            "mixed.csv" if name in ("binary", "hashed", "regression") else "half.csv",
            TARGETS[task],
            name=name,
            register=False,
            tracking_uri=f"sqlite:///{PLACE}/scratch.db",
            output=PLACE / "out" / name,
            **{**recipe, **options},
        )
        if name == "hashed":
            columns.MOST_LEVELS, columns.BUCKETS = 10_000, 4096
        folder = shutil.copytree(PLACE / "out" / name / "model", kept / "bundles" / name / "model")
        network = {"network": own_network} if name == "own-network" else {}
        model = tabstudio.load(str(folder), **network)
        write_json(kept / "bundles" / name / "answers.json", said(model, kept / "rows.csv"))
        facts = json.loads((folder / "network.json").read_text())
        kinds = {part["kind"] for part in json.loads((folder / "encoder.json").read_text())["columns"]}
        print(name, result.delivery.run_id, bool(facts["curve"]), facts["threshold"], sorted(kinds))
        if name == "binary":
            joined(kept, model)
            logged(kept, "binary", folder)


def joined(kept: Path, model) -> None:
    """Networks of several shapes as one model, as a search leaves them where the best trials differ."""
    from tabstudio.config import NetworkConfig
    from tabstudio.model.networks import NetworkSpec, build, join

    encoder = model.encoder
    packs = [model.pack]
    for seed, name in enumerate(("mlp", "resnet", "tabm"), 7):
        config = NetworkConfig(name, (8,), 0.0, "relu")
        spec = NetworkSpec(name, encoder.numbers, encoder.cardinalities, model.target.outputs, config)
        packs.append(build(spec, [seed]))
    pack = join(packs)
    weights = [0.5 / len(model.pack)] * len(model.pack) + [0.3, 0.15, 0.05]
    made = type(model)(
        model.schema,
        encoder,
        pack,
        weights=weights,
        temperature=model.temperature,
        curve=model.curve,
        threshold=model.threshold,
        profile=model.profile,
    )
    (kept / "bundles" / "joined").mkdir()
    folder = made.save(kept / "bundles" / "joined" / "model")
    facts = json.loads((folder / "network.json").read_text())
    assert facts["spec"]["joined"]
    write_json(
        kept / "bundles" / "joined" / "answers.json", said(tabstudio.load(str(folder)), kept / "rows.csv")
    )


def logged(kept: Path, name: str, bundle: Path) -> None:
    """Keep the folder that MLflow has of a model, instead of the bundle alone."""
    same = (bundle / "manifest.json").read_bytes()
    found, *_ = [
        path.parent.parent
        for path in PLACE.glob("mlruns/*/models/*/artifacts/bundle/manifest.json")
        if path.read_bytes() == same
    ]
    shutil.rmtree(bundle)
    shutil.copytree(found, kept / "bundles" / name / "mlflow")


def preprocessed(kept: Path) -> None:
    """A network and many fitted steps of scikit-learn, kept by `log_model`."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import FeatureUnion, make_pipeline
    from sklearn.preprocessing import (
        Binarizer,
        FunctionTransformer,
        KBinsDiscretizer,
        MaxAbsScaler,
        MinMaxScaler,
        Normalizer,
        OneHotEncoder,
        OrdinalEncoder,
        PowerTransformer,
        QuantileTransformer,
        RobustScaler,
        StandardScaler,
    )

    rng = np.random.default_rng(4)
    rows = pd.DataFrame(
        {
            "size": rng.lognormal(2, 1, 200),
            "weight": rng.normal(70, 12, 200),
            "visits": rng.integers(0, 5, 200).astype(float),
            "city": rng.choice(["Rome", "Oslo", "New York", "Lima"], 200, p=[0.5, 0.3, 0.17, 0.03]),
            "sex": rng.choice(["f", "m"], 200),
        }
    )
    rows.loc[::11, "weight"] = np.nan
    rows.loc[::13, "city"] = None
    filled = SimpleImputer(add_indicator=True)
    spread = FeatureUnion(
        [
            ("normal", make_pipeline(PowerTransformer(), MinMaxScaler((-1, 1), clip=True))),
            ("box", PowerTransformer("box-cox", standardize=False)),
            ("quantile", QuantileTransformer(n_quantiles=20, output_distribution="normal")),
            ("uniform", QuantileTransformer(n_quantiles=20)),
            ("log", make_pipeline(FunctionTransformer(np.log1p), RobustScaler())),
        ]
    )
    cities = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    sexes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    kinds = {
        "size": (spread, ["size"]),
        "weight": (make_pipeline(filled, StandardScaler()), ["weight"]),
        "city": (cities, ["city"]),
        "sex": (sexes, ["sex"]),
        "often": (Binarizer(threshold=1.5), ["visits"]),
        "norm": (make_pipeline(MaxAbsScaler(), Normalizer()), ["size", "visits"]),
    }
    try:
        from tabstudio.model.preprocessing import taken

        bins = KBinsDiscretizer(3, encode="ordinal", strategy="uniform").fit(rows[["visits"]])
        taken(bins, None)
        kinds["bins"] = (KBinsDiscretizer(3, encode="ordinal", strategy="uniform"), ["visits"])
    except tabstudio.ModelError:
        print("KBinsDiscretizer is not taken over")
    preparing = ColumnTransformer([(name, *kind) for name, kind in kinds.items()])
    inputs = torch.tensor(np.asarray(preparing.fit_transform(rows)), dtype=torch.float32)
    torch.manual_seed(0)
    width = inputs.shape[1]
    network = nn.Sequential(
        nn.Linear(width, 8), nn.LayerNorm(8), nn.SiLU(), nn.Dropout(0.3), nn.Linear(8, 3), nn.Softmax(dim=1)
    )
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{PLACE}/scratch.db"
    model = tabstudio.log_model(
        network,
        preprocessor=preparing,
        classes=["low", "middle", "high"],
        target="risk",
        input_example=rows,
        name="prepared",
    )
    del os.environ["MLFLOW_TRACKING_URI"]
    (kept / "bundles" / "prepared").mkdir()
    rows.head(30).to_csv(kept / "bundles" / "prepared" / "rows.csv", index=False)
    write_json(kept / "bundles" / "prepared" / "answers.json", said(model, rows.head(30)))
    bundle = model.save(PLACE / "out" / "prepared")
    logged(kept, "prepared", bundle)


RULES = """\
[registry]
order = ["staging", "canary", "production", "archived"]

[registry.stages.production]
approvals = 1
approvers = ["carol", "dan"]
displaced_to = "archived"

[registry.stages.production.gates]
metrics = { roc_auc = 0.6 }
schema = true
size = "10 MiB"
loads = true

[[registry.stages.production.gates.slices]]
column = "mean texture"
metrics = { accuracy = 0.1 }
min_rows = 5

[registry.stages.canary]
exclusive = false

[registry.stages.canary.gates]
metrics = { roc_auc = 0.99999 }

[[registry.webhooks]]
url = "http://127.0.0.1:9/hooks/models"
kinds = ["promote", "rollback"]
"""
TRAINED = {"network": "mlp", "hidden": (8,), "epochs": 12, "slice": ["mean texture"]}
SERVED = [
    "cancer=models:/cancer@production",
    *("--port", "0", "--mask", "mean area", "--leave-out", "mean smoothness", "--log-days", "36500"),
]


def registered() -> None:
    """Two versions and their story: promotions, approvals, a rejection, gates overruled, a rollback."""
    from mlflow import MlflowClient

    from tabstudio.registry import Registry

    Path("tabstudio.toml").write_text(RULES)
    for seed in (0, 1):
        tabstudio.train("patients.csv", "diagnosis", name="cancer", **{**QUICK, **TRAINED, "seed": seed})

    def at(actor: str) -> Registry:
        return Registry(actor=actor)

    with at("ann") as ann, at("carol") as carol, at("dan") as dan:
        ann.promote("cancer", 1, "staging", reason="the first")
        ann.request("cancer", 1, "production", reason="good on every slice")
        carol.approve("cancer", 1, reason="agreed")
        ann.promote("cancer", 1, "production", reason="agreed with carol")
        ann.request("cancer", 2, "production", reason="newer")
        dan.reject("cancer", 2, reason="not seen by the ward")
        ann.request("cancer", 2, "production", reason="seen by the ward — schön")
        dan.approve("cancer", 2)
        ann.promote("cancer", 2, "production", reason="newer, and seen")
        ann.deliver()  # nobody listens: the outbox keeps what it tells
        ann.rollback("cancer", reason="wrong on Mondays")
        ann.note(ann.version("cancer", 2), "looked at by hand", {"rows": 12, "by": "carol"})
        ann.promote("cancer", 2, "canary", reason="a small share", force=True)
        ann.request("cancer", 2, "production", reason="once more")
        client = MlflowClient(ann.tracking_uri, ann.registry_uri)
        client.set_registered_model_alias("cancer", "staging", "2")
        ann.look("cancer")
        assert ann.verify("cancer").whole


def people() -> dict[str, str]:
    from tabstudio.database import Database, database_address
    from tabstudio.studio.access.access import Access

    with Database(database_address(registry_uri="sqlite:///mlflow.db")) as database:
        access = Access(database)
        for name, role in {"ann": "admin", "carol": "approver", "vera": "viewer"}.items():
            access.people.add(name, role, PASSWORD if name != "vera" else None)
        secrets = {"token": access.people.token("vera", "nightly report")}
        who = access.people.who("carol")
        assert who is not None
        return secrets | {"session": access.begin(who), "password": PASSWORD}


def jobs() -> None:
    """A finished and a failed training of the studio's."""
    from tabstudio.database import Database, database_address
    from tabstudio.studio.access.roles import Who
    from tabstudio.studio.data.tables import Tables
    from tabstudio.studio.jobs import Jobs

    Path("data").mkdir()
    shutil.copy("patients.csv", "data/patients.csv")
    Path("data/empty.csv").write_text("a,y\n" + "1,no\n" * 30)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{PLACE}/scratch.db"
    quick = {"epochs": 3, "network": "mlp", "hidden": [8], "references": False, "resamples": 0, "folds": 2}
    with Database(database_address(registry_uri="sqlite:///mlflow.db")) as database:
        made = Jobs(database, Tables(Path("data"), 1 << 20))
        for table, target, model in (("patients.csv", "diagnosis", "cancer"), ("empty.csv", "y", "empty")):
            job = made.start(Who("ann", "editor"), "train", table, target, quick, model=model, register=False)
            while (seen := made.find(job.id)).going:
                time.sleep(0.2)
            print("job", seen.state, seen.progress.error)
    del os.environ["MLFLOW_TRACKING_URI"]


def ask(url: str, path: str, body: dict, token: str, request_id: str) -> dict:
    headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
    asked = urllib.request.Request(
        f"{url}{path}", json.dumps(body).encode(), headers | {"x-request-id": request_id}
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return json.load(answer)


def served() -> dict[str, str]:
    """A service and what it was asked: as Parquet, in a closed segment, in one that was cut short."""
    from tabstudio.serving import tokens
    from tabstudio.serving.deployments import Deployments
    from tabstudio.serving.predictionlog import compaction

    home = Path(".tabstudio").absolute()
    os.environ["TABSTUDIO_SERVE_TOKENS"] = str(home / "serve-tokens")
    secret = tokens.create("ward-3", home / "serve-tokens")
    tokens.create("ward-4", home / "serve-tokens")
    rows = pl.read_csv("patients.csv").drop("diagnosis").to_dicts()
    rows[3]["mean texture"] = None
    rows[4]["mean radius"] = 1e6
    services = Deployments()
    for turn in range(2):
        url = services.start("cancer", SERVED if not turn else ()).url
        for number in range(3):
            body = {"rows": rows[2 * number : 2 * number + 2]}
            ask(url, "/v1/models/cancer/predict", body, secret, f"turn-{turn}-{number}")
        told = [{"request_id": f"turn-{turn}-0", "label": "benign", "row": 1}]
        ask(url, "/v1/feedback", {"feedback": told}, secret, "told")
        told[0]["label"] = "malignant"
        ask(url, "/v1/feedback", {"feedback": told}, secret, "told")
        services.stop("cancer")
        if not turn:
            compaction.compact(home / "predictions", 36500, 10)
    (whole,) = (home / "predictions" / "segments").glob("*.log")
    data = whole.read_bytes().replace(b"turn-1-", b"torn-1-")
    whole.with_name(whole.name.replace(".log", "0.log")).write_bytes(data[:-40])  # as `kill -9` leaves it
    del os.environ["TABSTUDIO_SERVE_TOKENS"]
    return {"serve_token": secret}


def undelivered(kept: Path) -> None:
    """Runs that MLflow has not received: one of every event, its child, a failed one, a network."""
    from tabstudio.table import read
    from tabstudio.tracking import Recorder
    from tabstudio.tracking.signature import TensorSpec

    home = PLACE / "away"
    schema = read("patients.csv", target="diagnosis").schema
    bundle = kept / "bundles" / "binary-costs" / "model"
    with Recorder(spool=home, tracking_uri=NOWHERE) as recorder:
        run = recorder.start("frozen", "whole", tags={"ward": "3"}, source="train.py")
        run.params({"network": {"name": "mlp", "hidden": (8, 4)}, "words": "schön", "long": "x" * 7000})
        run.metrics({"train_loss": 0.5, "val_loss": float("nan")}, 0, timestamp=1_700_000_000_000)
        run.metrics({"train_loss": 0.25, "val_loss": 0.5}, 1, timestamp=1_700_000_001_000)
        run.series("batch loss", [(0, 1.0), (1, 0.75), (2, 0.5)])
        run.tags({"colour": "green"})
        run.note("# A note\n\nwith *words*")
        run.artifact(b"name,value\na,1\n", "tables/small.csv")
        run.dataset("patients.csv", "ab" * 32, schema, 569, "/data/patients.csv", "training")
        run.model(
            bundle,
            tabstudio.load(str(bundle)).schema,
            pl.read_csv(kept / "rows.csv").head(2),
            registered_name="carried",
            metrics={"train_loss": 0.25},
            card="# Carried\n\n`models:/carried/latest`",
            tags={"tabstudio.task": "binary"},
        )
        child = recorder.start(run_name="child", parent=run)
        child.metrics({"val_loss": 0.75}, 3)
        child.finish()
        run.finish()
        failed = recorder.start("frozen", "failed", source="train.py")
        failed.fail(tabstudio.DataError("no column is left to learn from"))
        network = recorder.start("frozen", "network", source="train.py")
        torch.manual_seed(0)
        program = torch.export.export(nn.Linear(2, 1), (torch.zeros(2, 2),))
        (PLACE / "net").mkdir()
        torch.export.save(program, PLACE / "net" / "model.pt2")
        specs = [TensorSpec("x", "float32", (-1, 2))], [TensorSpec("y", "float32", (-1, 1))]
        network.network(PLACE / "net", *specs, [[0.0, 1.0]], version=torch.__version__)
        network.finish()
        recorder.wait(20)
    subprocess.run([sys.executable, str(Path(__file__).absolute()), "--killed"], check=False)
    time.sleep(5)  # the processes that deliver give up
    for about in home.glob("runs/*/about.json"):
        told = json.loads(about.read_text())
        about.write_text(json.dumps(told | {"pid": NOBODY, "host": HOST}))
        (about.parent / "lock").unlink(missing_ok=True)
    shutil.copytree(home / "runs", kept / "spool" / "runs")
    shutil.copytree(PLACE / "cut" / ".tabstudio" / "checkpoints", kept / "checkpoints")


def cut_off() -> None:
    """A training that is killed in its fourth epoch, by a process of its own."""
    folder = PLACE / "cut"
    folder.mkdir()
    pl.read_csv("patients.csv").head(200).write_csv(folder / "few.csv")
    done = subprocess.run([sys.executable, str(Path(__file__).absolute()), "--cut"], cwd=folder, check=False)
    assert done.returncode == -signal.SIGKILL


def cut() -> None:
    from tabstudio.recipes import Reporter
    from tabstudio.training import checkpoint

    socket.gethostname = lambda: HOST
    checkpoint.SECONDS = 0.0

    class Killing(Reporter):
        def epoch(self, epoch, plan) -> None:
            if epoch.number == 4:
                os.kill(os.getpid(), signal.SIGKILL)

    tabstudio.train("few.csv", "diagnosis", name="few", tracking_uri=NOWHERE, reporter=Killing(), **CUT)


def killed() -> None:
    """A run whose process is killed while it writes."""
    from tabstudio.tracking import Recorder

    socket.gethostname = lambda: HOST
    with Recorder(spool=PLACE / "away", tracking_uri=NOWHERE) as recorder:
        run = recorder.start("frozen", "killed", source="train.py")
        run.params({"epochs": 100})
        run.artifact(b"a note", "note.txt")
        run.metrics({"train_loss": 1.5}, 0, timestamp=1_700_000_000_000)
        (journal,) = (PLACE / "away" / "runs" / run.id).glob("journal-*")
        with journal.open("ab") as file:
            file.write(b'["m","train_loss",1.2')
        os.kill(os.getpid(), signal.SIGKILL)


def packed(source: Path, target: Path) -> None:
    """An SQLite file, all of it in one piece, without what was deleted, compressed."""
    whole = target.with_suffix("")
    with closing(sqlite3.connect(source)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute(f"VACUUM INTO '{whole}'")
    with target.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as archive:
        archive.write(whole.read_bytes())
    whole.unlink()


def databases(kept: Path) -> None:
    """Our tables and MLflow's; ours also as the older migrations left them, with the same rows."""
    from alembic import command

    from tabstudio.database import migrate
    from tabstudio.database.database import Database

    with closing(sqlite3.connect("tabstudio.db")) as database, database:
        for table in ("deployments", "jobs"):
            database.execute(f"UPDATE tabstudio_{table} SET machine = ?, pid = 0, born = 0", (HOST,))
        database.execute("UPDATE tabstudio_sessions SET expires = '9999-01-01T00:00:00.000000Z'")
    packed(Path("tabstudio.db"), kept / "studio" / "tabstudio.db.gz")
    packed(Path("mlflow.db"), kept / "studio" / "mlflow.db.gz")
    for revision in ("0001", "0002"):
        old = PLACE / f"old-{revision}.db"
        made = Database.__new__(Database)
        made.address, made.path = str(old), old
        made.engine = made._engine(f"sqlite:///{old}")
        with made.writing() as connection:
            command.upgrade(migrate._config(connection), revision)
        made.close()
        with closing(sqlite3.connect(old)) as database, database:
            database.execute("ATTACH 'tabstudio.db' AS now")
            query = "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE '%migrations'"
            for (table,) in database.execute(query).fetchall():
                database.execute(f"DELETE FROM main.{table}")
                database.execute(f"INSERT INTO main.{table} SELECT * FROM now.{table}")
        packed(old, kept / "studio" / f"tabstudio-{revision}.db.gz")


def studio(kept: Path) -> None:
    """The folder in which a studio stood: MLflow's files, our home, the rules."""
    to = kept / "studio"
    to.mkdir()
    shutil.copy("tabstudio.toml", to)
    for part in ("jobs", "predictions", "serve-tokens"):
        source = Path(".tabstudio") / part
        if source.is_dir():
            ignored = shutil.ignore_patterns("log.db*", "*.lock")
            shutil.copytree(source, to / "home" / part, ignore=ignored)
        else:
            shutil.copy(source, to / "home")
    with closing(sqlite3.connect(".tabstudio/predictions/log.db")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    packed(Path(".tabstudio/predictions/log.db"), to / "home" / "predictions" / "log.db.gz")
    with closing(sqlite3.connect("mlflow.db")) as database:
        locations = database.execute(
            "SELECT artifact_location FROM logged_models UNION "
            "SELECT artifact_uri || '/evaluation/evaluation.json' FROM runs"
        ).fetchall()
    for (location,) in locations:
        path = Path(location.removeprefix("file://"))
        target = to / path.relative_to(PLACE)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target)
        elif path.exists():
            shutil.copy(path, target)


def facts(kept: Path, secrets: dict[str, str]) -> None:
    """What is to be found again, told by today's version."""
    from tabstudio.registry import Registry

    with Registry() as registry:
        rows = [row.to_json() for row in registry.history("cancer")]
        stages = {v.number: v.stage for v in registry.versions("cancer")}
    log = tabstudio.prediction_log("cancer").collect()
    columns = [c for c in log.columns if c not in ("time", "label_time", "warnings")]
    write_json(kept / "studio" / "history.json", rows)
    write_json(kept / "studio" / "secrets.json", secrets)
    write_json(kept / "studio" / "stages.json", stages)
    log.select(columns).write_csv(kept / "studio" / "predictions.csv")


def main(name: str) -> None:
    from tabstudio.recipes import origin
    from tabstudio.tracking import Recorder

    kept = Path(__file__).absolute().parent / name
    kept.mkdir()
    PLACE.mkdir()
    os.chdir(PLACE)
    socket.gethostname = lambda: HOST
    Recorder.wait.__defaults__ = (600.0, None)  # a busy machine is waited for
    origin._processor = lambda: "processor"
    origin.platform.platform = lambda *_: "Linux"
    table = mixed()
    table.write_csv("mixed.csv")
    table.head(200).write_csv("half.csv")
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer(as_frame=True)
    patients = pl.from_pandas(data.data.iloc[:, :5])
    patients = patients.with_columns(diagnosis=pl.Series(np.where(data.target, "benign", "malignant")))
    patients.write_csv("patients.csv")
    bundles(kept)
    preprocessed(kept)
    cut_off()
    undelivered(kept)
    pl.read_csv("cut/few.csv").write_csv(kept / "few.csv")
    registered()
    secrets = people()
    jobs()
    secrets |= served()
    studio(kept)
    databases(kept)
    facts(kept, secrets)


if __name__ == "__main__":
    if sys.argv[1:] == ["--cut"]:
        cut()
    elif sys.argv[1:] == ["--killed"]:
        killed()
    else:
        main(*sys.argv[1:])
