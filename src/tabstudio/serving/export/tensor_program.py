"""A model as one program of tensors: raw numbers and level numbers in, labels and probabilities out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tabstudio.errors import ConfigError
from tabstudio.model.code_columns import CodedColumn
from tabstudio.model.column_encoders import CategoryColumn, DateColumn, HashedColumn, NumberColumn
from tabstudio.model.encoder import Encoder
from tabstudio.model.inference.encoding import FIRST, NumberScaler
from tabstudio.model.predictor import Model
from tabstudio.model.text_topics import TextColumn

NO_VALUE = -1
"""The level number of a missing category; every number without a level is one that training did not know."""


@dataclass(frozen=True, slots=True)
class ProgramColumns:
    """What goes in: columns of numbers (and truth, as 0 and 1), and of categories, in the encoder's order.

    `codes` are the columns of the network's codes: categories, and numbers that are codes.
    """

    numbers: tuple[NumberColumn, ...]
    codes: tuple[CategoryColumn | CodedColumn, ...]

    @property
    def categories(self) -> tuple[CategoryColumn, ...]:
        """The columns of words."""
        return tuple(c for c in self.codes if isinstance(c, CategoryColumn))


def columns_of(model: Model) -> ProgramColumns:
    """The columns of a model.

    Raises `ConfigError` naming every column whose preparation cannot go into a program of tensors.
    """
    encoder = model.encoder
    if not isinstance(encoder, Encoder):
        raise ConfigError(
            "the model's preparation is a scikit-learn pipeline of its author's, which cannot go into this "
            "format: export the model with --to folder, which holds everything"
        )
    columns = (*encoder.writers, *encoder.coders)
    outside = [c for c in columns if not isinstance(c, NumberColumn | CategoryColumn | CodedColumn)]
    if outside:
        named = ", ".join(f"{c.name!r} ({_kind(c)})" for c in outside)
        drops = " ".join(f"--drop {c.name!r}" for c in outside)
        raise ConfigError(
            f"columns that cannot go into this format: {named}. Export the model with --to folder, which "
            f"holds everything, or train it without them: {drops}"
        )
    return ProgramColumns(
        tuple(c for c in columns if isinstance(c, NumberColumn)),
        tuple(c for c in columns if isinstance(c, CategoryColumn | CodedColumn)),
    )


_KINDS = {
    "date": "a date",
    "text": "a text",
    "hashed": "a category of very many levels, which are hashed",
}


def _kind(column: DateColumn | TextColumn | HashedColumn) -> str:
    if isinstance(column, TextColumn) and column.pieces:
        return "a category that is read by its letters and digits"
    return _KINDS[column.kind]


class TensorProgram(nn.Module):
    """The whole model.

    `forward(numbers, categories)` takes numbers float64 (n, numbers), NaN where a value is missing, and
    categories int64 (n, categories): the place of the level among `known(column)`, -1 for a missing one, any
    other number for one that training did not know. It gives the place of the label int64 (n,) and the
    probabilities float64 (n, classes); for a regression the value float64 (n,) alone.
    """

    def __init__(self, model: Model, columns: ProgramColumns) -> None:
        super().__init__()
        self.pack, self.head = model.pack, model.head
        self.scale = _Scales(columns.numbers) if columns.numbers else _NoNumbers()
        self.lookup = _Lookup(columns.categories) if columns.categories else nn.Identity()
        self.coded = _Coded(columns) if len(columns.codes) > len(columns.categories) else None

    def forward(self, numbers: Tensor, categories: Tensor) -> tuple[Tensor, Tensor] | Tensor:
        """Prepare, ask the network, answer: as `Model` does."""
        codes = self.lookup(categories)
        if self.coded is not None:
            codes = self.coded(numbers, codes)
        answers = self.head.answers(self.pack(self.scale(numbers), codes))
        if self.head.target.task == "regression":
            return answers
        return self.head.class_numbers(answers), answers


class _Scales(nn.Module):
    """Numbers scaled, gaps filled and marked: `NumberColumn.write` for all columns at once."""

    order: Tensor

    def __init__(self, columns: Sequence[NumberColumn]) -> None:
        super().__init__()
        self.scaler = NumberScaler.of(columns, torch.from_numpy)
        order: list[int] = []
        for index, column in enumerate(columns):
            order += [index, len(columns) + index] if column.gaps else [index]
        self.register_buffer("order", torch.tensor(order, dtype=torch.int64))

    def forward(self, numbers: Tensor) -> Tensor:
        """(n, columns) float64 to (n, d) float32."""
        scaled, missing = self.scaler.scale(numbers)
        assert missing is not None
        return torch.cat([scaled, missing.float()], dim=1)[:, self.order]


class _NoNumbers(nn.Module):
    """(n, 0) float64 to (n, 0) float32."""

    def forward(self, numbers: Tensor) -> Tensor:
        """Nothing there is to scale."""
        return numbers.float()


class _Lookup(nn.Module):
    """Level numbers to codes: `CategoryColumn.codes` for all columns at once."""

    table: Tensor
    starts: Tensor
    sizes: Tensor

    def __init__(self, columns: Sequence[CategoryColumn]) -> None:
        super().__init__()
        codes: list[int] = []
        starts = []
        for column in columns:
            starts.append(len(codes))
            table = column.table
            codes += [table.missing, table.unseen, *table.known.values()]
        sizes = [len(known(column)) for column in columns]
        self.register_buffer("table", torch.tensor(codes, dtype=torch.int64))
        self.register_buffer("starts", torch.tensor(starts, dtype=torch.int64))
        self.register_buffer("sizes", torch.tensor(sizes, dtype=torch.int64))

    def forward(self, categories: Tensor) -> Tensor:
        """(n, columns) int64 to codes (n, columns) int64."""
        has_level = (categories >= 0) & (categories < self.sizes)
        unknown = torch.where(categories == NO_VALUE, 0, 1)
        return self.table[torch.where(has_level, categories + 2, unknown) + self.starts]


class _Coded(nn.Module):
    """Codes of numbers that are codes, put between those of the categories: `CodedColumn.codes`."""

    order: Tensor

    def __init__(self, columns: ProgramColumns) -> None:
        super().__init__()
        numbers = [column.name for column in columns.numbers]
        coded = [c for c in columns.codes if isinstance(c, CodedColumn)]
        self.places = [numbers.index(column.name) for column in coded]
        self.tables = [column.table for column in coded]
        for index, column in enumerate(coded):
            self.register_buffer(f"values{index}", torch.tensor(column.values, dtype=torch.float64))
        beside = [*columns.categories, *coded]
        order = [beside.index(column) for column in columns.codes]
        self.register_buffer("order", torch.tensor(order, dtype=torch.int64))

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Codes (n, categories) of words, and numbers, to codes (n, codes) of both."""
        number_codes = [
            self._codes(index, numbers[:, column], self.get_buffer(f"values{index}"))
            for index, column in enumerate(self.places)
        ]
        return torch.cat([codes, torch.stack(number_codes, dim=1)], dim=1)[:, self.order]

    def _codes(self, index: int, numbers: Tensor, values: Tensor) -> Tensor:
        table = self.tables[index]
        same = (numbers[:, None] == values).long()
        codes = torch.where(same.sum(1) > 0, same.argmax(1) + FIRST, table.unseen)
        return torch.where(torch.isfinite(numbers), codes, table.missing)


def known(column: CategoryColumn) -> tuple[str, ...]:
    """The levels of a category that have a number, in its order."""
    return tuple(column.table.known)


def example(columns: ProgramColumns) -> tuple[tuple[Tensor, Tensor], tuple[object, object]]:
    """Inputs to trace the program with, and what of their shapes may differ: the number of rows."""
    numbers = torch.zeros(3, len(columns.numbers), dtype=torch.float64)
    categories = torch.zeros(3, len(columns.categories), dtype=torch.int64)
    rows = torch.export.Dim("rows", min=1)
    return (numbers, categories), ({0: rows}, {0: rows})


def facts(model: Model) -> dict[str, object]:
    """What a user of the file should know, as plain data."""
    return {
        "target": model.target.name,
        "task": model.target.task,
        "classes": list(model.classes),
        "threshold": model.threshold,
        "columns": {c.name: c.kind for c in model.schema.features},
        "missing_words": ["", *model.schema.missing_words],
    }


def first_line(error: Exception) -> str:
    """What went wrong, of an error of many lines."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextmanager
def quiet() -> Iterator[None]:
    """Without what exporters say of libraries that nobody asked for, and of tensors without an element."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
