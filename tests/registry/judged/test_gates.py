"""Each gate passes what it should, fails what it should, and fails what it cannot judge, with the reason."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import polars as pl
import pytest

from tabstudio.errors import ConfigError
from tabstudio.registry import gates
from tabstudio.registry.stage_rules import Stage


def judged(registry, number, declared, current=None, **options):
    version = registry.version("cancer", number)
    served = registry.version("cancer", current) if current else None
    results = gates.judge(registry, version, served, Stage("production", gates=declared), options)
    return {result.name: result for result in results}


@pytest.fixture
def moved(shelf):
    """The table is somewhere else for the length of a test."""
    elsewhere = shelf.csv.with_name("elsewhere.csv")
    shelf.csv.rename(elsewhere)
    yield elsewhere
    elsewhere.rename(shelf.csv)


def test_without_gates_the_bundle_must_be_whole(registry):
    assert [(r.name, r.passed) for r in judged(registry, 1, {}).values()] == [("bundle", True)]


@pytest.mark.parametrize(
    ("declared", "passes"),
    [
        ({"metrics": {"roc_auc": 0.9}}, True),
        ({"metrics": {"roc_auc": 0.9999}}, False),
        ({"metrics": {"log_loss": 0.5}}, True),
        ({"metrics": {"log_loss": 0.01}}, False),
        ({"calibration": 0.3}, True),
        ({"calibration": 0.001}, False),
        ({"slices": [{"column": "worst area", "metrics": {"accuracy": 0.5}}]}, True),
        ({"slices": [{"column": "worst area", "metrics": {"accuracy": 0.9999}}]}, False),
        ({"slices": [{"column": "mean texture", "metrics": {"accuracy": 0.5}}]}, True),
        ({"size": "10 MiB"}, True),
        ({"size": "1 kB"}, False),
        ({"loads": True}, True),
        ({"latency": {"row": 5000.0, "batch": 5000.0, "rows": 100}}, True),
        ({"latency": {"row": 1e-6}}, False),
        ({"latency": {"batch": 1e-6, "rows": 50}}, False),
        ({"schema": "strict", "no_worse": True}, True),
    ],
)
def test_a_gate_passes_or_fails_by_what_was_measured(registry, declared, passes):
    found = judged(registry, 1, declared)
    assert found.pop("bundle").passed
    assert found
    assert all(result.passed for result in found.values()) is passes
    assert all(result.measured and result.required for result in found.values())


def test_the_lower_end_of_the_interval_counts(registry):
    measure = registry.version("cancer", 1).metrics["test_accuracy"]
    between = (measure.low + measure.value) / 2
    result = judged(registry, 1, {"metrics": {"accuracy": between}})["metrics.accuracy"]
    assert not result.passed
    assert "not sure" in result.message


def test_a_worse_version_is_told_from_the_one_in_the_stage(registry):
    declared = {"no_worse": {"metric": "log_loss"}}
    worse = judged(registry, 2, declared, current=1)["no_worse.log_loss"]
    assert not worse.passed
    assert "models:/cancer/1" in worse.measured
    assert "the same 142 test rows" in worse.message
    assert judged(registry, 1, declared, current=2)["no_worse.log_loss"].passed
    same = judged(registry, 1, declared, current=1)["no_worse.log_loss"]
    assert same.passed
    assert same.measured == "it is in the stage already"


def test_a_margin_asks_for_confidence(registry):
    wide = {"no_worse": {"metric": "log_loss", "margin": 5.0}}
    none = {"no_worse": {"metric": "accuracy", "margin": 0.0}}
    assert judged(registry, 2, wide, current=1)["no_worse.log_loss"].passed
    assert not judged(registry, 2, none, current=1)["no_worse.accuracy"].passed


def test_rows_that_the_served_version_was_trained_on_do_not_count(registry, shelf):
    result = judged(registry, 3, {"no_worse": True}, current=1)["no_worse.roc_auc"]
    assert "test rows were left out: models:/cancer/1 was trained on them" in result.message
    result = judged(registry, 3, {"no_worse": True}, current=1, data=str(shelf.csv))
    message = result["no_worse.roc_auc"].message
    assert "that neither was trained on" in message
    assert "rows were left out: models:/cancer/3 was trained on them" in message


def test_without_the_table_the_test_rows_in_common_are_used(registry, moved):
    result = judged(registry, 3, {"no_worse": True}, current=1)["no_worse.roc_auc"]
    assert result.measured != "could not be judged"
    assert "test rows that both have in common" in result.message
    assert "its table cannot be read" in result.message


def test_what_needs_the_rows_fails_without_them(registry, moved):
    declared = {"slices": [{"column": "mean texture", "metrics": {"accuracy": 0.5}}]}
    (result,) = [r for r in judged(registry, 1, declared).values() if r.name != "bundle"]
    assert (result.passed, result.measured) == (False, "could not be judged")
    assert "--data" in result.message
    # Slices that the training measured need no rows.
    kept = {"slices": [{"column": "worst area", "metrics": {"accuracy": 0.5}}]}
    assert judged(registry, 1, kept)["slices.worst area.accuracy"].passed
    # A file that holds unseen rows will do.
    again = judged(registry, 1, declared, data=str(moved))
    assert again["slices.mean texture.accuracy"].passed


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"metrics": {"rmse": 3.0}}, "rmse was not measured"),
        ({"slices": [{"column": "wrst area", "metrics": {"f1": 0.5}}]}, "did you mean 'worst area'"),
        ({"slices": [{"column": "worst area", "metrics": {"f1": 0.5}, "min_rows": 9999}]}, "no level"),
        ({"reproduces": True}, "no reproduction of this version was recorded"),
    ],
)
def test_a_gate_that_cannot_be_judged_fails_with_its_reason(registry, declared, words):
    (result,) = [r for r in judged(registry, 3, declared).values() if r.name != "bundle"]
    assert not result.passed
    assert words in result.message


def test_wrong_gates_are_no_verdict(registry):
    with pytest.raises(ConfigError, match="did you mean loads"):
        judged(registry, 1, {"load": True})


def test_small_levels_are_told_and_not_judged(registry):
    declared = {"slices": [{"column": "diagnosis", "metrics": {"accuracy": 0.1}, "min_rows": 60}]}
    result = judged(registry, 1, declared)["slices.diagnosis.accuracy"]
    assert "not judged, of fewer than 60 rows: malignant" in result.message


def test_a_damaged_bundle_fails_every_gate_and_hides_none(registry, shelf, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(shelf.model(1), folder)
    (folder / "weights.safetensors").write_bytes(b"x")
    version = registry.version("cancer", 1)
    registry._bundles[version.address] = folder
    declared = {"metrics": {"f1": 0.1}, "loads": True, "size": "10 MiB"}
    results = gates.judge(registry, version, None, Stage("production", gates=declared))
    assert [r.name for r in results] == ["bundle", "metrics.f1", "size", "loads"]
    assert not any(r.passed for r in results)
    assert all("weights.safetensors was changed" in r.message for r in results)
    assert not gates.loads(registry, version).passed


def test_loading_is_judged_alone_for_a_rollback(registry):
    assert gates.loads(registry, registry.version("cancer", 1)).passed


def test_a_reproduction_counts_for_the_bundle_that_it_was_made_of(registry):
    version = registry.version("cancer", 2)
    fact = {"bundle": "of another one", "identical": True, "differences": []}
    registry.note(version, "of another bundle", {"reproduction": fact})
    assert not judged(registry, 2, {"reproduces": True})["reproduces"].passed
    digest = judged_digest(registry, version)
    registry.note(version, "differs", {"reproduction": {**fact, "bundle": digest, "identical": False}})
    assert judged(registry, 2, {"reproduces": True})["reproduces"].measured == "it came out different"
    registry.note(version, "identical", {"reproduction": {**fact, "bundle": digest}})
    assert judged(registry, 2, {"reproduces": True})["reproduces"].passed


def judged_digest(registry, version):
    from tabstudio.model.bundle import digest

    return digest(registry.bundle(version))


def test_figures_are_judged_without_torch(shelf):
    declared = {
        "metrics": {"roc_auc": 0.5},
        "calibration": 0.5,
        "schema": True,
        "no_worse": True,
        "size": "10 MiB",
        "slices": [{"column": "worst area", "metrics": {"accuracy": 0.1}}],
    }
    code = f"""
