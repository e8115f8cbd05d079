"""Changes made in MLflow itself: the difference between what it shows and what our history says."""

from __future__ import annotations

from dataclasses import dataclass

from tabstudio.registry.hash_chain import HistoryChain
from tabstudio.registry.mlflow_stages import NO_STAGE, MlflowStages, MlflowState, mlflow_stage
from tabstudio.registry.records import Transition


@dataclass(frozen=True, slots=True)
class ExternalChange:
    """A move that happened in MLflow. `why` says what was seen there."""

    version: int
    created: int
    from_stage: str | None
    to_stage: str | None
    why: str


def holders(chain: HistoryChain, mirror: MlflowStages) -> dict[str, Transition | None]:
    """Return the row that put the version of each exclusive stage there; None where it is empty."""
    return {stage: chain.holder(stage) for stage in mirror.rules.exclusive}


def find_changes(chain: HistoryChain, state: MlflowState, mirror: MlflowStages) -> list[ExternalChange]:
    """Return every move that MLflow shows and the history does not have, those out of a stage first.

    Where alias and stage say different things, the one that changed is believed; where both changed, the
    alias is, since that is what clients load by. `state` must hold the version in each exclusive stage.
    """
    return _Comparison(chain, state, mirror).moves()


class _Comparison:
    def __init__(self, chain: HistoryChain, state: MlflowState, mirror: MlflowStages) -> None:
        self.chain, self.state, self.mirror = chain, state, mirror
        moves = chain.stages(state.created)
        # A version that was deleted and made anew is another one: what its number did before is not its own.
        self.own = {n: row for n, row in moves.items() if row.created == state.created[n]}
        self.changes: dict[int, ExternalChange] = {}

    def moves(self) -> list[ExternalChange]:
        for stage, holder in holders(self.chain, self.mirror).items():
            self._compare_holder(stage, holder)
        for number in self.state.stages if self.mirror.has_stages else ():
            self._compare_stage(number)
        return sorted(self.changes.values(), key=lambda move: move.to_stage is not None)

    def _compare_holder(self, stage: str, holder: Transition | None) -> None:
        old = holder.version if holder else None
        if holder is not None and self.state.created.get(holder.version) != holder.created:
            self.changes[holder.version] = ExternalChange(
                holder.version, holder.created, stage, None, "the version was deleted in MLflow"
            )
            old = None
        new, why = self._new_holder(stage, holder.version if holder else None, old)
        if new == old:
            return
        if old is not None:
            self._leave(old, stage, why, replaced=new is not None)
        if new is not None:
            self._move(new, stage, why)

    def _new_holder(self, stage: str, written: int | None, old: int | None) -> tuple[int | None, str]:
        """Return the version that MLflow has in a stage, and why, given that `old` of ours is still there."""
        alias = self.state.aliases.get(stage)
        if alias != written:
            return alias, f"the alias @{stage} was {'moved' if alias else 'removed'} in MLflow"
        if not self.mirror.has_stages or mlflow_stage(stage) == NO_STAGE:
            return old, ""
        inside = [n for n, name in self.state.stages.items() if name == mlflow_stage(stage)]
        others = [n for n in inside if self._stage_of(n) != stage]
        if others or (old is not None and old not in inside):
            return max(others, default=None), f"the stage {mlflow_stage(stage)} was changed in MLflow"
        return old, ""

    def _leave(self, number: int, stage: str, why: str, *, replaced: bool) -> None:
        """Move the version that was in a stage: where MLflow put it, or where ours go."""
        shown = self.state.stages.get(number, NO_STAGE)
        if shown != mlflow_stage(stage):
            self._move(number, self.mirror.ours(shown), why)
        else:
            self._move(number, self.mirror.rules.stage(stage).displaced_to if replaced else None, why)

    def _compare_stage(self, number: int) -> None:
        """Move a version that MLflow has in a stage of many, or in none: archived there, or taken out."""
        own, shown = self._stage_of(number), self.state.stages[number]
        if number in self.changes or shown == mlflow_stage(own):
            return
        to_stage = self.mirror.ours(shown)
        if to_stage in self.mirror.rules.exclusive:  # one of several there; the highest was taken above
            to_stage = self.mirror.rules.stage(str(to_stage)).displaced_to
        if to_stage != own:
            self._move(number, to_stage, f"the stage was changed to {shown} in MLflow")

    def _move(self, number: int, to_stage: str | None, why: str) -> None:
        created = self.state.created.get(number)
        if created is not None:
            self.changes[number] = ExternalChange(number, created, self._stage_of(number), to_stage, why)

    def _stage_of(self, number: int) -> str | None:
        row = self.own.get(number)
        return row.to_stage if row else None
