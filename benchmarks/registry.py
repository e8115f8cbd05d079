"""Promotion against a bare alias, and the registry's commands on large histories.

    python -m benchmarks.registry [--rounds 7]

A promotion with its gates is a whole process, held against a process that does nothing but set the alias with
`MlflowClient`. The commands run on a model of 10,000 versions whose history has 100,000 rows; their own time
is what they take beyond a process that opens the same registry with `MlflowClient` and asks for the model.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, update

from tabstudio.database.tables import history, models
from tabstudio.recipes.demo import write_cancer_table
from tabstudio.registry import Registry
from tabstudio.registry.hash_chain import hash_of, stamp
from tabstudio.registry.mlflow_stages import ANCHOR

TABSTUDIO = [sys.executable, "-m", "tabstudio"]
VERSIONS, ROWS = 10_000, 100_000
NAME = "large"
BARE = """
from mlflow import MlflowClient
client = MlflowClient("sqlite:///mlflow.db", "sqlite:///mlflow.db")
client.set_registered_model_alias("cancer", "staging", "1")
"""
GATES = """
[registry.stages.production.gates]
metrics = { roc_auc = 0.9, log_loss = 0.5 }
calibration = 0.2
slices = [{ column = "worst area", metrics = { accuracy = 0.5 } }]
no_worse = true
schema = true
size = "10 MiB"
"""
OPENED = f"""
import gc, os
gc.disable()
from mlflow import MlflowClient
MlflowClient("sqlite:///mlflow.db", "sqlite:///mlflow.db").get_registered_model("{NAME}")
os._exit(0)
"""
COMMANDS = (
    ("models",),
    ("versions", NAME),
    ("versions", NAME, "--before", "5000"),
    ("history", NAME),
    ("history", NAME, "--before", "50000"),
    ("history", NAME, "--at", "2030-01-01"),
    ("history", NAME, "--verify"),
    ("promote", NAME, "17", "--to", "production", "--reason", "benchmark"),
    ("rollback", NAME, "--reason", "benchmark"),
    ("archive", NAME, "production", "--reason", "benchmark"),
)


def main() -> None:
    """Print seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "TABSTUDIO_"))]:
        del os.environ[name]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        _promotion(rounds)
        _fill()
        _lookup()
        _commands(rounds)


def _promotion(rounds: int) -> None:
    """Version 2 takes the place of version 1 in production, through gates that need no training."""
    write_cancer_table(Path("cancer_classification.csv"))
    Path("tabstudio.toml").write_text(GATES)
    train = ["train", "cancer_classification.csv", "-t", "diagnosis", "--name", "cancer", "--no-references"]
    for epochs in ("20", "30"):
        _run([*TABSTUDIO, *train, "--epochs", epochs, "--slice", "worst area"])
    told = ["--to", "production", "--reason", "benchmark", "--force"]
    _run([*TABSTUDIO, "promote", "cancer", "1", *told])
    alias = [sys.executable, "-W", "ignore", "-c", BARE]
    bare, own = [], []
    for round_ in range(-1, rounds):  # round -1 warms the caches of the disk
        took = _run(alias), _run([*TABSTUDIO, "promote", "cancer", "2", *told])
        _run([*TABSTUDIO, "promote", "cancer", "1", *told])
        if round_ >= 0:
            bare.append(took[0])
            own.append(took[1])
    Path("tabstudio.toml").unlink()  # the large model has no gates
    ratio = statistics.median(own) / statistics.median(bare)
    print(
        f"bare alias {statistics.median(bare):.2f} s, promotion with its gates {statistics.median(own):.2f} s"
    )
    print(f"promotion: {ratio:.2f} of a bare set_registered_model_alias process (aim: 1.5)", flush=True)


def _fill() -> None:
    """A model of many versions, all but one archived, and a long, whole history of them."""
    with Registry(actor="ann") as registry:
        client = registry.client.mlflow
        client.create_registered_model(NAME)
        files = Path("files")
        files.mkdir()
        (files / "MLmodel").write_text("flavors: {}\n")
        client.create_model_version(NAME, str(files.absolute()))
        registry.promote(NAME, 1, "production", reason="the first")
        _copy_version()
        with registry.database.writing() as connection:
            made = connection.execute(select(history).where(history.c.model == NAME)).mappings().one()
            rows = _rows(dict(made))
            connection.execute(insert(history), rows)
            end = {"head": ROWS, "hash": rows[-1]["hash"], "mirrored": ROWS, "seen": _millis()}
            connection.execute(update(models).where(models.c.name == NAME).values(end))
        anchor = f"{registry.database.identity} {ROWS} {rows[-1]['hash']}"
        client.set_registered_model_tag(NAME, ANCHOR, anchor)


def _rows(first: dict[str, Any]) -> list[dict[str, Any]]:
    """The history of the other versions: again and again into the archive, one row a second."""
    rows, last, begin = [], first["hash"], datetime.fromisoformat(first["time"])
    for number in range(2, ROWS + 1):
        row = first | {
            "number": number,
            "kind": "archive",
            "version": number % (VERSIONS - 1) + 2,
            "to_stage": "archived",
            "time": stamp(begin + timedelta(seconds=number)),
            "previous": last,
        }
        last = row["hash"] = hash_of(row)
        rows.append(row)
    return rows


def _millis() -> int:
    return int(time.time() * 1000) + 120_000


def _copy_version() -> None:
    with sqlite3.connect("mlflow.db") as database:
        names = [row[1] for row in database.execute("PRAGMA table_info(model_versions)")]
        row = database.execute("SELECT * FROM model_versions WHERE name = ?", (NAME,)).fetchone()
        first = dict(zip(names, row, strict=True)) | {"current_stage": "Archived"}
        copies = [tuple((first | {"version": number}).values()) for number in range(2, VERSIONS + 1)]
        marks = ",".join("?" * len(names))
        database.executemany(f"INSERT INTO model_versions VALUES ({marks})", copies)


def _lookup(times: int = 200) -> None:
    with Registry(actor="ann") as registry:
        took = []
        for n in range(times):
            date = datetime.now(UTC) + timedelta(seconds=n * ROWS // times)
            start = time.perf_counter()
            found = registry.at(NAME, date)
            took.append(time.perf_counter() - start)
            assert found
    took.sort()
    print(
        f"what was in each stage on a date, of {ROWS:,} rows: "
        f"median {1000 * statistics.median(took):.2f} ms, longest {1000 * took[-1]:.2f} ms (aim: 10)",
        flush=True,
    )


def _commands(rounds: int) -> None:
    base = statistics.median(_run([sys.executable, "-W", "ignore", "-c", OPENED]) for _ in range(rounds))
    print(f"a process that opens the registry and asks for the model: {base:.2f} s")
    for words in COMMANDS:
        took = _run([*TABSTUDIO, *words])
        print(
            f"tabstudio {' '.join(words[:4]):34} {took:.2f} s, own {took - base:+.2f} s (aim: 1)", flush=True
        )


def _run(command: list[str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    took = time.perf_counter() - start
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return took


if __name__ == "__main__":
    main()
