"""The way to an MLflow registry: opened without making one, its errors in one sentence, names suggested."""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tabstudio._util.error_summary import summarize_error
from tabstudio.errors import ModelError, TrackingError
from tabstudio.settings import registry_address, setting, shown, tracking_address

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

MISSING = "RESOURCE_DOES_NOT_EXIST"
"""MLflow's error code for what is not there."""


class RegistryClient:
    """`MlflowClient` over the tracking and the registry store of a user, and what its errors mean.

    Raises `ModelError` where a local database does not exist: a look must not make an empty one.
    """

    def __init__(self, tracking_uri: str | None = None, registry_uri: str | None = None) -> None:
        self.tracking_uri = tracking_address(tracking_uri)
        self.registry_uri = registry_address(registry_uri, self.tracking_uri)
        self.address = shown(self.registry_uri)
        _check_database(self.tracking_uri, self.registry_uri)
        # A command is short: MLflow's own retries would keep it for four minutes.
        for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
            os.environ[name] = setting(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's own, of its own imports
            from mlflow import MlflowClient
        with self.asking("open"):
            self.mlflow = MlflowClient(self.tracking_uri, self.registry_uri)

    @contextmanager
    def asking(self, doing: str) -> Iterator[None]:
        """Turn what MLflow raises into one sentence. `MissingError` where the thing asked for is not there.

        Raises `TrackingError` where the registry cannot be used.
        """
        from mlflow.exceptions import MlflowException

        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", category=FutureWarning)  # stages are deprecated
                yield
        except MlflowException as error:
            if error.error_code == MISSING:
                raise MissingError(f"{self.address}: cannot {doing}: {summarize_error(error)}") from error
            raise TrackingError(f"{self.address}: cannot {doing}: {summarize_error(error)}") from error
        except OSError as error:  # the network (requests' errors are OSErrors), or a folder of artifacts
            raise TrackingError(f"{self.address}: cannot {doing}: {summarize_error(error)}") from error
        except Exception as error:
            if type(error).__module__.startswith(("sqlalchemy", "alembic")):
                raise TrackingError(f"{self.address}: cannot {doing}: {summarize_error(error)}") from error
            raise

    def registered(self, name: str) -> RegisteredModel:
        """Look a registered model up. Raises `ModelError` with names that are similar."""
        try:
            with self.asking(f"look for the model {name!r}"):
                return self.mlflow.get_registered_model(name)
        except MissingError as error:
            raise ModelError(self.similar(name)) from error

    def models(self, page: int, limit: int, search: str = "") -> list[RegisteredModel]:
        """Return one page of the registered models, in alphabetical order; pages count from 1.

        `search` keeps those whose names hold it, in any case.
        """
        token: str | None = None
        # MLflow's filters know no escape for a quote; `_` stands for any sign.
        wanted = f"name ILIKE '%{search.replace(chr(39), '_')}%'" if search else None
        with self.asking("list the models"):
            for number in range(1, page + 1):
                models = self.mlflow.search_registered_models(wanted, max_results=limit, page_token=token)
                token = models.token
                if number == page:
                    return list(models)
                if not token:
                    break
        return []

    def newest(self, name: str, limit: int, before: int | None = None) -> list[ModelVersion]:
        """Return up to `limit` versions of a model, the highest number first, all of them below `before`."""
        older = f" AND version_number < {before}" if before is not None else ""
        with self.asking(f"list the versions of {name!r}"):
            return list(
                self.mlflow.search_model_versions(
                    name_filter(name) + older, max_results=limit, order_by=["version_number DESC"]
                )
            )

    def runs(self, run_ids: Iterable[str]) -> dict[str, Run]:
        """Return runs by their ids, deleted ones included; what does not exist is left out.

        One is asked for, and all others of its experiment come in a second request.
        """
        wanted = dict.fromkeys(run_ids)
        runs: dict[str, Run] = {}
        while wanted:
            first = next(iter(wanted))
            del wanted[first]
            try:
                with self.asking(f"look at run {first}"):
                    runs[first] = self.mlflow.get_run(first)
                    others = self._runs_beside(runs[first], list(wanted)) if wanted else []
            except MissingError:
                continue
            for run in others:
                runs[run.info.run_id] = run
                del wanted[run.info.run_id]
        return runs

    def _runs_beside(self, run: Run, run_ids: list[str]) -> list[Run]:
        from mlflow.entities import ViewType

        ids = ", ".join(f"'{run_id}'" for run_id in run_ids)
        return list(
            self.mlflow.search_runs(
                [run.info.experiment_id], f"attributes.run_id IN ({ids})", ViewType.ALL, len(run_ids)
            )
        )

    def similar(self, name: str) -> str:
        """Say which registered models there are, the ones with a similar name first."""
        with self.asking("list the models"):
            names = [model.name for model in self.mlflow.search_registered_models(max_results=1000)]
        near = difflib.get_close_matches(name, names, n=5, cutoff=0.5)
        known = ", ".join(near or sorted(names)[:10])
        there = f"did you mean {known}?" if near else f"there is {known}" if known else "there is none"
        return f"{self.address} has no registered model {name!r}; {there}"


class MissingError(TrackingError):
    """What was asked for is not in the registry."""


def name_filter(name: str) -> str:
    """Return the filter that selects the versions of one model.

    >>> print(name_filter("ill"), name_filter('the "best"'))
    name = "ill" name = 'the "best"'
    """
    quote = "'" if '"' in name else '"'
    return f"name = {quote}{name}{quote}"


def _check_database(*uris: str) -> None:
    for uri in uris:
        path = Path(uri.removeprefix("sqlite:///").partition("?")[0])
        if uri.startswith("sqlite:///") and not path.exists():
            raise ModelError(
                f"there is no registry yet: {path} does not exist. `tabstudio train FILE --target COLUMN` "
                "makes one here; one that stands elsewhere is named by MLFLOW_TRACKING_URI"
            )
