"""One MLflow store and what its errors mean. Imports MLflow: for the delivering process only."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tabstudio._util.error_summary import summarize_error
from tabstudio.errors import TrackingError
from tabstudio.settings import shown
from tabstudio.tracking.sqlite_template import opened, sqlite_file

Returned = TypeVar("Returned")

_REFUSED = frozenset(
    {
        "INVALID_PARAMETER_VALUE",
        "RESOURCE_ALREADY_EXISTS",
        "BAD_REQUEST",
        "MALFORMED_REQUEST",
        "INVALID_STATE",
    }
)
_WAY_OUT = "nothing is lost: `tabstudio sync` brings it later"


class UnreachableError(TrackingError):
    """The store cannot be used now. What waits stays in the spool."""


class RefusedError(TrackingError):
    """The store answered that it will never take this. Repeating it is of no use."""


class MlflowStore:
    """Talks to one tracking and one registry store.

    `folder` is the working folder of the run: MLflow puts the artifacts of a local database in `./mlruns`.
    """

    def __init__(self, tracking_uri: str, registry_uri: str, folder: str) -> None:
        self.address = shown(tracking_uri)
        self.forgets_nothing = tracking_uri.startswith("file:")
        if Path(folder).is_dir():
            os.chdir(folder)
        _check_local(tracking_uri)
        self._uris = tracking_uri, registry_uri
        self.use()
        self.client = self(
            "open", lambda: opened(tracking_uri, lambda: MlflowClient(tracking_uri, registry_uri))
        )

    def use(self) -> None:
        """Make this the store that MLflow itself turns to.

        Its registry asks the global tracking address, not the client's, for the model of a new version.
        """
        mlflow.set_tracking_uri(self._uris[0])
        mlflow.set_registry_uri(self._uris[1])

    def __call__(self, doing: str, call: Callable[[], Returned]) -> Returned:
        """Return what `call()` returns. Raises `RefusedError` or `UnreachableError`, one sentence each."""
        try:
            return call()
        except MlflowException as error:
            if error.error_code in _REFUSED:
                raise RefusedError(self._sentence(doing, error)) from error
            raise UnreachableError(f"{self._sentence(doing, error)}; {_WAY_OUT}") from error
        except OSError as error:  # the network (requests' errors are OSErrors), or a folder of artifacts
            raise UnreachableError(f"{self._sentence(doing, error)}; {_WAY_OUT}") from error
        except Exception as error:
            if type(error).__module__.startswith(("sqlalchemy", "alembic")):
                raise UnreachableError(f"{self._sentence(doing, error)}; {_WAY_OUT}") from error
            raise

    def experiment(self, name: str) -> str:
        """Find or make an experiment; two processes may do so at once."""
        experiment = self("look for the experiment", lambda: self.client.get_experiment_by_name(name))
        if experiment is None:
            try:
                return str(self("make the experiment", lambda: self.client.create_experiment(name)))
            except RefusedError:
                experiment = self("look for the experiment", lambda: self.client.get_experiment_by_name(name))
                if experiment is None:
                    raise
        if experiment.lifecycle_stage == "deleted":
            raise UnreachableError(
                f"{self.address}: the experiment {name!r} is deleted there; restore it "
                f"(mlflow experiments restore -x {experiment.experiment_id}) or name another one; {_WAY_OUT}"
            )
        return str(experiment.experiment_id)

    def _sentence(self, doing: str, error: Exception) -> str:
        return f"{self.address}: cannot {doing}: {summarize_error(error)}"


def _check_local(uri: str) -> None:
    """Check the database's state at once, before MLflow's migrations report it in fifty lines."""
    path = sqlite_file(uri)
    if path is None:
        return
    where = path if path.exists() else path.parent
    if not os.access(where, os.W_OK):
        missing = "does not exist" if not where.exists() else "may not be written by this user"
        raise UnreachableError(f"{shown(uri)}: {where} {missing}; {_WAY_OUT}")
    with path.open("rb") if path.exists() else open(os.devnull, "rb") as file:  # noqa: PTH123
        head = file.read(16)
    if head not in (b"", b"SQLite format 3\x00"):
        raise UnreachableError(f"{shown(uri)}: the file is not an SQLite database; {_WAY_OUT}")
