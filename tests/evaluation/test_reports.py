"""Pictures, the report page and the model card tell what was measured, escaped, for every task."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tabstudio.evaluation import (
    ColumnImportance,
    Importance,
    Reference,
    choose_threshold,
    evaluate,
    judge,
)
from tabstudio.evaluation.model_card import body, card
from tabstudio.evaluation.plots import LossCurves, pictures
from tabstudio.evaluation.report_content import ReportContent, limits
from tabstudio.evaluation.report_page import CAPTIONS, page
from tabstudio.options import EvaluationConfig, SplitConfig
from tabstudio.report.figure import png
from tabstudio.table import check, read, split

EVIL = "<img src=x>|b"


def _history(members: int = 3, epochs: int = 6, validation: bool = True):
    random = np.random.default_rng(0)
    losses = np.exp(-np.arange(epochs) / 4)[:, None] + 0.1 * random.random((epochs, members))
    nothing = np.full(members, np.nan)
    return [
        SimpleNamespace(number=i + 1, train_loss=loss, val_loss=loss + 0.1 if validation else nothing)
        for i, loss in enumerate(losses)
    ]


def _story(task: str, **changes) -> ReportContent:
    random = np.random.default_rng(1)
    x = random.normal(size=400)
    labels = {
        "binary": np.where(x > 0, "yes", "no"),
        "multiclass": np.array(["a", EVIL, "c"])[np.digitize(x, (-0.5, 0.5))],
        "regression": (x * 3).round(4),
    }
    data = {EVIL: x, "other": random.normal(size=400), "target": labels[task]}
    table = read(data, target="target")
    parts = split(table, SplitConfig())
    target, truth = table.schema.target, table.labels()
    assert target.task == task
    predicted = _prediction(target, truth, random)
    baseline = _prediction(target, truth * 0, random)
    test = evaluate(target, truth[parts.test], predicted[parts.test], resamples=50)
    reference = Reference(
        "class frequencies",
        evaluate(target, truth[parts.test], baseline[parts.test]),
        0.1,
        baseline[parts.test],
    )
    story = {
        "name": "demo",
        "table": table,
        "split": parts,
        "findings": check(table),
        "evaluation": test,
        "validation": evaluate(target, truth[parts.train], predicted[parts.train], resamples=0),
        "references": judge(
            target, truth[parts.test], predicted[parts.test], test, [reference], ["one is late"]
        ),
        "importance": Importance("log_loss", 0.1, (ColumnImportance(EVIL, 0.5, 0.1),), 100, 3),
        "training": {"network": "tabular", "ended by": "patience"},
    }
    if task == "binary":
        positive = truth[parts.train] == target.classes.index(target.positive)
        place = target.classes.index(target.positive)
        story["threshold"] = choose_threshold(positive, predicted[parts.train, place], EvaluationConfig())
        story["temperature"] = 1.25
    return ReportContent(**{**story, **changes})


def _prediction(target, truth, random):
    if target.task == "regression":
        return truth + random.normal(size=len(truth))
    sure = np.eye(len(target.classes))[truth] + random.dirichlet(np.ones(len(target.classes)), len(truth))
    return sure / sure.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("task", "names"),
    [
        (
            "binary",
            {"loss", "confusion", "roc", "precision_recall", "calibration", "threshold", "importance"},
        ),
        ("multiclass", {"loss", "confusion", "roc", "precision_recall", "calibration", "importance"}),
        ("regression", {"loss", "predicted_actual", "residuals", "importance"}),
    ],
)
def test_every_picture_of_a_task_is_drawn_and_stands_in_the_page(task, names):
    story = _story(task)
    images = {
        name: png(fig) for name, fig in pictures(story.evaluation, _history(), story.importance).items()
    }
    assert set(images) == names
    assert all(image.startswith(b"\x89PNG") for image in images.values())
    html = page(story, images).html()
    assert html.count("<img alt") == len(names)
    assert "<img src=x" not in html
    assert names <= set(CAPTIONS)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_card_holds_the_measured_numbers_and_the_fingerprint(task):
    story = _story(task)
    text = card(body(story), "models:/demo/3")
    assert story.table.fingerprint in text
    assert str(story.evaluation["rmse" if task == "regression" else "accuracy"].value)[:5] in text
    assert 'tabstudio.load("models:/demo/3")' in text
    assert "one is late" in text
    assert "<img" not in text
    assert "ended by" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in rows)


def test_the_card_tells_threshold_and_calibration():
    story = _story("binary")
    text = card(body(story), "folder")
    assert f"A row is called yes from {story.threshold.value:.3f}" in text
    assert "softened by a temperature of 1.250" in text


def test_limits_name_what_was_found():
    story = _story("binary", partial=True)
    found = " ".join(limits(story))
    assert "interrupted" in found
    assert "The test part has 100 rows: its accuracy may well be anything from" in found
    assert "--group" in found


def test_without_extras_the_page_and_card_are_complete():
    bare = _story(
        "multiclass",
        validation=None,
        references=None,
        importance=None,
        training={},
        findings=(),
        temperature=1.0,
    )
    html = page(bare, {}).html()
    assert "<img" not in html
    assert "By class" in html
    assert "## Limits" in card(body(bare), "folder")


def test_a_single_epoch_and_no_validation_can_be_drawn():
    for history in (_history(members=1, epochs=1), _history(validation=False)):
        curves = LossCurves.of(history)
        assert curves.train.shape == (len(history), len(history[0].train_loss))
        assert png(pictures(_story("regression").evaluation, history)["loss"])
    assert list(LossCurves.of(_history(validation=False)).best) == []


def test_members_that_stopped_keep_their_last_loss_in_the_mean():
    from tabstudio.evaluation.plots import mean_of_running

    values = np.array([[4.0, 2.0], [3.0, np.nan], [1.0, np.nan]])
    assert mean_of_running(values).tolist() == [3.0, 2.5, 1.5]


def test_one_class_in_the_test_rows_is_drawn_without_its_curves():
    story = _story("binary")
    target = story.table.schema.target
    found = evaluate(target, np.zeros(20, int), np.full((20, 2), 0.5))
    assert "roc" not in pictures(found)
    assert png(pictures(found)["calibration"])


@pytest.mark.parametrize(
    ("low", "high", "whole", "expected"),
    [
        (-0.03, 1.03, False, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.95, 1.05, True, ["1"]),
        (0.9, 5.1, True, ["1", "2", "3", "4", "5"]),
        (0.0, 100_000.0, False, ["0", "20,000", "40,000", "60,000", "80,000", "100,000"]),
        (0.0, 0.011, False, ["0.000", "0.002", "0.004", "0.006", "0.008", "0.010"]),
    ],
)
def test_ticks_are_round_and_told_apart(low, high, whole, expected):
    from tabstudio.evaluation.line_chart import _ticks

    assert [text for _, text in _ticks(low, high, whole=whole)] == expected


def test_losses_over_many_orders_of_magnitude_and_constant_values_are_drawn():
    history = [
        SimpleNamespace(number=i + 1, train_loss=np.array([10.0**-i]), val_loss=np.array([np.nan]))
        for i in range(5)
    ]
    same = evaluate(_story("regression").table.schema.target, np.ones(5), np.ones(5))
    for figure in pictures(same, history).values():
        assert png(figure)


@pytest.mark.parametrize(
    ("peeked", "words"),
    [(False, "that no choice has looked at"), (True, "these figures are not honest")],
)
def test_page_and_card_say_whether_the_test_part_was_looked_at(peeked, words):
    told = _story("binary", validated_on_test=peeked)
    assert words in page(told, {}).html()
    assert words in card(body(told), "models:/m/1")
