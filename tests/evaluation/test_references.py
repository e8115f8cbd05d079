"""References run in a process of their own, equal scikit-learn, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import psutil
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from tabstudio.evaluation import ReferenceJob, evaluate, judge
from tabstudio.evaluation.reference_models import ReferenceProblem, answers, boosted, linear, linear_columns
from tabstudio.evaluation.reference_process import arrays
from tabstudio.table.schema import Column, Schema, Target

BINARY = Target("y", "binary", ("no", "yes"), "yes")
THREE = Target("y", "multiclass", ("a", "b", "c"))
VALUE = Target("y", "regression")


def _frame(rows: int = 300):
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 3))
    colours = np.array(["red", "blue", "green"])[random.integers(0, 3, rows)]
    frame = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "colour": colours})
    columns = [Column(name, "number", dtype="Float64") for name in "abc"] + [Column("colour", "category")]
    labels = (x[:, 0] + (colours == "red") + 0.3 * random.normal(size=rows) > 0.3).astype(np.int64)
    return frame, Schema(tuple(columns), BINARY), labels


def _problem(target: Target, labels, seed: int = 0) -> ReferenceProblem:
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(len(labels), 3)) + np.asarray(labels)[:, None]
    return ReferenceProblem(
        target, numbers, np.zeros((len(labels), 0), np.int64), labels, np.arange(len(labels)) % 4 > 0, 0
    )


def _gone(pid: int) -> bool:
    for _ in range(1200):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_a_job_measures_each_reference_on_the_test_rows():
    frame, schema, labels = _frame()
    train, test = np.arange(200), np.arange(299, 199, -1)
    with ReferenceJob() as job:
        folder = job._folder
        job.send(frame, schema, labels, train, test, resamples=50)
        items, notes = job.result(timeout=60)
        pid = job.pid
    assert [item.name for item in items] == [
        "class frequencies",
        "logistic regression",
        "HistGradientBoosting",
    ]
    assert notes == []
    for item in items:
        again = evaluate(BINARY, labels[test], item.prediction, resamples=50)
        assert item.evaluation.to_json() == again.to_json()
    assert items[1].evaluation["roc_auc"].value > 0.9 > items[0].evaluation["roc_auc"].value
    assert _gone(pid)
    assert not folder.exists()


def test_the_linear_reference_is_scikit_learns():
    labels = np.random.default_rng(1).integers(0, 2, 200)
    problem = _problem(BINARY, labels)
    train = problem.train
    scaler = StandardScaler().fit(problem.numbers[train])
    model = LogisticRegression(max_iter=300).fit(scaler.transform(problem.numbers[train]), labels[train])
    expected = model.predict_proba(scaler.transform(problem.numbers[~train]))
    assert linear(problem)[0] == pytest.approx(expected, abs=1e-6)
    values = labels * 3.0
    ridge = Ridge().fit(scaler.transform(problem.numbers[train]), values[train])
    expected = ridge.predict(scaler.transform(problem.numbers[~train]))
    assert linear(_problem(VALUE, values))[0].shape == expected.shape


def test_the_boosted_reference_is_scikit_learns_with_gaps_and_categories():
    frame, schema, labels = _frame()
    frame = frame.with_columns(
        pl.when(pl.col("a") > 1).then(None).otherwise(pl.col("a")).alias("a"),
        pl.when(pl.col("b") > 1).then(None).otherwise(pl.col("colour")).alias("colour"),
    )
    numbers, codes = arrays(frame, schema, 200)
    train = np.arange(300) < 200
    columns = np.column_stack((numbers, np.where(codes < 0, np.nan, codes)))
    model = HistGradientBoostingClassifier(categorical_features=[3], random_state=0)
    expected = model.fit(columns[train], labels[train]).predict_proba(columns[~train])
    assert boosted(ReferenceProblem(BINARY, numbers, codes, labels, train, 0))[0] == pytest.approx(expected)


def test_gaps_are_filled_with_the_training_median_and_flagged():
    numbers = np.array([[1.0], [3.0], [np.nan], [8.0], [np.nan]])
    train = np.array([True, True, True, True, False])
    columns = linear_columns(
        ReferenceProblem(VALUE, numbers, np.zeros((5, 0), np.int64), np.zeros(5), train, 0)
    )
    assert columns[2, 0] == columns[4, 0] == pytest.approx(columns[1, 0])
    assert columns[:, 1].tolist() == [0, 0, 1, 0, 1]


def test_levels_are_numbered_by_frequency_in_the_training_rows_alone():
    frame = pl.DataFrame({"k": ["x", "y", "y", None, "x", "y", "z"]})
    _, codes = arrays(frame, Schema((Column("k", "category"),)), train=5)
    assert codes[:, 0].tolist() == [0, 1, 1, -1, 0, 1, 2]


def test_dates_booleans_and_infinities_become_numbers():
    frame = pl.DataFrame({"d": ["2020-01-02", None], "b": [True, None], "n": [np.inf, 2.0]})
    frame = frame.with_columns(pl.col("d").str.to_date())
    columns = tuple(Column(n, k) for n, k in (("d", "date"), ("b", "boolean"), ("n", "number")))
    numbers, codes = arrays(frame, Schema(columns), train=2)
    assert np.isnan(numbers).tolist() == [[False, False, True], [True, True, False]]
    assert codes.shape == (2, 0)


@pytest.mark.parametrize(
    ("target", "labels"),
    [
        (THREE, np.array([0, 1, 1, 2] * 10)),
        (THREE, np.where(np.arange(40) == 1, 2, np.arange(40) % 2)),
        (BINARY, np.zeros(40, np.int64)),
        (VALUE, np.arange(40.0)),
        (VALUE, np.ones(40)),
    ],
    ids=["class missing in training", "class of one row", "one class", "values", "constant value"],
)
def test_awkward_labels_do_not_end_a_reference(target, labels, tmp_path):
    problem = _problem(target, labels)
    if target is THREE and (labels == 2).sum() == 10:
        problem = ReferenceProblem(target, problem.numbers, problem.codes, labels, labels != 2, 0)
    found = list(answers(problem, tmp_path, resamples=10))
    assert found
    assert all("error" not in answer for answer in found)


def test_a_frame_without_features_leaves_the_simplest_reference(tmp_path):
    problem = _problem(BINARY, np.arange(40) % 2)
    bare = ReferenceProblem(BINARY, problem.numbers[:, :0], problem.codes, problem.labels, problem.train, 0)
    assert [answer["name"] for answer in answers(bare, tmp_path, 10)] == ["class frequencies"]


def test_what_went_wrong_is_told(monkeypatch):
    frame, schema, labels = _frame(60)
    with ReferenceJob() as job:
        job.send(frame, schema, labels.astype(float) / 0.7, np.arange(40), np.arange(40, 60))
        items, notes = job.result(timeout=60)
    assert items == []
    assert notes
    assert "could not be computed" in notes[0]


def test_a_process_that_died_is_told():
    frame, schema, labels = _frame(60)
    with ReferenceJob() as job:
        os.kill(job.pid, signal.SIGKILL)
        job._process.wait()
        job.send(frame, schema, labels, np.arange(40), np.arange(40, 60))
        items, notes = job.result(timeout=60)
    assert items == []
    assert len(notes) == 1
    assert "references could not be computed" in notes[0]


def test_waiting_ends_after_the_given_time():
    with ReferenceJob() as job:
        _, notes = job.result(timeout=0.01)
        assert "not every reference was ready after 0.01 more seconds" in notes[0]
        pid = job.pid
    assert _gone(pid)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_process_ends_with_its_parent_however_that_ends(ending, tmp_path):
    told = tmp_path / "pid"
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom tabstudio.evaluation import ReferenceJob\n"
        "job = ReferenceJob()\nPath(sys.argv[1]).write_text(f'{job.pid} {job._folder}')\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(told)], stderr=subprocess.DEVNULL)
    while not told.exists() or not told.read_text():
        assert parent.poll() is None
        time.sleep(0.02)
    child, folder = told.read_text().split()
    parent.send_signal(ending)
    parent.wait()
    assert _gone(int(child))
    assert not Path(folder).exists()


def test_many_rows_are_sampled_for_training_and_that_is_said(monkeypatch):
    monkeypatch.setattr("tabstudio.evaluation.reference_process.MOST_TRAINING_ROWS", 50)
    frame, schema, labels = _frame()
    with ReferenceJob() as job:
        job.send(frame, schema, labels, np.arange(200), np.arange(200, 300), resamples=10)
        items, notes = job.result(timeout=60)
    assert notes == ["references were fitted on 50 of 200 rows"]
    assert len(items) == 3


def _judged(model_noise: float, reference_noise: float, rows: int = 400):
    from tabstudio.evaluation import Reference

    random = np.random.default_rng(0)
    labels = random.normal(size=rows) * 10
    model, other = (labels + s * random.normal(size=rows) for s in (model_noise, reference_noise))
    mean = Reference("mean", evaluate(VALUE, labels, np.zeros(rows)), 0.1, np.zeros(rows))
    ridge = Reference("ridge regression", evaluate(VALUE, labels, other), 0.1, other)
    return judge(VALUE, labels, model, evaluate(VALUE, labels, model), [mean, ridge])


def test_the_verdict_says_plainly_who_is_better():
    won, lost, open_ = _judged(1.0, 2.0), _judged(2.0, 1.0), _judged(2.0, 1.99, rows=40)
    assert won.verdict.better == "model"
    assert won.text().startswith("The model is better than every reference: RMSE")
    assert lost.verdict.better == "reference"
    assert "A reference is better than the model: ridge regression wins, RMSE" in lost.text()
    assert open_.verdict.better == "undecided"
    assert "could be chance" in open_.text()
    assert won.verdict.reference == "ridge regression"
    assert set(lost.to_json()["references"]) == {"mean", "ridge regression"}


def test_without_references_there_is_no_verdict_but_the_note_stays():
    labels = np.array([1.0, 2.0, 4.0])
    found = judge(VALUE, labels, labels, evaluate(VALUE, labels, labels), [], ["references: none"])
    assert found.verdict is None
    assert found.text() == "note: references: none"
