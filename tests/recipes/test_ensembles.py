"""Models of several trials or rounds: one bundle, reloads that predict the same, honest held-out rows."""

from __future__ import annotations

import numpy as np
import pytest

import tabstudio
from tabstudio import configure, read, split
from tabstudio.errors import ConfigError
from tabstudio.model.inference.forward import by_torch
from tabstudio.model.inference.head import OutputHead
from tabstudio.model.networks import Joined, join
from tabstudio.model.predictor import Model, load
from tabstudio.recipes import train
from tabstudio.recipes.fit import fit
from tabstudio.recipes.labeled_rows import LabeledRows
from tabstudio.recipes.search import fit_by_search

FAST = {"epochs": 6, "network": "mlp", "hidden": (8,), "learning_rate": 0.01}


@pytest.fixture(scope="module")
def cancer(cancer_csv):
    table = read(cancer_csv, target="diagnosis")
    return table, split(table, configure().split)


def learning(cancer):
    table, parts = cancer
    return LabeledRows.of(table.take(parts.train), parts.fold)


def test_rounds_of_members_are_weighed_by_their_held_out_predictions(cancer):
    rows = learning(cancer)
    fitted = fit(rows, configure(members=20, **FAST))
    rounds = len(fitted.outcome.rounds)
    assert 1 <= rounds <= 4
    assert len(fitted.model.pack) == 5 * rounds
    if fitted.model.head.weights is not None:
        assert sum(fitted.model.head.weights) == pytest.approx(1.0)
        assert len(fitted.model.head.weights) == 5 * rounds
    assert len(fitted.validated) == len(rows.labels)


def test_held_out_rows_of_a_member_stay_unseen_after_the_selection(cancer):
    rows = learning(cancer)
    fitted = fit(rows, configure(members=15, **FAST))
    inputs = fitted.model.encoder.encode(rows.frame)
    raw = by_torch(fitted.model.pack)(inputs.numbers, inputs.codes)
    for c, own in enumerate(fitted.outcome.rounds):
        members = raw[5 * c : 5 * c + 5]
        np.testing.assert_allclose(own, members[rows.fold, np.arange(len(rows.fold))], atol=1e-4)


@pytest.mark.parametrize("given", [frozenset(), frozenset({"hidden"})])
def test_a_search_gives_one_model_of_the_best_trials(cancer, given, tmp_path):
    table, parts = cancer
    config = configure(trials=8, **(FAST | {"hidden": (8, 6)}))
    fitted = fit_by_search(learning(cancer), config, given=given | {"network", "epochs"})
    model = fitted.model
    assert len(model.pack) == 5 * len(fitted.notes)
    assert len(fitted.outcome.rounds) == len(fitted.notes)
    test = table.take(parts.test)
    folder = model.save(tmp_path / "model")
    assert sorted(path.name for path in folder.iterdir() if path.suffix == ".safetensors") == [
        "weights.safetensors"
    ]
    again = load(folder)
    assert again.head.weights == model.head.weights
    np.testing.assert_array_equal(again.predict_proba(test.frame), model.predict_proba(test.frame))
    if given:
        assert not isinstance(model.pack, Joined)


def test_networks_of_several_shapes_become_one_bundle(cancer, tmp_path):
    rows = learning(cancer)
    wide, deep = (fit(rows, configure(**(FAST | {"hidden": hidden}))).model for hidden in ((8,), (6, 4)))
    both = Model(
        rows.schema,
        wide.encoder,
        join([wide.pack, deep.pack]),
        OutputHead(rows.target, (0.15,) * 5 + (0.05,) * 5),
    )
    again = load(both.save(tmp_path / "joined"))
    assert isinstance(again.pack, Joined)
    np.testing.assert_array_equal(again.predict_proba(rows.frame), both.predict_proba(rows.frame))
    wide.head = deep.head = OutputHead(rows.target)
    expected = 0.75 * wide.predict_proba(rows.frame) + 0.25 * deep.predict_proba(rows.frame)
    np.testing.assert_allclose(again.predict_proba(rows.frame), expected, atol=1e-7)


@pytest.mark.delivers
def test_train_with_search_registers_one_model_and_every_trial(cancer_csv, tmp_path, monkeypatch):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    result = train(
        cancer_csv,
        "diagnosis",
        name="cancer",
        search=True,
        trials=6,
        tracking_uri=uri,
        references=False,
        **FAST,
    )
    assert result.delivery.complete
    assert result.evaluation["roc_auc"].value > 0.97
    from mlflow import MlflowClient

    client = MlflowClient(uri, uri)
    found = client.search_runs([client.get_experiment_by_name("cancer").experiment_id])
    children = [run for run in found if run.data.tags.get("mlflow.parentRunId") == result.delivery.run_id]
    assert len(children) == 6
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert tabstudio.load("models:/cancer/1").head.weights == result.model.head.weights


@pytest.mark.parametrize("options", [{"recipe": "tutorial"}, {"resume": True}])
def test_a_search_that_cannot_be_is_refused(cancer_csv, options):
    with pytest.raises(ConfigError, match="option search"):
        train(cancer_csv, "diagnosis", search=True, **options)


@pytest.mark.delivers
def test_rounds_one_after_the_other_have_one_curve_for_each_network(cancer_csv, tmp_path, monkeypatch):
    from mlflow import MlflowClient

    from tabstudio.training import packing

    monkeypatch.setattr(packing, "CACHE", 1)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    options = FAST | {"members": 4, "folds": 2, "references": False, "resamples": 0, "patience": 0}
    result = train(cancer_csv, "diagnosis", name="cancer", register=False, tracking_uri=uri, **options)
    assert result.delivery.complete
    client = MlflowClient(uri, uri)
    (run,) = client.search_runs([client.get_experiment_by_name("cancer").experiment_id])
    names = [f"members/val_loss_{m}" for m in range(4)]
    curves = [client.get_metric_history(run.info.run_id, name) for name in ("train_loss", "val_loss", *names)]
    assert [[point.step for point in curve] for curve in curves] == [list(range(1, 7))] * 6
    for m, curve in enumerate(curves[2:]):
        told = [epoch.val_loss[m] for epoch in result.fitted.outcome.history]
        assert [point.value for point in curve] == pytest.approx(told)
