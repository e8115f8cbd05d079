"""Raw rows to the tensor that a network was trained on by hand, by steps that were fitted elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from tabstudio.errors import InputError, ModelError
from tabstudio.model.encoder import EncodedRows
from tabstudio.model.inference.arrays import Array
from tabstudio.model.transforms import Block, ChainTransform, Step, applied, from_json, to_json
from tabstudio.table.schema import Column, Kind

KIND = "preprocessing"
_DTYPES: Mapping[Kind, str] = {"number": "Float64", "boolean": "Boolean", "category": "String"}


@dataclass(frozen=True)
class Preprocessing:
    """Stands where `Encoder` stands: raw rows become `width` numbers each, and no codes.

    `columns` are the raw columns in the order that the first step takes them. Rows are computed in double
    precision and handed over as float32; `single` ones are float32 from the start, as the training rows were.
    `takes_missing` says that the network has an answer for NaN; where it has none, a row that still has gaps
    after the steps is refused.
    """

    columns: tuple[str, ...]
    step: Step
    width: int
    single: bool = False
    takes_missing: bool = False
    notes: tuple[str, ...] = ()

    @property
    def numbers(self) -> int:
        """Width d of `EncodedRows.numbers`."""
        return self.width

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the number columns: those of the raw ones where nothing else can be said."""
        own = self.columns if self.width == len(self.columns) else map(str, range(self.width))
        return tuple(own)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """No codes are given."""
        return ()

    def transform(self, frame: pl.DataFrame, unseen: dict[str, int] | None = None) -> Array:
        """The steps' numbers (n, width), as scikit-learn gives them, of rows typed as the schema says.

        `unseen` gets, per column, how many values no step knew.

        Raises `InputError` where a step refuses what it does not know.
        """
        block = [_column_values(frame.get_column(name), self.single) for name in self.columns]
        done: Block = applied(self.step, block, {} if unseen is None else unseen)
        dtype = np.float32 if self.single else np.float64
        return np.column_stack(done).astype(dtype) if done else np.empty((len(frame), 0), dtype)

    def encode(self, frame: pl.DataFrame) -> EncodedRows:
        """Encode rows; a row's result depends on no other row.

        Raises `InputError` for values that are unknown to a strict step, and for gaps that nothing fills.
        """
        unseen: dict[str, int] = {}
        rows = self.transform(frame, unseen).astype(np.float32)
        if not self.takes_missing and np.isnan(rows).any():
            raise InputError(self._gaps(frame, rows))
        return EncodedRows(rows, np.empty((len(frame), 0), dtype=np.int64), unseen, {})

    def _gaps(self, frame: pl.DataFrame, rows: Array) -> str:
        wrong = np.flatnonzero(np.isnan(rows).any(axis=1))
        chosen = frame.select(self.columns)[wrong.tolist()]
        names = [name for name in self.columns if chosen[name].null_count() or _is_nan(chosen[name])]
        where = ", ".join(str(row + 1) for row in wrong[:5]) + (", ..." if len(wrong) > 5 else "")
        return (
            f"a value was expected in every column that the model has no way to fill, none is in "
            f"{', '.join(map(repr, names or self.columns))} of row {where}. Train with an imputer in the "
            "preprocessor, or fill the gaps"
        )

    def to_json(self) -> dict[str, object]:
        """Return a plain dictionary for `from_json`."""
        return {
            "kind": KIND,
            "columns": list(self.columns),
            "step": to_json(self.step),
            "width": self.width,
            "single": self.single,
            "takes_missing": self.takes_missing,
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Preprocessing:
        """The preprocessing that `to_json` wrote."""
        known = {name: value for name, value in data.items() if name not in ("kind", "step")}
        columns, notes = tuple(data["columns"]), tuple(data["notes"])
        return cls(**{**known, "columns": columns, "notes": notes, "step": from_json(data["step"])})

    def missing_taken(self) -> Preprocessing:
        """The same for a network that has an answer for NaN."""
        return replace(self, takes_missing=True)


def taken(
    preprocessor: object, columns: Sequence[str] | None, single: bool = False
) -> tuple[Preprocessing, tuple[Column, ...]]:
    """A fitted scikit-learn transformer as data, and the raw columns that it takes.

    `columns` names the raw columns in order, where the transformer was fitted without names. Without a
    transformer the columns are numbers that go to the network as they are.

    Raises `ModelError` for what cannot be kept as data (see `tabstudio.model.sklearn_import`) and where the
    names are missing or do not fit.
    """
    from tabstudio.model.sklearn_import import TransformerImport

    names = _names(preprocessor, columns)
    taking = TransformerImport(names)
    if preprocessor is None:
        step: Step = ChainTransform()
        width = len(names)
    else:
        step, origins = taking.step(preprocessor, list(range(len(names))))
        width = len(origins)
    kinds = [taking.kinds.get(index, "number") for index in range(len(names))]
    schema = tuple(Column(name, kind, dtype=_DTYPES[kind]) for name, kind in zip(names, kinds, strict=True))
    return Preprocessing(names, step, width, single), schema


def _names(preprocessor: object, columns: Sequence[str] | None) -> tuple[str, ...]:
    fitted = getattr(preprocessor, "feature_names_in_", None)
    known = None if fitted is None else tuple(map(str, fitted))
    names = known if columns is None else tuple(map(str, columns))
    if names is None:
        raise ModelError(
            "the names of the raw columns were expected, in the order in which the rows were fitted: write "
            "columns=list(frame.columns), without the target"
        )
    count = getattr(preprocessor, "n_features_in_", len(names))
    if len(names) != count:
        raise ModelError(f"columns: the preprocessor was fitted on {count} columns, {len(names)} are named")
    if known is not None and known != names:
        raise ModelError(
            f"columns: the preprocessor was fitted on {', '.join(known)}; leave columns out, or name the same"
        )
    if len(set(names)) != len(names):
        raise ModelError(f"columns: every name once was expected, got {', '.join(names)}")
    return names


def _column_values(series: pl.Series, single: bool) -> Array:
    if series.dtype == pl.String:
        return np.array(series.to_list(), dtype=object)
    return series.cast(pl.Float32 if single else pl.Float64).to_numpy().copy()


def _is_nan(series: pl.Series) -> bool:
    return series.dtype.is_float() and bool(series.is_nan().any())
