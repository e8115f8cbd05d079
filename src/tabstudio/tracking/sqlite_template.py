"""A new MLflow database in milliseconds: an empty one, made once by MLflow itself, is copied.

Setting up its database is the slowest thing that MLflow does in a first run: some sixty migrations, one after
the other. They end in the same empty tables every time, so the result is kept in the user's cache folder, per
version of MLflow and SQLAlchemy.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from tabstudio._util.atomic_files import draft_path
from tabstudio.settings import setting

Opened = TypeVar("Opened")

_MAY_HOLD_ROWS = {"alembic_version", "experiments", "workspaces"}


def opened(uri: str, open_store: Callable[[], Opened]) -> Opened:
    """Return `open_store()`, after a new SQLite file was copied from the template where there is one.

    Without a template the store makes its own tables, and they become the template.
    """
    path = sqlite_file(uri)
    if path is None or path.exists():
        return open_store()
    template = template_file()
    if _is_sound(template) and _copied(template, path):
        return open_store()
    store = open_store()
    _keep(path, template)
    return store


def sqlite_file(uri: str) -> Path | None:
    """The file of a local SQLite address, None for any other store."""
    if not uri.startswith("sqlite:///"):
        return None
    name = uri.removeprefix("sqlite:///").partition("?")[0]
    return None if name in ("", ":memory:") else Path(name)


def template_file() -> Path:
    """Return the path of the empty database of the installed versions."""
    folder = Path(setting("XDG_CACHE_HOME")).expanduser() / "tabstudio"
    return folder / f"mlflow-{version('mlflow')}-sqlalchemy-{version('sqlalchemy')}.db"


def _is_sound(template: Path) -> bool:
    if not template.is_file():
        return False
    try:
        with closing(sqlite3.connect(template)) as database:
            checked = database.execute("PRAGMA quick_check").fetchone()[0] == "ok"
            return checked and bool(database.execute("SELECT version_num FROM alembic_version").fetchone())
    except sqlite3.Error as error:
        print(f"the template of the database is not used: {error}")  # noqa: T201 - to the process's log
        return False


def _copied(template: Path, path: Path) -> bool:
    try:
        with draft_path(path, durable=False, overwrite=False) as draft:
            shutil.copyfile(template, draft)
    except OSError as error:  # another process has made the file meanwhile, for example
        print(f"the database is set up by MLflow: {error}")  # noqa: T201 - to the process's log
        return False
    return True


def _keep(path: Path, template: Path) -> None:
    try:
        template.parent.mkdir(parents=True, exist_ok=True)
        with draft_path(template, durable=False) as draft:
            _copy_empty(path, draft)
    except (OSError, sqlite3.Error) as error:
        print(f"no template of the database is kept: {error}")  # noqa: T201 - to the process's log


def _copy_empty(path: Path, draft: Path) -> None:
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(draft)) as copy:
        source.backup(copy)
        if not _is_empty(copy):
            raise sqlite3.DataError("the new database holds rows that were not expected")
        copy.execute("DELETE FROM experiments")  # its artifact folder is that of this place
        copy.commit()


def _is_empty(database: sqlite3.Connection) -> bool:
    tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    first = 'SELECT 1 FROM "{}" LIMIT 1'
    used = {name for name in tables if database.execute(first.format(name)).fetchone()}
    others = database.execute("SELECT COUNT(*) FROM experiments WHERE name <> 'Default'").fetchone()[0]
    return used <= _MAY_HOLD_ROWS and not others
