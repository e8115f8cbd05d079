"""Search of runs: in MLflow's tables where there is a database, else page by page through its API.

`MlflowClient.search_runs` answers pages only, and does not say how many runs there are. On SQLite it takes
seconds to sort 10,000 runs by a metric, because it joins them to a subquery that has no index. MLflow's
tables are indexed well for the same question asked directly, so with a database of one's own that is done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import Float, and_, case, cast, func, select

from tabstudio._compat.mlflow import filter_clauses, is_filter_readable, tracking_store
from tabstudio.studio.services.runs.run_query import (
    ATTRIBUTES,
    RunQuery,
    filter_string,
    order_clause,
    parse_filter,
)
from tabstudio.studio.services.runs.run_records import PARENT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.store.entities import PagedList
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

NUMBER = r"^[ ]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ ]*$"
"""A parameter that is sorted as a number; all others are sorted as text, after them."""


class RunSearch(Protocol):
    """Searches runs in given experiments."""

    def find(
        self, query: RunQuery, experiments: Sequence[str], offset: int, limit: int
    ) -> tuple[list[Run], int]:
        """Return some runs, and how many there are in all."""

    def children(self, ids: Sequence[str], experiments: Sequence[str]) -> dict[str, int]:
        """Return how many runs are below each of these."""


def search_of(client: MlflowClient) -> RunSearch:
    """Return the fastest search of a client's runs."""
    from mlflow.store.tracking import sqlalchemy_store

    store = tracking_store(client)
    at_hand = isinstance(store, sqlalchemy_store.SqlAlchemyStore)
    return SqlRunSearch(client, store) if at_hand and is_filter_readable() else ApiRunSearch(client)


class SqlRunSearch:
    """Finds the ids in MLflow's own tables, and fetches these runs from MLflow."""

    def __init__(self, client: MlflowClient, store: SqlAlchemyStore) -> None:
        self.client, self.store = client, store

    def find(
        self, query: RunQuery, experiments: Sequence[str], offset: int, limit: int
    ) -> tuple[list[Run], int]:
        """Return some runs, and how many there are in all."""
        with self.store.ManagedSessionMaker() as session:
            matching = self._matching(session, query, experiments)
            total = session.execute(select(func.count()).select_from(matching.subquery())).scalar_one()
            ids = session.execute(_ordered(query, matching).offset(offset).limit(limit)).scalars().all()
        return self._runs(ids, experiments), int(total)

    def children(self, ids: Sequence[str], experiments: Sequence[str]) -> dict[str, int]:
        """Return how many runs are below each of these."""
        from mlflow.store.tracking.dbmodels.models import SqlRun, SqlTag

        counting = (
            select(SqlTag.value, func.count())
            .join(SqlRun, SqlRun.run_uuid == SqlTag.run_uuid)
            .where(SqlTag.key == PARENT, SqlTag.value.in_(ids), *_within(experiments))
            .group_by(SqlTag.value)
        )
        with self.store.ManagedSessionMaker() as session:
            counts = {parent: int(number) for parent, number in session.execute(counting)}
        return {run_id: counts.get(run_id, 0) for run_id in ids}

    def _matching(self, session: Session, query: RunQuery, experiments: Sequence[str]) -> Select[tuple[str]]:
        """Select the ids of matching runs, in no order; MLflow itself parses the filter string."""
        from mlflow.store.tracking.dbmodels.models import SqlRun, SqlTag

        attributes, joined, datasets = filter_clauses(self.store, session, parse_filter(query.filter))
        below = select(SqlTag.run_uuid).where(SqlTag.key == PARENT)
        statement = select(SqlRun.run_uuid)
        for table in joined:
            statement = statement.join(table)
        for table in datasets:
            statement = statement.join(table, SqlRun.run_uuid == table.c.destination_id)
        conditions = [*_within(experiments), *attributes]
        if query.name:
            conditions.append(func.lower(SqlRun.name).contains(query.name.lower(), autoescape=True))
        if query.status:
            conditions.append(SqlRun.status == query.status)
        if query.parent:
            conditions.append(SqlRun.run_uuid.in_(below.where(SqlTag.value == query.parent)))
        if query.grouped:
            conditions.append(SqlRun.run_uuid.not_in(below))
        return statement.where(*conditions).distinct()

    def _runs(self, ids: Sequence[str], experiments: Sequence[str]) -> list[Run]:
        if not ids:
            return []
        names = ", ".join(f"'{run_id}'" for run_id in ids)
        runs = self.client.search_runs(
            list(experiments), f"attributes.run_id IN ({names})", max_results=len(ids)
        )
        by_id = {run.info.run_id: run for run in runs}
        return [by_id[run_id] for run_id in ids if run_id in by_id]  # one may have been deleted meanwhile


