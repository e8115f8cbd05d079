"""The registry of a remote studio, with the methods of `Registry` that commands use."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from tabstudio.errors import ConfigError
from tabstudio.registry.approvals import ApprovalRequest
from tabstudio.registry.catalog import RegisteredModel
from tabstudio.registry.history import ChainFault, Verification
from tabstudio.registry.records import Evidence, GateResult, ModelVersion, Transition, VersionMetric
from tabstudio.registry.registry import PAGE
from tabstudio.registry.remote_http import Connection, path_of
from tabstudio.registry.stage_rules import Stage, StageRules
from tabstudio.registry.version_card import VersionCard

_Made = TypeVar("_Made")


class RemoteRegistry:
    """Asks a studio, which acts as the person whose token is shown. Raises as `Registry` and `Connection` do.

    A version is named as there, by number, `latest` or stage. Tables that gates judge on are the studio's.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.notices: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @cached_property
    def rules(self) -> StageRules:
        """The stages of the studio, and what each of them asks for."""
        told = self._connection.get("/rules")
        stages = tuple(
            _made(Stage, stage | _tuples(stage, "promoters", "approvers")) for stage in told["stages"]
        )
        return StageRules(stages, told["in_order"], source=f"{told['source']} at {self._connection.url}")

    def look(self, name: str) -> None:
        """Do nothing: the studio looks by itself before it answers."""

    def models(self, *, page: int = 1, limit: int = PAGE) -> list[RegisteredModel]:
        """Return the registered models, a page at a time."""
        return [_made(RegisteredModel, model) for model in self._items("/models", page=page, limit=limit)]

    def versions(self, name: str, *, before: int | None = None, limit: int = PAGE) -> list[ModelVersion]:
        """Return versions of a model, the newest first."""
        found = self._items(path_of("models", name, "versions"), before=before, limit=limit)
        return [_version(version) for version in found]

    def version(self, name: str, which: int | str) -> ModelVersion:
        """Return a version: its number, `latest`, or the name of a stage."""
        return _version(self._connection.get(path_of("models", name, "versions", which)))

    def history(self, name: str, *, before: int | None = None, limit: int = PAGE) -> list[Transition]:
        """Return what happened to a model, the newest first."""
        found = self._items(path_of("models", name, "history"), before=before, limit=limit)
        return [_transition(row) for row in found]

    def at(self, name: str, time: str, *, limit: int = PAGE) -> dict[str, list[Transition]]:
        """Tell how each stage stood at a time."""
        told = self._connection.get(path_of("models", name, "at"), time=time, limit=limit)
        return {stage: [_transition(row) for row in rows] for stage, rows in told["stages"].items()}

    def export(self, name: str) -> Iterator[Transition]:
        """Go through a whole history, the oldest row first."""
        for line in self._connection.lines(path_of("models", name, "history", "export")):
            yield _transition(json.loads(line))

    def verify(self, name: str) -> Verification:
        """Have the studio check that no row of a history was edited, removed or inserted."""
        told = self._connection.get(path_of("models", name, "verify"))
        return Verification(
            told["model"],
            told["rows"],
            told["head"],
            tuple(_made(ChainFault, fault) for fault in told["faults"]),
        )

    def judge(
        self, name: str, version: int | str, to: str, *, data: str | None = None
    ) -> tuple[ModelVersion, list[GateResult]]:
        """Hold a version against the gates of a stage; nothing is moved."""
        told = self._connection.post(_of(name, version, "gates"), {"to": to, "data": data})
        return _version(told["version"]), [_made(GateResult, gate) for gate in told["gates"]]

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
        """Put a version into a stage, if its gates pass and enough people agreed."""
        body = {"to": to, "reason": reason, "force": force, "data": (options or {}).get("data")}
        return self._act(_of(name, version, "promote"), body)

    def archive(self, name: str, version: int | str, *, reason: str) -> list[Transition]:
        """Take a version out of its stage."""
        return self._act(_of(name, version, "archive"), {"reason": reason})

    def rollback(
        self, name: str, *, reason: str, to_version: int | None = None, stage: str = "production"
    ) -> list[Transition]:
        """Put the version back that was in a stage before."""
        body = {"reason": reason, "to_version": to_version, "stage": stage}
        return self._act(path_of("models", name, "rollback"), body)

    def request(self, name: str, version: int | str, to: str, *, reason: str) -> Transition:
        """Ask that a version be put into a stage that needs approval."""
        return self._act(_of(name, version, "request"), {"to": to, "reason": reason})[0]

    def approve(
        self, name: str, version: int | str, *, to: str | None = None, reason: str = ""
    ) -> Transition:
        """Agree to the open request for a version."""
        return self._act(_of(name, version, "approve"), {"to": to, "reason": reason})[0]

    def reject(self, name: str, version: int | str, *, to: str | None = None, reason: str) -> Transition:
        """Close the open request for a version."""
        return self._act(_of(name, version, "reject"), {"to": to, "reason": reason})[0]

    def requests(self, name: str, version: int | str) -> list[ApprovalRequest]:
        """Return every request for a version, the newest first."""
        return [
            ApprovalRequest(
                _transition(told["asked"]),
                tuple(_transition(row) for row in told["approvals"]),
                _transition(told["closed"]) if told["closed"] else None,
            )
            for told in self._items(_of(name, version, "requests"))
        ]

    def card(self, address: str) -> VersionCard:
        """Return the card of a model that the studio knows. Raises `ConfigError` for a folder."""
        check_address(address)
        told = dict(self._connection.get("/card", model=address))
        return VersionCard(told.pop("address"), told.pop("card"), told)

    def compare(
        self, first: str, second: str, *, data: str | None, slices: Sequence[str]
    ) -> RemoteComparison:
        """Compare two models that the studio knows. Raises `ConfigError` for a folder."""
        check_address(first, second)
        asked = {"first": first, "second": second, "data": data, "slice": list(slices)}
        told = self._connection.get("/compare", **asked)
        return RemoteComparison(self._connection, asked, told["text"], told["comparison"])

    def _items(self, path: str, **query: Any) -> list[dict[str, Any]]:
        told = self._connection.get(path, **query)
        self.notices += told["notices"]
        items: list[dict[str, Any]] = told["items"]
        return items

    def _act(self, path: str, body: Mapping[str, Any]) -> list[Transition]:
        told = self._connection.post(path, body)
        self.notices += told["notices"]
        return [_transition(row) for row in told["rows"]]


