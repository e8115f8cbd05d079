"""Our own tables: SQLite beside `mlflow.db`, or PostgreSQL. Each room to the right keeps its rows here."""

from __future__ import annotations

from tabstudio.database.address import database_address
from tabstudio.database.database import Database

__all__ = ["Database", "database_address"]
