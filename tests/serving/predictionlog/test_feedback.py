"""Labels that come later: joined by request id, the last one wins, none is forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabstudio.serving.predictionlog import feedback
from tabstudio.serving.predictionlog.catalog import LogCatalog
from tabstudio.serving.predictionlog.feedback import FeedbackLabel
from tabstudio.serving.request_hooks import HttpError

from .helpers import compacted, kept, opened, record, written

CLASSES = {"cancer": ("no", "yes"), "grades": (1, 2, 3), "houses": ()}


def tell(*told, caller="lab"):
    with LogCatalog(Path("log")) as catalogue:
        return feedback.store_feedback(catalogue, told, caller)


def labels():
    return kept().select("request_id", "row", "label").rows()


def test_a_label_joins_its_row_before_and_after_compaction():
    written(record(0, [(1, 1.0, "a", None)] * 2), record(1))
    assert tell(FeedbackLabel("r0", "no", 1), FeedbackLabel("r1", "yes")) == 2
    for _ in range(2):
        assert labels() == [("r0", 0, None), ("r0", 1, "no"), ("r1", 0, "yes")]
        assert kept()["label_caller"].to_list() == [None, "lab", "lab"]
        compacted()


def test_the_same_label_is_kept_once_and_another_one_wins():
    written(record(0))
    assert [tell(FeedbackLabel("r0", label)) for label in ("no", "no", "yes", "yes", "no")] == [
        1,
        0,
        1,
        0,
        1,
    ]
    assert labels() == [("r0", 0, "no")]
    with LogCatalog(Path("log")) as catalogue:
        told = feedback.feedback_history(catalogue, "r0")
    assert [(row, label, caller) for row, label, _, caller in told] == [
        (0, "no", "lab"),
        (0, "yes", "lab"),
        (0, "no", "lab"),
    ]


def test_a_label_may_come_before_its_prediction_is_read_and_for_another_model():
    tell(FeedbackLabel("r0", "yes"), FeedbackLabel("r0", "no", model="other"))
    written(record(0))
    assert labels() == [("r0", 0, "yes")]


def test_labels_take_the_type_of_predictions():
    log = opened()
    log(record(0))
    log.close()
    tell(FeedbackLabel("r0", True))
    assert labels() == [("r0", 0, "true")]


def test_labels_told_by_several_at_once_are_all_kept():
    with LogCatalog(Path("log")) as first, LogCatalog(Path("log")) as second:
        for number in range(20):
            feedback.store_feedback(first, [FeedbackLabel(f"a{number}", "no")], "")
            feedback.store_feedback(second, [FeedbackLabel(f"b{number}", "no")], "")
        assert first.database.execute("SELECT COUNT(*) FROM feedback").fetchone() == (40,)


def test_a_body_is_read():
    body = {"feedback": [{"request_id": "r", "label": "yes"}, {"request_id": "s", "label": 2.0, "row": 3}]}
    assert feedback.parse_feedback(body, CLASSES, 10) == [
        FeedbackLabel("r", "yes"),
        FeedbackLabel("s", 2.0, 3),
    ]
    with pytest.raises(HttpError, match="at most 1 labels") as refused:
        feedback.parse_feedback(body, CLASSES, 1)
    assert refused.value.status == 413


@pytest.mark.parametrize(
    ("one", "column", "says"),
    [
        ({"request_id": "r"}, None, "expected"),
        ({"request_id": "r", "label": "yes", "extra": 1}, None, "expected"),
        ("r", None, "expected"),
        ({"request_id": 5, "label": "yes"}, "request_id", "string"),
        ({"request_id": "", "label": "yes"}, "request_id", "string"),
        ({"request_id": "r", "label": "yes", "row": -1}, "row", "from 0"),
        ({"request_id": "r", "label": "yes", "row": True}, "row", "from 0"),
        ({"request_id": "r", "label": None}, "label", "a string"),
        ({"request_id": "r", "label": float("nan")}, "label", "a string"),
        ({"request_id": "r", "label": "maybe", "model": "cancer"}, "label", "no, yes"),
        ({"request_id": "r", "label": "yes", "model": "houses"}, "label", "a number"),
        ({"request_id": "r", "label": "maybe"}, "label", "no, yes"),
        ({"request_id": "r", "label": "yes", "model": "huts"}, "model", "cancer"),
    ],
)
def test_faults_are_named_by_place(one, column, says):
    good = {"request_id": "r", "label": 3, "model": "grades"}
    with pytest.raises(HttpError) as refused:
        feedback.parse_feedback({"feedback": [good, one]}, CLASSES, 10)
    (fault,) = refused.value.faults
    assert (fault["row"], fault["column"]) == (1, column)
    assert says in fault["message"]
    assert refused.value.status == 422


@pytest.mark.parametrize(
    "body", [None, [], {}, {"feedback": []}, {"feedback": {}}, {"feedback": [1], "x": 1}]
)
def test_what_is_no_feedback_says_what_is(body):
    with pytest.raises(HttpError, match=r"expected.*feedback.*request_id"):
        feedback.parse_feedback(body, CLASSES, 10)
