"""One network in the place of many: nearly as good, held-out rows stay unseen, every task."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from tabstudio import configure, read
from tabstudio.recipes import train
from tabstudio.recipes.distillation import distil
from tabstudio.recipes.fit import fit
from tabstudio.recipes.labeled_rows import LabeledRows

ROWS = 400


def table(task):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, 3))
    score = x[:, 0] + x[:, 1] * x[:, 2]
    labels = {
        "binary": np.where(score > 0, "yes", "no"),
        "multiclass": np.array(["low", "middle", "high"])[np.digitize(score, [-0.5, 0.5])],
        "regression": score,
    }[task]
    frame = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": labels})
    return read(frame, target="y"), score


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_one_network_is_nearly_as_good_as_the_ensemble(task):
    rows, score = table(task)
    config = configure(hidden=(32, 32), epochs=40)
    fold = (np.arange(ROWS) % 4).astype(np.int16)
    learning = LabeledRows.of(rows, fold)
    teacher = fit(learning, config)
    student = distil(teacher, learning, config)
    assert len(student.model.pack) == 1
    assert len(teacher.model.pack) == 4
    assert "imitates 4" in student.notes[-1]
    assert sorted(student.validated) == np.flatnonzero(fold == 0).tolist()
    assert student.model.profile == teacher.model.profile
    if task == "regression":
        errors = [np.abs(f.model.predict(rows.frame) - score).mean() for f in (teacher, student)]
        assert errors[1] < 1.5 * errors[0] + 0.05
    else:
        right = [
            (f.model.predict(rows.frame) == rows.frame["y"].to_numpy()).mean() for f in (teacher, student)
        ]
        assert right[1] > right[0] - 0.06
        assert (student.threshold is not None) == (task == "binary")


def test_labels_of_the_rows_held_out_do_not_reach_the_network():
    rows, _ = table("binary")
    config = configure(hidden=(8,), epochs=4, patience=0)
    fold = (np.arange(ROWS) % 4).astype(np.int16)
    learning = LabeledRows.of(rows, fold)
    teacher = fit(learning, config)
    changed = replace(learning, labels=np.where(fold == 0, 1 - learning.labels, learning.labels))
    first, second = (distil(teacher, own, config).model for own in (learning, changed))
    for a, b in zip(first.pack.parameters(), second.pack.parameters(), strict=True):
        assert np.array_equal(a.detach().numpy(), b.detach().numpy())


def test_train_distills_on_demand(cancer_csv):
    result = train(
        cancer_csv, "diagnosis", distill=True, epochs=12, references=False, register=False, resamples=0
    )
    assert len(result.model.pack) == 1
    assert result.evaluation["roc_auc"].value > 0.97
