"""The details of one run: data, models, versions, source."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from tabstudio.evaluation.evaluation_result import to_plain
from tabstudio.studio.services.runs.run_records import RunRow, as_row

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, LoggedModel, Run

    from tabstudio.studio.services.runs.run_store import RunStore

NOTE = "mlflow.note.content"
MOST_VERSIONS = 100
BUNDLE = "tabstudio.task"
"""A tag of logged models that hold a bundle of tabstudio."""


@dataclass(frozen=True, slots=True)
class RunDataset:
    """An input of a run. `rows` is None where it is not told."""

    name: str
    digest: str
    context: str
    source: str
    rows: int | None


@dataclass(frozen=True, slots=True)
class RunModel:
    """A model that a run has made, and the versions (name, number) that were registered of it."""

    id: str
    name: str
    kind: str
    bundle: bool
    versions: tuple[tuple[str, int], ...]

    @property
    def address(self) -> str:
        """How MLflow calls it."""
        return f"models:/{self.id}"


@dataclass(frozen=True, slots=True)
class RunDetails:
    """A run and all that belongs to it.

    `tags` are those that people set; `git` says which commit it ran at. `children` counts the runs below it.
    """

    row: RunRow
    note: str
    tags: Mapping[str, str]
    git: Mapping[str, str]
    datasets: tuple[RunDataset, ...]
    models: tuple[RunModel, ...]
    versions: Annotated[tuple[tuple[str, int], ...], "Registered models and numbers made of it."]
    children: int
    parent_name: str

    @property
    def running(self) -> bool:
        """Whether it goes on, as far as MLflow knows."""
        return self.row.status in ("RUNNING", "SCHEDULED")

    @property
    def command(self) -> str:
        """What was run: the command line, as far as it was recorded."""
        source = self.row.source
        return f"python {shlex.quote(source)}" if source.endswith(".py") and " " not in source else source

    @property
    def reproduce(self) -> str:
        """The command that trains its model again and compares the two, '' where there is none."""
        searched = {self.row.params.get("search"), self.row.params.get("distill")} & {"True", "true"}
        model = next((model for model in self.models if model.bundle), None)
        if model is None or searched:
            return ""
        versions = model.versions or self.versions
        address = (
            f"models:/{versions[0][0]}/{versions[0][1]}" if versions else f"runs:/{self.row.id}/{model.name}"
        )
        return f"tabstudio reproduce {shlex.quote(address)}"

    def to_json(self) -> dict[str, object]:
        """A plain dictionary for `json.dumps`."""
        fields = asdict(self) | {"command": self.command, "reproduce": self.reproduce}
        plain: dict[str, object] = to_plain(fields)
        return plain


def read_details(runs: RunStore, run_id: str) -> RunDetails:
    """Look at one run. Raises `TrackingError` where it is not there or MLflow cannot be asked."""
    client = runs.client
    with client.asking(f"look at run {run_id[:64]}"):
        run = client.mlflow.get_run(run_id)
        experiment = client.mlflow.get_experiment(run.info.experiment_id)
        versions = _versions(client.mlflow, run_id)
        models = _models(client.mlflow, run, versions)
    row = as_row(run, experiment.name)
    parent_name = ""
    if row.parent:
        with client.asking(f"look at run {row.parent[:64]}"):
            parent_name = client.mlflow.get_run(row.parent).info.run_name or row.parent
    tags = run.data.tags
    return RunDetails(
        row=row,
        note=tags.get(NOTE, ""),
        tags={name: value for name, value in sorted(tags.items()) if not name.startswith("mlflow.")},
        git={name.rpartition(".")[2]: value for name, value in tags.items() if ".source.git." in name},
        datasets=tuple(_dataset(dataset) for dataset in (run.inputs.dataset_inputs if run.inputs else ())),
        models=models,
        versions=tuple((name, number) for name, number, _ in versions),
        children=runs.children(run_id, [row.experiment_id]),
        parent_name=parent_name,
    )


def _versions(mlflow: MlflowClient, run_id: str) -> list[tuple[str, int, str]]:
    registered = mlflow.search_model_versions(f"run_id = '{run_id}'", max_results=MOST_VERSIONS)
    # Some stores tell which model a version was made of by its source only.
    return sorted(
        (v.name, int(v.version), v.model_id or (v.source or "").removeprefix("models:/")) for v in registered
    )


def _models(mlflow: MlflowClient, run: Run, versions: list[tuple[str, int, str]]) -> tuple[RunModel, ...]:
    outputs = run.outputs.model_outputs if run.outputs else []
    return tuple(_model(mlflow.get_logged_model(output.model_id), versions) for output in outputs)


def _model(model: LoggedModel, versions: list[tuple[str, int, str]]) -> RunModel:
    registered = tuple((name, number) for name, number, model_id in versions if model_id == model.model_id)
    return RunModel(model.model_id, model.name, model.model_type or "", BUNDLE in model.tags, registered)


def _dataset(dataset: DatasetInput) -> RunDataset:
    profile, source = _json_object(dataset.dataset.profile), _json_object(dataset.dataset.source)
    rows = profile.get("num_rows")
    context = next((tag.value for tag in dataset.tags if tag.key == "mlflow.data.context"), "")
    where = next((str(source[key]) for key in ("uri", "url", "path", "source") if source.get(key)), "")
    count = int(rows) if isinstance(rows, int | float) else None
    return RunDataset(dataset.dataset.name, dataset.dataset.digest, context, where, count)


def _json_object(text: str | None) -> dict[str, object]:
    with suppress(ValueError):
        value = json.loads(text or "{}")
        if isinstance(value, dict):
            return value
    return {}
