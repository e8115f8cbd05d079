"""Queries of runs, and their translation to MLflow's filter and order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tabstudio.errors import ConfigError
from tabstudio.studio.services.runs.run_records import PARENT, STATUSES

if TYPE_CHECKING:
    from collections.abc import Sequence

ATTRIBUTES = {
    "name": "run_name",
    "status": "status",
    "started": "start_time",
    "ended": "end_time",
    "user": "user_id",
}
"""Attributes to sort by besides `metrics.NAME` and `params.NAME`, with MLflow's name of each."""
EXAMPLE = "metrics.test_roc_auc > 0.9 and params.network = 'mlp'"


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs, in which order.

    `experiments` are ids, none for all; `name` is a part of the name in upper or lower case; `filter` is
    MLflow's own filter string; `parent` asks for the runs below one; with `grouped` runs below others are
    left out. `order` is one of `ATTRIBUTES`, `metrics.NAME` or `params.NAME`.
    """

    experiments: tuple[str, ...] = ()
    name: str = ""
    status: str = ""
    filter: str = ""
    parent: str = ""
    grouped: bool = False
    order: str = "started"
    descending: bool = True

    def check(self) -> None:
        """Raise `ConfigError`, in one sentence, for what MLflow would not understand."""
        if self.status and self.status not in STATUSES:
            raise ConfigError(f"status {self.status!r}: one of {', '.join(STATUSES)} was expected")
        if self.order not in ATTRIBUTES and not self.order.startswith(("metrics.", "params.")):
            known = ", ".join((*ATTRIBUTES, "metrics.NAME", "params.NAME"))
            raise ConfigError(f"order {self.order!r}: one of {known} was expected")
        parse_filter(self.filter)


def parse_filter(text: str) -> Sequence[dict[str, object]]:
    """Parse a filter string as MLflow does. Raises `ConfigError` where it makes no sense."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.search_utils import SearchUtils

    try:
        clauses: Sequence[dict[str, object]] = SearchUtils.parse_search_filter(text)
    except (MlflowException, ValueError) as error:  # some faults escape it as what float() raised
        reason = " ".join(str(getattr(error, "message", error)).split())
        raise ConfigError(f"filter {text!r}: {reason.rstrip('.')}; write for example {EXAMPLE}") from error
    return clauses


def filter_string(query: RunQuery) -> str:
    """Return all conditions of a query as one MLflow filter.

    Raises `ConfigError` for a name with quotes of both kinds, which cannot be asked for.
    """
    clauses = [query.filter] if query.filter.strip() else []
    if query.name:
        clauses.append(f"attributes.run_name ILIKE {_quoted(f'%{query.name}%')}")
    if query.status:
        clauses.append(f"attributes.status = '{query.status}'")
    if query.parent:
        clauses.append(f"tags.`{PARENT}` = {_quoted(query.parent)}")
    if query.grouped:
        clauses.append(f"tags.`{PARENT}` IS NULL")
    return " and ".join(clauses)


def order_clause(query: RunQuery) -> str:
    """Return the order as MLflow writes it. Raises `ConfigError` for a name with a backtick."""
    direction = "DESC" if query.descending else "ASC"
    if query.order in ATTRIBUTES:
        return f"attributes.{ATTRIBUTES[query.order]} {direction}"
    kind, _, name = query.order.partition(".")
    if "`" in name:
        raise ConfigError(f"order {query.order!r}: MLflow cannot sort by a name with a backtick in it")
    return f"{kind}.`{name}` {direction}"


def _quoted(text: str) -> str:
    quote = "'" if "'" not in text else '"'
    if quote in text:
        raise ConfigError(f"name {text!r}: it cannot be looked for with both kinds of quotes in it")
    return f"{quote}{text}{quote}"
