"""Which texts tell something of the target that the other columns do not.

Topics that tell nothing are noise, which a network learns by heart: on small tables they cost more than the
telling ones bring. A linear model finds them out, by rows that it has not seen. Categories, too, are texts
where most of their levels are too rare to have a code: streets, job titles, C85 and C123.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from tabstudio._util.threads import run_parallel
from tabstudio.model.code_columns import CodedColumn
from tabstudio.model.column_encoders import CategoryColumn, HashedColumn
from tabstudio.model.inference.arrays import Array
from tabstudio.model.text_topics import TextColumn
from tabstudio.options import Scaling

FEWEST_RARE = 30
"""A category is read in pieces if it has so many levels of a single row, and more of these than of others."""
ROWS = 5000
"""Number of evenly spaced training rows that are used."""
LEAST_SHARE, CHANCE = 0.01, 4.0
"""A text tells something where it explains this share of what the other columns leave open, and of few rows
more: this figure by the number of rows. Random topics reach that on one table of a hundred.
"""
NOTHING = 1e-3
"""What is left of a variance of 1 where the other columns explain the target as good as wholly."""
STRENGTHS = np.logspace(-1, 6, 15)


def in_pieces(
    frame: pl.DataFrame, coders: Sequence[CategoryColumn | HashedColumn | CodedColumn], scaling: Scaling
) -> list[TextColumn]:
    """The categories of many rare levels as texts of letters and digits."""
    rare = [coder.name for coder in coders if _mostly_rare(coder)]
    columns = run_parallel(
        lambda name: TextColumn.fit(frame.get_column(name), scaling, pieces=True), rare, len(frame)
    )
    return [column for column in columns if column is not None]


def choose(
    frame: pl.DataFrame,
    texts: Sequence[TextColumn],
    others: Callable[[pl.DataFrame], Array],
    labels: Array,
    *,
    classes: bool,
) -> tuple[list[TextColumn], list[str]]:
    """Texts as they are to enter, and a note on each.

    Those that tell nothing lose their topics; of a category nothing is left then. `others` gives the other
    columns of a frame as numbers (n, d). `labels` (rows,) are places of classes where `classes` says so, else
    numbers.
    """
    if not texts:
        return [], []
    step = -(-len(frame) // ROWS)
    rows = frame.gather_every(step)
    goals = left_open(others(rows), labels[::step], classes=classes)
    entering, notes = [], []
    for text in texts:
        if tells(text.topics_of(rows.get_column(text.name)), goals):
            entering.append(text)
            what = "letters and digits" if text.pieces else "words"
            notes.append(f"column {text.name}: its {what} enter by {text.topics} topics")
        elif not text.pieces:
            entering.append(text.without_topics())
            notes.append(
                f"column {text.name}: its words tell nothing of the target beside the other columns, only "
                "their number enters"
            )
    return entering, notes


def left_open(inputs: Array, labels: Array, *, classes: bool) -> Array:
    """What a linear model of inputs (n, d) leaves open of the target, which is of unit size: (n, goals)."""
    columns = labels.astype(np.float64)[:, None]
    goals = np.asarray(columns == np.unique(columns) if classes else columns, dtype=np.float64)
    goals -= goals.mean(axis=0)
    goals /= np.maximum(goals.std(axis=0), np.finfo(np.float64).tiny)
    if inputs.shape[1]:
        goals -= _ridge(inputs, goals).predict(inputs).reshape(goals.shape)
    return goals


def tells(topics: Array, goals: Array) -> bool:
    """Whether topics (n, t) explain enough of goals (n, goals), each row by a model of all others."""
    whole = np.square(goals).mean()
    if not topics.shape[1] or whole < NOTHING:
        return False
    share = 1.0 + _ridge(topics, goals).best_score_ / whole
    return bool(share > LEAST_SHARE + CHANCE / len(goals))


def _mostly_rare(coder: CategoryColumn | HashedColumn | CodedColumn) -> bool:
    if isinstance(coder, CategoryColumn):
        return len(coder.rare) >= FEWEST_RARE and len(coder.rare) > len(coder.levels)
    return isinstance(coder, HashedColumn)


def _ridge(inputs: Array, goals: Array) -> Any:
    from sklearn.linear_model import RidgeCV

    return RidgeCV(STRENGTHS).fit(inputs.astype(np.float64), goals)
