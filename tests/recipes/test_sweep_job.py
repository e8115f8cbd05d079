"""A sweep, whole: what is searched, what MLflow holds of every trial, and what one does with the result."""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from tabstudio.cli.options import merge_options
from tabstudio.errors import ConfigError, TrainingError
from tabstudio.options import configure, load_config
from tabstudio.recipes import Reporter, sweep, train

OPTIONS = {"network": "mlp", "hidden": (8, 4), "batch_size": 0, "epochs": 8}


class Collected(Reporter):
    def __init__(self):
        self.steps = []

    def step(self, title, lines=()):
        self.steps.append((title, list(lines)))


@pytest.fixture(scope="module")
def swept(cancer_csv, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        reporter = Collected()
        result = sweep(
            cancer_csv,
            "diagnosis",
            name="cancer",
            trials=20,
            drop=["mean radius"],
            output=folder / "best.toml",
            tracking_uri=uri,
            reporter=reporter,
            **OPTIONS,
        )
        yield result, reporter, uri, folder


@pytest.fixture
def runs(swept):
    from mlflow import MlflowClient

    client = MlflowClient(swept[2], swept[2])
    experiment = client.get_experiment_by_name("cancer sweep")
    found = client.search_runs([experiment.experiment_id], max_results=100)
    parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    return client, parents[0], [run for run in found if run is not parents[0]]


def test_what_is_given_is_kept_and_the_rest_is_searched(swept):
    for tried in swept[0].searched.tried:
        assert set(tried.options) == {"learning_rate", "weight_decay", "dropout", "label_smoothing"}
        assert tried.outcome.trial.network.hidden == (8, 4)
        assert tried.outcome.trial.training.epochs == 8


def test_the_usual_options_are_tried_first(swept):
    usual = configure(**OPTIONS).network
    assert swept[0].searched.tried[0].options["dropout"] == usual.dropped
    assert swept[0].searched.tried[0].options["learning_rate"] == pytest.approx(1e-3)


def test_every_trial_is_a_child_run_with_options_curves_and_result(swept, runs):
    client, parent, children = runs
    tried = {f"trial {t.number}": t for t in swept[0].searched.tried}
    assert swept[0].delivery.complete
    assert len(children) == len(tried) == 20
    for run in children:
        mine = tried.pop(run.info.run_name)
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["tabstudio.trial"] == mine.outcome.ending
        assert float(run.data.params["learning_rate"]) == mine.options["learning_rate"]
        assert run.data.metrics["best_val_loss"] == pytest.approx(mine.outcome.loss)
        for name in ("train_loss", "val_loss"):
            points = client.get_metric_history(run.info.run_id, name)
            assert [p.step for p in points] == list(range(1, len(mine.outcome.steps) + 1))
            assert [p.value for p in points] == [getattr(step, name) for step in mine.outcome.steps]


def test_the_parent_holds_the_best_and_a_table_of_all(swept, runs):
    client, parent, _ = runs
    best = swept[0].searched.ranking[0]
    assert parent.info.status == "FINISHED"
    assert parent.data.params["best.trial"] == str(best.number)
    assert float(parent.data.params["best.dropout"]) == best.options["dropout"]
    assert parent.data.metrics["best_val_loss"] == pytest.approx(best.outcome.loss)
    table = Path(client.download_artifacts(parent.info.run_id, "trials.csv")).read_text()
    assert table.splitlines()[0].startswith("trial,val_loss,ending,epochs,learning_rate")
    assert len(table.splitlines()) == 21


def test_losers_leave_early_and_the_best_is_the_best_of_those_trained_whole(swept):
    outcomes = [tried.outcome for tried in swept[0].searched.tried]
    assert {len(outcome.steps) for outcome in outcomes} == {2, 4, 8}
    assert sum(outcome.ending == "finished" for outcome in outcomes) == 4 + 1
    losses = [tried.outcome.loss for tried in swept[0].searched.ranking]
    assert losses == sorted(losses)


def test_the_reporter_hears_of_every_batch_of_trials(swept):
    titles = [title for title, _ in swept[1].steps]
    assert titles[-2:] == ["16 of 20 trials", "20 of 20 trials"]


def test_the_best_options_train_a_model_of_that_validation_loss(swept, cancer_csv):
    best = swept[0].searched.ranking[0]
    options = merge_options(swept[3] / "best.toml", {})
    assert load_config(swept[3] / "best.toml") == tomllib.loads((swept[3] / "best.toml").read_text())
    assert options["drop"] == ["mean radius"]
    assert f"--config {swept[3] / 'best.toml'}" in swept[0].text()
    result = train(cancer_csv, "diagnosis", references=False, register=False, resamples=0, **options)
    losses = np.min([epoch.val_loss for epoch in result.fitted.outcome.history], axis=0)
    assert losses.mean() == pytest.approx(best.outcome.loss, rel=5e-3)


def test_a_regression_with_little_noise_is_searched_at_the_length_that_pays(tmp_path):
    x = np.random.default_rng(0).normal(size=(240, 3))
    table = {"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": x[:, 0] * x[:, 1] + x[:, 2]}
    options = {"hidden": (32, 32), "folds": 2}
    result = train(table, "y", references=False, register=False, resamples=0, **options)
    usual = sweep(table, "y", trials=2, halving=False, **options).searched.tried[0]
    plan = result.fitted.outcome.plan
    assert usual.options["epochs"] == usual.outcome.trial.training.epochs == plan.epochs > 100
    assert usual.options["dropout"] == plan.dropout[0]
    losses = np.min([epoch.val_loss for epoch in result.fitted.outcome.history], axis=0)
    assert losses.mean() == pytest.approx(usual.outcome.loss, rel=5e-3)


@pytest.fixture
def clean():
    a = np.linspace(-1, 1, 240)
    return {"a": a, "b": (7 * a) ** 2 % 1, "y": a + (7 * a) ** 2 % 1}


def test_ctrl_c_in_the_training_before_the_first_trial_ends_the_search(clean, monkeypatch):
    from tabstudio.training import loop

    steps, step = [], loop.step

    def cut(*given):
        steps.append(1)
        if len(steps) == 20:
            raise KeyboardInterrupt
        return step(*given)

    monkeypatch.setattr(loop, "step", cut)
    with pytest.raises(KeyboardInterrupt):
        sweep(clean, "y", trials=2, hidden=(8,), folds=2)
    assert len(steps) == 20


@pytest.mark.parametrize("options", [{"epochs": 4}, {"network": "mlp"}, {"batch_size": 1}])
def test_what_cannot_be_trained_longer_is_not_trained_before_the_search(clean, options, monkeypatch):
    from tabstudio.recipes import search

    def never(*_, **__):
        raise AssertionError("trained before the first trial")

    monkeypatch.setattr(search, "train_members", never)
    found = sweep(clean, "y", trials=2, hidden=(8,), folds=2, **options)
    assert "epochs" not in found.searched.tried[0].options


def test_minutes_bound_the_training_before_the_search_too(clean, monkeypatch):
    from tabstudio.recipes import search

    bounds, train_members = [], search.train_members

    def spied(*given, **named):
        bounds.append(given[2].minutes)
        return train_members(*given, **named)

    monkeypatch.setattr(search, "train_members", spied)
    sweep(clean, "y", trials=2, hidden=(8,), folds=2, minutes=0.5)
    assert 0.0 < bounds[0] < 0.5


def test_the_same_seed_finds_the_same(cancer_csv):
    found = [sweep(cancer_csv, "diagnosis", trials=2, **(OPTIONS | {"epochs": 2})).searched for _ in range(2)]
    assert [t.outcome.loss for t in found[0].tried] == [t.outcome.loss for t in found[1].tried]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "tutorial"}, "leaves nothing open to search"),
        ({"trials": 0}, "option trials: at least 1"),
        ({"output": "best.json"}, "a TOML file such as best.toml was expected"),
        (
            OPTIONS | {"learning_rate": 0.1, "weight_decay": 0.1, "dropout": 0.1, "label_smoothing": 0.1},
            "every option that is searched was given",
        ),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(cancer_csv, options, message):
    with pytest.raises(ConfigError, match=message):
        sweep(cancer_csv, "diagnosis", **options)


def test_a_sweep_in_which_every_trial_fails_says_so(cancer_csv):
    with pytest.raises(TrainingError, match="no trial was trained to the end"):
        sweep(cancer_csv, "diagnosis", trials=2, learning_rate=1e38, **OPTIONS)


def test_minutes_end_a_sweep_with_what_was_tried(cancer_csv):
    result = sweep(cancer_csv, "diagnosis", trials=64, minutes=0.0001, **OPTIONS)
    assert len(result.searched.tried) == 16
    assert {tried.outcome.ending for tried in result.searched.tried} <= {"out of time", "dropped"}


def test_ctrl_c_keeps_the_trials_that_have_ended(cancer_csv, tmp_path):
    words = ["sweep", str(cancer_csv), "-t", "diagnosis", "--trials", "4000", "--network", "mlp"]
    words += ["--hidden", "8", "--batch-size", "0", "--epochs", "4"]
    code = f"from tabstudio.cli import main; main({words})"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "16 of 4000 trials" in line:
                break
        process.send_signal(signal.SIGINT)
        told = process.stdout.read()
        assert process.wait() == 130
    assert "tabstudio train" in told
