"""The curve means the same for arrays and tensors, and goes with the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch

from tabstudio.model.inference.calibration_curve import CalibrationCurve
from tabstudio.model.predictor import Model, load

CURVE = CalibrationCurve((-1.0, 0.5), (0.6, 1.9, 1.2), 0.4)


def test_a_curve_is_the_same_for_tensors_and_for_arrays() -> None:
    second = np.array([0.0, 1e-20, 0.01, 0.3, 0.5, 0.9, 1.0 - 1e-16, 1.0])
    np.testing.assert_allclose(CURVE.apply(torch.from_numpy(second)).numpy(), CURVE.apply(second), rtol=1e-12)


def test_pieces_join_and_rise_by_their_slopes() -> None:
    odds = np.array([-3.0, -2.0, -1.0, 0.0, 0.5, 1.5])
    np.testing.assert_allclose(np.diff(CURVE.odds(odds)), [0.6, 0.6, 1.9, 0.95, 1.2])


def test_a_model_answers_with_its_curve_before_and_after_it_was_saved(
    make_model: Callable[..., Model], rows: pl.DataFrame, tmp_path: Path
) -> None:
    plain, curved = make_model(temperature=1.3), make_model(temperature=1.3, curve=CURVE)
    before, after = plain.predict_proba(rows), curved.predict_proba(rows)
    np.testing.assert_allclose(after[:, 1], CURVE.apply(before[:, 1]), rtol=1e-12)
    np.testing.assert_allclose(after.sum(axis=1), 1.0)
    loaded = load(curved.save(tmp_path / "m"))
    assert loaded.head.curve == CURVE
    np.testing.assert_array_equal(loaded.predict_proba(rows), after)
