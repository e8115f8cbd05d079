"""The runs of all experiments, page by page, and the names of their metrics and parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tabstudio.studio.services.runs.run_query import RunQuery
from tabstudio.studio.services.runs.run_records import RunPage, RunRow, as_row
from tabstudio.studio.services.runs.run_search import RunSearch, search_of

if TYPE_CHECKING:
    from mlflow.entities import Run

    from tabstudio.registry.mlflow_client import RegistryClient

NEWEST = 100
"""Runs in which the names of metrics and parameters are looked for."""


@dataclass(frozen=True, slots=True)
class RunColumns:
    """Names that the newest runs have, most frequent first."""

    metrics: tuple[str, ...]
    params: tuple[str, ...]


class RunStore:
    """The runs of one tracking store."""

    def __init__(self, client: RegistryClient) -> None:
        self.client = client

    @cached_property
    def _finder(self) -> RunSearch:
        return search_of(self.client.mlflow)

    def experiments(self) -> dict[str, str]:
        """Return the names of the experiments by id, the one changed last first."""
        names: dict[str, str] = {}
        token: str | None = None
        with self.client.asking("list the experiments"):
            while True:
                page = self.client.mlflow.search_experiments(max_results=1000, page_token=token)
                names |= {experiment.experiment_id: experiment.name for experiment in page}
                token = page.token
                if not token:
                    return names

    def page(self, query: RunQuery, offset: int = 0, limit: int = 25, *, children: bool = False) -> RunPage:
        """Return a page of the runs that match a query; with `children`, how many runs are below each.

        Raises `ConfigError` for a query that makes no sense, `TrackingError` where MLflow cannot be asked.
        """
        query.check()
        names = self.experiments()
        experiments = [number for number in query.experiments or names if number in names]
        if not experiments:
            return RunPage((), 0)
        with self.client.asking("search the runs"):
            runs, total = self._finder.find(query, experiments, offset, limit)
            ids = [run.info.run_id for run in runs]
            children_of = self._finder.children(ids, experiments) if children and ids else {}
        return RunPage(tuple(_run_row(run, names, children_of) for run in runs), total)

    def children(self, run_id: str, experiments: Sequence[str]) -> int:
        """Return how many runs of these experiments are below one."""
        with self.client.asking("search the runs"):
            return self._finder.children([run_id], experiments)[run_id]

    def columns(self, query: RunQuery) -> RunColumns:
        """Return metrics and parameters of the newest runs that match a query, most frequent first."""
        rows = self.page(query, 0, NEWEST).rows
        return RunColumns(_frequent([row.metrics for row in rows]), _frequent([row.params for row in rows]))

    def rows(self, ids: Sequence[str]) -> list[RunRow]:
        """Return these runs in this order. Raises `TrackingError` where one is not there."""
        names = self.experiments()
        runs = []
        for run_id in ids:
            with self.client.asking(f"look at run {run_id[:64]}"):
                runs.append(self.client.mlflow.get_run(run_id))
        return [_run_row(run, names, {}) for run in runs]


def _run_row(run: Run, names: dict[str, str], below: dict[str, int]) -> RunRow:
    return as_row(run, names.get(run.info.experiment_id, run.info.experiment_id), below.get(run.info.run_id))


def _frequent(collections: Sequence[object]) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    for names in collections:
        for name in names:  # type: ignore[attr-defined]
            counts[name] = counts.get(name, 0) + 1
    return tuple(sorted(counts, key=lambda name: (-counts[name], name)))