import json, sys
from tabstudio.registry import gates
from tabstudio.registry.registry import Registry
from tabstudio.registry.stage_rules import Stage, StageRules
stage = Stage("production", gates=json.loads({json.dumps(json.dumps(declared))}))
registry = Registry(tracking_uri={shelf.uri!r}, rules=StageRules((stage,)))
one, two = registry.version("cancer", 1), registry.version("cancer", 2)
print([r.name for r in gates.judge(registry, one, two, stage)], "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")
    assert "no_worse.roc_auc" in done.stdout


def test_a_model_of_another_library_is_judged_by_its_figures(tmp_path):
    from mlflow import MlflowClient

    from tabstudio.registry.registry import Registry

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(uri, uri)
    run = client.create_run(client.create_experiment("e", str(tmp_path / "artifacts")))
    for name, value in {"test_f1": 0.9, "test_f1_low": 0.8, "test_f1_high": 0.95}.items():
        client.log_metric(run.info.run_id, name, value)
    artifacts = tmp_path / "theirs"
    artifacts.mkdir()
    (artifacts / "MLmodel").write_text("flavors: {}\n")
    client.create_registered_model("theirs")
    client.create_model_version("theirs", str(artifacts), run.info.run_id)
    registry = Registry(tracking_uri=uri)
    version = registry.version("theirs", 1)
    declared = {"metrics": {"f1": 0.75}, "loads": True}
    found = {r.name: r for r in gates.judge(registry, version, None, Stage("production", gates=declared))}
    assert found["metrics.f1"].passed
    assert not found["loads"].passed
    assert "another library" in found["loads"].message
    assert "bundle" not in found
    assert gates.loads(registry, version).passed


