"""The tables of a folder, as its `INDEX.csv` describes them, and honest splits of their rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

NO_VALUE = ["", " ", "?", " ?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null"]
PARTS = 4
"""One of so many parts is the test part."""


@dataclass(frozen=True)
class Problem:
    """A table: features and target of the same rows, and whether these stand in the order of time."""

    name: str
    task: str
    features: pd.DataFrame
    target: pd.Series
    by_time: bool

    @property
    def classify(self) -> bool:
        """Whether the target holds classes."""
        return self.task != "regression"


@dataclass(frozen=True)
class Parts:
    """Features and targets of the rows to train on, and of those to be judged by."""

    train: pd.DataFrame
    target: pd.Series
    test: pd.DataFrame
    truth: pd.Series


def problems(index: Path, names: Sequence[str] = ()) -> Iterator[Problem]:
    """The tables that an index lists, or those of the given names.

    Ids and leaks that the index names are left out, and rows without a label.
    """
    listed = pd.read_csv(index, dtype=str, keep_default_na=False)
    unknown = set(names) - set(listed["name"])
    if unknown:
        raise SystemExit(f"{index} lists no table {', '.join(sorted(unknown))}")
    for row in listed.to_dict("records"):
        if not names or row["name"] in names:
            yield _problem(index.parent, row)


def _problem(folder: Path, row: dict[str, str]) -> Problem:
    frame = pd.read_csv(
        folder / row["file"],
        sep=row["separator"] or ",",
        encoding=row["encoding"] or "utf-8",
        na_values=NO_VALUE,
        keep_default_na=False,
        skipinitialspace=True,
        low_memory=False,
    )
    frame = frame[frame[row["target"]].notna()].reset_index(drop=True)
    frame = frame.drop(columns=row["drop_for_honest_scores"].split("|"), errors="ignore")
    target = frame.pop(row["target"])
    classify = row["task"] != "regression"
    target = target.astype(str).str.strip() if classify else target.astype(float)
    return Problem(row["name"], row["task"], frame, target, "time" in row["row_order"])


def parted(problem: Problem, seed: int, most: int) -> Parts:
    """A quarter of the rows to judge by, the others to train on, at most `most` of them.

    Rows that are alike stay on one side; classes keep their shares; what is ordered by time is tested on its
    end. Classes that the training rows do not show are left out of the test part.
    """
    train, test = _places(problem, seed)
    if len(train) > most:
        chosen = np.random.default_rng(seed).choice(train, most, replace=False)
        train = train[-most:] if problem.by_time else np.sort(chosen)
    if problem.classify:
        test = test[problem.target.iloc[test].isin(problem.target.iloc[train].unique()).to_numpy()]
    x, y = problem.features, problem.target
    taken = (x.iloc[train], y.iloc[train], x.iloc[test], y.iloc[test])
    return Parts(*(part.reset_index(drop=True) for part in taken))


def _places(problem: Problem, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if problem.by_time:
        cut = len(problem.target) * (PARTS - 1) // PARTS
        return np.arange(cut), np.arange(cut, len(problem.target))
    alike = pd.util.hash_pandas_object(problem.features.astype(str), index=False).to_numpy()
    splitter = StratifiedGroupKFold if problem.classify else GroupKFold
    parts = splitter(PARTS, shuffle=True, random_state=seed).split(problem.features, problem.target, alike)
    train, test = next(iter(parts))
    return np.asarray(train), np.asarray(test)
