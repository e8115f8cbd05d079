"""Our history and MLflow kept in step, whatever happens between the two.

A move is first committed in our tables, which also say that MLflow has yet to be told. Then, with the
model's row locked, MLflow is told what our tables say at that moment, and that is written down. Who is
killed in between leaves the note behind, and the next command does what it asks for. Since nobody writes a
model's history while MLflow is being told of it, two processes cannot tell it different things.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tabstudio.errors import ConflictError, RegistryError, TabstudioError, TrackingError
from tabstudio.registry.external_changes import find_changes, holders
from tabstudio.registry.hash_chain import ChainHead, HistoryChain
from tabstudio.registry.history import History, parse_anchor
from tabstudio.registry.mlflow_stages import NO_STAGE, MlflowStages, MlflowState, mlflow_stage
from tabstudio.registry.records import Evidence, ModelVersion, Transition, TransitionKind
from tabstudio.registry.webhooks import enqueue

if TYPE_CHECKING:
    from mlflow.entities.model_registry import RegisteredModel

OUTSIDE = "MLflow"
"""The actor of what was done in MLflow itself: it does not say by whom."""
_OVERLAP = 60_000
"""Milliseconds that are looked at again: MLflow's changes may be committed later than they are dated."""
_MANY = 200
"""After so many changed versions it is worth writing down how far we have looked."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What a decision was made on: the rows that put the version, and the stage's holder, where they are.

    Numbers of rows; 0 where there is none.
    """

    version: int = 0
    holder: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """A decision to be written: which version goes into which stage, and why."""

    kind: TransitionKind
    version: ModelVersion
    to_stage: str | None
    actor: str
    reason: str
    evidence: Evidence
    forced: bool = False
    refers: int | None = None


class SyncedState(NamedTuple):
    """What MLflow has of a model, and what a person should read of how the two were brought together."""

    state: MlflowState
    notices: tuple[str, ...] = ()