def test_figures_that_were_validated_on_prove_nothing(cancer_csv, tmp_path):
    from tabstudio.recipes import train
    from tabstudio.registry.gates import metric_gates
    from tabstudio.registry.gates.candidate import GateCandidate
    from tabstudio.registry.gates.judge import _attempt
    from tabstudio.registry.records import ModelVersion

    train(cancer_csv, "diagnosis", recipe="tutorial", references=False, register=False, output="out")

    class Held:
        def bundle(self, version):
            return tmp_path / "out" / "model"

    case = GateCandidate(Held(), ModelVersion("m", 1, None, 0), None)
    (result,) = _attempt("metrics.f1", lambda: metric_gates.metric(case, "f1", 0.0))
    assert not result.passed
    assert "they prove nothing" in result.message


@pytest.fixture
def adopted(tmp_path, monkeypatch):
    """A network of somebody's own loop, logged whole: no evidence, no configuration, no figures."""
    import torch
    from sklearn.preprocessing import StandardScaler

    import tabstudio
    from tabstudio.registry.registry import Registry
    from tabstudio.tracking import deliver

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    frame = pl.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [0.5, 0.1, 0.9, 0.3]})
    scaler = StandardScaler().fit(frame.to_numpy())
    network = torch.nn.Sequential(torch.nn.Linear(2, 1))
    tabstudio.log_model(
        network, preprocessor=scaler, columns=["a", "b"], classes=["no", "yes"], registered_model_name="own"
    )
    deliver()
    return Registry()


def test_a_logged_network_goes_through_the_gates_that_suit_it(adopted):
    version = adopted.version("own", 1)
    declared = {"loads": True, "size": "1 MiB", "schema": True, "no_worse": True}
    results = gates.judge(adopted, version, None, Stage("production", gates=declared))
    assert all(result.passed for result in results), results
    assert gates.loads(adopted, version).passed
    assert adopted.promote("own", 1, "production", reason="try it")


@pytest.mark.parametrize(
    "declared",
    [
        {"metrics": {"f1": 0.1}},
        {"calibration": 0.5},
        {"slices": [{"column": "a", "metrics": {"f1": 0.1}}]},
        {"latency": {"row": 1000.0}},
        {"reproduces": True},
    ],
)
def test_what_a_logged_network_does_not_say_is_told_without_a_traceback(adopted, declared):
    version = adopted.version("own", 1)
    results = gates.judge(adopted, version, None, Stage("production", gates=declared))
    assert not results[-1].passed
    assert results[-1].measured == "could not be judged"
    assert results[-1].message


def test_a_logged_network_is_compared_on_rows_that_are_named(adopted, tmp_path):
    from tabstudio.errors import ModelError
    from tabstudio.recipes.reproduction_job import reproduce
    from tabstudio.registry.comparison import compare
    from tabstudio.registry.version_card import card

    with pytest.raises(ModelError, match="keeps no record of its rows"):
        compare("models:/own/1", "models:/own/1")
    with pytest.raises(ModelError, match="does not say what it was made with"):
        reproduce("models:/own/1")
    rows = pl.DataFrame({"a": [1.0, 2.0] * 20, "b": [0.2, 0.4] * 20, "target": ["no", "yes"] * 20})
    rows.write_csv(tmp_path / "rows.csv")
    found = compare("models:/own/1", "models:/own/1", data=tmp_path / "rows.csv")
    assert found.rows == 40
    assert "nobody knows which of these rows models:/own/1 was trained on" in found.notes[0]
    assert "Version 1 of own" in card("models:/own/1").text
