"""The lifecycle of registered models: who is in which stage, who put it there, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tabstudio.registry.records import GateResult, Transition, Version
from tabstudio.registry.stages import Rules


class Registry:
    """SKELETON, being filled in: stages, history and rollback over any MLflow registry.

    Attributes for colleagues: `rules: Rules`, `client: MlflowClient`, `tracking_uri`, `registry_uri`,
    `database: Database`, `actor: str`.
    """

    def __init__(
        self,
        *,
        tracking_uri: str | None = None,
        registry_uri: str | None = None,
        database_url: str | None = None,
        actor: str | None = None,
        rules: Rules | None = None,
    ) -> None: ...

    def models(self, *, page: int = 1) -> Any: ...
    def versions(self, name: str, *, page: int = 1) -> Any: ...
    def version(self, name: str, number: int | str) -> Version: ...  # number, "latest" or the name of a stage
    def current(self, name: str, stage: str) -> Version | None: ...
    def promote(
        self,
        name: str,
        version: int | str,
        to: str,
        *,
        reason: str,
        force: bool = False,
        options: Mapping[str, Any] | None = None,  # handed to gates.judge as they are: data=, slices=
    ) -> tuple[Transition, ...]: ...
    def archive(self, name: str, version: int | str, *, reason: str) -> tuple[Transition, ...]: ...
    def rollback(
        self, name: str, *, to_version: int | None = None, stage: str = "production", reason: str
    ) -> tuple[Transition, ...]: ...
    def history(self, name: str, *, page: int = 1) -> Any: ...
    def verify(self, name: str) -> Any: ...
    def request(self, name: str, version: int | str, to: str, *, reason: str) -> Transition: ...
    def approve(self, name: str, request: int, *, reason: str = "") -> Transition: ...
    def reject(self, name: str, request: int, *, reason: str) -> Transition: ...
    def bundle(self, version: Version) -> Path: ...  # local folder, downloaded once per Registry
