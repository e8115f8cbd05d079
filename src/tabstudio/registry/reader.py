"""What is registered, in which stage it is and what happened to it: looked at, nothing is moved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tabstudio.errors import ModelError
from tabstudio.registry import approvals
from tabstudio.registry.approvals import ApprovalRequest
from tabstudio.registry.catalog import RegisteredModel, as_version, with_runs
from tabstudio.registry.dates import end_of
from tabstudio.registry.downloads import Downloads
from tabstudio.registry.history import History, Verification
from tabstudio.registry.mlflow_client import RegistryClient
from tabstudio.registry.mlflow_stages import ANCHOR, MlflowStages
from tabstudio.registry.mlflow_sync import MlflowSync
from tabstudio.registry.model_addresses import SHOWN, AddressResolver
from tabstudio.registry.records import MOVES, GateResult, ModelVersion, Noticed, Transition, TransitionKind
from tabstudio.registry.stage_rules import StageRules

if TYPE_CHECKING:
    from mlflow.entities.model_registry import RegisteredModel as MlflowModel

    from tabstudio.database import Database

PAGE = 20
"""Versions or rows of history that are asked for at once, where nothing else is said."""


class RegistryReader:
    """Reads the models of `client`'s registry and their histories in `database`, by the stages of `rules`."""

    def __init__(self, client: RegistryClient, database: Database, rules: StageRules) -> None:
        self.client, self.database, self.rules = client, database, rules
        self._history = History(database, client.address)
        self._sync = MlflowSync(self._history, MlflowStages(client, rules))
        self._downloads = Downloads()
        self._bundles: dict[str, Path] = {}

    def look(self, name: str) -> tuple[str, ...]:
        """See whether a model's stages were changed in MLflow, and finish what was interrupted.

        Returns what a person should read of it. The other methods look by themselves, except `at`. Raises
        `ModelError` with similar names where there is no such model.
        """
        return self._sync.look(name).notices

    def models(self, *, page: int = 1, limit: int = PAGE, search: str = "") -> Noticed[RegisteredModel]:
        """Return the registered models in alphabetical order, a page at a time.

        With `search` those whose names hold these words, in any case.
        """
        notices: list[str] = []
        models = [self._model(model, notices) for model in self.client.models(page, limit, search)]
        return Noticed(models, notices)

    def last_moves(self, names: Iterable[str]) -> dict[str, Transition]:
        """Return the newest move of each of these models; those that never moved are left out."""
        return self._history.last_moves(names)

    def recent(self, limit: int = PAGE) -> list[Transition]:
        """Return what happened lately to any model, the newest first. MLflow is not asked."""
        return self._history.recent(limit)

    def versions(self, name: str, *, before: int | None = None, limit: int = PAGE) -> Noticed[ModelVersion]:
        """Return versions of a model, the newest first, those below the number `before`.

        Raises `ModelError` with similar names where there is no such model.
        """
        state, notices = self._sync.look(name)
        newest = self.client.newest(name, limit, before)
        with self._history.reading(name) as chain:
            moves = chain.stages(int(version.version) for version in newest)
        versions = [as_version(version, moves.get(int(version.version)), state.aliases) for version in newest]
        return Noticed(with_runs(self.client, versions), notices)

    def version(self, name: str, which: int | str) -> ModelVersion:
        """Return a version: its number, `latest`, or the name of a stage.

        Raises `ModelError` where there is none, with what there is.
        """
        number = self._number(name, which)
        version = self._sync.mirror.version(name, number) if number is not None else None
        if version is None or number is None:
            self.client.registered(name)  # a misspelt name is told as such
            known = ", ".join(str(v.version) for v in self.client.newest(name, SHOWN)) or "none"
            raise ModelError(f"{name} has no version {which}; its newest versions are {known}")
        with self._history.reading(name) as chain:
            move = chain.stages([number]).get(number)
        aliases = dict.fromkeys(version.aliases, number)
        return with_runs(self.client, [as_version(version, move, aliases)])[0]

    def current(self, name: str, stage: str) -> ModelVersion | None:
        """Return the version that is in an exclusive stage, None where the stage is empty."""
        with self._history.reading(name) as chain:
            holder = chain.holder(self.rules.stage(stage).name)
        return self.version(name, holder.version) if holder else None

    def bundle(self, version: ModelVersion) -> Path:
        """Return the local folder of a version's bundle, fetched once. Raises `ModelError` without one."""
        if version.address not in self._bundles:
            resolver = AddressResolver(version.address, self.client, self._downloads)
            self._bundles[version.address] = resolver.bundle()
        return self._bundles[version.address]

    def history(self, name: str, *, before: int | None = None, limit: int = PAGE) -> Noticed[Transition]:
        """Return what happened to a model, the newest first, below the row `before`."""
        notices = self.look(name)
        with self._history.reading(name) as chain:
            return Noticed(chain.rows(before=before, limit=limit), notices)

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

        stage, candidate = self.rules.stage(to), self.version(name, version)
        current = self.current(name, stage.name) if stage.exclusive else None
        return candidate, gates.judge(self, candidate, current, stage, {"data": data})

    def requests(self, name: str, version: int | str) -> list[ApprovalRequest]:
        """Return every request for a version, the newest first."""
        wanted = self.version(name, version)
        with self._history.reading(name) as chain:
            return approvals.requests(chain, wanted.number, wanted.created)

    def open_requests(self, name: str) -> list[ApprovalRequest]:
        """Return the requests of a model that wait for an answer or a promotion, the newest first."""
        with self._history.reading(name) as chain:
            return approvals.all_open(chain)

    def notes(self, version: ModelVersion) -> list[Transition]:
        """Return what `note` has kept of a version, the newest first."""
        return self._rows_of(version, ("note",))

    def moves(self, version: ModelVersion) -> list[Transition]:
        """Return the moves of a version from stage to stage, the newest first."""
        return self._rows_of(version, MOVES)

    def _rows_of(self, version: ModelVersion, kinds: tuple[TransitionKind, ...]) -> list[Transition]:
        with self._history.reading(version.model) as chain:
            rows = chain.of_version(version.number, kinds)
        return [row for row in rows if row.created == version.created]

    def _model(self, model: MlflowModel, notices: list[str]) -> RegisteredModel:
        stages: Mapping[str, int] | None = self._sync.in_step(model)
        if stages is None:  # something was changed in MLflow, or is left to do
            notices += self.look(model.name)
            with self._history.reading(model.name) as chain:
                held = {stage: chain.holder(stage) for stage in self.rules.exclusive}
            stages = {stage: row.version for stage, row in held.items() if row}
        newest = max((int(version.version) for version in model.latest_versions), default=None)
        return RegisteredModel(
            model.name, newest, stages, model.last_updated_timestamp, model.description or ""
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
