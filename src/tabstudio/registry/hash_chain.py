"""One model's history as a chain: every row holds the hash of the row before it, the last is written down.

The hash of a row is the SHA-256 over its canonical JSON (RFC 8785 in spirit: keys sorted, no spaces, UTF-8),
with everything that the row says and the hash of the row before. An edited row does not fit its hash, a
removed or inserted one does not fit its neighbours, and what is cut off at the end is missed by the head that
is kept beside, and by the tag that MLflow keeps.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, select, update

from tabstudio._util.clock import utc_now
from tabstudio.database.tables import history as h
from tabstudio.database.tables import models
from tabstudio.registry.records import MOVES, Evidence, Transition, TransitionKind

START = "0" * 64
"""What the first row holds for the hash of the row before it."""
_MOVED = h.c.kind.in_(MOVES)
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
_HASHED = tuple(column.name for column in h.c if column.name != "hash")


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The end of a chain, and what MLflow has been told of it."""

    number: int = 0
    hash: str = START
    mirrored: int = 0
    seen: int = 0
    registry: str = ""


class HistoryChain:
    """Reads and writes one model's history within a transaction. `History` hands it out.

    Only a chain that was handed out for writing may `append`: its model's row is locked.
    """

    def __init__(self, connection: Connection, model: str) -> None:
        self.connection, self.model = connection, model
        self.head = self._head()
        self._time = ""

    def number_at(self, time: str) -> int:
        """Return the number of the last row at or before a time; 0 where there is none."""
        query = select(h.c.number).where(self._mine, h.c.time <= time)
        query = query.order_by(h.c.time.desc(), h.c.number.desc()).limit(1)
        return self.connection.execute(query).scalar() or 0

    def row(self, number: int) -> Transition | None:
        """Return one row, None where it is not there."""
        return self._first(select(h).where(self._mine, h.c.number == number))

    def rows(
        self, *, before: int | None = None, limit: int, kinds: Sequence[TransitionKind] = ()
    ) -> list[Transition]:
        """Return up to `limit` rows below the number `before`, the newest first."""
        query = select(h).where(self._mine).order_by(h.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(h.c.number < before)
        return self._all(query.where(h.c.kind.in_(kinds)) if kinds else query)

    def oldest_first(self) -> Iterator[Transition]:
        """Go through every row, in the order in which it was written."""
        query = select(h).where(self._mine).order_by(h.c.number)
        for row in self.connection.execute(query, execution_options={"yield_per": 1000}).mappings():
            yield transition(dict(row))

    def of_version(self, version: int, kinds: Sequence[TransitionKind] = MOVES) -> list[Transition]:
        """Return every row of a version, the newest first."""
        query = select(h).where(self._mine, h.c.version == version, h.c.kind.in_(kinds))
        return self._all(query.order_by(h.c.number.desc()))

    def members(self, stage: str, *, until: int | None = None, limit: int = 1) -> list[Transition]:
        """Return the rows that put the versions of a stage (at row `until`) there, the newest first."""
        until = self.head.number if until is None else until
        later = h.alias()
        left_later = exists().where(
            later.c.model == h.c.model,
            later.c.version == h.c.version,
            later.c.number > h.c.number,
            later.c.number <= until,
            later.c.kind.in_(MOVES),
        )
        query = select(h).where(self._mine, h.c.to_stage == stage, h.c.number <= until, _MOVED, ~left_later)
        return self._all(query.order_by(h.c.number.desc()).limit(limit))

    def holder(self, stage: str) -> Transition | None:
        """Return the row that put the version of an exclusive stage there; None where it is empty."""
        return next(iter(self.members(stage)), None)

    def entries(self, stage: str, limit: int) -> list[Transition]:
        """Return the last `limit` rows that put a version into a stage, the oldest first."""
        query = select(h).where(self._mine, h.c.to_stage == stage, _MOVED)
        return self._all(query.order_by(h.c.number.desc()).limit(limit))[::-1]

    def stages(self, versions: Iterable[int]) -> dict[int, Transition]:
        """Return the last move of each version; versions that never moved are left out."""
        newest = (
            select(func.max(h.c.number).label("number"))
            .where(self._mine, _MOVED, h.c.version.in_(list(versions)))
            .group_by(h.c.version)
            .subquery()
        )
        query = select(h).join(newest, and_(self._mine, h.c.number == newest.c.number))
        return {row.version: row for row in self._all(query)}

    def stage_of(self, version: int, created: int) -> str | None:
        """Return the stage of a version; moves of another one that had its number before do not count."""
        move = self.stages([version]).get(version)
        return move.to_stage if move and move.created == created else None

    def touched(self) -> dict[int, str | None]:
        """Return the stage of each version that moved since MLflow was told last."""
        query = select(h.c.version).where(self._mine, _MOVED, h.c.number > self.head.mirrored).distinct()
        versions = list(self.connection.execute(query).scalars())
        return {version: row.to_stage for version, row in self.stages(versions).items()}

    def concerned_stages(self) -> set[str]:
        """Return the stages that versions came from or went to since MLflow was told last."""
        query = select(h.c.from_stage, h.c.to_stage).where(
            self._mine, _MOVED, h.c.number > self.head.mirrored
        )
        return {stage for row in self.connection.execute(query) for stage in row if stage}

    def append(
        self,
        kind: TransitionKind,
        version: int,
        created: int,
        to_stage: str | None,
        *,
        from_stage: str | None,
        actor: str,
        reason: str,
        evidence: Evidence | None = None,
        forced: bool = False,
        refers: int | None = None,
    ) -> Transition:
        """Add a row, and write the new end of the chain down."""
        row: dict[str, object] = {
            "model": self.model,
            "number": self.head.number + 1,
            "kind": kind,
            "version": version,
            "created": created,
            "from_stage": from_stage,
            "to_stage": to_stage,
            "actor": actor,
            "time": self._now(),
            "reason": reason,
            "evidence": canonical((evidence or Evidence()).to_json()),
            "forced": forced,
            "refers": refers,
            "previous": self.head.hash,
        }
        row["hash"] = hash_of(row)
        self.connection.execute(h.insert().values(row))
        self.note_state(head=row["number"], hash=row["hash"])
        return transition(row)

    def note_state(self, **values: object) -> None:
        """Write down how far the chain, or MLflow, has come."""
        self.connection.execute(update(models).where(models.c.name == self.model).values(**values))
        self.head = self._head()

    def _now(self) -> str:
        """Return one time for all rows of a transaction, never before the last row: lookups count on both."""
        if not self._time:
            query = select(h.c.time).where(self._mine, h.c.number == self.head.number)
            self._time = max(utc_now(), self.connection.execute(query).scalar() or "")
        return self._time

    @property
    def _mine(self) -> ColumnElement[bool]:
        return h.c.model == self.model

    def _head(self) -> ChainHead:
        columns = (models.c.head, models.c.hash, models.c.mirrored, models.c.seen, models.c.registry)
        row = self.connection.execute(select(*columns).where(models.c.name == self.model)).first()
        return ChainHead(*row) if row else ChainHead()

    def _first(self, query: Select[tuple[object, ...]]) -> Transition | None:
        row = self.connection.execute(query.limit(1)).mappings().first()
        return transition(dict(row)) if row else None

    def _all(self, query: Select[tuple[object, ...]]) -> list[Transition]:
        return [transition(dict(row)) for row in self.connection.execute(query).mappings()]


def canonical(value: object) -> str:
    """Return JSON with one spelling for each value. Raises `ValueError` for a figure that is not finite."""
    return _encode(value)


def hash_of(row: Mapping[str, object]) -> str:
    """Return the SHA-256 over everything that a row says, as hex."""
    return hashlib.sha256(canonical({name: row[name] for name in _HASHED}).encode()).hexdigest()


def transition(row: Mapping[str, Any]) -> Transition:
    """Return a row of the table as a `Transition`."""
    return Transition(**{**row, "evidence": Evidence.from_json(json.loads(row["evidence"]))})
