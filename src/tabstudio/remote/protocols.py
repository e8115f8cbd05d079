# ruff: noqa: D102 - the local classes say what each method does
"""What commands need of a registry and of services, wherever they are: on this machine or behind a studio."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol, Self

from tabstudio.registry.approvals import ApprovalRequest
from tabstudio.registry.catalog import RegisteredModel
from tabstudio.registry.history import Verification
from tabstudio.registry.reader import PAGE
from tabstudio.registry.records import GateResult, ModelVersion, Noticed, Transition
from tabstudio.registry.stage_rules import StageRules
from tabstudio.serving.deployments import Deployment


class AnyRegistry(Protocol):
    """A registry: `Registry` says what each method does."""

    @property
    def rules(self) -> StageRules: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def look(self, name: str) -> tuple[str, ...]: ...

    def models(self, *, page: int = 1, limit: int = PAGE, search: str = "") -> Noticed[RegisteredModel]: ...

    def versions(
        self, name: str, *, before: int | None = None, limit: int = PAGE
    ) -> Noticed[ModelVersion]: ...

    def version(self, name: str, which: int | str) -> ModelVersion: ...

    def history(self, name: str, *, before: int | None = None, limit: int = PAGE) -> Noticed[Transition]: ...

    def at(self, name: str, time: datetime | str, *, limit: int = PAGE) -> dict[str, list[Transition]]: ...

    def export(self, name: str) -> Iterator[Transition]: ...

    def verify(self, name: str) -> Verification: ...

    def judge(
        self, name: str, version: int | str, to: str, *, data: str | None = None
    ) -> tuple[ModelVersion, list[GateResult]]: ...

    def promote(
        self,
        name: str,
        version: int | str,
        to: str,
        *,
        reason: str,
        force: bool = False,
        options: Mapping[str, object] | None = None,
    ) -> Noticed[Transition]: ...

    def archive(self, name: str, version: int | str, *, reason: str) -> Noticed[Transition]: ...

    def rollback(
        self, name: str, *, reason: str, to_version: int | None = None, stage: str = "production"
    ) -> Noticed[Transition]: ...

    def request(self, name: str, version: int | str, to: str, *, reason: str) -> Transition: ...

    def approve(
        self, name: str, version: int | str, *, to: str | None = None, reason: str = ""
    ) -> Transition: ...

    def reject(self, name: str, version: int | str, *, to: str | None = None, reason: str) -> Transition: ...

    def requests(self, name: str, version: int | str) -> list[ApprovalRequest]: ...


class AnyDeployments(Protocol):
    """Services by name: `Deployments` says what each method does."""

    def start(self, name: str, words: Sequence[str] = ()) -> Deployment: ...

    def list(self, *, ask: bool = True) -> builtins.list[Deployment]: ...

    def find(self, name: str, *, ask: bool = True) -> Deployment: ...

    def stop(self, name: str) -> Deployment: ...

    def remove(self, name: str) -> None: ...

    def output(self, name: str, lines: int = 100, follow: bool = False) -> Iterator[str]: ...
