"""The address of our own tables: the user's, else a file beside MLflow's."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from tabstudio.errors import ConfigError, MissingExtraError
from tabstudio.settings import setting, shown

FILE = "tabstudio.db"
_NAME = "TABSTUDIO_DATABASE_URL"


def database_address(url: str | None = None, registry_uri: str = "") -> str:
    """Return the address of our tables as SQLAlchemy takes it, a local path made absolute.

    Without `url` and `TABSTUDIO_DATABASE_URL` it is the SQLite file `tabstudio.db`: in the folder of MLflow's
    own database, or in the working folder where the registry is a server.

    Raises `ConfigError` for another kind of database, or for MLflow's own SQLite file;
    `MissingExtraError` where PostgreSQL's driver is not installed.
    """
    chosen = url or setting(_NAME)
    beside = sqlite_path(registry_uri)
    if not chosen:
        return f"sqlite:///{(beside.parent if beside else Path.cwd()) / FILE}"
    dialect, colon, rest = chosen.partition("://")
    if colon and dialect.partition("+")[0] in ("postgresql", "postgres"):
        return _postgres(dialect, rest)
    path = sqlite_path(chosen)
    if path is None:
        raise ConfigError(
            f"{_NAME}: expected sqlite:///path/{FILE} or postgresql://user@host/name, got {shown(chosen)!r}"
        )
    if path == beside:
        raise ConfigError(
            f"{_NAME}: {path} is MLflow's own file; SQLite has one writer, so name another file, "
            f"such as sqlite:///{FILE}"
        )
    return f"sqlite:///{path}"


def sqlite_path(address: str) -> Path | None:
    """Return the absolute file of an SQLite address, None for any other store and for one in memory."""
    if not address.startswith("sqlite:///"):
        return None
    name = address.removeprefix("sqlite:///").partition("?")[0]
    return None if name in ("", ":memory:") else Path(name).absolute()


def _postgres(dialect: str, rest: str) -> str:
    _, plus, driver = dialect.partition("+")
    driver = driver if plus else "psycopg"
    if find_spec(driver) is None:
        raise MissingExtraError(
            f"{_NAME}: PostgreSQL needs the package {driver!r}; install it with "
            "`pip install 'tabstudio[postgres]'`"
        )
    return f"postgresql+{driver}://{rest}"
