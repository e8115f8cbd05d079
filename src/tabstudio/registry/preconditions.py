"""Checks of a move before anything is written: reason, right, order of stages, gates, way back."""

from __future__ import annotations

from collections.abc import Sequence

from tabstudio.errors import GateError, RegistryError
from tabstudio.registry.approvals import same_person
from tabstudio.registry.hash_chain import HistoryChain
from tabstudio.registry.records import GateResult, ModelVersion, Transition
from tabstudio.registry.stage_rules import Stage, StageRules

_SEARCHED_ENTRIES = 1000
"""How many entries into a stage a rollback looks back at."""


def require_reason(reason: str) -> str:
    """Return the reason, in one line. Raises `RegistryError` for an empty one."""
    words = " ".join(reason.encode("utf-8", "replace").decode().split())
    if not words:
        raise RegistryError("a reason was expected: one sentence that somebody will understand next year")
    return words


def check_right(rules: StageRules, stage: Stage, actor: str) -> None:
    """Raise `RegistryError` where a person may not change a stage."""
    if stage.promoters and not any(same_person(actor, name) for name in stage.promoters):
        raise RegistryError(
            f"{actor} may not change {stage.name}; {', '.join(stage.promoters)} may (from {rules.source})"
        )


def check_order(rules: StageRules, chain: HistoryChain, version: ModelVersion, stage: Stage) -> None:
    """Raise `RegistryError` where a version is in a stage already, or has left out the one before."""
    if version.stage == stage.name:
        raise RegistryError(f"{version.model} {version.number} is in {stage.name} already")
    previous = rules.before(stage.name)
    if not rules.in_order or previous is None:
        return
    visited = [row.to_stage for row in chain.of_version(version.number) if row.created == version.created]
    if previous.name not in visited:
        raise RegistryError(
            f"{version.model} {version.number} must have been in {previous.name} before it goes to "
            f"{stage.name} (in_order, from {rules.source})"
        )


def check_gates(version: ModelVersion, stage: Stage, results: tuple[GateResult, ...], *, force: bool) -> None:
    """Raise `GateError` with all results where one did not pass and is not overruled."""
    failed = [result for result in results if not result.passed]
    if failed and not force:
        raise GateError(
            f"{version.model} {version.number} does not go to {stage.name}: "
            f"{len(failed)} of {len(results)} gates did not pass, nothing was changed",
            results,
        )


def target_of_rollback(chain: HistoryChain, stage: str, to_version: int | None = None) -> int:
    """Return the version that a rollback goes to: the one before in the stage, or the one that is named.

    Raises `RegistryError` where there is none, or the named one was never there.
    """
    entries = chain.entries(stage, _SEARCHED_ENTRIES)
    holder = chain.holder(stage)
    now = holder.version if holder else None
    if to_version is None:
        earlier = [version for version in _holders(entries) if version != now]
        if not earlier:
            raise RegistryError(
                f"{chain.model}: no version was in {stage} before" + (f" {now}" if now else "")
            )
        return earlier[-1]
    if to_version == now:
        raise RegistryError(f"{chain.model} {to_version} is in {stage} already")
    if to_version not in (row.version for row in entries):
        raise RegistryError(
            f"{chain.model} {to_version} was never in {stage}; `tabstudio promote` puts others there"
        )
    return to_version


def _holders(entries: Sequence[Transition]) -> list[int]:
    """Return the versions that a stage held one after the other, without those that were rolled back."""
    versions: list[int] = []
    for row in entries:
        if row.kind == "rollback" and row.version in versions:
            del versions[versions.index(row.version) + 1 :]
        elif not versions or versions[-1] != row.version:
            versions.append(row.version)
    return versions
