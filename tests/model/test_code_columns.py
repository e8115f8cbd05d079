"""Numbers that are codes are told from amounts, and get codes beside their value."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from tabstudio.model.code_columns import CodedColumn
from tabstudio.model.encoder import Encoder
from tabstudio.model.inference.encoding import FIRST, MISSING, UNSEEN
from tabstudio.table import read


def drawn(values: list[float], rows: int = 4000) -> np.ndarray:
    return np.random.default_rng(0).choice(values, rows).astype(np.float64)


def labels_of(chance: np.ndarray) -> np.ndarray:
    return (np.random.default_rng(1).random(len(chance)) < chance).astype(np.int64)


ZIPS = [98001.0, 98002.0, 98003.0, 98004.0, 98005.0, 98006.0, 98007.0, 98008.0]


def fit(values: np.ndarray, labels: np.ndarray, classes: bool = True) -> CodedColumn | None:
    return CodedColumn.fit(pl.Series("x", values), labels, classes=classes)


def test_values_between_which_the_target_jumps_are_codes() -> None:
    values = drawn(ZIPS)
    column = fit(values, labels_of(np.where(values % 2 == 0, 0.7, 0.3)))
    assert column is not None
    assert column.values == tuple(ZIPS)
    assert column.cardinality == FIRST + len(ZIPS)


@pytest.mark.parametrize(
    "chance",
    [
        lambda x: np.full(len(x), 0.5),
        lambda x: 0.1 + 0.8 * x / 40,
        lambda x: 1 / (1 + np.exp(-(x - 20) / 3)),
        lambda x: 0.5 + 0.4 * np.sin(x / 40 * np.pi),
    ],
    ids=["nothing", "a line", "a step over several values", "a wave"],
)
def test_amounts_are_no_codes_however_the_target_depends_on_them(chance) -> None:
    values = drawn([float(v) for v in range(41)], 20_000)
    assert fit(values, labels_of(chance(values))) is None


def test_few_values_many_values_and_rare_values_are_no_codes() -> None:
    two = drawn([1.0, 2.0])
    assert fit(two, labels_of(np.where(two == 1, 0.1, 0.9))) is None
    all_different = np.arange(4000.0)
    assert fit(all_different, labels_of(np.where(all_different % 2 == 0, 0.1, 0.9))) is None


def test_a_number_is_held_against_its_neighbours_too() -> None:
    values = drawn(ZIPS)
    price = np.where(values % 2 == 0, 7e5, 3e5) + np.random.default_rng(2).normal(0, 1e5, len(values))
    assert fit(values, price, classes=False) is not None
    assert fit(values, values + np.random.default_rng(2).normal(0, 3, len(values)), classes=False) is None


def test_other_values_share_one_code_and_gaps_have_theirs() -> None:
    values = drawn(ZIPS)
    values[:3], values[3:50] = (5.0, 6.0, 7.0), np.nan
    column = fit(values, labels_of(np.where(values % 2 == 0, 0.7, 0.3)))
    assert column is not None
    codes, unseen, missing = column.codes(pl.Series("x", [98001.0, 98008.0, 5.0, 98001.5, 1e12, None]))
    assert codes.tolist() == [FIRST, FIRST + 7, UNSEEN, UNSEEN, UNSEEN, MISSING]
    assert (unseen, missing) == (0, 1)


def test_a_value_that_training_never_left_uncoded_takes_the_commonest_code() -> None:
    values = np.concatenate([drawn(ZIPS), np.full(3000, 98003.0)])
    column = fit(values, labels_of(np.where(values % 2 == 0, 0.7, 0.3)))
    assert column is not None
    codes, _, missing = column.codes(pl.Series("x", [1.0, None]))
    assert codes.tolist() == [FIRST + 2, FIRST + 2]
    assert missing == 1


def test_the_encoder_gives_both_faces_and_keeps_them_in_json() -> None:
    values = drawn(ZIPS)
    table = read(
        {
            "zip": values.astype(int),
            "y": np.where(labels_of(np.where(values % 2 == 0, 0.8, 0.2)), "yes", "no"),
        },
        target="y",
    )
    encoder = Encoder.fit(table.frame, table.schema, "robust", table.labels())
    assert (encoder.numbers, encoder.cardinalities) == (1, (FIRST + len(ZIPS),))
    assert "the target jumps between its values" in encoder.notes[0]
    again = Encoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again == encoder
    assert again.encode(table.frame).codes.tolist() == encoder.encode(table.frame).codes.tolist()
    assert Encoder.fit(table.frame, table.schema, "robust").cardinalities == ()
