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
from tabstudio.registry.schema_changes import listed, target_differences
from tabstudio.table.chunked_reader import scan
from tabstudio.table.schema import Schema, Target
from tabstudio.table.schema_alignment import conform
from tabstudio.table.table import Table, TableSource, require_columns

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class UnseenRows:
    """Rows with their labels that none of some models was trained on.

    `frame` holds them raw, `numbers` (n,) are their positions in `source`, `labels` (n,) class indices or
    values. `notes` say what was left out.
    """

    frame: pl.DataFrame
    numbers: npt.NDArray[np.int64]
    labels: Array
    source: str
    notes: tuple[str, ...]

    def columns(self, names: Sequence[str], schema: Schema) -> pl.DataFrame:
        """Return some of their columns, typed as `schema` knows them, else as they are.

        Raises `ConfigError` for columns that they do not have.
        """
        require_columns(dict.fromkeys(names, "option slice"), self.frame.columns, self.source)
        known = _as_features(schema, [name for name in names if name in schema])
        typed = conform(self.frame, known)
        return pl.DataFrame([typed[name] if name in typed.columns else self.frame[name] for name in names])


def unseen_rows(source: str | Path, models: Sequence[ComparedModel], *, trusting: bool = False) -> UnseenRows:
    """Return the rows of a file that have a label and that none of the models was trained on.

    With `trusting`, a model that keeps no record of its rows is taken as it is, and a note says so.

    Raises `DataError` where none is left or the file cannot be read, `InputError` where it does not fit a
    model's schema, `ModelError` where a model keeps no record.
    """
    first = models[0]
    chunks = list(scan(source, first.record.schema, first.config.read))
    if not chunks:
        raise DataError(f"{source}: it holds no rows")
    frame = pl.concat(chunks, how="diagonal_relaxed")
    labels, labelled = _labels(frame, first, str(source))
    unseen, notes = labelled.copy(), []
    if not labelled.all():
        notes.append(f"{int((~labelled).sum()):,} rows without a label were left out")
    for model in models:
        if trusting and model.record.evidence is None:
            notes.append(
                f"nobody knows which of these rows {model.address} was trained on: it keeps no record"
            )
            continue
        trained = model.evidence.trained.contains(
            feature_keys(_conform(frame, model, source), model.record.schema)
        )
        if (unseen & trained).any():
            notes.append(
                f"{int((unseen & trained).sum()):,} rows were left out: {model.address} was trained on them"
            )
        unseen &= ~trained
    if not unseen.any():
        raise DataError(
            f"{source}: of its {len(frame):,} rows none is left to judge by ({'; '.join(notes)}); "
            "name a file with --data that has rows which no model was trained on"
        )
    numbers = np.flatnonzero(unseen)
    return UnseenRows(frame[numbers], numbers, labels[unseen], str(source), tuple(notes))


def check_targets(first: ComparedModel, second: ComparedModel) -> Target:
    """Return the target of both. Raises `ModelError` where the two differ."""
    for what, mine, other in target_differences(first.target, second.target):
        raise ModelError(
            f"{first.address} and {second.address} cannot be compared: the {what} of the first is "
            f"{mine}, of the second {other}"
        )
    return first.target


def _conform(frame: pl.DataFrame, model: ComparedModel, source: str | Path) -> pl.DataFrame:
    try:
        return conform(frame, model.record.schema)
    except InputError as error:
        raise InputError(f"{source}, for {model.address}: {error}") from error


def _labels(frame: pl.DataFrame, model: ComparedModel, source: str) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return labels (n,) and which rows have one; those without hold any value."""
    target = model.target
    require_columns({target.name: "target"}, frame.columns, source)
    typed = conform(frame, _as_features(model.record.schema, [target.name]))[target.name]
    labelled = typed.is_not_null().to_numpy()
    if not labelled.any():
        raise DataError(f"{source}: column {target.name!r} is empty: rows with a label were expected")
    filled = typed.fill_null(typed.drop_nulls()[0])
    if target.classes:
        known = pl.Series(list(target.classes))
        unknown = filled.filter(~filled.is_in(known.cast(filled.dtype).implode())).unique().to_list()
        if unknown:
            raise DataError(
                f"{source}: column {target.name!r} holds {', '.join(map(repr, unknown[:5]))}; "
                f"{model.address} knows the classes {listed(target.classes)}"
            )
    schema = Schema((model.record.schema[target.name],), target)
    return Table(filled.to_frame(), schema, TableSource(source)).labels(), labelled


def _as_features(schema: Schema, names: Sequence[str]) -> Schema:
    """Return a schema of these columns alone, whatever they are for, so that rows can be held against it."""
    columns = tuple(replace(schema[name], role="feature") for name in names)
    return replace(schema, columns=columns, target=None)
