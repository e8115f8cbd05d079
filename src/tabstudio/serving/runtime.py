"""A model that is ready to answer: read, verified, folded, warmed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import polars as pl

from tabstudio.errors import InputError, ModelError
from tabstudio.model import bundle
from tabstudio.model.encoder import Encoder
from tabstudio.model.inference import forward
from tabstudio.model.inference.arrays import Array
from tabstudio.model.inference.forward import ROWS, Forward
from tabstudio.model.inference.row_encoder import FrameEncoder, Row, RowEncoder, Warnings
from tabstudio.model.preprocessing import Preprocessing
from tabstudio.serving.contract import Contract, RequestRows
from tabstudio.tracking.signature import input_columns

_UNKNOWN_SECONDS = 1e-4


class ModelAnswer(NamedTuple):
    """What a model says: `labels` per row (values of a regression), `probabilities` (n, classes) or None."""

    labels: list[Any]
    probabilities: list[list[float]] | None
    warnings: Warnings

    def part(self, start: int, end: int) -> ModelAnswer:
        """The answer of rows `start` to `end` alone."""
        warnings = {row - start: told for row, told in self.warnings.items() if start <= row < end}
        some = self.probabilities
        return ModelAnswer(self.labels[start:end], some[start:end] if some is not None else None, warnings)


class Runtime:
    """One version of a model, immutable once loaded, used by any number of requests at a time.

    `seconds_per_row` is what a row of a large batch costs, measured while warming.
    """

    def __init__(self, record: bundle.BundleRecord, name: str, version: str, where: str) -> None:
        assert record.schema.target is not None
        encoder = bundle.encoding(record)
        self.name, self.version, self.digest = name, version, record.digest
        self.schema, self.profile, self.target = record.schema, record.profile, record.schema.target
        self.contract = Contract(record.schema, encoder)
        self.encoder = _row_encoder(record, encoder)
        self.classes = self.target.classes
        self.class_names = tuple(map(str, self.classes))
        self.prediction, self.shares = _structures(self.class_names)
        self.signature = dict(input_columns(record.schema))
        self.head = bundle.head_of(record.schema, record.network)
        self._forward = _forward(record, where)
        try:
            self.seconds_per_row = self._warmed(where)
        except InputError:  # steps that refuse made-up rows: what they take is not known without a profile
            self.seconds_per_row = _UNKNOWN_SECONDS

    @property
    def threshold(self) -> float | None:
        """Probability from which on a row of a binary task is called positive; None for other tasks."""
        return float(self.head.least) if self.target.task == "binary" else None

    def uniform(self, labels: list[object]) -> list[object]:
        """Labels of one type: text, where the classes have several."""
        return labels if len({type(label) for label in self.classes}) <= 1 else [str(x) for x in labels]

    def answer(self, rows: RequestRows) -> ModelAnswer:
        """Labels, probabilities and warnings of rows that fit the contract."""
        numbers, codes, warnings = self.encoder.encode(rows.raw, rows.parsed)
        predicted = self.predict(numbers, codes)
        labels = self.head.labels(predicted).tolist()
        return ModelAnswer(labels, predicted.tolist() if self.classes else None, warnings)

    @np.errstate(over="ignore")
    def predict(self, numbers: Array, codes: Array) -> Array:
        """Probabilities (n, classes) or values (n,), float64, of encoded rows; see `Model.predict_inputs`."""
        if len(numbers) <= ROWS:
            return self.head.answers(self._forward(numbers, codes))
        parts = [slice(start, start + ROWS) for start in range(0, len(numbers), ROWS)]
        return np.concatenate([self.head.answers(self._forward(numbers[at], codes[at])) for at in parts])

    def _warmed(self, where: str) -> float:
        """Answer made-up rows, one and many, so that the first request finds everything in its place."""
        rows = self.example_rows(1) * ROWS
        prepared = self.contract.check(rows[:1], 1)
        self.answer(prepared)
        many = RequestRows(
            rows, {name: series.new_from_index(0, len(rows)) for name, series in prepared.parsed.items()}
        )
        started = time.perf_counter()
        answer = self.answer(many)
        seconds = (time.perf_counter() - started) / len(rows)
        figures = answer.labels if answer.probabilities is None else answer.probabilities
        if not np.isfinite(np.array(figures)).all():
            raise ModelError(
                f"{where}: the model answers with figures that are not finite, so it is not served"
            )
        return seconds

    def example_rows(self, count: int) -> list[Row]:
        """Rows of values that training had: medians, commonest levels, no text and no date."""
        columns = self.profile.get("columns", {})
        row = tuple(
            _example(columns.get(field.name, {}), field.column.kind) for field in self.contract.fields
        )
        return [row] * count


def load(folder: str | Path, name: str, version: str) -> Runtime:
    """Read a bundle whose files are held against its manifest, and warm it.

    Raises `ModelError` where a file is missing or changed, or the model's answers are not finite.
    """
    return Runtime(bundle.record(folder), name, version, str(folder))


def join(parts: list[RequestRows]) -> RequestRows:
    """Rows of several requests behind each other."""
    if len(parts) == 1:
        return parts[0]
    raw = [row for part in parts for row in part.raw]
    return RequestRows(
        raw, {name: pl.concat([part.parsed[name] for part in parts]) for name in parts[0].parsed}
    )


def _row_encoder(record: bundle.BundleRecord, encoder: Encoder | Preprocessing) -> RowEncoder | FrameEncoder:
    if isinstance(encoder, Encoder):
        return RowEncoder(record.schema, encoder, record.profile)
    return FrameEncoder(record.schema, encoder)


def _forward(record: bundle.BundleRecord, where: str) -> Forward:
    from safetensors.numpy import load as load_arrays

    spec = record.network.get("spec")
    fast = forward.compiled(spec, load_arrays(record.weights)) if spec else None
    return fast or forward.by_torch(bundle.network(record, where))


def _structures(class_names: tuple[str, ...]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What a row's prediction and its probabilities are encoded from."""
    warnings = ("warnings", Any, msgspec.UNSET)
    if not class_names:
        return msgspec.defstruct("Prediction", [("value", float), warnings], gc=False), dict
    fields = [(f"p{i}", float, msgspec.field(name=name)) for i, name in enumerate(class_names)]
    one = msgspec.defstruct("Prediction", [("label", Any), ("probabilities", Any), warnings], gc=False)
    return one, msgspec.defstruct("Probabilities", fields, gc=False)


def _example(profile: Mapping[str, Any], kind: str) -> Any:
    if kind in ("date", "text"):
        return None
    if kind == "number":
        quantiles = profile.get("quantiles")
        return float(quantiles[len(quantiles) // 2]) if quantiles else 0.0
    levels = list(profile.get("levels", {}))
    if kind == "boolean":
        return levels[0] == "true" if levels else None
    return levels[0] if levels else None
