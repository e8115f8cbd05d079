"""The lifecycle of registered models: who is in which stage, who put it there, why, and the way back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self

from tabstudio.database import Database, database_address
from tabstudio.errors import ConflictError, ModelError, RegistryError
from tabstudio.registry import approvals
from tabstudio.registry.approvals import ApprovalRequest
from tabstudio.registry.catalog import RegisteredModel, as_version, with_run
from tabstudio.registry.dates import end_of
from tabstudio.registry.hash_chain import HistoryChain
from tabstudio.registry.history import History, Verification
from tabstudio.registry.mlflow_client import RegistryClient
from tabstudio.registry.mlflow_stages import ANCHOR, MlflowStages
from tabstudio.registry.mlflow_sync import MlflowSync, Move
from tabstudio.registry.model_addresses import SHOWN, AddressResolver
from tabstudio.registry.preconditions import (
    check_gates,
    check_order,
    check_right,
    require_reason,
    target_of_rollback,
)
from tabstudio.registry.records import MOVES, Evidence, GateResult, ModelVersion, Transition
from tabstudio.registry.stage_rules import ARCHIVE, Stage, StageRules, find_rules
from tabstudio.registry.webhooks import DeliveryResult, deliver
from tabstudio.settings import actor as acting

PAGE = 20
"""Versions or rows of history that are asked for at once, where nothing else is said."""


class Registry:
    """Stages, history and rollback over any MLflow registry.

    The addresses are those of the environment where they are left out. `actor` is who acts: without it,
    `TABSTUDIO_ACTOR` or the user of the operating system. `rules` are the project's, from `tabstudio.toml`
    or `pyproject.toml`. `notices` collects what a person should read: repairs, changes made elsewhere.

    Raises `ModelError` where there is no registry yet, `TrackingError` where it cannot be reached,
    `DatabaseError` where our own tables cannot be used, `ConfigError` for rules that do not hold.

    >>> registry = Registry()  # doctest: +SKIP
    >>> registry.promote("breast-cancer", 3, "production", reason="better on every slice")  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        tracking_uri: str | None = None,
        registry_uri: str | None = None,
        database_url: str | None = None,
        actor: str | None = None,
        rules: StageRules | None = None,
    ) -> None:
        self.rules = rules or find_rules()
        self.actor = acting(actor)
        self.client = RegistryClient(tracking_uri, registry_uri)
        self.tracking_uri, self.registry_uri = self.client.tracking_uri, self.client.registry_uri
        self.database = Database(database_address(database_url, self.registry_uri))
        self.notices: list[str] = []
        self._history = History(self.database, self.client.address)
        self._keeper = MlflowSync(self._history, MlflowStages(self.client, self.rules), self.notices)
        self._folders: dict[str, Path] = {}

    def __repr__(self) -> str:
        return f"Registry({self.client.address!r}, history in {self.database.address!r})"

    def close(self) -> None:
        """Give the connections to our tables back; `with Registry()` does so at the end of the block."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # looking

    def look(self, name: str) -> None:
        """See whether a model's stages were changed in MLflow, and finish what was interrupted.

        The other methods do so by themselves, except `at`. Raises `ModelError` with similar names where
        there is no such model.
        """
        self._keeper.look(name)

    def models(self, *, page: int = 1, limit: int = PAGE, search: str = "") -> list[RegisteredModel]:
        """Return the registered models in alphabetical order, a page at a time.

        With `search` those whose names hold these words, in any case.
        """
        return [self._model(found) for found in self.client.models(page, limit, search)]

    def last_moves(self, names: Iterable[str]) -> dict[str, Transition]:
        """Return the newest move of each of these models; those that never moved are left out."""
        return self._history.last_moves(names)

    def recent(self, limit: int = PAGE) -> list[Transition]:
        """Return what happened lately to any model, the newest first. MLflow is not asked."""
        return self._history.recent(limit)

    def versions(self, name: str, *, before: int | None = None, limit: int = PAGE) -> list[ModelVersion]:
        """Return versions of a model, the newest first, those below the number `before`.

        Raises `ModelError` with similar names where there is no such model.
        """
        seen = self._keeper.look(name)
        found = self.client.newest(name, limit, before)
        with self._history.reading(name) as chain:
            moved = chain.stages(int(version.version) for version in found)
        listed = [as_version(version, moved.get(int(version.version)), seen.aliases) for version in found]
        return [with_run(self.client, version) for version in listed]

    def version(self, name: str, which: int | str) -> ModelVersion:
        """Return a version: its number, `latest`, or the name of a stage.

        Raises `ModelError` where there is none, with what there is.
        """
        number = self._number(name, which)
        found = self._keeper.mirror.version(name, number) if number is not None else None
        if found is None:
            self.client.registered(name)  # a misspelt name is told as such
            known = ", ".join(str(v.version) for v in self.client.newest(name, SHOWN)) or "none"
            raise ModelError(f"{name} has no version {which}; its newest versions are {known}")
        with self._history.reading(name) as chain:
            moved = chain.stages([int(found.version)]).get(int(found.version))
        aliases = dict.fromkeys(found.aliases, int(found.version))
        return with_run(self.client, as_version(found, moved, aliases))

    def current(self, name: str, stage: str) -> ModelVersion | None:
        """Return the version that is in an exclusive stage, None where the stage is empty."""
        with self._history.reading(name) as chain:
            holder = chain.holder(self.rules.stage(stage).name)
        return self.version(name, holder.version) if holder else None

    def bundle(self, version: ModelVersion) -> Path:
        """Return the local folder of a version's bundle, fetched once. Raises `ModelError` without one."""
        if version.address not in self._folders:
            self._folders[version.address] = AddressResolver(version.address, self.client).bundle()
        return self._folders[version.address]

    def history(self, name: str, *, before: int | None = None, limit: int = PAGE) -> list[Transition]:
        """Return what happened to a model, the newest first, below the row `before`."""
        self._keeper.look(name)
        with self._history.reading(name) as chain:
            return chain.rows(before=before, limit=limit)

    def at(self, name: str, time: datetime | str, *, limit: int = PAGE) -> dict[str, list[Transition]]:
        """Tell how each stage stood at a time: the rows that put its versions there, the newest first.

        A date counts to its end, UTC. Of a stage that holds many, `limit` versions are told. MLflow is not
        asked: `look` first, where the present is meant.
        """
        until = end_of(time)
        with self._history.reading(name) as chain:
            number = chain.number_at(until)
            return {s.name: chain.members(s.name, until=number, limit=limit) for s in self.rules.stages}

    def export(self, name: str) -> Iterator[Transition]:
        """Go through a whole history, the oldest row first."""
        with self._history.reading(name) as chain:
            yield from chain.oldest_first()

    def verify(self, name: str) -> Verification:
        """Check that no row of a history was edited, removed or inserted, and none cut off at its end."""
        model = self.client.registered(name)
        return self._history.verify(name, model.tags.get(ANCHOR, ""))

    def judge(
        self, name: str, version: int | str, to: str, *, data: str | None = None
    ) -> tuple[ModelVersion, list[GateResult]]:
        """Hold a version against the gates of a stage, by the rows of `data` where given; nothing is moved.

        Raises `ModelError` where there is no such version, `RegistryError` for an unknown stage.
        """
        from tabstudio.registry import gates

        stage = self.rules.stage(to)
        found = self.version(name, version)
        current = self.current(name, stage.name) if stage.exclusive else None
        return found, gates.judge(self, found, current, stage, {"data": data})

    # moving

    def promote(
        self,
        name: str,
        version: int | str,
        to: str,
        *,
        reason: str,
        force: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> list[Transition]:
        """Put a version into a stage, if its gates pass and enough people agreed.

        `force` goes on where gates fail, and is recorded; it does not stand in for approvals or rights.
        `options` are for the gates: `data`, a path to the table to judge on. Returns the rows that were
        written, the promotion first.

        Raises `GateError` with all results, `RegistryError` where the move is not allowed, `ConflictError`
        where somebody else was faster, `ModelError` where there is no such version. Nothing is changed then.
        """
        from tabstudio.registry import gates

        stage, reason = self.rules.stage(to), require_reason(reason)
        self._check_right(stage.name)
        self._keeper.look(name)
        candidate = self.version(name, version)
        self._check_right(candidate.stage)
        basis = self._keeper.basis(name, candidate.number, stage.name)
        self._check_way(candidate, stage)
        with self._history.reading(name) as chain:
            request = _approved(chain, candidate, stage)
        results = tuple(gates.judge(self, candidate, self.current(name, stage.name), stage, options or {}))
        check_gates(candidate, stage, results, force=force)
        move = Move(
            "promote",
            candidate,
            stage.name,
            self.actor,
            reason,
            self._evidence(candidate, results, request),
            forced=force and not all(result.passed for result in results),
            refers=request.number if request else None,
        )
        return self._keeper.commit(move, basis, lambda chain: _approved(chain, candidate, stage))

    def archive(self, name: str, version: int | str, *, reason: str) -> list[Transition]:
        """Take a version out of its stage. Raises as `promote` does; no gate is asked."""
        reason = require_reason(reason)
        names = [stage.name for stage in self.rules.stages]
        to_stage = ARCHIVE if ARCHIVE in names else None
        self._keeper.look(name)
        found = self.version(name, version)
        if found.stage == to_stage:
            raise RegistryError(f"{name} {found.number} is in {to_stage or 'no stage'} already")
        self._check_right(found.stage, to_stage)
        basis = self._keeper.basis(name, found.number, to_stage)
        return self._keeper.commit(Move("archive", found, to_stage, self.actor, reason, Evidence()), basis)

    def rollback(
        self, name: str, *, reason: str, to_version: int | None = None, stage: str = "production"
    ) -> list[Transition]:
        """Put the version back that was in a stage before, after checking that it still loads.

        A second rollback goes one further back. `to_version` names a version that was there at some time.
        Neither approvals nor other gates are asked: it was there already, and it may be urgent.

        Raises `GateError` where the version does not load or was changed, else as `promote` does.
        """
        from tabstudio.registry import gates

        rule, reason = self.rules.stage(stage), require_reason(reason)
        if not rule.exclusive:
            raise RegistryError(f"stage {rule.name} holds many versions: there is no way back in it")
        self._check_right(rule.name)
        self._keeper.look(name)
        with self._history.reading(name) as chain:
            goal = target_of_rollback(chain, rule.name, to_version)
        target = self.version(name, goal)
        self._check_right(target.stage)
        basis = self._keeper.basis(name, target.number, rule.name)
        results = (gates.loads(self, target),)
        check_gates(target, rule, results, force=False)
        evidence = self._evidence(target, results, None)
        return self._keeper.commit(Move("rollback", target, rule.name, self.actor, reason, evidence), basis)

    # agreeing

    def request(self, name: str, version: int | str, to: str, *, reason: str) -> Transition:
        """Ask that a version be put into a stage that needs approval."""
        stage, reason = self.rules.stage(to), require_reason(reason)
        self._keeper.look(name)
        found = self.version(name, version)
        self._check_way(found, stage)
        if not stage.approvals:
            raise RegistryError(f"stage {stage.name} needs no approval: `tabstudio promote` it")
        with self._history.reading(name) as chain:
            asked = approvals.open_request(chain, found.number, found.created, stage.name)
        if asked is not None:
            raise RegistryError(
                f"{name} {found.number}: {asked.asked.actor} has asked for {stage.name} already"
            )
        return self._keeper.note(Move("request", found, stage.name, self.actor, reason, Evidence()))

    def approve(
        self, name: str, version: int | str, *, to: str | None = None, reason: str = ""
    ) -> Transition:
        """Agree to the open request for a version. Nobody approves their own request.

        Raises `RegistryError` where there is no request, or the actor may not answer it.
        """
        return self._answer("approve", name, version, to, reason)

    def reject(self, name: str, version: int | str, *, to: str | None = None, reason: str) -> Transition:
        """Close the open request for a version. Raises as `approve` does."""
        return self._answer("reject", name, version, to, require_reason(reason))

    def requests(self, name: str, version: int | str) -> list[ApprovalRequest]:
        """Return every request for a version, the newest first."""
        found = self.version(name, version)
        with self._history.reading(name) as chain:
            return approvals.requests(chain, found.number, found.created)

    def open_requests(self, name: str) -> list[ApprovalRequest]:
        """Return the requests of a model that wait for an answer or a promotion, the newest first."""
        with self._history.reading(name) as chain:
            return approvals.all_open(chain)

    def note(self, version: ModelVersion, reason: str, facts: Mapping[str, Any]) -> Transition:
        """Keep a finding about a version in its history, such as the result of a reproduction."""
        self._keeper.look(version.model)
        evidence = Evidence(facts=facts)
        return self._keeper.note(Move("note", version, None, self.actor, require_reason(reason), evidence))

    def notes(self, version: ModelVersion) -> list[Transition]:
        """Return what `note` has kept of a version, the newest first."""
        with self._history.reading(version.model) as chain:
            rows = chain.of_version(version.number, ("note",))
        return [row for row in rows if row.created == version.created]

    def moves(self, version: ModelVersion) -> list[Transition]:
        """Return the moves of a version from stage to stage, the newest first."""
        with self._history.reading(version.model) as chain:
            rows = chain.of_version(version.number, MOVES)
        return [row for row in rows if row.created == version.created]

    def deliver(self) -> DeliveryResult:
        """Send the webhooks that are due. Each command does so as it ends; in Python it is yours to call."""
        return deliver(self.database, self.rules)

    # how

    def _answer(
        self, kind: Literal["approve", "reject"], name: str, version: int | str, to: str | None, reason: str
    ) -> Transition:
        self._keeper.look(name)
        found = self.version(name, version)
        wanted = self.rules.stage(to).name if to else None
        with self._history.reading(name) as chain:
            request = approvals.open_request(chain, found.number, found.created, wanted)
        if request is None:
            where = f" for {wanted}" if wanted else ""
            raise RegistryError(f"{name} {found.number}: there is no open request{where} to answer")
        stage = self.rules.stage(str(request.asked.to_stage))
        move = Move(kind, found, stage.name, self.actor, reason, Evidence(), refers=request.number)

        def check(chain: HistoryChain) -> None:
            asked = approvals.open_request(chain, found.number, found.created, stage.name)
            if asked is None or asked.number != request.number:
                raise ConflictError(f"{name} {found.number}: somebody answered this request meanwhile")
            approvals.check_may_answer(kind, asked, stage, self.actor)

        return self._keeper.note(move, check)

    def _model(self, found: Any) -> RegisteredModel:
        stages = self._keeper.in_step(found)
        if stages is None:  # something was changed in MLflow, or is left to do
            self._keeper.look(found.name)
            with self._history.reading(found.name) as chain:
                held = {stage: chain.holder(stage) for stage in self.rules.exclusive}
            stages = {stage: row.version for stage, row in held.items() if row}
        newest = max((int(version.version) for version in found.latest_versions), default=None)
        return RegisteredModel(
            found.name, newest, stages, found.last_updated_timestamp, found.description or ""
        )

    def _number(self, name: str, which: int | str) -> int | None:
        word = str(which).strip().lower()
        if word.isdigit():
            return int(word)
        if word == "latest":
            return next((int(version.version) for version in self.client.newest(name, 1)), None)
        with self._history.reading(name) as chain:
            holder = chain.holder(word.removeprefix("@"))
        return holder.version if holder else None

    def _evidence(
        self, version: ModelVersion, results: tuple[GateResult, ...], request: ApprovalRequest | None
    ) -> Evidence:
        agreed = tuple(f"{row.actor}, {row.time}" for row in request.approvals) if request else ()
        return Evidence(version.metrics, results, version.datasets, self._digest(version), agreed)

    def _digest(self, version: ModelVersion) -> str:
        from tabstudio.model.bundle import digest

        try:
            return digest(self.bundle(version))
        except ModelError:  # another library's model has no manifest; gates have judged a damaged one
            return ""

    def _check_way(self, version: ModelVersion, stage: Stage) -> None:
        with self._history.reading(version.model) as chain:
            check_order(self.rules, chain, version, stage)

    def _check_right(self, *stages: str | None) -> None:
        """Of the stage that a version goes to, and of the one that it leaves."""
        for stage in self.rules.stages:
            if stage.name in stages:
                check_right(self.rules, stage, self.actor)


def _approved(chain: HistoryChain, version: ModelVersion, stage: Stage) -> ApprovalRequest | None:
    request = approvals.open_request(chain, version.number, version.created, stage.name)
    approvals.check_approved(request, stage, version.model, version.number)
    return request
