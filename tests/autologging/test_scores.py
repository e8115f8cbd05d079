"""What sklearn.metrics and torchmetrics return to the user's code stands under its own name, once."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
import torch
import torchmetrics
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from tabstudio.autologging.observers.scores import ScoreObserver
from tabstudio.autologging.observers.training_loop import TrainingLoopObserver

TRUE = np.array([0, 0, 1, 1, 1, 0])
FOUND = np.array([0, 1, 1, 1, 0, 0])
SCORE = np.array([0.1, 0.7, 0.8, 0.6, 0.4, 0.2])


def test_values_are_recorded_under_the_functions_name(watched):
    with watched(ScoreObserver()) as recorded:
        accuracy = sklearn.metrics.accuracy_score(TRUE, FOUND)
        area = sklearn.metrics.roc_auc_score(TRUE, SCORE)
        sklearn.metrics.precision_recall_fscore_support(TRUE, FOUND)
        each = sklearn.metrics.f1_score(TRUE, FOUND, average=None)
        sklearn.metrics.roc_curve(TRUE, SCORE)
        sklearn.metrics.euclidean_distances([[0.0]], [[1.0]])
    assert recorded.values("accuracy_score") == [accuracy]
    assert recorded.values("roc_auc_score") == [area]
    assert recorded.values("f1_score/1") == [each[1]]
    assert set(recorded.runs[0].metrics) == {"accuracy_score", "roc_auc_score", "f1_score/0", "f1_score/1"}


def test_two_places_get_two_names_and_one_place_counts_on(watched):
    y_test = TRUE
    with watched(ScoreObserver()) as recorded:
        scores = [sklearn.metrics.accuracy_score(TRUE, FOUND) for _ in range(3)]
        sklearn.metrics.accuracy_score(y_test, FOUND)
        sklearn.metrics.accuracy_score(y_true=y_test, y_pred=FOUND)
    assert recorded.values("accuracy_score") == scores
    assert recorded.steps("accuracy_score") == [0, 1, 2]
    assert recorded.steps("accuracy_score_y_test") == [0]
    assert recorded.steps("accuracy_score_y_test_2") == [0]


def test_step_is_the_epoch_of_the_training(watched):
    def train():
        model = torch.nn.Linear(2, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _epoch in range(4):
            for _batch in range(3):
                optimizer.zero_grad()
                torch.nn.functional.mse_loss(model(torch.ones(5, 2)), torch.ones(5, 1)).backward()
                optimizer.step()
            sklearn.metrics.log_loss(TRUE, SCORE)

    with watched(TrainingLoopObserver(), ScoreObserver()) as recorded:
        train()
        train()
    for run in recorded.runs:  # the second training has a run, and an axis, of its own
        assert [step for step, _ in run.metrics["log_loss"]] == [1, 2, 3, 4]
        assert [step for step, _ in run.metrics["train_loss"]] == [1, 2, 3, 4]
    assert len(recorded.runs) == 2


def test_what_libraries_compute_for_themselves_is_not_recorded(watched):
    with watched(ScoreObserver()) as recorded:
        features = np.random.default_rng(0).normal(size=(60, 2))
        labels = (features[:, 0] > 0).astype(int)
        LogisticRegression().fit(features, labels).score(features, labels)
        cross_val_score(LogisticRegression(), features, labels, scoring="accuracy", cv=2)
    assert recorded.runs == []


def test_report_becomes_text_metrics_and_a_picture(watched):
    with watched(ScoreObserver()) as recorded:
        text = sklearn.metrics.classification_report(TRUE, FOUND, target_names=["no", "yes"])
        table = sklearn.metrics.classification_report(TRUE, FOUND, output_dict=True)
    run = recorded.runs[0]
    assert run.artifacts["scores/classification_report.txt"].decode() == text
    assert run.artifacts["scores/classification_report.png"].startswith(b"\x89PNG")
    assert recorded.values("classification_report/yes/recall") == [table["1"]["recall"]]
    assert recorded.values("classification_report/accuracy") == [table["accuracy"]]
    assert "scores/classification_report_TRUE.txt" in run.artifacts


def test_matrix_becomes_text_metrics_and_a_picture(watched):
    with watched(ScoreObserver()) as recorded:
        matrix = sklearn.metrics.confusion_matrix(TRUE, FOUND)
        sklearn.metrics.confusion_matrix(["a", "b", "b"], y_pred=["b", "b", "a"], labels=["b", "a"])
    run = recorded.runs[0]
    assert recorded.values("confusion_matrix/actual 1 predicted 0") == [matrix[1, 0]]
    assert run.artifacts["scores/confusion_matrix.png"].startswith(b"\x89PNG")
    lines = run.artifacts["scores/confusion_matrix_2.txt"].decode().splitlines()
    assert [line.split() for line in lines[1:]] == [["b", "a"], ["b", "1", "1"], ["a", "1", "0"]]


def test_torchmetrics_by_class_collection_and_function(watched):
    true, score = torch.tensor(TRUE), torch.tensor(SCORE)
    with watched(ScoreObserver()) as recorded:
        accuracy = torchmetrics.classification.BinaryAccuracy()
        for half in (slice(0, 3), slice(3, 6)):
            accuracy.update(score[half], true[half])
        value = accuracy.compute()
        both = torchmetrics.MetricCollection(
            {"recall": torchmetrics.classification.BinaryRecall(), "area": torchmetrics.AUROC("binary")}
        )
        both.update(score, true)
        values = both.compute()
        rate = torchmetrics.functional.accuracy(score, true, "binary")
    assert recorded.values("BinaryAccuracy") == [pytest.approx(float(value))]
    assert recorded.values("recall") == [pytest.approx(float(values["recall"]))]
    assert recorded.values("accuracy") == [pytest.approx(float(rate))]
    assert set(recorded.runs[0].metrics) == {"BinaryAccuracy", "recall", "area", "accuracy"}


def test_everything_is_put_back(watched):
    before = sklearn.metrics.accuracy_score, torchmetrics.Metric._wrap_compute
    with watched(ScoreObserver()):
        assert sklearn.metrics.accuracy_score is not before[0]
    assert (sklearn.metrics.accuracy_score, torchmetrics.Metric._wrap_compute) == before


def test_users_exception_is_the_users(watched):
    with (
        watched(ScoreObserver()) as recorded,
        pytest.raises(ValueError, match="inconsistent numbers of samples"),
    ):
        sklearn.metrics.accuracy_score([1], [1, 0])
    assert recorded.warnings == []
