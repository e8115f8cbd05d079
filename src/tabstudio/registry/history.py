"""The histories of all models in one database: opened for readers, for one writer per model, and verified."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from sqlalchemy import Connection, and_, func, select
from sqlalchemy.dialects import postgresql, sqlite

from tabstudio.database.tables import history, models
from tabstudio.registry.hash_chain import START, ChainHead, HistoryChain, hash_of, transition
from tabstudio.registry.records import MOVES, Transition

if TYPE_CHECKING:
    from tabstudio.database import Database


@dataclass(frozen=True, slots=True)
class ChainFault:
    """A place where a history is not as it was written. `number` is the row's."""

    number: int
    problem: str

    def __str__(self) -> str:
        return f"row {self.number}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What the check of a whole history found: no faults, or each of them."""

    model: str
    rows: int
    head: Annotated[str, "The hash of the last row."]
    faults: tuple[ChainFault, ...]

    @property
    def whole(self) -> bool:
        """Whether every row is as it was written."""
        return not self.faults

    def to_json(self) -> dict[str, object]:
        """Return a plain dictionary for `json.dumps`."""
        return asdict(self) | {"whole": self.whole, "faults": [asdict(fault) for fault in self.faults]}


class History:
    """Hands chains out. `registry` is the address of the MLflow registry, its password masked."""

    def __init__(self, database: Database, registry: str) -> None:
        self.database, self.registry = database, registry
        self.identity = database.identity

    @contextmanager
    def reading(self, model: str) -> Iterator[HistoryChain]:
        """Open one model's history at one moment."""
        with self.database.reading() as connection:
            yield HistoryChain(connection, model)

    @contextmanager
    def writing(self, model: str) -> Iterator[HistoryChain]:
        """Open one model's history, which nobody else writes meanwhile; undone where the block raises."""
        with self.database.writing() as connection:
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            fresh = {
                "name": model,
                "registry": self.registry,
                "head": 0,
                "hash": START,
                "mirrored": 0,
                "seen": 0,
            }
            connection.execute(dialect.insert(models).values(fresh).on_conflict_do_nothing())
            connection.execute(select(models.c.name).where(models.c.name == model).with_for_update())
            yield HistoryChain(connection, model)

    def last_moves(self, models: Iterable[str]) -> dict[str, Transition]:
        """Return the newest move of each of these models, in one query."""
        newest = (
            select(history.c.model, func.max(history.c.number).label("number"))
            .where(history.c.model.in_(list(models)), history.c.kind.in_(MOVES))
            .group_by(history.c.model)
            .subquery()
        )
        same = and_(history.c.model == newest.c.model, history.c.number == newest.c.number)
        with self.database.reading() as connection:
            rows = connection.execute(select(history).join(newest, same)).mappings()
            return {row["model"]: transition(dict(row)) for row in rows}

    def recent(self, limit: int) -> list[Transition]:
        """Return the newest rows of all models together, the newest first."""
        newest = select(history).order_by(history.c.time.desc(), history.c.number.desc()).limit(limit)
        with self.database.reading() as connection:
            return [transition(dict(row)) for row in connection.execute(newest).mappings()]

    def verify(self, model: str, anchor: str = "") -> Verification:
        """Check every row against its hash and its neighbours, the last against what is kept beside.

        `anchor` is what MLflow keeps of the end of the chain, as `anchor_of` writes it.
        """
        with self.database.reading() as connection:
            head = HistoryChain(connection, model).head
            faults, number, last = _walk(connection, model)
            if (number, last) != (head.number, head.hash):
                faults.append(ChainFault(number, f"the history ends here, its last row was {head.number}"))
            faults += self._against(anchor, connection, model, head)
        return Verification(model, number, last, tuple(faults))

    def anchor_of(self, number: int, row_hash: str) -> str:
        """Return what MLflow is told of the end of a chain: this database, the row's number and its hash."""
        return f"{self.identity} {number} {row_hash}"

    def missing(self, anchor: str, connection: Connection, model: str) -> str:
        """Say what MLflow's anchor knows that the rows do not; empty where they agree."""
        if not anchor:
            return ""
        end = parse_anchor(anchor)
        if end is None:
            return f"MLflow's note of the end of the history was edited: {anchor[:80]!r}"
        query = select(history.c.hash).where(history.c.model == model, history.c.number == end.number)
        row_hash = connection.execute(query).scalar()
        if row_hash == end.hash:
            return ""
        state = "another one now" if row_hash else "gone"
        return f"MLflow was told of row {end.number} ({end.hash[:12]}), which is {state}"

    def _against(self, anchor: str, connection: Connection, model: str, head: ChainHead) -> list[ChainFault]:
        lost = select(history.c.number, history.c.reason).where(
            history.c.model == model, history.c.kind == "lost"
        )
        faults = [ChainFault(number, f"found then: {reason}") for number, reason in connection.execute(lost)]
        problem = self.missing(anchor, connection, model)
        if not anchor and head.mirrored:
            problem = "MLflow's note of the end of the history is gone"
        return [*faults, ChainFault(head.number, problem)] if problem else faults


@dataclass(frozen=True, slots=True)
class Anchor:
    """The end of a chain as MLflow was told of it."""

    database: str
    number: int
    hash: str


def parse_anchor(anchor: str) -> Anchor | None:
    """Return what `History.anchor_of` wrote; None for anything else."""
    parts = anchor.split()
    if len(parts) != 3 or not parts[1].isdigit():
        return None
    return Anchor(parts[0], int(parts[1]), parts[2])


def _walk(connection: Connection, model: str) -> tuple[list[ChainFault], int, str]:
    """Return the faults between neighbours, and number and hash of the last row."""
    faults: list[ChainFault] = []
    number, previous = 0, START
    query = select(history).where(history.c.model == model).order_by(history.c.number)
    for row in connection.execution_options(yield_per=1000).execute(query).mappings():
        faults += [ChainFault(row["number"], problem) for problem in _problems(dict(row), number, previous)]
        number, previous = row["number"], row["hash"]
    return faults, number, previous


def _problems(row: Mapping[str, object], number: int, previous: str) -> Iterator[str]:
    if row["number"] != number + 1:
        yield f"it follows row {number}: rows between them were removed, or this one was inserted"
    elif row["previous"] != previous:
        yield "it does not follow the row before it: one of the two was inserted or replaced"
    if row["hash"] != hash_of(row):
        yield "it was edited after it was written"
