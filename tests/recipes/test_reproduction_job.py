"""A training is done again to the same bits, or what differs is named: file, tensor, figure, by how much."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load, save

from tabstudio.errors import ConfigError, DataError, ModelError
from tabstudio.model import bundle, bundle_files
from tabstudio.recipes import train
from tabstudio.recipes.deviations import deviations
from tabstudio.recipes.reproduction_job import reproduce

QUICK = {"network": "mlp", "hidden": (8,), "epochs": 3, "folds": 2, "references": False, "resamples": 50}


@pytest.fixture(scope="module")
def made(cancer_csv, tmp_path_factory):
    """A quick model of a table that lies in a folder of its own."""
    folder = tmp_path_factory.mktemp("made")
    csv = folder / "cancer.csv"
    csv.write_bytes(cancer_csv.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TABSTUDIO_DELIVERY", "later")
        train(csv, "diagnosis", register=False, output="out", slice=["worst area"], **QUICK)
    return csv, folder / "out" / "model"


@pytest.mark.parametrize(
    "options", [{}, {"recipe": "tutorial"}, {**QUICK, "seed": 5, "members": 3, "minutes": 5.0}]
)
def test_a_recipe_comes_out_identical(cancer_csv, options):
    train(cancer_csv, "diagnosis", register=False, output="out", **{"references": False, **options})
    found = reproduce("out/model")
    assert found.identical, found.text()
    assert all(check.same for check in found.checks)
    assert "the same to the last bit" in found.text()


@pytest.mark.parametrize(
    "options",
    [
        {"search": True, "trials": 6, "hidden": (8, 6)},
        {"search": True, "trials": 20, "dropout": 0.15, "halving": False},
        {"distill": True, "network": "tabular", "members": 4},
        {"search": True, "trials": 3, "distill": True},
        {"members": 10, "seed": 3},
        {"network": "tabular", "minutes": 0.03},
        {"distill": True, "minutes": 0.03},
    ],
)
def test_a_search_an_ensemble_and_what_time_decided_come_out_identical(cancer_csv, options):
    train(cancer_csv, "diagnosis", register=False, output="out", **(QUICK | options))
    found = reproduce("out/model")
    assert found.identical, found.text()
    assert all(check.same for check in found.checks)


def test_a_regression_that_was_trained_longer_comes_out_identical(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 3))
    table = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": x[:, 0] * x[:, 1] + x[:, 2]})
    table.write_csv(tmp_path / "clean.csv")
    options = {"hidden": (32, 32), "folds": 2, "references": False, "resamples": 50}
    result = train(tmp_path / "clean.csv", "y", register=False, output="out", **options)
    assert result.model.config["epochs"] > 100
    assert reproduce("out/model").identical


def test_a_search_that_time_cut_off_is_not_made_again(cancer_csv, monkeypatch):
    from tabstudio.training import successive_halving

    monkeypatch.setattr(successive_halving, "RUNGS", ())
    options = QUICK | {"search": True, "trials": 2, "epochs": 10_000, "patience": 10_000, "minutes": 0.01}
    train(cancer_csv, "diagnosis", register=False, output="out", **options)
    with pytest.raises(ModelError, match="--minutes cut off some trials of its search"):
        reproduce("out/model")


def test_a_real_table_with_gaps_and_words_comes_out_identical(real_tables):
    options = {**QUICK, "network": "tabular"}
    train(real_tables / "titanic.csv", "Survived", register=False, output="out", **options)
    assert reproduce("out/model").identical


def test_nothing_is_written_or_tracked(made):
    before = set(Path().iterdir())
    assert reproduce(made[1]).identical
    assert set(Path().iterdir()) == before


def test_a_moved_table_is_found_where_it_is_named(made, tmp_path):
    csv, model = made
    moved = tmp_path / "moved.csv"
    csv.rename(moved)
    try:
        with pytest.raises(DataError, match=r"cancer\.csv.*if it has moved, name it with --data"):
            reproduce(model)
        assert reproduce(model, data=moved).identical
    finally:
        moved.rename(csv)


def test_a_changed_table_is_refused_before_training(made, tmp_path):
    frame = pl.read_csv(made[0])
    changed = tmp_path / "changed.csv"
    frame.with_columns(pl.col("mean radius") * 1.0000001).write_csv(changed)
    with pytest.raises(DataError, match="is not the table that it was trained on"):
        reproduce(made[1], data=changed)


def rewritten(model, folder, change, name="report.json"):
    """A bundle whose one file was changed by somebody who can write manifests."""
    shutil.copytree(model, folder)
    path = folder / name
    path.write_bytes(change(path.read_bytes()))
    files = {n: (folder / n).read_bytes() for n in (*bundle_files.FILES, bundle_files.EVIDENCE)}
    (folder / bundle_files.MANIFEST).write_bytes(bundle_files.manifest(files))
    return folder


def test_a_changed_weight_is_named_with_its_size(made, tmp_path):
    def change(data):
        tensors = load(data)
        name = sorted(tensors)[0]
        tensors[name] = tensors[name].copy()
        tensors[name].flat[3] += 0.25
        return save(tensors)

    found = reproduce(rewritten(made[1], tmp_path / "m", change, bundle_files.WEIGHTS))
    assert not found.identical
    (deviation,) = found.deviations
    assert deviation.where == "weights.safetensors"
    assert "1 of" in deviation.detail
    assert "by 0.25 at most" in deviation.detail
    assert "though all else is as then" in found.sentence


def test_a_changed_figure_is_named(made, tmp_path):
    def change(data):
        report = json.loads(data)
        report["report"]["test"]["metrics"]["accuracy"]["value"] -= 0.5
        return bundle_files.dump(report)

    (deviation,) = reproduce(rewritten(made[1], tmp_path / "m", change)).deviations
    assert (deviation.where, deviation.what) == ("report.json", "test.metrics.accuracy.value")
    assert deviation.detail.endswith("by 0.5")


def test_another_environment_is_told(made, tmp_path):
    def change(data):
        report = json.loads(data)
        report["report"]["environment"] |= {"torch": "1.0", "commit": "abc", "threads": 1}
        return bundle_files.dump(report)

    found = reproduce(rewritten(made[1], tmp_path / "m", change))
    assert [check.name for check in found.checks if not check.same] == ["torch"]
    assert "CHANGED  torch" in found.text()
    assert "told     commit" in found.text()


def test_threads_are_set_as_then_and_put_back(made, tmp_path):
    def change(data):
        report = json.loads(data)
        report["report"]["environment"]["threads"] = 2
        return bundle_files.dump(report)

    before = torch.get_num_threads()
    found = reproduce(rewritten(made[1], tmp_path / "m", change))
    assert next(check for check in found.checks if check.name == "threads").now == "2"
    assert torch.get_num_threads() == before


def test_another_configuration_differs_in_many_places(made):
    again = Path("again")
    train(made[0], "diagnosis", register=False, output=again, **{**QUICK, "hidden": (9,)})
    found = deviations(bundle.record(made[1]), bundle.record(again / "model"))
    assert {deviation.where for deviation in found} == {
        "weights.safetensors",
        "network.json",
        "evidence.safetensors",
        "report.json",
    }
    assert any("(2, 30, 8) then" in deviation.detail for deviation in found)


def test_what_cannot_be_made_again_says_why(made, tmp_path):
    def change(data):
        report = json.loads(data)
        report["report"].pop("environment")
        return bundle_files.dump(report)

    with pytest.raises(ModelError, match="does not say what it was made with"):
        reproduce(rewritten(made[1], tmp_path / "m", change))
    with pytest.raises(ConfigError, match=r"only a registered version has a history.*model is none"):
        reproduce(made[1], record=True)


def test_a_frame_in_memory_needs_its_rows_in_a_file(tmp_path):
    random = np.random.default_rng(0)
    frame = pl.DataFrame({"x": random.normal(size=80), "t": random.choice(["a", "b"], 80)})
    train(frame, "t", register=False, output="out", **QUICK)
    with pytest.raises(DataError, match="its table was not a file"):
        reproduce("out/model")
    frame.write_parquet(tmp_path / "rows.parquet")
    assert reproduce("out/model", data=tmp_path / "rows.parquet").identical


def network(inputs, outputs):
    return torch.nn.Sequential(torch.nn.Linear(inputs, 4), torch.nn.Tanh(), torch.nn.Linear(4, outputs))


def test_a_network_of_ones_own_is_made_again_with_its_factory(made):
    options = {name: value for name, value in QUICK.items() if name not in ("network", "hidden")}
    train(made[0], "diagnosis", register=False, output="own", network=network, **options)
    with pytest.raises(ModelError, match="hand its factory over"):
        reproduce("own/model")
    assert reproduce("own/model", network=network).identical


@pytest.mark.delivers
def test_the_outcome_is_kept_in_the_history(cancer_csv, tmp_path):
    from tabstudio.registry.registry import Registry

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    train(cancer_csv, "diagnosis", name="kept", tracking_uri=uri, **QUICK)
    found = reproduce("models:/kept/1", record=True, tracking_uri=uri)
    registry = Registry(tracking_uri=uri)
    (note,) = registry.notes(registry.version("kept", 1))
    assert note.evidence.facts["reproduction"]["identical"] is True
    assert note.evidence.facts["reproduction"]["bundle"] == found.bundle
