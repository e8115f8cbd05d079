"""The task and the class of interest are guessed as a person would."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tabstudio.options import ReadConfig
from tabstudio.table import read


def target(labels, **config):
    return read({"y": labels}, target="y", config=ReadConfig(**config)).schema.target


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (["a", "b"] * 20, "binary"),
        ([True, False] * 20, "binary"),
        ([0, 1] * 20, "binary"),
        ([1.0, 2.0, None] * 20, "binary"),
        (["a", "b", "c"] * 20, "multiclass"),
        (list(range(3, 10)) * 20, "multiclass"),
        (list(range(1, 30)) * 100, "regression"),
        (list(range(10)) * 2, "regression"),
        ([0.5, 1.5, 2.5, 3.5] * 20, "regression"),
        ([1.0, 2.0, 3.0] * 20, "multiclass"),
    ],
)
def test_task(labels, task):
    found = target(labels)
    assert found.task == task
    assert found.reason
    assert found.outputs == (len(found.classes) if task == "multiclass" else 1)


@pytest.mark.parametrize(
    ("labels", "positive"),
    [
        ([0, 1, 1], 1),
        ([1, 2, 2], 2),
        ([False, True, True], True),
        (["No", "Yes", "Yes"], "Yes"),
        (["M", "malignant", "malignant"], "malignant"),
        (["benign", "M", "M"], "M"),
        (["normal", "anomaly", "anomaly"], "anomaly"),
        (["not fraud", "fraud", "fraud"], "fraud"),
        (["g", "g", "h"], "h"),
        (["g", "h", "h"], "g"),
        ([1.0, 0.0, None], 1),
    ],
)
def test_positive_class(labels, positive):
    found = target(labels * 10)
    assert found.positive == positive
    assert type(found.positive) is type(positive)
    assert "class of interest" in found.reason


def test_task_and_positive_can_be_told():
    assert target([0, 1] * 10, positive=0).positive == 0
    assert target(["No", "Yes"] * 10, positive="no").positive == "No"
    assert target([True, False] * 10, positive="false").positive is False
    assert target([3, 4, 5] * 20, task="regression").task == "regression"
    assert target([1.5, 2.5, 3.5] * 20, task="multiclass").classes == (1.5, 2.5, 3.5)


def test_labels_are_places_in_the_sorted_classes():
    table = read({"y": ["b", "a", "c", "b"] * 5}, target="y")
    assert table.schema.target.classes == ("a", "b", "c")
    assert table.labels()[:4].tolist() == [1, 0, 2, 1]


def test_importing_and_reading_brings_in_nothing_heavy(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x,y\n" + "1.5,a\n2.5,b\n" * 20)
    code = (
        "import sys; import tabstudio.table as t; assert 'polars' not in sys.modules;"
        f"table = t.read({str(path)!r}, target='y'); t.split(table); t.check(table);"
        "t.conform(table.frame, table.schema); table.fingerprint;"
        "heavy = {'torch', 'sklearn', 'scipy', 'pandas', 'matplotlib', 'mlflow'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
