"""What is known of a table's columns: kind, role, and the reason for each guess.

A schema is data. It is made once, when a table is read, printed for the person who gave the table, kept in
the model's bundle, and held against every row that the model is ever asked about.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
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
    """One column: its name in the file, how its values are read and what it is for.

    `missing` and `unique` count rows and distinct present values of the table that the schema was made from.
    `reason` says in one clause each why the kind and the role were chosen.
    """

    name: str
    kind: Kind
    role: Role = "feature"
    dtype: str = "String"
    reason: str = ""
    missing: int = 0
    unique: int = 0


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


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of a table in file order, and the target where one was named."""

    columns: tuple[Column, ...]
    target: Target | None = None

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
        """The columns that a model sees, in file order."""
        return tuple(column for column in self.columns if column.role == "feature")

    def with_column(self, column: Column) -> Schema:
        """The same schema with the column of that name replaced."""
        return replace(self, columns=tuple(column if c.name == column.name else c for c in self.columns))

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary that `Schema.from_json` takes back."""
        return {
            "columns": [asdict(column) for column in self.columns],
            "target": asdict(self.target) if self.target else None,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Schema:
        """The schema that `to_json` wrote."""
        target = data["target"]
        if target is not None:
            target = Target(**{**target, "classes": tuple(target["classes"])})
        return cls(columns=tuple(Column(**column) for column in data["columns"]), target=target)
