"""Bytes to typed columns: read a table, check it, split it, and hold new rows against its schema.

Names are imported on first use: `tabstudio.options` needs the schema's types alone, and `tabstudio --help`
needs no polars.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tabstudio.table.checks import Finding, check
    from tabstudio.table.chunked_reader import scan
    from tabstudio.table.reader import read
    from tabstudio.table.schema import Column, Kind, Label, Role, Schema, Target, Task
    from tabstudio.table.schema_alignment import conform
    from tabstudio.table.splits import Split, split
    from tabstudio.table.table import Note, Table, TableSource

__all__ = [
    "Column",
    "Finding",
    "Kind",
    "Label",
    "Note",
    "Role",
    "Schema",
    "Split",
    "Table",
    "TableSource",
    "Target",
    "Task",
    "check",
    "conform",
    "read",
    "scan",
    "split",
]

_HOME = {
    "Finding": "checks",
    "check": "checks",
    "conform": "schema_alignment",
    "read": "reader",
    "scan": "chunked_reader",
    "Split": "splits",
    "split": "splits",
    "Note": "table",
    "TableSource": "table",
    "Table": "table",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME.get(name, 'schema')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
