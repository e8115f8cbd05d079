"""Private names of MLflow. Importing this does not import MLflow."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run
    from sqlalchemy import ColumnElement, FromClause
    from sqlalchemy.orm import Session


def registry_uri(client: MlflowClient) -> str | None:
    """Return the address of the model registry that a client was made for."""
    address: str | None = client._registry_uri
    return address


def tracking_store(client: MlflowClient) -> Any:
    """Return the store that a client asks: one of SQLAlchemy, of files, or of a server."""
    return client._tracking_client.store


def active_experiment_id() -> str | None:
    """Return the experiment that the program has set; None without. MLflow must have been imported."""
    experiment: str | None = sys.modules["mlflow.tracking.fluent"]._active_experiment_id
    return experiment


def latest_metrics(run: Run) -> list[Metric]:
    """Return the last point of each metric of a run, with its step."""
    metrics: list[Metric] = run.data._metric_objs
    return metrics


def is_filter_readable() -> bool:
    """Return whether this MLflow turns filters into SQL by the function that `filter_clauses` calls."""
    from mlflow.store.tracking import sqlalchemy_store

    return hasattr(sqlalchemy_store, "_get_sqlalchemy_filter_clauses")


def filter_clauses(
    store: Any, session: Session, parsed_filter: Sequence[dict[str, Any]]
) -> tuple[list[ColumnElement[bool]], list[FromClause], list[FromClause]]:
    """Return the conditions on runs, the tables to join, and the tables to join by their data set."""
    from mlflow.store.tracking.sqlalchemy_store import _get_sqlalchemy_filter_clauses

    attributes, tables, datasets = _get_sqlalchemy_filter_clauses(
        parsed_filter, session, store._get_dialect()
    )
    return attributes, tables, datasets
