"""Our stages in MLflow: aliases, and its deprecated stages while it has them.

An exclusive stage is an alias of the same name, so `models:/NAME@production` works for every client. Staging,
Production and Archived are kept in step, so `models:/NAME/Production`, `current_stage` and the old pages tell
the same; a stage of another name is None there. A tag of the registered model holds the end of the history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tabstudio.registry.mlflow_client import MissingError, RegistryClient, name_filter
from tabstudio.registry.stage_rules import StageRules

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

ANCHOR = "tabstudio.history"
"""The tag of a registered model that holds the end of its history."""
NO_STAGE = "None"
_MLFLOW_STAGES = {"staging": "Staging", "production": "Production", "archived": "Archived"}
_PAGE, _FIRST_PAGE = 50, 1000


@dataclass(frozen=True, slots=True)
class MlflowState:
    """One model as MLflow has it: where the aliases point, and the stages of the versions looked at.

    `newest` is the time of the last change among them, in ms of MLflow's clock.
    """

    aliases: Mapping[str, int]
    stages: Mapping[int, str] = field(default_factory=dict)
    created: Mapping[int, int] = field(default_factory=dict)
    anchor: str = ""
    newest: int = 0
    looked_at: int = 0


class MlflowStages:
    """Reads and writes MLflow's side of the stages."""

    def __init__(self, client: RegistryClient, rules: StageRules) -> None:
        self.client, self.rules = client, rules
        # Unity Catalog has aliases only.
        self.has_stages = hasattr(client.mlflow, "transition_model_version_stage") and (
            not client.registry_uri.startswith(("databricks-uc", "uc:"))
        )

    def ours(self, shown: str) -> str | None:
        """Return our stage for one of MLflow's; None for no stage, or one that the rules do not have."""
        names = {stage.name for stage in self.rules.stages}
        return next((n for n in _MLFLOW_STAGES if n in names and mlflow_stage(n) == shown), None)

    def look(self, name: str, since: int, numbers: Iterable[int] = ()) -> MlflowState:
        """Look at a model: its aliases, the versions that changed since, those in a stage, and `numbers`.

        Raises `ModelError` where there is no such model.
        """
        model = self.client.registered(name)
        versions = {int(v.version): v for v in model.latest_versions}
        changed = self._changed(name, since)
        versions |= {int(v.version): v for v in changed}
        aliased = {int(number) for alias, number in model.aliases.items() if alias in self.rules.exclusive}
        for number in (aliased | set(numbers)) - set(versions):
            version = self.version(name, number)
            if version is not None:
                versions[number] = version
        return state_of(model, versions.values(), len(changed))

    def version(self, name: str, number: int) -> ModelVersion | None:
        """Return MLflow's version of that number, None where it does not exist or was deleted."""
        try:
            with self.client.asking(f"look for version {number} of {name!r}"):
                return self.client.mlflow.get_model_version(name, str(number))
        except MissingError:
            return None

    def apply(
        self, name: str, stages: Mapping[int, str | None], holders: Mapping[str, int | None], anchor: str
    ) -> list[int]:
        """Set what MLflow shows: aliases of `holders`, the stages of versions, the anchor. May be repeated.

        Aliases are moved first: from one request to the next, clients load the new version. Returns the
        versions that are not there any more.
        """
        missing = [n for n in stages if self.version(name, n) is None]
        client = self.client.mlflow
        with self.client.asking(f"tell the stages of {name!r}"):
            for stage, number in holders.items():
                if number is None:
                    client.delete_registered_model_alias(name, stage)
                elif number not in missing:
                    client.set_registered_model_alias(name, stage, str(number))
            for number, own in stages.items() if self.has_stages else ():
                if number not in missing:
                    client.transition_model_version_stage(name, str(number), mlflow_stage(own))
            client.set_registered_model_tag(name, ANCHOR, anchor)
        return missing

    def _changed(self, name: str, since: int) -> list[ModelVersion]:
        """Return the versions that changed at or after a time, the newest change first."""
        changed: list[ModelVersion] = []
        token: str | None = None
        with self.client.asking(f"look at the versions of {name!r}"):
            while True:
                page = self.client.mlflow.search_model_versions(
                    name_filter(name),
                    max_results=_PAGE if since else _FIRST_PAGE,
                    order_by=["last_updated_timestamp DESC"],
                    page_token=token,
                )
                changed += [version for version in page if version.last_updated_timestamp >= since]
                token = page.token
                if not token or not page or page[-1].last_updated_timestamp < since:
                    return changed


def mlflow_stage(stage: str | None) -> str:
    """Return MLflow's stage for one of ours.

    >>> mlflow_stage("production"), mlflow_stage("canary"), mlflow_stage(None)
    ('Production', 'None', 'None')
    """
    return _MLFLOW_STAGES.get(stage or "", NO_STAGE)


def state_of(model: RegisteredModel, versions: Iterable[ModelVersion], looked_at: int = 0) -> MlflowState:
    """Return what MLflow says of a model and some of its versions."""
    by_number = {int(v.version): v for v in versions}
    return MlflowState(
        aliases={alias: int(number) for alias, number in model.aliases.items()},
        stages={number: v.current_stage or NO_STAGE for number, v in by_number.items()},
        created={number: v.creation_timestamp for number, v in by_number.items()},
        anchor=model.tags.get(ANCHOR, ""),
        newest=max((v.last_updated_timestamp or 0 for v in by_number.values()), default=0),
        looked_at=looked_at,
    )
