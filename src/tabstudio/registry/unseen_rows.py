"""Rows to judge models on, that none of them was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from tabstudio.errors import DataError, InputError, ModelError
from tabstudio.model.row_evidence import feature_keys
from tabstudio.registry.compared_model import ComparedModel
from tabstudio.table.chunked_reader import scan
from tabstudio.table.schema import Schema, Target
from tabstudio.table.schema_alignment import conform
from tabstudio.table.table import Table, TableSource, require_columns

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class UnseenRows:
    """Rows with their labels that no side was trained on.

    `frame` holds them raw, `numbers` (n,) are their places in `source`, `labels` (n,) places in the target's
    classes or values. `notes` say what was left out.
    """

    frame: pl.DataFrame
    numbers: npt.NDArray[np.int64]
    labels: Array
    source: str
    notes: tuple[str, ...]

    def columns(self, names: Sequence[str], schema: Schema) -> pl.DataFrame:
        """Some of their columns, typed as `schema` knows them, else as they are.

        Raises `ConfigError` for columns that they do not have.
        """
        require_columns(dict.fromkeys(names, "option slice"), self.frame.columns, self.source)
        known = _as_features(schema, [name for name in names if name in schema])
        typed = conform(self.frame, known)
        return pl.DataFrame([typed[name] if name in typed.columns else self.frame[name] for name in names])


def unseen_rows(source: str | Path, sides: Sequence[ComparedModel], *, trusting: bool = False) -> UnseenRows:
    """The rows of a file that have a label and that no side was trained on.

    With `trusting`, a side that keeps no record of its rows is taken as it is, and a note says so.

    Raises `DataError` where none is left or the file cannot be read, `InputError` where it does not fit a
    model's schema, `ModelError` where a side keeps no record.
    """
    config = sides[0].config.read
    chunks = list(scan(source, sides[0].record.schema, config))
    if not chunks:
        raise DataError(f"{source}: it holds no rows")
    frame = pl.concat(chunks, how="diagonal_relaxed")
    labels, labelled = _labels(frame, sides[0], str(source))
    kept, notes = labelled.copy(), []
    if not labelled.all():
        notes.append(f"{int((~labelled).sum()):,} rows without a label were left out")
    for side in sides:
        if trusting and side.record.evidence is None:
            notes.append(
                f"nobody knows which of these rows {side.address} was trained on: it keeps no record"
            )
            continue
        seen = side.evidence.trained.contains(feature_keys(_conform(frame, side, source), side.record.schema))
        if (kept & seen).any():
            notes.append(
                f"{int((kept & seen).sum()):,} rows were left out: {side.address} was trained on them"
            )
        kept &= ~seen
    if not kept.any():
        raise DataError(
            f"{source}: of its {len(frame):,} rows none is left to judge by ({'; '.join(notes)}); "
            "name a file with --data that has rows which no model was trained on"
        )
    numbers = np.flatnonzero(kept)
    return UnseenRows(frame[numbers], numbers, labels[kept], str(source), tuple(notes))


def check_targets(first: ComparedModel, second: ComparedModel) -> Target:
    """The target of both. Raises `ModelError` where they differ in more than the order they were met."""
    one, two = first.target, second.target
    for what, mine, other in (
        ("target", one.name, two.name),
        ("task", one.task, two.task),
        ("classes", one.classes, two.classes),
        ("class of interest", one.positive, two.positive),
    ):
        if mine != other:
            raise ModelError(
                f"{first.address} and {second.address} cannot be compared: the {what} of the first is "
                f"{_said(mine)}, of the second {_said(other)}"
            )
    return one


def _said(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _conform(frame: pl.DataFrame, side: ComparedModel, source: str | Path) -> pl.DataFrame:
    try:
        return conform(frame, side.record.schema)
    except InputError as error:
        raise InputError(f"{source}, for {side.address}: {error}") from error


def _labels(frame: pl.DataFrame, side: ComparedModel, source: str) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Labels (n,) and which rows have one; those without hold any value."""
    target = side.target
    require_columns({target.name: "target"}, frame.columns, source)
    typed = conform(frame, _as_features(side.record.schema, [target.name]))[target.name]
    labelled = typed.is_not_null().to_numpy()
    if not labelled.any():
        raise DataError(f"{source}: column {target.name!r} is empty: rows with a label were expected")
    filled = typed.fill_null(typed.drop_nulls()[0])
    if target.classes:
        known = pl.Series(list(target.classes))
        strange = filled.filter(~filled.is_in(known.cast(filled.dtype).implode())).unique().to_list()
        if strange:
            raise DataError(
                f"{source}: column {target.name!r} holds {', '.join(map(repr, strange[:5]))}; "
                f"{side.address} knows the classes {_said(target.classes)}"
            )
    schema = Schema((side.record.schema[target.name],), target)
    return Table(filled.to_frame(), schema, TableSource(source)).labels(), labelled


def _as_features(schema: Schema, names: Sequence[str]) -> Schema:
    """A schema of these columns alone, whatever they are for, so that rows can be held against it."""
    columns = tuple(replace(schema[name], role="feature") for name in names)
    return replace(schema, columns=columns, target=None)
