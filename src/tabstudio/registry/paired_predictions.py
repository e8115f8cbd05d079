"""The predictions of two models for the same rows, which neither was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from tabstudio.errors import DataError
from tabstudio.model.row_evidence import feature_keys
from tabstudio.registry.compared_model import ComparedModel
from tabstudio.registry.unseen_rows import UnseenRows, check_targets, unseen_rows
from tabstudio.table.schema import Schema, Target
from tabstudio.table.schema_alignment import conform

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PairedPredictions:
    """The predictions of two models for the same n rows.

    `labels` (n,) are class indices or values; `first` and `second` are (n, classes) probabilities or (n,)
    values. `numbers` (n,) are the rows' positions in `source`, counted from 0. `columns`
    holds the columns that were asked for. `how` says which rows these are, `notes` what was left out.
    """

    target: Target
    labels: Array
    first: Array
    second: Array
    numbers: npt.NDArray[np.int64]
    source: str
    columns: pl.DataFrame
    how: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)


def pair(
    first: ComparedModel,
    second: ComparedModel,
    data: str | Path | None = None,
    columns: Sequence[str] = (),
    *,
    trusting: bool = False,
) -> PairedPredictions:
    """Return two models' predictions for the same rows.

    With `data` both predict those of its rows that neither was trained on; see `unseen_rows` for `trusting`.
    Without, the answers that the
    bundles keep are used where both were tested on the same rows; else one of them is asked about the test
    rows of the other, read from the other's table, without those that it was trained on; where no table is
    left, the test rows that both have in common must do.

    Raises `ModelError` for different targets, `DataError` where there are no such rows.
    """
    target = check_targets(first, second)
    columns = tuple(columns)
    if data is not None:
        rows = unseen_rows(data, (first, second), trusting=trusting)
        return _on_data(first, second, target, rows, columns)
    common = _in_common(first, second)
    if common.whole:
        return _from_bundles(first, second, target, common, columns)
    reasons = []
    for owner, other in ((first, second), (second, first)):
        try:
            return _on_table(owner, other, target, columns, swapped=owner is second)
        except DataError as error:
            reasons.append(str(error))
    if not len(common.mine):
        raise DataError("\n".join(["the two models have no test row in common", *reasons]))
    return _from_bundles(first, second, target, common, columns, tuple(reasons))


@dataclass(frozen=True)
class _Common:
    """Positions of the same rows in the evidence of both; `whole` where they are all rows of both."""

    mine: npt.NDArray[np.int64]
    other: npt.NDArray[np.int64]
    whole: bool


def _in_common(first: ComparedModel, second: ComparedModel) -> _Common:
    """Return the rows that both were tested on, by what their bundles keep."""
    one, two = first.evidence, second.evidence
    if _features(first.record.schema) != _features(second.record.schema):
        return _Common(np.empty(0, np.int64), np.empty(0, np.int64), whole=False)
    if np.array_equal(one.keys, two.keys) and np.array_equal(one.labels, two.labels):
        rows = np.arange(len(one.keys))
        return _Common(rows, rows, whole=True)
    order = np.argsort(two.keys, kind="stable")
    nearest = np.minimum(np.searchsorted(two.keys, one.keys, sorter=order), len(order) - 1)
    shared = two.keys[order[nearest]] == one.keys
    shared &= ~one.trained.contains(one.keys) & ~two.trained.contains(one.keys)
    return _Common(np.flatnonzero(shared), order[nearest[shared]], whole=False)


def _features(schema: Schema) -> set[tuple[str, str]]:
    return {(column.name, column.kind) for column in schema.features}


def _from_bundles(
    first: ComparedModel,
    second: ComparedModel,
    target: Target,
    common: _Common,
    columns: tuple[str, ...],
    reasons: tuple[str, ...] = (),
) -> PairedPredictions:
    one, two = first.evidence, second.evidence
    how = f"{len(common.mine):,} test rows that both have in common, by the answers that the bundles keep"
    if common.whole:
        how = f"the same {len(common.mine):,} test rows of both, by the answers that the bundles keep"
    return PairedPredictions(
        target,
        one.labels[common.mine],
        one.predictions[common.mine],
        two.predictions[common.other],
        one.numbers[common.mine],
        str(first.data.get("name", "")),
        first.test_rows(columns)[common.mine] if columns else pl.DataFrame(),
        how,
        reasons,
    )


def _on_table(
    owner: ComparedModel, other: ComparedModel, target: Target, columns: tuple[str, ...], *, swapped: bool
) -> PairedPredictions:
    """Return the test rows of one model, read from its own table; the other model predicts them now."""
    evidence, table = owner.evidence, owner.table()
    tested = table.frame[evidence.numbers]
    trained = other.evidence.trained.contains(
        feature_keys(conform(tested, other.record.schema), other.record.schema)
    )
    if trained.all():
        raise DataError(f"{other.address} was trained on every test row of {owner.address}")
    rows = np.flatnonzero(~trained)
    tested = tested[rows]
    predictions = other.model.answers(tested)
    mine = evidence.predictions[rows]
    left_out = f"{int(trained.sum()):,} test rows were left out: {other.address} was trained on them"
    return PairedPredictions(
        target,
        evidence.labels[rows],
        predictions if swapped else mine,
        mine if swapped else predictions,
        evidence.numbers[rows],
        table.source.name,
        tested.select([table.column(name) for name in columns]),
        f"{len(rows):,} test rows of {owner.address}, read from {table.source.name}",
        (left_out,) if trained.any() else (),
    )


def _on_data(
    first: ComparedModel, second: ComparedModel, target: Target, rows: UnseenRows, columns: tuple[str, ...]
) -> PairedPredictions:
    return PairedPredictions(
        target,
        rows.labels,
        first.model.answers(rows.frame),
        second.model.answers(rows.frame),
        rows.numbers,
        rows.source,
        rows.columns(columns, first.record.schema) if columns else pl.DataFrame(),
        f"{len(rows.labels):,} rows of {rows.source} that neither was trained on",
        rows.notes,
    )
