"""What a person should know of a table before training on it. Nothing is changed or dropped here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from tabstudio.table.column_roles import name_words
from tabstudio.table.leakage import Strength, measure_columns
from tabstudio.table.schema import Column
from tabstudio.table.table import Table

Severity = Literal["info", "warning", "danger"]
FindingKind = Literal[
    "id",
    "groups",
    "constant",
    "duplicates",
    "contradictions",
    "leak",
    "imbalance",
    "rare classes",
    "cardinality",
    "missing",
]

_DANGER_AUC, _WARNING_AUC = 0.995, 0.98
_DANGER_GAIN, _WARNING_GAIN = 0.98, 0.9
_IMBALANCED_BELOW = 0.1
_RARE_CLASS_ROWS = 10
_MANY_CATEGORIES = 100
_FEWEST_GROUPS, _ROWS_OF_A_GROUP = 10, 2
_GROUP_NAME = re.compile(
    r"(?:^|[_\W])(?:id|uuid|guid|key|patient|subject|person|respondent|household|family|customer|client|user)$"
)
_MOSTLY_MISSING = 0.5
_ORDER = {"danger": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: its kind, severity, columns, message and remedy."""

    kind: FindingKind
    severity: Severity
    columns: tuple[str, ...]
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.message}" + (f" {self.remedy}" if self.remedy else "")


def check(table: Table) -> tuple[Finding, ...]:
    """Return the findings on a table before a training, the most severe first.

    Looked for are ids, groups, constants, copies, leaks, imbalance, rare classes, many categories and gaps.
    Nothing is changed or dropped.

    Parameters
    ----------
    table : Table
        A table as `read` returns it.

    Returns
    -------
    tuple of Finding
        Each with its severity, the columns it is about, and the remedy.

    Notes ----- A leak is a single column that predicts the label almost perfectly on rows that its rule has
    not seen: at least 0.995 ROC AUC is a danger, 0.98 a warning; so is a column that undoes 98 % or 90 % of
    the errors that are made without it. Tables above 20,000 rows are measured on a sample of that many.

    Examples
    --------
    >>> from tabstudio import read
    >>> ages = [31, 40, 28, 55, 37, 62] * 9
    >>> table = read({"age": ages, "unit": ["m"] * 54, "paid": ["yes", "no"] * 27}, target="paid")
    >>> any("unit" in finding.columns for finding in check(table))
    True
    """
    findings = [*_roles(table), *_group_findings(table), *_copies(table), *_gaps(table), *_categories(table)]
    if table.schema.target is not None:
        findings += [*_leaks(table), *_class_findings(table)]
    return tuple(sorted(findings, key=lambda finding: _ORDER[finding.severity]))


def _drop(columns: tuple[str, ...]) -> str:
    options = " ".join(f"--drop {name if name.isidentifier() else repr(name)}" for name in columns)
    return f"leave {'it' if len(columns) == 1 else 'them'} out with {options}"


def _roles(table: Table) -> Iterator[Finding]:
    for column in table.schema:
        if column.role == "id":
            keep = f"Keep it as a feature with --keep {column.name!r}."
            yield Finding("id", "info", (column.name,), f"{column.name} is an id ({column.reason}).", keep)
        elif column.role == "constant":
            yield Finding("constant", "info", (column.name,), f"{column.name} has {_constant(column)}.", "")


def _group_findings(table: Table) -> Iterator[Finding]:
    """Ids that recur: measurements of one person, purchases of one customer."""
    for column in table.schema.features:
        named = _GROUP_NAME.search(name_words(column.name))
        present = len(table) - column.missing
        recurs = _FEWEST_GROUPS <= column.unique <= present / _ROWS_OF_A_GROUP
        if named and recurs and column.dtype in ("Int64", "String"):
            message = (
                f"{column.name} is named like an id, and its {column.unique:,} values recur in {present:,} "
                "rows: a random split would test on those that it trains on."
            )
            remedy = f"Keep the rows of each on one side with --group {column.name!r}."
            yield Finding("groups", "warning", (column.name,), message, remedy)


def _constant(column: Column) -> str:
    return "no value in any row" if column.unique == 0 else "the same value in all rows"