class MlflowSync:
    """Looks at MLflow, writes moves, and brings the history and MLflow together."""

    def __init__(self, history: History, mirror: MlflowStages) -> None:
        self.history, self.mirror = history, mirror
        self.rules = mirror.rules

    def look(self, name: str) -> SyncedState:
        """Return what MLflow has, after finishing what an interrupted command has left.

        What was changed there behind our back becomes part of the history. Raises `ModelError` where there
        is no such model, `RegistryError` where its history is kept in another database.
        """
        with self.history.reading(name) as chain:
            pending = chain.head.mirrored < chain.head.number
        repairs = self._repair(name) if pending else ()
        with self.history.reading(name) as chain:
            head, held = chain.head, self._held(chain)
        state = self._look(name, head, held)  # no connection waits for MLflow
        with self.history.reading(name) as chain:  # as it is after the look, not before
            differs = self._differs(chain, state)
        if differs:
            state, changes = self._adopt_changes(name)
            return SyncedState(state, (*repairs, *changes))
        if state.looked_at > _MANY:
            self._remember(name, state)
        return SyncedState(state, repairs)

    def in_step(self, model: RegisteredModel) -> dict[str, int] | None:
        """Return which version is in which exclusive stage; None where MLflow's model says otherwise."""
        with self.history.reading(model.name) as chain:
            known = {stage: row.version for stage, row in holders(chain, self.mirror).items() if row}
            moved = chain.stages(int(v.version) for v in model.latest_versions)
            pending = chain.head.mirrored < chain.head.number
        aliases = {name: int(n) for name, n in model.aliases.items() if name in self.rules.exclusive}
        stages = {int(v.version): v.current_stage or NO_STAGE for v in model.latest_versions}
        own = {n: mlflow_stage(moved[n].to_stage if n in moved else None) for n in stages}
        agree = aliases == known and (stages == own or not self.mirror.has_stages)
        return known if agree and not pending else None

    def basis(self, name: str, version: int, stage: str | None) -> Basis:
        """Return what a decision about a version and a stage is made on."""
        with self.history.reading(name) as chain:
            return _basis(chain, version, stage)

    def commit(
        self, move: Move, basis: Basis, check: Callable[[HistoryChain], object] | None = None
    ) -> list[Transition]:
        """Write a move, and tell MLflow. `check` may look at the locked history and raise.

        Raises `ConflictError` where somebody else moved the version or the stage's holder meanwhile: then
        nothing is changed.
        """
        name, number = move.version.model, move.version.number
        with self.history.writing(name) as chain:
            is_done = chain.stage_of(number, move.version.created) == move.to_stage
            if is_done or _basis(chain, number, move.to_stage) != basis:
                raise ConflictError(_conflict(chain, move))
            if check is not None:
                check(chain)
            rows = self._write(chain, move)
            enqueue(chain.connection, self.rules, rows)
        self._tell_written(move)
        return rows

    def note(self, move: Move, check: Callable[[HistoryChain], object] | None = None) -> Transition:
        """Write a row that moves nothing: a request, an answer, a finding. `check` as for `commit`."""
        with self.history.writing(move.version.model) as chain:
            if check is not None:
                check(chain)
            row = _append(chain, move, from_stage=move.version.stage)
            enqueue(chain.connection, self.rules, [row])
        self._tell_written(move)
        return row

    def _write(self, chain: HistoryChain, move: Move) -> list[Transition]:
        came_from = chain.stage_of(move.version.number, move.version.created)
        stage = self.rules.stage(move.to_stage) if move.to_stage else None
        holder = chain.holder(stage.name) if stage and stage.exclusive else None
        rows = [_append(chain, move, from_stage=came_from)]
        if stage is not None and holder is not None:
            rows.append(
                chain.append(
                    "displaced",
                    holder.version,
                    holder.created,
                    stage.displaced_to,
                    from_stage=stage.name,
                    actor=move.actor,
                    reason=f"version {move.version.number} took its place",
                    refers=rows[0].number,
                )
            )
        return rows

    def _tell_written(self, move: Move) -> None:
        """Tell MLflow what was just written; where that fails, the error says what is done and what not."""
        name = move.version.model
        try:
            with self.history.writing(name) as chain:
                missing = self._tell(chain)
        except TrackingError as error:
            error.add_note("It is written in the history; the next tabstudio command tells MLflow.")
            raise
        if move.to_stage is not None and move.version.number in missing:
            gone = RegistryError(f"{name} {move.version.number} was deleted in MLflow meanwhile")
            add_notices(gone, self.look(name).notices)
            raise gone

    def _tell(self, chain: HistoryChain) -> list[int]:
        """Bring MLflow to what the locked history says; nothing to do is fine. Returns deleted versions."""
        if chain.head.mirrored == chain.head.number:
            return []
        concerned = chain.concerned_stages()
        known = holders(chain, self.mirror)
        in_stage = {stage: row.version if row else None for stage, row in known.items() if stage in concerned}
        anchor = self.history.anchor_of(chain.head.number, chain.head.hash)
        missing = self.mirror.apply(chain.model, chain.touched(), in_stage, anchor)
        chain.note_state(mirrored=chain.head.number)
        return missing

    def _repair(self, name: str) -> tuple[str, ...]:
        """Tell MLflow what an interrupted command has left; returns what was done."""
        with self.history.writing(name) as chain:
            if chain.head.mirrored == chain.head.number:  # another process was faster
                return ()
            moved = ", ".join(f"{n} in {stage or 'no stage'}" for n, stage in sorted(chain.touched().items()))
            self._tell(chain)
        what = f": version {moved}" if moved else ""
        return (f"{name}: MLflow was told what an interrupted command had left{what}",)

    def _held(self, chain: HistoryChain) -> list[int]:
        """Return the versions that are in an exclusive stage."""
        return [row.version for row in holders(chain, self.mirror).values() if row is not None]

    def _look(self, name: str, head: ChainHead, held: list[int]) -> MlflowState:
        state = self.mirror.look(name, max(0, head.seen - _OVERLAP), held)
        self._check_home(name, head, state.anchor)
        return state

    def _check_home(self, name: str, head: ChainHead, anchor: str) -> None:
        """A model has one history. Two databases that both write one would tell MLflow different things."""
        ours, end = self.history.database.address, parse_anchor(anchor)
        if end is not None and end.database != self.history.identity:
            raise RegistryError(
                f"{name}: its history is kept in another database than {ours}; name that one in "
                "TABSTUDIO_DATABASE_URL"
            )
        if not anchor and head.mirrored and head.registry != self.history.registry:
            raise RegistryError(
                f"{name}: {ours} holds the history of the model of that name in {head.registry}, not of the "
                f"one in {self.history.registry}; name another database in TABSTUDIO_DATABASE_URL"
            )

    def _differs(self, chain: HistoryChain, state: MlflowState) -> bool:
        lost = self.history.missing(state.anchor, chain.connection, chain.model)
        return bool(lost or find_changes(chain, state, self.mirror))

    def _adopt_changes(self, name: str) -> SyncedState:
        """Write down what was changed in MLflow, and bring its other half (alias, stage) in step."""
        with self.history.writing(name) as chain:
            self._tell(chain)
            state = self._look(name, chain.head, self._held(chain))
            rows = [
                chain.append(
                    "external",
                    change.version,
                    change.created,
                    change.to_stage,
                    from_stage=change.from_stage,
                    actor=OUTSIDE,
                    reason=change.why,
                )
                for change in find_changes(chain, state, self.mirror)
            ]
            lost = self.history.missing(state.anchor, chain.connection, name)
            if lost:
                rows.append(chain.append("lost", 0, 0, None, from_stage=None, actor=OUTSIDE, reason=lost))
            chain.note_state(seen=state.newest)
            enqueue(chain.connection, self.rules, rows)
        with self.history.writing(name) as chain:
            self._tell(chain)
        return SyncedState(
            state, tuple(f"{r.model} {r.version}: {r.reason}; it is {_now_in(r)}" for r in rows)
        )

    def _remember(self, name: str, state: MlflowState) -> None:
        with self.history.writing(name) as chain:
            chain.note_state(seen=state.newest)


def add_notices(error: TabstudioError, notices: Iterable[str]) -> None:
    """Let an error carry what a person should read beside it."""
    for notice in notices:
        error.add_note(f"note: {notice}")


def _append(chain: HistoryChain, move: Move, *, from_stage: str | None) -> Transition:
    return chain.append(
        move.kind,
        move.version.number,
        move.version.created,
        move.to_stage,
        from_stage=from_stage,
        actor=move.actor,
        reason=move.reason,
        evidence=move.evidence,
        forced=move.forced,
        refers=move.refers,
    )


def _basis(chain: HistoryChain, version: int, stage: str | None) -> Basis:
    moved = chain.stages([version]).get(version)
    holder = chain.holder(stage) if stage else None
    return Basis(moved.number if moved else 0, holder.number if holder else 0)


def _conflict(chain: HistoryChain, move: Move) -> str:
    last = next(iter(chain.rows(limit=1)), None)
    return (
        f"{move.version.model} {move.version.number}: somebody was faster, nothing was changed. "
        f"Last: {last}. Look again, and repeat the command if it is still right"
    )


def _now_in(row: Transition) -> str:
    return f"in {row.to_stage} now" if row.to_stage else "in no stage now"
