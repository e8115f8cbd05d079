"""The lifecycle of registered models: who is in which stage, who put it there, why, and the way back."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, Self

from tabstudio.database import Database, database_address
from tabstudio.errors import ConflictError, ModelError, RegistryError, TabstudioError
from tabstudio.registry import approvals
from tabstudio.registry.approvals import ApprovalRequest
from tabstudio.registry.downloads import Downloads
from tabstudio.registry.hash_chain import HistoryChain
from tabstudio.registry.mlflow_client import RegistryClient
from tabstudio.registry.mlflow_sync import Move, add_notices
from tabstudio.registry.preconditions import (
    check_gates,
    check_order,
    check_right,
    require_reason,
    target_of_rollback,
)
from tabstudio.registry.reader import PAGE, RegistryReader
from tabstudio.registry.records import Evidence, GateResult, ModelVersion, Noticed, Transition
from tabstudio.registry.stage_rules import ARCHIVE, Stage, StageRules, find_rules
from tabstudio.registry.webhooks import DeliveryResult, deliver
from tabstudio.settings import actor as acting

__all__ = ["PAGE", "Registry"]


class Registry(RegistryReader):
    """Stages, history and rollback over any MLflow registry.

    The addresses are those of the environment where they are left out; `client` and `database` stand in for
    them, and stay open when the registry is closed. `actor` is who acts: without it, `TABSTUDIO_ACTOR` or the
    user of the operating system. `rules` are the project's, from `tabstudio.toml` or `pyproject.toml`.
    What a person should read beside an answer (changes made elsewhere, repairs) is in its `notices`, and in
    the notes of an error.

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
        client: RegistryClient | None = None,
        database: Database | None = None,
    ) -> None:
        rules, self.actor = rules or find_rules(), acting(actor)
        client = client or RegistryClient(tracking_uri, registry_uri)
        self.tracking_uri, self.registry_uri = client.tracking_uri, client.registry_uri
        tables = database or Database(database_address(database_url, self.registry_uri))
        super().__init__(client, tables, rules)
        self._opened: tuple[Downloads | Database, ...] = (self._downloads,)
        if database is None:
            self._opened += (tables,)

    def __repr__(self) -> str:
        return f"Registry({self.client.address!r}, history in {self.database.address!r})"

    def as_actor(self, name: str | None) -> Self:
        """Return this registry with somebody else as who acts; connections and fetched bundles are shared.

        To close what this returns closes nothing.
        """
        twin = copy.copy(self)
        twin.actor = acting(name)
        twin._opened = ()
        return twin

    def close(self) -> None:
        """Give the connections to our tables back; `with Registry()` does so at the end of the block."""
        for part in self._opened:
            part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # moving

    def promote(
        self,
        name: str,
        version: int | str,
        to: str,
        *,
        reason: str,
        force: bool = False,
        options: Mapping[str, object] | None = None,
    ) -> Noticed[Transition]:
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
        with self._looking(name) as notices:
            candidate = self.version(name, version)
            self._check_right(candidate.stage)
            basis = self._sync.basis(name, candidate.number, stage.name)
            self._check_order(candidate, stage)
            with self._history.reading(name) as chain:
                request = _approved(chain, candidate, stage)
            current = self.current(name, stage.name)
            results = tuple(gates.judge(self, candidate, current, stage, options or {}))
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
            rows = self._sync.commit(move, basis, lambda chain: _approved(chain, candidate, stage))
        return Noticed(rows, notices)

    def archive(self, name: str, version: int | str, *, reason: str) -> Noticed[Transition]:
        """Take a version out of its stage. Raises as `promote` does; no gate is asked."""
        reason = require_reason(reason)
        to_stage = ARCHIVE if ARCHIVE in (stage.name for stage in self.rules.stages) else None
        with self._looking(name) as notices:
            archived = self.version(name, version)
            if archived.stage == to_stage:
                raise RegistryError(f"{name} {archived.number} is in {to_stage or 'no stage'} already")
            self._check_right(archived.stage, to_stage)
            basis = self._sync.basis(name, archived.number, to_stage)
            move = Move("archive", archived, to_stage, self.actor, reason, Evidence())
            return Noticed(self._sync.commit(move, basis), notices)

    def rollback(
        self, name: str, *, reason: str, to_version: int | None = None, stage: str = "production"
    ) -> Noticed[Transition]:
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
        with self._looking(name) as notices:
            with self._history.reading(name) as chain:
                number = target_of_rollback(chain, rule.name, to_version)
            target = self.version(name, number)
            self._check_right(target.stage)
            basis = self._sync.basis(name, target.number, rule.name)
            results = (gates.loads(self, target),)
            check_gates(target, rule, results, force=False)
            evidence = self._evidence(target, results, None)
            move = Move("rollback", target, rule.name, self.actor, reason, evidence)
            return Noticed(self._sync.commit(move, basis), notices)

    # agreeing

    def request(self, name: str, version: int | str, to: str, *, reason: str) -> Transition:
        """Ask that a version be put into a stage that needs approval."""
        stage, reason = self.rules.stage(to), require_reason(reason)
        with self._looking(name):
            candidate = self.version(name, version)
            self._check_order(candidate, stage)
            if not stage.approvals:
                raise RegistryError(f"stage {stage.name} needs no approval: `tabstudio promote` it")
            with self._history.reading(name) as chain:
                request = approvals.open_request(chain, candidate.number, candidate.created, stage.name)
            if request is not None:
                raise RegistryError(
                    f"{name} {candidate.number}: {request.asked.actor} has asked for {stage.name} already"
                )
            return self._sync.note(Move("request", candidate, stage.name, self.actor, reason, Evidence()))

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

    def note(self, version: ModelVersion, reason: str, facts: Mapping[str, object]) -> Transition:
        """Keep a finding about a version in its history, such as the result of a reproduction."""
        with self._looking(version.model):
            evidence = Evidence(facts=facts)
            return self._sync.note(Move("note", version, None, self.actor, require_reason(reason), evidence))

    def deliver(self) -> DeliveryResult:
        """Send the webhooks that are due. Each command does so as it ends; in Python it is yours to call."""
        return deliver(self.database, self.rules)

    def _answer(
        self, kind: Literal["approve", "reject"], name: str, version: int | str, to: str | None, reason: str
    ) -> Transition:
        with self._looking(name):
            candidate = self.version(name, version)
            wanted = self.rules.stage(to).name if to else None
            with self._history.reading(name) as chain:
                request = approvals.open_request(chain, candidate.number, candidate.created, wanted)
            if request is None:
                where = f" for {wanted}" if wanted else ""
                raise RegistryError(f"{name} {candidate.number}: there is no open request{where} to answer")
            stage, number = self.rules.stage(str(request.asked.to_stage)), request.number
            move = Move(kind, candidate, stage.name, self.actor, reason, Evidence(), refers=number)

            def check(chain: HistoryChain) -> None:
                now = approvals.open_request(chain, candidate.number, candidate.created, stage.name)
                if now is None or now.number != number:
                    raise ConflictError(
                        f"{name} {candidate.number}: somebody answered this request meanwhile"
                    )
                approvals.check_may_answer(kind, now, stage, self.actor)

            return self._sync.note(move, check)

    @contextmanager
    def _looking(self, name: str) -> Iterator[tuple[str, ...]]:
        """Look at a model first; what a person should read is given, and told by an error, too."""
        notices = self.look(name)
        try:
            yield notices
        except TabstudioError as error:
            add_notices(error, notices)
            raise

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

    def _check_order(self, version: ModelVersion, stage: Stage) -> None:
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
