"""Registered models and versions of MLflow as the registry's records, with the figures of their runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tabstudio.registry.mlflow_client import RegistryClient
from tabstudio.registry.records import ModelVersion, Transition, VersionMetric, plain
from tabstudio.tracking.mlflow_names import SIZE_TAG

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Run
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

_FIRST_METRICS = ("roc_auc", "f1", "accuracy", "r2", "rmse", "mae", "log_loss")


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A registered model: its newest version, and which version is in which exclusive stage.

    `updated` is in milliseconds since 1970.
    """

    name: str
    newest: Annotated[int | None, "The number of its newest version."]
    stages: Annotated[Mapping[str, int], "Which version is in which exclusive stage."]
    updated: Annotated[int, "When it was changed last, milliseconds since 1970."]
    description: str = ""

    def to_json(self) -> dict[str, object]:
        """Return a plain dictionary for `json.dumps`."""
        return plain(self)


def as_version(version: MlflowVersion, moved: Transition | None, aliases: Mapping[str, int]) -> ModelVersion:
    """Return a version of MLflow's, in the stage that its last move put it into. `aliases` are the model's.

    A move of another version that had the number before (it was deleted) does not count.
    """
    stage = moved.to_stage if moved and moved.created == version.creation_timestamp else None
    tags = dict(version.tags)
    return ModelVersion(
        model=version.name,
        number=int(version.version),
        stage=stage,
        created=version.creation_timestamp,
        source=version.source or "",
        run_id=version.run_id or "",
        model_id=version.model_id or "",
        user=version.user_id or "",
        description=version.description or "",
        aliases=tuple(sorted(alias for alias, number in aliases.items() if number == int(version.version))),
        tags=tags,
        size=int(tags[SIZE_TAG]) if tags.get(SIZE_TAG, "").isdigit() else size_of(version.source),
    )


def metric_names(versions: Iterable[ModelVersion]) -> list[str]:
    """Return the versions' metrics: those of the test part where there are any, the best known first."""
    known = list(dict.fromkeys(name for version in versions for name in version.metrics))
    tested = [name for name in known if name.startswith("test_")] or known
    first = [f"test_{name}" for name in _FIRST_METRICS] + list(_FIRST_METRICS)
    return sorted(tested, key=lambda name: first.index(name) if name in first else len(first))


def with_runs(client: RegistryClient, versions: Sequence[ModelVersion]) -> list[ModelVersion]:
    """Add what the versions' runs measured, on which data and by whom; without a run it stays as it is."""
    runs = client.runs(version.run_id for version in versions if version.run_id)
    return [
        _with_run(version, runs[version.run_id]) if version.run_id in runs else version
        for version in versions
    ]


def _with_run(version: ModelVersion, run: Run) -> ModelVersion:
    datasets = tuple(map(_dataset, run.inputs.dataset_inputs if run.inputs else ()))
    user = version.user or run.data.tags.get("mlflow.user", "")
    return replace(version, metrics=_metrics(run.data.metrics), datasets=datasets, user=user)


def _metrics(values: Mapping[str, float]) -> dict[str, VersionMetric]:
    """Return a run's figures, `x_low` and `x_high` as the interval of `x`; those of parts (`a/b`) go."""
    finite = {name: value for name, value in sorted(values.items()) if math.isfinite(value)}
    ends = {f"{name}{end}" for name in finite for end in ("_low", "_high")}
    return {
        name: VersionMetric(value, finite.get(f"{name}_low"), finite.get(f"{name}_high"))
        for name, value in finite.items()
        if name not in ends and "/" not in name
    }


def _dataset(used: DatasetInput) -> dict[str, str]:
    context = next((tag.value for tag in used.tags if tag.key == "mlflow.data.context"), "")
    return {"name": used.dataset.name, "digest": used.dataset.digest, "context": context}


def size_of(source: str | None) -> int | None:
    """Return the bytes of artifacts that lie on this machine, None where they do not."""
    folder = Path((source or "").removeprefix("file://"))
    if not source or not folder.is_absolute() or not folder.is_dir():
        return None
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
