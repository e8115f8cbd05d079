"""Exported files answer as the model does, from raw columns, or do not appear."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from tabstudio.cli.app import run
from tabstudio.errors import ConfigError, MissingExtraError, ModelError
from tabstudio.estimators import TabularClassifier
from tabstudio.model.code_columns import CodedColumn
from tabstudio.model.encoder import Encoder
from tabstudio.model.inference.calibration_curve import CalibrationCurve
from tabstudio.model.inference.head import OutputHead
from tabstudio.model.networks import Custom, NetworkSpec, build
from tabstudio.model.predictor import Model
from tabstudio.model.preprocessing import Preprocessing
from tabstudio.model.profile import profile
from tabstudio.model.transforms import ChainTransform
from tabstudio.options import NetworkConfig
from tabstudio.serving.export import exporter, onnx_file, pt2_file, verification
from tabstudio.serving.export.exporter import export
from tabstudio.serving.export.verification import TOLERANCE, sample_rows, verify_answers
from tabstudio.table.schema import Column, Schema, Target

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

ROWS = 200
RNG = np.random.default_rng(3)
FRAME = pl.DataFrame(
    {
        "age": RNG.integers(18, 90, ROWS),
        "label": pl.Series(RNG.normal(70, 12, ROWS)).set(pl.Series(np.arange(ROWS) % 11 == 0), None),
        "smoker": pl.Series(RNG.random(ROWS) < 0.3).set(pl.Series(np.arange(ROWS) % 13 == 0), None),
        "city of birth": pl.Series(RNG.choice(["Rome", "Oslo", "Lima"], ROWS)),
        "val_0": [f"level {n % 20}" if n > 2 else f"rare {n}" for n in range(ROWS)],
        "born": pl.Series(np.datetime64("2000-01-01") + RNG.integers(0, 900, ROWS)),
        "note": ["a few words of text"] * ROWS,
        "month": np.arange(ROWS) % 3 * 7 + np.arange(ROWS) % 9 // 3 * 100,
        "gap": pl.Series(np.arange(ROWS) % 3 * 2.5 + np.arange(ROWS) % 6 // 3).set(
            pl.Series(np.arange(ROWS) % 17 == 0), None
        ),
        "zip": [f"code {n}" for n in range(ROWS)],
        "income": np.exp(RNG.normal(0, 4, ROWS)),
    }
)
COLUMNS = {
    "age": Column("age", "number", dtype="Int64"),
    "label": Column("label", "number", dtype="Float64"),
    "smoker": Column("smoker", "boolean", dtype="Boolean"),
    "city of birth": Column("city of birth", "category"),
    "val_0": Column("val_0", "category", missing_words=("-",)),
    "month": Column("month", "number", dtype="Int64"),
    "gap": Column("gap", "number", dtype="Float64"),
    "born": Column("born", "date", dtype="Date", format="%Y-%m-%d"),
    "note": Column("note", "text"),
    "income": Column("income", "number", dtype="Float64"),
}
EVERY_KIND = ("age", "label", "smoker", "city of birth", "val_0")
CURVE = CalibrationCurve((-1.0, 0.5), (0.6, 1.9, 1.2), 0.4)
TARGETS = {
    "binary": Target("ill", "binary", ("yes", "no"), "yes"),
    "numbers": Target("ill", "binary", (0, 1), 1),
    "truth": Target("ill", "binary", (False, True), True),
    "mixed": Target("grade", "multiclass", ("a", 1, 2.5)),
    "multiclass": Target("grade", "multiclass", (1, 2, 3)),
    "regression": Target("price", "regression"),
}


def make(
    target="binary", names=EVERY_KIND, network="tabular", scaling="robust", members=2, coded=False, **options
):
    target = TARGETS[target]
    columns = [COLUMNS[name] for name in names]
    schema = Schema((*columns, Column(target.name, "category", "target")), target, missing_words=("NA",))
    labels = np.arange(ROWS) % 3 if coded else None
    encoder = Encoder.fit(FRAME.select(names), schema, scaling, labels)
    assert any(isinstance(coder, CodedColumn) for coder in encoder.coders) is coded
    if network == "own":
        pack = Custom(own_network, [0, 1], encoder.numbers, encoder.cardinalities, target.outputs)
    else:
        config = NetworkConfig(network, (24, 16), 0.1, "silu")
        spec = NetworkSpec(network, encoder.numbers, encoder.cardinalities, target.outputs, config)
        pack = build(spec, list(range(members)))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weights in pack.parameters():
            weights.add_(torch.randn(weights.shape, generator=generator) * 0.3)
    head = OutputHead(target, **options)
    return Model(schema, encoder, pack, head, profile=profile(FRAME.select(names), schema))


def own_network(inputs, outputs):
    return torch.nn.Sequential(torch.nn.Linear(inputs, 8), torch.nn.Tanh(), torch.nn.Linear(8, outputs))


@pytest.mark.parametrize("target", TARGETS)
def test_onnx_answers_as_the_model_for_every_task_and_type_of_label(target):
    options = {"target_mean": 250_000.0, "target_scale": 90_000.0} if target == "regression" else {}
    if target in ("binary", "numbers"):
        options["curve"] = CURVE
    model = make(target, temperature=1.7, threshold=0.31, **options)
    done = export(model, "m.onnx", "onnx")
    assert done.checked.difference <= TOLERANCE
    session = onnxruntime.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
    rows = sample_rows(model, 50)
    answers = session.run(
        None, {i.name: onnx_file._tensor(rows[i.name], i.type) for i in session.get_inputs()}
    )
    expected = model.predict(rows)
    if target == "regression":
        np.testing.assert_allclose(answers[0], expected, rtol=0, atol=1e-5 * 90_000)
        return
    said = [str(label) for label in answers[0].tolist()]
    assert said == [str(label) for label in expected.tolist()]
    np.testing.assert_allclose(answers[1], model.predict_proba(rows), rtol=0, atol=1e-5)
    kinds = {"numbers": np.int64, "truth": np.bool_, "multiclass": np.int64}
    assert answers[0].dtype == kinds.get(target, object)


@pytest.mark.parametrize("to", ["onnx", "pt2"])
@pytest.mark.parametrize(
    "changes",
    [
        {"network": "mlp", "scaling": "minmax", "members": 1},
        {"network": "mlp", "scaling": "standard", "names": ("age", "label")},
        {"names": ("city of birth", "val_0")},
        {"names": ("income", "age")},
        {"names": ("city of birth",), "network": "mlp", "members": 1},
        {"names": ("age",), "members": 1},
        {"network": "own"},
        {"names": ("month", "age", "city of birth", "gap"), "coded": True},
        {"names": ("month",), "coded": True},
    ],
    ids=lambda changes: "-".join(str(value) for value in changes.values()),
)
def test_every_network_scaling_and_mix_of_columns_can_go_out(to, changes):
    model = make(**changes)
    done = export(model, f"m.{to}", to)
    assert done.checked.rows == verification.CHECKED_ROWS
    assert done.checked.difference < 1e-6


def test_onnx_takes_columns_as_they_stand_in_a_table():
    model = make()
    export(model, "m.onnx", "onnx")
    session = onnxruntime.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
    assert {i.name: i.type for i in session.get_inputs()} == {
        "age": "tensor(double)",
        "label": "tensor(double)",
        "smoker": "tensor(double)",
        "city of birth": "tensor(string)",
        "val_0": "tensor(string)",
    }
    assert [o.name for o in session.get_outputs()] == ["predicted label", "probabilities"]
    rows = {"age": [30, None], "label": [None, 71.5], "smoker": [True, None], "city of birth": ["Rome", "NA"]}
    rows["val_0"] = ["-", "never seen"]
    asked = {i.name: onnx_file._tensor(rows[i.name], i.type) for i in session.get_inputs()}
    np.testing.assert_allclose(session.run(None, asked)[1], model.predict_proba(rows), rtol=0, atol=1e-6)
    facts = json.loads(session.get_modelmeta().custom_metadata_map["tabstudio"])
    assert facts["columns"]["city of birth"] == "category"
    assert facts["classes"] == ["yes", "no"]


def test_pt2_is_used_with_torch_alone():
    model = make("multiclass")
    export(model, "m.pt2", "pt2")
    program = torch.export.load("m.pt2", extra_files=(about := {"tabstudio.json": ""}))
    facts = json.loads(about["tabstudio.json"])
    assert facts["numbers"] == ["age", "label", "smoker"]
    oslo = facts["categories"]["city of birth"].index("Oslo")
    numbers = torch.tensor([[30.0, float("nan"), 1.0]], dtype=torch.float64)
    places, probabilities = program.module()(numbers, torch.tensor([[oslo, -1]]))
    row = {"age": [30], "label": [None], "smoker": [True], "city of birth": ["Oslo"], "val_0": [None]}
    np.testing.assert_allclose(probabilities.detach(), model.predict_proba(row), rtol=0, atol=1e-6)
    assert facts["classes"][places[0]] == model.predict(row)[0]


def test_a_folder_is_the_bundle_and_its_answers_are_bit_equal():
    done = export(make(), "out", "folder")
    assert done.checked.difference == 0.0
    assert Path("out/manifest.json").exists()


@pytest.mark.parametrize("to", ["onnx", "pt2"])
def test_columns_that_cannot_go_inside_are_all_named(to, monkeypatch):
    monkeypatch.setattr("tabstudio.model.column_encoders.MOST_LEVELS", 100)
    monkeypatch.setitem(COLUMNS, "zip", Column("zip", "category"))
    model = make(names=("age", "born", "note", "zip"))
    with pytest.raises(
        ConfigError, match=r"'born' \(a date\), 'note' \(a text\), 'zip' \(a category of very"
    ):
        export(model, f"m.{to}", to)
    assert list(Path().iterdir()) == []
    assert export(model, "m", "folder").checked.difference == 0.0


def test_a_category_that_is_read_by_its_letters_is_named():
    ill = np.random.default_rng(0).random(200) < 0.5
    frame = pl.DataFrame({"cabin": [f"{'CD'[int(one)]}{i}" for i, one in enumerate(ill)] + ["C0"] * 20})
    model = TabularClassifier(epochs=1, random_state=0).fit(frame, [*ill, *[False] * 20]).model_
    with pytest.raises(ConfigError, match=r"'cabin' \(a category that is read by its letters and digits\)"):
        export(model, "m.pt2", "pt2")


def test_a_preparation_of_the_authors_own_cannot_go_inside():
    model = make(names=("age", "label"), network="mlp")
    chain = ChainTransform(())
    model.encoder = Preprocessing(("age", "label"), chain, 2)
    for to in ("onnx", "pt2"):
        with pytest.raises(ConfigError, match=r"scikit-learn pipeline of its author's.*--to folder"):
            export(model, f"m.{to}", to)
    assert list(Path().iterdir()) == []


def test_a_file_whose_answers_differ_never_appears(monkeypatch):
    real = pt2_file.open_for

    def skewed(model, path):
        ask = real(model, path)

        def asked(rows):
            labels, numbers = ask(rows)
            return labels, numbers + 2 * TOLERANCE

        return asked

    monkeypatch.setattr(pt2_file, "open_for", skewed)
    with pytest.raises(ModelError, match=r"pt2: its answers differ from the model's by 2e-05.*not written"):
        export(make(), "m.pt2", "pt2")
    assert list(Path().iterdir()) == []


def test_a_wrong_label_or_shape_is_found():
    model = make()
    rows = sample_rows(model, 50)

    def ask(rows):
        return model.predict(rows)[::-1], model.predict_proba(rows)

    with pytest.raises(ModelError, match="where the model says"):
        verify_answers(model, rows, ask, "it")
    with pytest.raises(ModelError, match="inf"):
        verify_answers(model, rows, lambda rows: (None, model.predict_proba(rows)[:, 0]), "it")


def test_sample_rows_hold_what_training_did_not():
    rows = sample_rows(make())
    assert {type(value) for value in rows["age"]} == {int, type(None)}
    assert max(v for v in rows["age"] if v is not None) > 90
    assert "a level that training never saw" in rows["val_0"]
    assert rows["val_0"] == sample_rows(make())["val_0"]


def test_nothing_is_overwritten():
    Path("m.onnx").write_text("mine")
    with pytest.raises(ConfigError, match=r"m\.onnx: this exists"):
        export(make(), "m.onnx", "onnx")
    with pytest.raises(ConfigError, match="nowhere does not exist"):
        export(make(), "nowhere/m.onnx", "onnx")
    with pytest.raises(ConfigError, match="one of onnx, pt2, folder"):
        export(make(), "m.xml", "xml")
    assert Path("m.onnx").read_text() == "mine"


def test_a_missing_library_says_what_installs_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match=r"onnxscript.*tabstudio\[onnx\]"):
        export(make(), "m.onnx", "onnx")


def test_the_command_writes_and_tells_how_it_was_checked(capsys):
    make().save("model")
    assert run(["export", "model", "--to", "pt2", "-o", "m.pt2"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("m.pt2: pt2, ")
    assert "1,000 rows" in told
    assert run(["export", "model", "--to", "pt2", "-o", "m.pt2"]) == 2
    assert capsys.readouterr().err.startswith("error: m.pt2: this exists")
    assert exporter.FORMATS == ("onnx", "pt2", "folder")
