"""The registry of a remote studio, its model cards and comparisons."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Self, TypeVar

from tabstudio.registry.approvals import ApprovalRequest
from tabstudio.registry.catalog import RegisteredModel
from tabstudio.registry.history import Verification
from tabstudio.registry.reader import PAGE
from tabstudio.registry.records import GateResult, ModelVersion, Noticed, Transition
from tabstudio.registry.stage_rules import Stage, StageRules
from tabstudio.registry.version_card import VersionCard
from tabstudio.remote import paths
from tabstudio.remote.connection import Connection
from tabstudio.remote.contract import check_address
from tabstudio.remote.records import approval_request, parse, transition

_Record = TypeVar("_Record")
_Parse = Callable[[Mapping[str, object]], _Record]


class RemoteRegistry:
    """Asks a studio, as `AnyRegistry`; it acts as the person whose token is shown.

    Raises as `Registry` and `Connection` do. A version is named as there, by number, `latest` or stage.
    Tables that gates judge on are the studio's.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._transition: _Parse[Transition] = partial(transition, connection)
        self._version: _Parse[ModelVersion] = partial(parse, connection, ModelVersion)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @cached_property
    def rules(self) -> StageRules:
        """The stages of the studio, and what each of them asks for."""
        data = self._connection.get(paths.RULES)
        stages = tuple(self._stage(stage) for stage in data["stages"])
        return StageRules(stages, data["in_order"], source=f"{data['source']} at {self._connection.url}")

    def look(self, name: str) -> tuple[str, ...]:
        """Have the studio look at a model; returns what a person should read of it."""
        return self.history(name, limit=1).notices

    def models(self, *, page: int = 1, limit: int = PAGE, search: str = "") -> Noticed[RegisteredModel]:
        """Return the registered models in alphabetical order, a page at a time; see `Registry.models`."""
        model: _Parse[RegisteredModel] = partial(parse, self._connection, RegisteredModel)
        return self._items(paths.MODELS, model, page=page, limit=limit, search=search or None)

    def versions(self, name: str, *, before: int | None = None, limit: int = PAGE) -> Noticed[ModelVersion]:
        """Return versions of a model, the newest first."""
        path = paths.fill(paths.VERSIONS, name=name)
        return self._items(path, self._version, before=before, limit=limit)

    def version(self, name: str, which: int | str) -> ModelVersion:
        """Return a version: its number, `latest`, or the name of a stage."""
        return self._version(self._connection.get(paths.fill(paths.VERSION, name=name, which=which)))

    def history(self, name: str, *, before: int | None = None, limit: int = PAGE) -> Noticed[Transition]:
        """Return what happened to a model, the newest first."""
        path = paths.fill(paths.HISTORY, name=name)
        return self._items(path, self._transition, before=before, limit=limit)

    def at(self, name: str, time: datetime | str, *, limit: int = PAGE) -> dict[str, list[Transition]]:
        """Tell how each stage stood at a time."""
        moment = time if isinstance(time, str) else time.isoformat()
        then = self._connection.get(paths.fill(paths.AT, name=name), time=moment, limit=limit)
        return {stage: [self._transition(row) for row in rows] for stage, rows in then["stages"].items()}

    def export(self, name: str) -> Iterator[Transition]:
        """Go through a whole history, the oldest row first."""
        for line in self._connection.lines(paths.fill(paths.EXPORT, name=name)):
            yield self._transition(json.loads(line))

    def verify(self, name: str) -> Verification:
        """Have the studio check that no row of a history was edited, removed or inserted."""
        verified = self._connection.get(paths.fill(paths.VERIFY, name=name))
        return parse(self._connection, Verification, verified)

    def judge(
        self, name: str, version: int | str, to: str, *, data: str | None = None
    ) -> tuple[ModelVersion, list[GateResult]]:
        """Hold a version against the gates of a stage; nothing is moved."""
        path = paths.fill(paths.GATES, name=name, which=version)
        judged = self._connection.post(path, {"to": to, "data": data})
        gates = [parse(self._connection, GateResult, gate) for gate in judged["gates"]]
        return self._version(judged["version"]), gates

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
        """Put a version into a stage, if its gates pass and enough people agreed."""
        body = {"to": to, "reason": reason, "force": force, "data": (options or {}).get("data")}
        return self._act(paths.PROMOTE, name, version, body)

    def archive(self, name: str, version: int | str, *, reason: str) -> Noticed[Transition]:
        """Take a version out of its stage."""
        return self._act(paths.ARCHIVE, name, version, {"reason": reason})

    def rollback(
        self, name: str, *, reason: str, to_version: int | None = None, stage: str = "production"
    ) -> Noticed[Transition]:
        """Put the version back that was in a stage before."""
        body = {"reason": reason, "to_version": to_version, "stage": stage}
        return self._act(paths.ROLLBACK, name, "", body)

    def request(self, name: str, version: int | str, to: str, *, reason: str) -> Transition:
        """Ask that a version be put into a stage that needs approval."""
        return self._act(paths.REQUEST, name, version, {"to": to, "reason": reason})[0]

    def approve(
        self, name: str, version: int | str, *, to: str | None = None, reason: str = ""
    ) -> Transition:
        """Agree to the open request for a version."""
        return self._act(paths.APPROVE, name, version, {"to": to, "reason": reason})[0]

    def reject(self, name: str, version: int | str, *, to: str | None = None, reason: str) -> Transition:
        """Close the open request for a version."""
        return self._act(paths.REJECT, name, version, {"to": to, "reason": reason})[0]

    def requests(self, name: str, version: int | str) -> list[ApprovalRequest]:
        """Return every request for a version, the newest first."""
        path = paths.fill(paths.REQUESTS, name=name, which=version)
        return self._items(path, partial(approval_request, self._connection))

    def card(self, address: str) -> VersionCard:
        """Return the card of a model that the studio knows. Raises `ConfigError` for a folder."""
        check_address(address)
        facts = dict(self._connection.get(paths.CARD, model=address))
        return VersionCard(facts.pop("address"), facts.pop("card"), facts)

    def compare(
        self, first: str, second: str, *, data: str | None, slices: Sequence[str]
    ) -> RemoteComparison:
        """Compare two models that the studio knows. Raises `ConfigError` for a folder."""
        check_address(first, second)
        query = {"first": first, "second": second, "data": data, "slice": list(slices)}
        answer = self._connection.get(paths.COMPARE, **query)
        return RemoteComparison(self._connection, query, answer["text"], answer["comparison"])

    def _stage(self, data: Mapping[str, object]) -> Stage:
        known = {name: data[name] for name in Stage.__slots__ if name in data}  # it refuses what it knows not
        return parse(self._connection, Stage, known)

    def _items(self, path: str, item: _Parse[_Record], **query: object) -> Noticed[_Record]:
        page = self._connection.get(path, **query)
        return Noticed(map(item, page["items"]), page["notices"])

    def _act(
        self, path: str, name: str, version: int | str, body: Mapping[str, object]
    ) -> Noticed[Transition]:
        moved = self._connection.post(paths.fill(path, name=name, which=version), body)
        return Noticed(map(self._transition, moved["rows"]), moved["notices"])


class RemoteComparison:
    """What a studio found when it compared two models, as `Comparison` tells it."""

    def __init__(
        self, connection: Connection, query: Mapping[str, object], text: str, figures: dict[str, object]
    ) -> None:
        self._connection, self._query, self._text, self._figures = connection, query, text, figures

    def text(self) -> str:
        """Return a report for the terminal."""
        return self._text

    def to_json(self) -> dict[str, object]:
        """Return a plain dictionary for `json.dumps`."""
        return self._figures

    def save(self, folder: str | Path) -> Path:
        """Have the report's page, pictures and numbers made, and put them into a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        packed = self._connection.content(paths.COMPARE_REPORT, **self._query)
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            for member in archive.infolist():  # plain files only, whatever their names say
                (folder / Path(member.filename).name).write_bytes(archive.read(member))
        return folder
