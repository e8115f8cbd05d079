"""The trained model: raw rows in, labels, probabilities or values out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tabstudio.errors import ModelError
from tabstudio.model import bundle
from tabstudio.model.encoder import EncodedRows, Encoder
from tabstudio.model.inference.arrays import Array
from tabstudio.model.inference.head import OutputHead
from tabstudio.model.preprocessing import Preprocessing
from tabstudio.model.row_evidence import RowEvidence
from tabstudio.table.schema import Label, Schema, Target

if TYPE_CHECKING:
    from tabstudio.model.networks import Pack

ROWS = 8192
"""Rows that go through the network at a time, so that a table of any length needs bounded memory."""
MULTIPLE = 64
"""Rows are filled up to a multiple of this: libraries take other paths through small matrix products, and
through the last few elements of an array, than through the rest, and the last bits differ."""


class Model:
    """A trained model that predicts on raw rows: an ensemble of networks, and all that stands around it.

    `schema` says what the rows look like and `encoder` makes numbers and codes of them; both belong to the
    model, so that training and serving cannot differ. `head` makes answers of what the members of the `pack`
    give. `unseen` and `gaps` count, per column, the categories that training did not know and the missing
    values where it had none, over all rows predicted.
    `evidence` is what is kept of the rows it was trained and tested on.

    A row's prediction does not depend on the rows beside it: on one machine, with the same versions and
    number of threads, a network with one output gives the same bits in any batch, one with several classes
    probabilities within 1e-7. Between machines expect differences of 1e-6.

    >>> model = tabstudio.load("models:/cancer/1")  # doctest: +SKIP
    >>> model.predict("new-patients.csv")  # doctest: +SKIP
    """

    def __init__(
        self,
        schema: Schema,
        encoder: Encoder | Preprocessing,
        pack: Pack,
        head: OutputHead | None = None,
        *,
        profile: Mapping[str, Any] | None = None,
        report: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        evidence: RowEvidence | None = None,
    ) -> None:
        if schema.target is None:
            raise ModelError("a model needs a schema with a target, this one has none")
        self.schema = schema
        self.target: Target = schema.target
        self.encoder = encoder
        self.pack = pack.eval()
        self.head = head or OutputHead(self.target)
        self.profile = dict(profile or {})
        self.report = dict(report or {})
        self.config = dict(config or {})
        self.evidence = evidence
        self.unseen: Counter[str] = Counter()
        self.gaps: Counter[str] = Counter()

    @property
    def classes(self) -> tuple[Label, ...]:
        """Class labels in the order of the columns of `predict_proba`; empty for a regression."""
        return self.target.classes

    def predict(self, data: object) -> Array:
        """Labels as they stood in the training table, or values: (n,).

        `data` is a frame (pandas, polars, pyarrow), a dict of columns, a list of dicts, a NumPy array with
        the features in the schema's order, or a file. The order of columns and further ones do not matter.

        Raises `InputError` naming every missing column and every value that does not fit its column.
        """
        return self.decide(self.answers(data))

    def predict_proba(self, data: object) -> Array:
        """Probabilities (n, classes), columns in the order of `classes`.

        Raises `InputError` as `predict` does, `ModelError` for a regression.
        """
        if self.target.task == "regression":
            raise ModelError(
                f"probabilities were asked of a regression: the model of {self.target.name} predicts values, "
                "use predict"
            )
        return self.answers(data)

    def answers(self, data: object) -> Array:
        """Probabilities (n, classes), or a regression's values (n,): what is measured.

        Raises `InputError` as `predict` does.
        """
        parts = [self.predict_inputs(self._encode(block)) for block in self._blocks(data)]
        return np.concatenate(parts) if parts else self._no_rows()

    def predict_frame(self, data: object) -> pl.DataFrame:
        """A frame with `prediction` and, for classes, one column `probability_<class>` each.

        Raises `InputError` as `predict` does.
        """
        return self.as_frame(self.answers(data))

    def predict_inputs(self, inputs: EncodedRows) -> Array:
        """Probabilities (n, classes) or values (n,), float64, of encoded rows."""
        parts = [self._answer(inputs, start) for start in range(0, len(inputs), ROWS)]
        return np.concatenate(parts) if parts else self._no_rows()

    def decide(self, predicted: Array) -> Array:
        """Labels (n,) from probabilities (n, classes): by threshold or the most probable. Values stay."""
        return self.head.labels(predicted)

    def as_frame(self, predicted: Array) -> pl.DataFrame:
        """What `predict_frame` returns, from probabilities (n, classes) or values (n,)."""
        decided = self.decide(predicted)
        labels = decided.astype(str) if decided.dtype == object else decided
        columns = {"prediction": labels}
        if self.classes:
            named = zip(self.classes, predicted.T, strict=True)
            columns |= {f"probability_{label}": column for label, column in named}
        return pl.DataFrame({name: np.ascontiguousarray(column) for name, column in columns.items()})

    @property
    def threshold(self) -> float | None:
        """Probability of the positive class from which on a row is called positive; None is one half."""
        return self.head.threshold

    @property
    def positive(self) -> int:
        """Place of the positive class among the two of a binary task."""
        return self.head.positive

    def save(self, folder: str | Path) -> Path:
        """Write the model as a new folder of data, whole or not at all; see `tabstudio.model.bundle`."""
        return bundle.save(self, folder)

    def to_bytes(self) -> bytes:
        """The same bundle in one piece, for `from_bytes`."""
        return bundle.to_bytes(self)

    @staticmethod
    def from_bytes(data: bytes, network: Callable[[int, int], Any] | None = None) -> Model:
        """The model that `to_bytes` wrote; `network` is the factory of a user's own network."""
        return Model(**bundle.parts_of_bytes(data, network))

    def __reduce__(self) -> tuple[object, ...]:
        return Model.from_bytes, (self.to_bytes(), getattr(self.pack, "factory", None))

    def __repr__(self) -> str:
        return f"Model({', '.join(f'{name}={value}' for name, value in self._facts())})"

    def _repr_html_(self) -> str:
        rows = (f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in self._facts())
        return f"<table><caption>tabstudio model</caption>{''.join(rows)}</table>"

    def _facts(self) -> list[tuple[str, str]]:
        facts = [("target", repr(self.target.name)), ("task", self.target.task)]
        if self.classes:
            shown = ", ".join(repr(label) for label in self.classes[:6])
            facts.append(("classes", f"[{shown}{', ...' if len(self.classes) > 6 else ''}]"))
        if self.target.task == "binary":
            facts.append(("positive", repr(self.classes[self.positive])))
            facts.append(("threshold", f"{self.head.least:.4g}"))
        facts.append(("features", str(len(self.schema.features))))
        facts.append(("network", repr(self.pack)))
        if self.unseen:
            facts.append(("unseen", repr(dict(self.unseen))))
        return facts

    def _blocks(self, data: object) -> Iterator[pl.DataFrame]:
        from tabstudio.table import conform

        if isinstance(data, str | Path):
            from tabstudio.table import scan

            for chunk in scan(data, self.schema):
                yield conform(chunk, self.schema)
            return
        frame = conform(data, self.schema)
        for start in range(0, len(frame), 8 * ROWS):
            yield frame.slice(start, 8 * ROWS)

    def _encode(self, frame: pl.DataFrame) -> EncodedRows:
        inputs = self.encoder.encode(frame)
        self.unseen.update(inputs.unseen)
        self.gaps.update(inputs.gaps)
        return inputs

    def _answer(self, inputs: EncodedRows, start: int) -> Array:
        import torch

        device = next(self.pack.parameters()).device
        rows = slice(start, start + ROWS)
        numbers, codes = torch.from_numpy(inputs.numbers[rows]), torch.from_numpy(inputs.codes[rows])
        count = len(numbers)
        if count % MULTIPLE:
            places = torch.zeros(-(-count // MULTIPLE) * MULTIPLE, dtype=torch.int64)
            places[:count] = torch.arange(count)
            numbers, codes = numbers[places], codes[places]
        with torch.inference_mode():
            raw = self.pack(numbers.to(device), codes.to(device)).double().cpu()
            return np.asarray(self.head.answers(raw))[:count]

    def _no_rows(self) -> Array:
        return np.empty((0, len(self.classes)) if self.classes else 0, dtype=np.float64)


def load(folder: str | Path, network: bundle.Factory | None = None) -> Model:
    """Read a model from its bundle.

    `network` is the factory of a user's own network, needed for such a model only.

    Raises `ModelError` naming the file that is missing, changed, superfluous or of another format.
    """
    return Model(**bundle.read_parts(folder, network))
