"""MLflow registries to test on: plain ones, with versions of no library, made in milliseconds."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabstudio.registry import Registry
from tabstudio.registry.stage_rules import StageRules, make_rules

OPEN_RULES = make_rules({})


@dataclass
class Place:
    """A working folder with an MLflow database in it, and where our own tables are."""

    folder: Path
    database_url: str | None = None

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder}/mlflow.db"

    @property
    def client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(self.uri, self.uri)

    def register(self, name: str, versions: int) -> None:
        """Register versions as another library would: files that we do not know."""
        files = self.folder / "files"
        files.mkdir(exist_ok=True)
        (files / "MLmodel").write_text("flavors: {}\n")
        client = self.client
        client.create_registered_model(name)
        for _ in range(versions):
            client.create_model_version(name, str(files))

    def open(self, actor: str = "ann", rules: StageRules = OPEN_RULES) -> Registry:
        return Registry(tracking_uri=self.uri, database_url=self.database_url, actor=actor, rules=rules)

    def shown(self, name: str) -> dict[str, Any]:
        """What MLflow shows: aliases, and versions by their stage."""
        client = self.client
        stages: dict[str, list[int]] = {}
        for version in client.search_model_versions(f"name = '{name}'"):
            stages.setdefault(version.current_stage, []).append(int(version.version))
        stages.pop("None", None)
        aliases = {alias: int(n) for alias, n in client.get_registered_model(name).aliases.items()}
        return {"aliases": aliases, "stages": {stage: sorted(numbers) for stage, numbers in stages.items()}}


def copied(template: Path, folder: Path, database_url: str | None = None) -> Place:
    """A place of its own, with a copy of a database that MLflow has made."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(template, folder / "mlflow.db")
    return Place(folder, database_url)
