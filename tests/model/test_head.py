"""Raw outputs become the same answers as arrays and as tensors, for every task."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tabstudio.model.inference.calibration_curve import CalibrationCurve
from tabstudio.model.inference.head import OutputHead
from tabstudio.table.schema import Target

CURVE = CalibrationCurve((-1.0, 0.5), (0.6, 1.9, 1.2), 0.4)
BINARY = Target("ill", "binary", ("no", "yes"), "yes")
HEADS = {
    "binary": OutputHead(BINARY, (0.2, 0.5, 0.3), 1.7, CURVE, 0.31),
    "first class positive": OutputHead(Target("ill", "binary", ("yes", "no"), "yes"), threshold=0.6),
    "multiclass": OutputHead(Target("grade", "multiclass", (1, 2, 3)), (0.2, 0.5, 0.3), 0.8),
    "regression": OutputHead(Target("price", "regression"), target_mean=100.0, target_scale=20.0),
}


def raw_outputs(head: OutputHead) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 3, (3, 40, head.target.outputs)).astype(np.float32)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_arrays_and_tensors_are_answered_alike(head: OutputHead) -> None:
    raw = raw_outputs(head)
    answers, tensors = head.answers(raw), head.answers(torch.from_numpy(raw))
    assert answers.dtype == np.float64
    np.testing.assert_allclose(tensors.numpy(), answers, rtol=1e-12)
    if head.target.task != "regression":
        np.testing.assert_allclose(answers.sum(axis=1), 1.0)
        assert head.class_numbers(tensors).tolist() == head.class_numbers(answers).tolist()


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a_head_is_read_back_as_it_was_written(head: OutputHead) -> None:
    assert OutputHead.from_json(head.target, head.to_json()) == head


def test_rows_are_positive_from_the_threshold_on() -> None:
    head = HEADS["first class positive"]
    answers = np.array([[0.6, 0.4], [0.59, 0.41], [0.9, 0.1]])
    assert head.labels(answers).tolist() == ["yes", "no", "yes"]


def test_members_are_averaged_by_their_weights() -> None:
    raw = raw_outputs(HEADS["regression"])
    head = OutputHead(Target("price", "regression"), (0.5, 0.5, 0.0))
    np.testing.assert_allclose(head.answers(raw), raw[:2, :, 0].mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(head.of_mean(raw[0]), raw[0, :, 0].astype(np.float64))
