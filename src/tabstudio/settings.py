"""Every setting that is read from the environment, in one table: name, default, help.

An explicit argument wins over the environment, the environment over the default.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tabstudio.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable: what stands for it when it is not set, and what it is for."""

    name: str
    default: str
    help: str


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "MLFLOW_TRACKING_URI", "sqlite:///mlflow.db", "Where runs are kept: a database or an MLflow server."
    ),
    Setting("MLFLOW_REGISTRY_URI", "", "Where registered models are kept; empty: where the runs are."),
    Setting("MLFLOW_EXPERIMENT_NAME", "", "The experiment of new runs; empty: called as the run."),
    Setting("MLFLOW_HTTP_REQUEST_TIMEOUT", "10", "Seconds that one request to an MLflow server may take."),
    Setting(
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0", "How often MLflow itself repeats; the delivery does anyway."
    ),
    Setting("MLFLOW_DISABLE_TELEMETRY", "true", "Whether the delivery leaves MLflow's usage statistics off."),
    Setting(
        "TABSTUDIO_DELIVERY",
        "now",
        "When runs are brought to MLflow: now, while they train, or later, by `tabstudio sync` alone.",
    ),
    Setting("XDG_CACHE_HOME", "~/.cache", "Where an empty MLflow database is kept, to be copied."),
    Setting(
        "TABSTUDIO_ACTOR",
        "",
        "Who trains, and acts in the registry; empty: the user of the operating system.",
    ),
    Setting("TABSTUDIO_TRAININGS", "2", "How many trainings started from a studio may run at once."),
    Setting(
        "TABSTUDIO_SERVE_TOKENS",
        "",
        "A server's file of access tokens; empty: serve-tokens in TABSTUDIO_HOME, asked off loopback only.",
    ),
    Setting(
        "TABSTUDIO_URL", "", "The studio that the registry's commands ask; empty: no studio, MLflow itself."
    ),
    Setting("TABSTUDIO_TOKEN", "", "What is shown to that studio, from `tabstudio users token NAME`."),
    Setting("TABSTUDIO_PASSWORD", "", "A new password for `tabstudio users`, where nobody can be asked."),
    Setting(
        "TABSTUDIO_DATABASE_URL",
        "",
        "Where our own tables are kept, PostgreSQL or SQLite; empty: `tabstudio.db` beside `mlflow.db`.",
    ),
    Setting(
        "TABSTUDIO_HOME", ".tabstudio", "The folder of the local spool: what MLflow has not received yet."
    ),
)

_BY_NAME = {setting.name: setting for setting in SETTINGS}
_DATABASES = ("sqlite", "postgresql", "postgres", "mysql", "mssql")
_SERVERS = ("http", "https", "file", "databricks", "databricks-uc", "uc")


def setting(name: str) -> str:
    """Look a setting up: the environment's value, or the default. Raises `KeyError` for an unknown name."""
    return os.environ.get(name) or _BY_NAME[name].default


def secret(name: str) -> str:
    """Return a secret that the user keeps in an environment variable of their own naming.

    Raises `ConfigError` where it is not set.
    """
    if not os.environ.get(name):
        raise ConfigError(f"{name}: a secret was expected in this environment variable, but it is not set")
    return os.environ[name]


def actor(name: str | None = None) -> str:
    """Return who is acting: as said, else `TABSTUDIO_ACTOR`, else the user of the operating system."""
    if name or setting("TABSTUDIO_ACTOR"):
        return (name or setting("TABSTUDIO_ACTOR")).strip()
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        return f"user {os.getuid()}"


def spool_folder(folder: str | Path | None = None) -> Path:
    """Return the absolute folder of the local spool."""
    return Path(folder or setting("TABSTUDIO_HOME")).absolute()


def delivers_later() -> bool:
    """Return whether runs wait in the spool for `tabstudio sync`.

    Raises `ConfigError` for a value of TABSTUDIO_DELIVERY that is neither now nor later.
    """
    chosen = setting("TABSTUDIO_DELIVERY")
    if chosen not in ("now", "later"):
        raise ConfigError(f"TABSTUDIO_DELIVERY: expected now or later, got {chosen!r}")
    return chosen == "later"


def tracking_address(uri: str | None = None) -> str:
    """Return the tracking address, a local database's path made absolute.

    Raises `ConfigError` for an address that MLflow has no store for.
    """
    return _absolute(uri or setting("MLFLOW_TRACKING_URI"), "MLFLOW_TRACKING_URI")


def registry_address(uri: str | None = None, tracking_uri: str | None = None) -> str:
    """Return the address of the model registry; where none is set, it is the tracking address."""
    chosen = uri or setting("MLFLOW_REGISTRY_URI")
    return _absolute(chosen, "MLFLOW_REGISTRY_URI") if chosen else tracking_address(tracking_uri)


def shown(address: str) -> str:
    """Return an address with its password masked, fit for messages."""
    secret = urlsplit(address).password
    return address.replace(f":{secret}@", ":***@") if secret else address


def _absolute(uri: str, name: str) -> str:
    scheme, colon, rest = uri.partition(":")
    dialect = scheme.partition("+")[0].lower()
    if not colon and scheme not in _SERVERS:
        return Path(uri).absolute().as_uri()
    if dialect not in (*_DATABASES, *_SERVERS):
        raise ConfigError(
            f"{name}: expected the address of an MLflow store, got {shown(uri)!r}; write for example "
            "sqlite:///mlflow.db, http://127.0.0.1:5000 or postgresql://user@host/mlflow"
        )
    if dialect == "sqlite" and rest.startswith("///") and not rest.startswith("////"):
        return f"sqlite:///{Path(rest[3:]).absolute()}"
    return uri
