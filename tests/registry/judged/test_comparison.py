"""A comparison says what the two models say, in every task, as text, JSON and pages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tabstudio.errors import ModelError, TabstudioError
from tabstudio.evaluation import evaluate
from tabstudio.evaluation.prediction_flips import flips
from tabstudio.recipes import train
from tabstudio.registry.comparison import compare
from tabstudio.registry.comparison.plots import pictures
from tabstudio.table.schema import Target

from .conftest import QUICK


def made(task, **options):
    random = np.random.default_rng(3)
    x = random.normal(size=240)
    labels = {
        "binary": np.where(x + random.normal(size=240) / 2 > 0, "yes", "no"),
        "multiclass": np.array(["low", "mid", "high"])[np.digitize(x, (-0.5, 0.5))],
        "regression": (3 * x + random.normal(size=240)).round(3),
    }
    frame = pl.DataFrame({"x": x, "y": random.normal(size=240), "sex": ["f", "m"] * 120, "t": labels[task]})
    output = Path(f"{task}-{len(list(Path().iterdir()))}")
    train(frame, "t", name="t", register=False, output=output, **{**QUICK, "epochs": 4, **options})
    return output / "model"


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_task_is_compared_and_drawn(task):
    first, second = made(task), made(task, epochs=25)
    found = compare(first, second, resamples=100)
    assert found.target.task == task
    labels, _, two = found.answers
    for gap in found.metrics:
        alone = evaluate(found.target, labels, two, threshold=found.thresholds[1], resamples=0)
        assert gap.second == alone[gap.metric].value
        assert gap.difference == pytest.approx(gap.second - gap.first)
        assert gap.low <= gap.difference <= gap.high
    assert ("epochs", 4, 25) in found.config
    folder = found.save("out")
    page = (folder / "report.html").read_text()
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    drawn = {path.stem for path in folder.glob("*.png")}
    assert drawn == set(pictures(found))
    assert json.loads((folder / "comparison.json").read_text()) == json.loads(json.dumps(found.to_json()))
    text = found.text()
    assert found.verdict in text
    assert all(name in text for name in ("epochs", str(first), str(second)))


def test_slices_are_compared_row_for_row(shelf):
    found = compare(shelf.model(1), shelf.model(2), slices=("worst area", "diagnosis"), resamples=50)
    assert {part.column for part in found.slices} == {"worst area", "diagnosis"}
    for column in ("worst area", "diagnosis"):
        assert sum(part.rows for part in found.slices if part.column == column) == found.rows
    assert "worst area: below" in found.text()
    assert (found.save("out") / "slices.png").exists()


def test_a_model_is_never_better_than_itself(shelf):
    found = compare(shelf.model(1), shelf.model(1), resamples=50)
    assert all(gap.difference == 0 and gap.better is None for gap in found.metrics)
    assert (found.flips.count, found.config, found.schema) == (0, (), ())
    assert found.verdict == "No measure differs by more than chance on these rows."


def test_registered_versions_are_compared_by_address(shelf):
    found = compare("models:/cancer/2", "models:/cancer/1", tracking_uri=shelf.uri)
    assert found["log_loss"].better == "second"
    assert "models:/cancer/1 is better in" in found.verdict


def test_a_folder_that_cannot_be_written_is_told(shelf):
    Path("taken").write_text("x")
    with pytest.raises(TabstudioError, match="taken: the comparison cannot be written"):
        compare(shelf.model(1), shelf.model(2), resamples=0).save("taken")


def test_different_targets_are_refused(shelf):
    with pytest.raises(ModelError, match="the target of the first is diagnosis, of the second t"):
        compare(shelf.model(1), made("binary"))


def test_flips_are_counted_and_ordered_by_how_far_apart():
    target = Target("t", "binary", ("no", "yes"), "yes")
    labels = np.array([1, 1, 0, 0])
    first = np.array([[0.1, 0.9], [0.4, 0.6], [0.8, 0.2], [0.3, 0.7]])
    second = np.array([[0.2, 0.8], [0.9, 0.1], [0.7, 0.3], [0.6, 0.4]])
    found = flips(target, labels, first, second, np.array([7, 5, 3, 1]), (0.5, 0.5))
    assert (found.both, found.only_first, found.only_second, found.neither) == (2, 1, 1, 0)
    assert [(flip.number, flip.first, flip.second, flip.right) for flip in found.rows] == [
        (6, "yes", "no", "first"),
        (2, "yes", "no", "second"),
    ]
    assert found.rows[0].sure == pytest.approx((0.6, 0.9))


def test_of_a_regression_the_nearer_answer_counts():
    target = Target("t", "regression")
    labels, first, second = np.array([1.0, 2.0, 3.0]), np.array([1.0, 5.0, 2.0]), np.array([1.5, 3.0, 4.0])
    found = flips(target, labels, first, second, np.arange(3))
    assert (found.only_first, found.only_second, found.both, found.count) == (1, 1, 1, 3)
    assert [(flip.number, flip.right) for flip in found.rows] == [(2, "second"), (3, "neither"), (1, "first")]