class RemoteComparison:
    """What a studio found when it compared two models, as `Comparison` tells it."""

    def __init__(
        self, connection: Connection, asked: Mapping[str, Any], text: str, found: dict[str, Any]
    ) -> None:
        self._connection, self._asked, self._text, self._found = connection, asked, text, found

    def text(self) -> str:
        """A report for the terminal."""
        return self._text

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary for `json.dumps`."""
        return self._found

    def save(self, folder: str | Path) -> Path:
        """Have the report's page, pictures and numbers made, and put them into a folder."""
        import io
        import zipfile

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        packed = self._connection.content("/compare/report", **self._asked)
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            for member in archive.infolist():  # plain files only, whatever their names say
                (folder / Path(member.filename).name).write_bytes(archive.read(member))
        return folder


def check_address(*addresses: str) -> None:
    """Raise `ConfigError` for a folder: a studio does not look into this machine."""
    for address in addresses:
        if not address.startswith(("models:/", "runs:/")):
            raise ConfigError(
                f"model {address}: with TABSTUDIO_URL models:/NAME/VERSION, models:/NAME@ALIAS or "
                "runs:/ID/model was expected; unset it to look at a folder of this machine"
            )


def _of(name: str, version: int | str, what: str) -> str:
    return path_of("models", name, "versions", version, what)


def _version(told: Mapping[str, Any]) -> ModelVersion:
    metrics = {name: _made(VersionMetric, metric) for name, metric in told["metrics"].items()}
    return _made(ModelVersion, {**told, "metrics": metrics, **_tuples(told, "aliases", "datasets")})


def _transition(told: Mapping[str, Any]) -> Transition:
    return _made(Transition, {**told, "evidence": Evidence.from_json(told["evidence"])})


def _tuples(told: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: tuple(told[name]) for name in names}


def _made(kind: type[_Made], told: Mapping[str, Any]) -> _Made:
    """Make a dataclass of JSON; what a newer studio has added is passed over."""
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: told[name] for name in known if name in told})
