"""An evaluation says what was measured, how sure it is, and refuses what cannot be measured."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn import metrics as sk

from tabstudio.errors import DataError
from tabstudio.evaluation import Evaluation, evaluate
from tabstudio.table.schema import Target

DIAGNOSIS = Target("diagnosis", "binary", ("benign", "malignant"), "malignant")
FLIPPED = Target("diagnosis", "binary", ("benign", "malignant"), "benign")
COLOUR = Target("colour", "multiclass", ("<b>blue</b>", "green", "red"))
PRICE = Target("price", "regression")


def _binary(rows: int = 143, seed: int = 0):
    random = np.random.default_rng(seed)
    labels = (random.random(rows) < 0.4).astype(np.int64)
    positive = 1 / (1 + np.exp(-(4 * labels - 2 + random.normal(size=rows))))
    return labels, np.stack([1 - positive, positive], axis=1)


def _multiclass(rows: int = 90):
    random = np.random.default_rng(1)
    labels = random.integers(0, 3, rows)
    return labels, random.dirichlet(np.ones(3), rows) * 0.5 + 0.5 * np.eye(3)[labels]


def test_the_report_equals_scikit_learns():
    labels, probabilities = _multiclass()
    found = evaluate(COLOUR, labels, probabilities)
    expected = sk.classification_report(
        labels, probabilities.argmax(axis=1), target_names=COLOUR.classes, output_dict=True
    )
    names = dict(zip(("macro average", "weighted average"), ("macro avg", "weighted avg"), strict=True))
    for row in found.report:
        want = expected[names.get(row.label, row.label)]
        got = {"precision": row.precision, "recall": row.recall, "f1-score": row.f1, "support": row.support}
        assert got == pytest.approx(want)


@pytest.mark.parametrize("target", [DIAGNOSIS, FLIPPED])
def test_the_positive_class_is_last_and_decided_from_the_threshold_on(target):
    labels, probabilities = _binary()
    place = target.classes.index(target.positive)
    threshold = float(probabilities[7, place])
    found = evaluate(target, labels, probabilities, threshold=threshold)
    decided = probabilities[:, place] >= threshold
    actual = labels == place
    assert found.classes[-1] == found.positive == target.positive
    assert found.confusion == tuple(map(tuple, sk.confusion_matrix(actual, decided).tolist()))
    assert found["recall"].value == pytest.approx(sk.recall_score(actual, decided))


def test_curves_equal_scikit_learns():
    labels, probabilities = _binary(rows=60)
    found = evaluate(DIAGNOSIS, labels, probabilities)
    false, true, _ = sk.roc_curve(labels, probabilities[:, 1], drop_intermediate=False)
    assert found.roc[0].x == pytest.approx(false)
    assert found.roc[0].y == pytest.approx(true)
    precision, recall, _ = sk.precision_recall_curve(labels, probabilities[:, 1])
    assert found.precision_recall[0].x == pytest.approx(recall[::-1][1:])
    assert found.precision_recall[0].y == pytest.approx(precision[::-1][1:])
    half = next(p for p in found.thresholds if p.threshold == 0.5)
    assert half.f1 == pytest.approx(sk.f1_score(labels, probabilities[:, 1] >= 0.5))


@pytest.mark.parametrize("scale", [1.0, 0.001])
def test_counts_at_every_threshold_are_those_of_scikit_learn(scale):
    labels, probabilities = _binary(rows=300)
    rare = probabilities[:, 1] * scale
    found = evaluate(DIAGNOSIS, labels, np.stack([1 - rare, rare], axis=1), threshold=0.37 * scale)
    assert found.threshold in [point.threshold for point in found.thresholds]
    assert len([point for point in found.thresholds if point.threshold < scale]) >= 90
    for point in found.thresholds:
        _, false, _, true = sk.confusion_matrix(labels, rare >= point.threshold, labels=[0, 1]).ravel()
        assert (point.true_positives, point.false_positives) == (true, false)


def test_calibration_bins_hold_every_row_and_enclose_what_was_observed():
    found = evaluate(DIAGNOSIS, *_binary(500))
    assert sum(b.rows for b in found.calibration) == 500
    assert all(b.low <= b.observed <= b.high for b in found.calibration)


@pytest.mark.parametrize(
    ("target", "labels", "prediction"),
    [
        (DIAGNOSIS, *_binary()),
        (COLOUR, *_multiclass()),
        (PRICE, np.arange(20.0), np.arange(20.0) + 1),
        (DIAGNOSIS, np.zeros(5, int), np.full((5, 2), 0.5)),
    ],
)
def test_json_brings_the_same_evaluation_back(target, labels, prediction):
    found = evaluate(target, labels, prediction)
    again = Evaluation.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    assert repr(again.to_json()) == repr(found.to_json())
    assert again.text() == found.text()


def test_text_and_html_show_the_numbers_and_escape_labels():
    found = evaluate(COLOUR, *_multiclass())
    assert "balanced accuracy" in found.text()
    assert f"{found['accuracy'].value:.4f}" in found.text()
    assert "<b>blue" not in found._repr_html_()
    assert "&lt;b&gt;blue" in found._repr_html_()
    assert "accuracy=" in repr(found)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    covered = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        right = random.random(120) < 0.8
        labels = random.integers(0, 2, 120)
        decided = np.where(right, labels, 1 - labels)
        probabilities = np.eye(2)[decided] * 0.8 + 0.1
        measure = evaluate(DIAGNOSIS, labels, probabilities, resamples=200, seed=seed)["accuracy"]
        covered += measure.low <= 0.8 <= measure.high
    assert 180 <= covered <= 198


def test_a_proportion_without_error_is_not_certain():
    labels = np.array([0] * 90 + [1] * 53)
    found = evaluate(DIAGNOSIS, labels, np.eye(2)[labels] * 0.8 + 0.1)
    assert found["recall"].value == found["recall"].high == 1.0
    assert found["recall"].low == pytest.approx(53 / (53 + 1.959964**2))
    assert any("too narrow" in note for note in found.notes)


def test_one_class_in_the_rows_leaves_areas_undefined_and_says_so():
    found = evaluate(DIAGNOSIS, np.zeros(30, int), np.full((30, 2), 0.5))
    assert math.isnan(found["roc_auc"].value)
    assert "not defined" in found.text()
    assert "no row of malignant" in found.text()
    assert "roc_auc" not in found.values()


def test_one_row_is_measured_without_intervals():
    found = evaluate(DIAGNOSIS, [1], [[0.3, 0.7]])
    assert found["accuracy"].value == 1.0
    assert found.resamples == 0
    assert evaluate(PRICE, [3.0], [2.0])["mae"].value == 1.0


def test_constant_labels_leave_r2_undefined():
    found = evaluate(PRICE, [2.0, 2.0, 2.0], [1.0, 2.0, 4.0])
    assert math.isnan(found["r2"].value)
    assert any("R²" in note for note in found.notes)


@pytest.mark.parametrize(
    ("target", "labels", "prediction", "message"),
    [
        (DIAGNOSIS, [0, 1], [[0.5, 0.5], [math.nan, 0.5]], "1 of 2 rows of the prediction .* row 1"),
        (DIAGNOSIS, [0, 1], [[0.5, 0.5]], r"shape \(2, 2\).*got \(1, 2\)"),
        (DIAGNOSIS, [0, 2], [[0.5, 0.5], [0.5, 0.5]], "class numbers from 0 to 1"),
        (DIAGNOSIS, [0, 1], [[0.5, 0.5], [3.0, -2.0]], "row 1 .* not raw outputs"),
        (DIAGNOSIS, np.zeros(0, int), np.zeros((0, 2)), "at least one row"),
        (PRICE, [1.0, 2.0], [1.0, math.inf], "1 of 2 rows of the prediction"),
        (PRICE, [1.0, math.nan], [1.0, 2.0], "1 of 2 rows of the labels"),
        (PRICE, [1.0, 2.0], [[1.0], [2.0]], "one value per label"),
    ],
)
def test_what_cannot_be_measured_is_refused(target, labels, prediction, message):
    with pytest.raises(DataError, match=message):
        evaluate(target, labels, prediction)
