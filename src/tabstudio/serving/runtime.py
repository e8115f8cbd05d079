"""A model that is ready to answer: read, verified, folded, warmed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from tabstudio.errors import InputError, ModelError
from tabstudio.model import bundle
from tabstudio.model.encoder import Encoder
from tabstudio.model.predictor import decided, mean_of_members
from tabstudio.model.preprocessing import Preprocessing
from tabstudio.serving import numpy_forward
from tabstudio.serving.contract import Contract, RequestRows, Row
from tabstudio.serving.frame_encoder import FrameEncoder
from tabstudio.serving.row_encoder import RowEncoder, Warnings
from tabstudio.tracking.signature import input_columns

Array = npt.NDArray[Any]
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
        self._temperature, self._threshold = record.network["temperature"], record.network["threshold"]
        self._curve = bundle.curve_of(record.network)
        self._weights: list[float] | None = record.network.get("weights")
        self._mean, self._scale = record.network["target_mean"], record.network["target_scale"]
        self._forward = _forward(record, where)
        try:
            self.seconds_per_row = self._warmed(where)
        except InputError:  # steps that refuse made-up rows: what they take is not known without a profile
            self.seconds_per_row = _UNKNOWN_SECONDS

    @property
    def threshold(self) -> float | None:
        """Probability from which on a row of a binary task is called positive; None for other tasks."""
        if self.target.task != "binary":
            return None
        return 0.5 if self._threshold is None else float(self._threshold)

    def uniform(self, labels: list[Any]) -> list[Any]:
        """Labels of one type: text, where the classes have several."""
        return labels if len({type(label) for label in self.classes}) <= 1 else [str(x) for x in labels]

    def answer(self, rows: RequestRows) -> ModelAnswer:
        """Labels, probabilities and warnings of rows that fit the contract."""
        numbers, codes, warnings = self.encoder.encode(rows.raw, rows.parsed)
        predicted = self.predict(numbers, codes)
        labels = decided(self.target, self._threshold, predicted).tolist()
        return ModelAnswer(labels, predicted.tolist() if self.classes else None, warnings)

    @np.errstate(over="ignore")
    def predict(self, numbers: Array, codes: Array) -> Array:
        """Probabilities (n, classes) or values (n,), float64, of encoded rows; see `Model.predict_inputs`."""
        if len(numbers) <= numpy_forward.ROWS:
            return self._settle(self._forward(numbers, codes))
        starts = range(0, len(numbers), numpy_forward.ROWS)
        parts = [
            (numbers[start : start + numpy_forward.ROWS], codes[start : start + numpy_forward.ROWS])
            for start in starts
        ]
        return np.concatenate([self._settle(self._forward(*part)) for part in parts])

    def _settle(self, raw: Array) -> Array:
        """Members' raw outputs (k, n, outputs) as the mean of their probabilities or values."""
        if self.target.task == "regression":
            return np.asarray(
                mean_of_members(raw[:, :, 0].astype(np.float64), self._weights) * self._scale + self._mean
            )
        logits = raw.astype(np.float64)
        logits /= self._temperature
        if self.target.task == "multiclass":
            powers = np.exp(logits - logits.max(axis=2, keepdims=True))
            return np.asarray(mean_of_members(powers / powers.sum(axis=2, keepdims=True), self._weights))
        second = 1 / (1 + np.exp(-logits[:, :, 0]))
        mean = second[0] if len(second) == 1 else mean_of_members(second, self._weights)
        both = np.empty((len(mean), 2))
        both[:, 1] = mean if self._curve is None else self._curve.apply(mean)
        np.subtract(1, both[:, 1], out=both[:, 0])
        return both

    def _warmed(self, where: str) -> float:
        """Answer made-up rows, one and many, so that the first request finds everything in its place."""
        rows = self.example_rows(1) * numpy_forward.ROWS
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


def _forward(record: bundle.BundleRecord, where: str) -> numpy_forward.Forward:
    from safetensors.numpy import load as load_arrays

    spec = record.network.get("spec")
    forward = numpy_forward.compiled(spec, load_arrays(record.weights)) if spec else None
    return forward or _by_torch(record, where)


def _by_torch(record: bundle.BundleRecord, where: str) -> numpy_forward.Forward:
    """Let torch run a network for which there is no plan."""
    import torch

    pack = bundle.network(record, where).eval()

    def forward(numbers: Array, codes: Array) -> Array:
        with torch.inference_mode():
            return np.asarray(pack(torch.from_numpy(numbers), torch.from_numpy(codes)))

    return forward


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