def _within(experiments: Sequence[str]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    from mlflow.store.tracking.dbmodels.models import SqlRun

    numbers = [int(number) for number in experiments]
    return SqlRun.experiment_id.in_(numbers), SqlRun.lifecycle_stage == "active"


def _ordered(query: RunQuery, matching: Select[tuple[str]]) -> Select[tuple[str]]:
    """Select the ids in their order: runs without the value last, then the latest first."""
    from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlParam, SqlRun

    statement = select(SqlRun.run_uuid).where(SqlRun.run_uuid.in_(matching))
    kind, _, name = query.order.partition(".")
    if query.order in ATTRIBUTES:
        attribute = SqlRun.get_attribute_name(ATTRIBUTES[query.order])
        value = getattr(SqlRun, "name" if query.order == "name" else attribute)
        keys = [case((value.is_(None), 1), else_=0), value]
    elif kind == "metrics":
        metric = SqlLatestMetric
        statement = statement.outerjoin(metric, and_(metric.run_uuid == SqlRun.run_uuid, metric.key == name))
        keys = [case((metric.is_nan.is_(True), 1), (metric.value.is_(None), 2), else_=0), metric.value]
    else:
        param = SqlParam
        statement = statement.outerjoin(param, and_(param.run_uuid == SqlRun.run_uuid, param.key == name))
        numeric = param.value.regexp_match(NUMBER)
        keys = [
            case((numeric, 0), (param.value.is_(None), 2), else_=1),
            case((numeric, cast(param.value, Float))),
            param.value,
        ]
    rank, *values = keys
    directed = [value.desc() if query.descending else value for value in values]
    return statement.order_by(rank, *directed, SqlRun.start_time.desc(), SqlRun.run_uuid)


class ApiRunSearch:
    """Asks a tracking server, whose pages only say whether another one follows.

    Parameters are sorted as text there. The number of runs is found by halving, about thirty small questions
    for ten thousand runs; once it is known, two questions tell whether it still holds.
    """

    def __init__(self, client: MlflowClient) -> None:
        self.client = client
        self._totals: dict[tuple[str, tuple[str, ...]], int] = {}

    def find(
        self, query: RunQuery, experiments: Sequence[str], offset: int, limit: int
    ) -> tuple[list[Run], int]:
        """Return some runs, and how many there are in all."""
        filter_text = filter_string(query)
        page = self._search(experiments, filter_text, offset, limit, [order_clause(query)])
        if not page.token and (page or not offset):
            return list(page), offset + len(page)
        return list(page), self._total(filter_text, experiments)

    def children(self, ids: Sequence[str], experiments: Sequence[str]) -> dict[str, int]:
        """Return how many runs are below each of these."""
        return {
            run_id: self._total(filter_string(RunQuery(parent=run_id)), experiments, known=0)
            for run_id in ids
        }

    def _total(self, filter_text: str, experiments: Sequence[str], known: int = 256) -> int:
        key = filter_text, tuple(experiments)
        total = self._totals[key] = _counted(
            lambda offset: bool(self._search(experiments, filter_text, offset, 1)),
            self._totals.get(key, known),
        )
        return total

    def _search(
        self,
        experiments: Sequence[str],
        filter_text: str,
        offset: int,
        limit: int,
        order: list[str] | None = None,
    ) -> PagedList[Run]:
        from mlflow.utils.search_utils import SearchUtils

        return self.client.search_runs(
            list(experiments),
            filter_text,
            max_results=limit,
            order_by=order,
            page_token=SearchUtils.create_page_token(offset).decode() if offset else None,
        )


def _counted(exists: Callable[[int], bool], guess: int) -> int:
    """Return the length of a list that only answers whether it has an element at an index.

    >>> [_counted(lambda place: place < length, 100) for length in (0, 3, 99, 100, 101, 12345)]
    [0, 3, 99, 100, 101, 12345]
    """
    low, high = 0, guess
    if exists(high):
        while exists(high):
            low, high = high + 1, 2 * high + 1
    elif not high or exists(high - 1):
        return high
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if exists(middle) else (low, middle)
    return low
