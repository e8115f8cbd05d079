"""The Wisconsin breast-cancer table, as the demonstration's CSV file."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path

from tabstudio.errors import MissingExtraError

_MEASURES = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
)


def write_cancer_table(path: Path) -> Path:
    """Write scikit-learn's copy of the table: 569 rows, 30 measurements, `diagnosis` of benign or malignant.

    The measurements are written as they stand in scikit-learn's file, so nothing is rounded.

    Source: W. N. Street, W. H. Wolberg, O. L. Mangasarian (1993), UCI Machine Learning Repository.
    """
    lines = _source().read_text(encoding="utf-8").splitlines()
    words = lines[0].split(",")[2:]  # the first line: rows, columns, then the words for the labels 0 and 1
    names = (
        [f"mean {m}" for m in _MEASURES]
        + [f"{m} error" for m in _MEASURES]
        + [f"worst {m}" for m in _MEASURES]
    )
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*names, "diagnosis"])
        for line in lines[1:]:
            *values, label = line.split(",")
            writer.writerow([*values, words[int(label)]])
    return path


def _source() -> Path:
    """Find scikit-learn's file without importing scikit-learn, which takes a second."""
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise MissingExtraError("the demonstration's table comes with scikit-learn: pip install scikit-learn")
    return Path(spec.origin).parent / "datasets" / "data" / "breast_cancer.csv"