def _copies(table: Table) -> Iterator[Finding]:
    features = [column.name for column in table.schema.features]
    if not features:
        return
    hashes = table.frame.select(features).hash_rows(seed=0)
    copies = len(table) - hashes.n_unique()
    if copies == 0:
        return
    message = f"{copies:,} of {len(table):,} rows repeat the features of another row."
    yield Finding("duplicates", "info", (), message, "Copies are kept on one side of every split.")
    target = table.schema.target
    if target is not None and target.task != "regression":
        pairs = pl.DataFrame({"row": hashes, "label": table.frame[target.name]}).n_unique()
        torn = pairs - hashes.n_unique()
        if torn:
            often = "once" if torn == 1 else f"{torn:,} times"
            message = f"Rows with the same features have different labels, {often}."
            yield Finding(
                "contradictions", "info", (target.name,), message, "No model can be right on all of them."
            )


def _gaps(table: Table) -> Iterator[Finding]:
    gaps = [column for column in table.schema.features if column.missing]
    mostly = tuple(column.name for column in gaps if column.missing > _MOSTLY_MISSING * len(table))
    if mostly:
        shown = ", ".join(f"{name} ({table.schema[name].missing / len(table):.0%})" for name in mostly)
        message = f"More than half of the values are missing in {shown}."
        yield Finding(
            "missing", "warning", mostly, message, f"The gap itself is used as well; {_drop(mostly)}."
        )
    rest = tuple(column.name for column in gaps if column.name not in mostly)
    if rest:
        most = max((table.schema[name] for name in rest), key=lambda column: column.missing)
        message = f"Values are missing in {len(rest)} of the columns, most in {most.name} ({most.missing:,})."
        yield Finding("missing", "info", rest, message, "")


def _categories(table: Table) -> Iterator[Finding]:
    for column in table.schema.features:
        if column.kind == "category" and column.unique > _MANY_CATEGORIES:
            present = len(table) - column.missing
            grave: Severity = "warning" if column.unique > present / 2 else "info"
            message = f"{column.name} has {column.unique:,} categories in {present:,} rows."
            yield Finding(
                "cardinality",
                grave,
                (column.name,),
                message,
                "The default network reads rare ones by letters and digits, where these tell something; "
                f"if they are codes that mean nothing, {_drop((column.name,))}.",
            )


def _leaks(table: Table) -> Iterator[Finding]:
    for name, strength in measure_columns(table).items():
        severity = _severity(strength)
        if severity is not None:
            message = f"{name} alone predicts the target almost perfectly on rows not seen ({strength})."
            remedy = f"Would it be known when the prediction is made? If not, {_drop((name,))}."
            yield Finding("leak", severity, (name,), message, remedy)


def _severity(strength: Strength) -> Severity | None:
    if strength.auc >= _DANGER_AUC or strength.gain >= _DANGER_GAIN:
        return "danger"
    if strength.auc >= _WARNING_AUC or strength.gain >= _WARNING_GAIN:
        return "warning"
    return None


def _class_findings(table: Table) -> Iterator[Finding]:
    target = table.schema.target
    assert target is not None
    if target.task == "regression":
        return
    counts = np.bincount(table.labels(), minlength=len(target.classes))
    rare = [(target.classes[c], counts[c]) for c in np.flatnonzero(counts < _RARE_CLASS_ROWS)]
    if rare:
        shown = ", ".join(f"{label} ({count})" for label, count in rare)
        message = (
            f"{len(rare)} of {len(target.classes)} classes have fewer than {_RARE_CLASS_ROWS} rows: {shown}."
        )
        yield Finding(
            "rare classes",
            "warning",
            (target.name,),
            message,
            "Their scores mean little; merge or collect more.",
        )
    share = counts.min() / counts.sum()
    if target.task == "binary" and share < _IMBALANCED_BELOW:
        label = target.classes[int(counts.argmin())]
        message = f"Only {share:.1%} of the rows are {label!r}; accuracy says little here."
        yield Finding(
            "imbalance",
            "warning",
            (target.name,),
            message,
            "Look at PR AUC and recall; --balance weighs classes.",
        )
