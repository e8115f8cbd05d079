"""What is known of a table's columns: kind, role, and the reason for each guess.

A schema is data. It is made once, when a table is read, printed for the person who gave the table, kept in
the model's bundle, and held against every row that the model is ever asked about.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from html import escape
from typing import Any, Literal, get_args

Kind = Literal["number", "boolean", "category", "date", "text"]
"""How a column's values are meant: `number` has an order and distances, `category` only equality."""

Role = Literal["feature", "target", "id", "constant", "group", "time", "split", "dropped"]
"""What a column is for. Only a `feature` reaches the network."""

Task = Literal["binary", "multiclass", "regression"]
Label = str | int | float | bool
"""A class label as it stood in the table, so that predictions speak the table's language."""

KINDS: tuple[Kind, ...] = get_args(Kind)
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, how its values are read, and its role.

    `missing` and `unique` count rows and distinct present values of the table that the schema was made
    from. `reason` says in one clause each why the kind and the role were chosen. `format` is how the values
    are written where that is not plain (a date format, or one of `tabstudio.table.number_formats`),
    `missing_words` the words that mean no value in this column beside those of the whole table: raw rows
    are read by them again.
    """

    name: str
    kind: Kind
    role: Role = "feature"
    dtype: str = "String"
    reason: str = ""
    missing: int = 0
    unique: int = 0
    format: str = ""
    missing_words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """The column to predict.

    `classes` are the labels in the order of the network's outputs, sorted; empty for a regression.
    `positive` is the class of interest of a binary task, one of `classes`: always the last of the two in
    reports, whatever its place in `classes`.
    """

    name: str
    task: Task
    classes: tuple[Label, ...] = ()
    positive: Label | None = None
    reason: str = ""

    @property
    def outputs(self) -> int:
        """Width of the network's last layer: 1 for binary and regression, else one per class."""
        return len(self.classes) if self.task == "multiclass" else 1


@dataclass(frozen=True, slots=True, repr=False)
class Schema:
    """The columns of a table in file order, and the target where one was named.

    `missing_words` mean no value in every column of the table; the empty cell always does.
    """

    columns: tuple[Column, ...]
    target: Target | None = None
    missing_words: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __contains__(self, name: object) -> bool:
        return any(column.name == name for column in self.columns)

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Every column's name, in file order."""
        return tuple(column.name for column in self.columns)

    @property
    def features(self) -> tuple[Column, ...]:
        """The feature columns, in file order."""
        return tuple(column for column in self.columns if column.role == "feature")

    def with_column(self, column: Column) -> Schema:
        """The same schema with the column of that name replaced."""
        return replace(self, columns=tuple(column if c.name == column.name else c for c in self.columns))

    def __repr__(self) -> str:
        rows = [_HEADERS, *(_column_cells(column) for column in self.columns)]
        widths = [min(40, max(len(row[place]) for row in rows)) for place in range(len(_HEADERS) - 1)]
        lines = [
            "  ".join(
                [
                    *(
                        _fit(cell, width, cell_place in _RIGHT)
                        for cell_place, (cell, width) in enumerate(zip(row, widths, strict=False))
                    ),
                    row[-1],
                ]
            ).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, *([f"target: {self._target_line()}"] if self.target else [])])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(cell)}</th>" for cell in _HEADERS)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in _column_cells(column)) + "</tr>"
            for column in self.columns
        )
        target = f"<p>target: {escape(self._target_line())}</p>" if self.target else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{target}"

    def _target_line(self) -> str:
        assert self.target is not None
        classes = ", ".join(map(str, self.target.classes[:10])) + (
            ", ..." if len(self.target.classes) > 10 else ""
        )
        of = f" of {classes}" if classes else ""
        return f"{self.target.name}, {self.target.task}{of} ({self.target.reason})"

    def to_json(self) -> dict[str, object]:
        """A plain dictionary that `Schema.from_json` takes back."""
        return {
            "columns": [asdict(column) for column in self.columns],
            "target": asdict(self.target) if self.target else None,
            "missing_words": list(self.missing_words),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Schema:
        """The schema that `to_json` wrote."""
        target = data["target"]
        if target is not None:
            target = Target(**{**target, "classes": tuple(target["classes"])})
        columns = tuple(
            Column(**{**column, "missing_words": tuple(column.get("missing_words", ()))})
            for column in data["columns"]
        )
        return cls(columns=columns, target=target, missing_words=tuple(data.get("missing_words", ())))


_HEADERS = ("column", "kind", "role", "missing", "unique", "reason")
_RIGHT = (3, 4)


def _column_cells(column: Column) -> tuple[str, ...]:
    return (column.name, column.kind, column.role, f"{column.missing:,}", f"{column.unique:,}", column.reason)


def _fit(cell: str, width: int, right: bool) -> str:
    cut = cell if len(cell) <= width else cell[: width - 1] + "…"
    return cut.rjust(width) if right else cut.ljust(width)
