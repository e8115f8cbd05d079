"""Words enter where they tell something of the target beside the other columns."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tabstudio.model.encoder import Encoder
from tabstudio.model.text_selection import left_open, tells
from tabstudio.model.text_topics import TextColumn
from tabstudio.table.schema import Column, Schema, Target

ROWS = 400
ILL = np.random.default_rng(0).random(ROWS) < 0.5
TARGET = Target("ill", "binary", ("no", "yes"), "yes")


def sentences(*, telling: bool) -> list[str]:
    """Five words each of twenty; where they tell, half of the words are of the ill."""
    rng = np.random.default_rng(1)
    words = np.array([f"word{i}" for i in range(20)])
    halves = [words[:10], words[10:]]
    return [" ".join(rng.choice(halves[int(ill)] if telling else words, 5)) for ill in ILL]


def fitted(**columns: list[str]) -> Encoder:
    """An encoder of columns: those named `note` are texts, the others categories."""
    kinds = [Column(name, "text" if name.startswith("note") else "category") for name in columns]
    schema = Schema((*kinds, Column("ill", "category", role="target")), TARGET)
    frame = pl.DataFrame({**columns, "ill": np.where(ILL, "yes", "no")})
    return Encoder.fit(frame, schema, "robust", ILL.astype(np.int64))


def topics(encoder: Encoder) -> dict[str, int]:
    """Number of topics by column, of those that are read as texts."""
    return {w.name: w.topics for w in encoder.writers if isinstance(w, TextColumn)}


def test_texts_that_tell_enter_by_topics_and_others_by_their_length() -> None:
    encoder = fitted(note=sentences(telling=True), note_too=sentences(telling=False))
    assert topics(encoder) == {"note": 20, "note_too": 0}
    assert any("note: its words enter by 20 topics" in told for told in encoder.notes)
    assert any("note_too: its words tell nothing" in told for told in encoder.notes)
    assert encoder.topics == tuple(place for place, name in enumerate(encoder.names) if "topic" in name)


def test_words_that_repeat_another_column_are_left_out() -> None:
    said = ["ill again today" if ill else "in good health" for ill in ILL]
    assert topics(fitted(note=said))["note"] > 0
    assert topics(fitted(note=said, state=["bad" if ill else "good" for ill in ILL])) == {"note": 0}


def test_categories_of_rare_levels_are_read_in_pieces_where_these_tell() -> None:
    telling = [f"{'ab'[int(ill)]}{i}" for i, ill in enumerate(ILL)]
    noise = [f"{letter}{i}" for i, letter in enumerate(np.random.default_rng(2).choice(["a", "b"], ROWS))]
    encoder = fitted(code=telling, other=noise)
    assert list(topics(encoder)) == ["code"]
    new = pl.DataFrame({"code": ["A9999", "b9999", None], "other": ["a1", "a1", "a1"]})
    a, b, gap = encoder.encode(new).numbers
    assert np.abs(a - b).max() > 0.5
    assert np.isfinite(gap).all()
    assert encoder.encode(new).unseen == {"code": 2}


def test_categories_of_common_levels_are_not_read_in_pieces() -> None:
    assert topics(fitted(code=[f"{'ab'[int(ill)]}{i % 20}" for i, ill in enumerate(ILL)])) == {}


@pytest.mark.parametrize("classes", [True, False])
def test_random_topics_tell_nothing(classes: bool) -> None:
    found = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 3, 150) if classes else rng.normal(size=150)
        goals = left_open(rng.normal(size=(150, 4)), labels, classes=classes)
        found.append(tells(rng.normal(size=(150, 7)), goals))
    assert sum(found) <= 3


def test_a_target_that_the_others_tell_wholly_leaves_nothing_open() -> None:
    rng = np.random.default_rng(0)
    labels = rng.normal(size=100)
    goals = left_open(np.column_stack([labels, labels]), labels, classes=False)
    assert np.square(goals).mean() < 1e-4
    assert not tells(labels[:, None], goals)
    assert not tells(np.empty((100, 0)), rng.normal(size=(100, 1)))
