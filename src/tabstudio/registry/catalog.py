"""What MLflow says of models and versions, as this room's data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tabstudio.registry.mlflow_client import MissingError, RegistryClient
from tabstudio.registry.records import ModelVersion, Transition, VersionMetric, plain
from tabstudio.tracking.mlflow_names import SIZE_TAG

_FIRST_METRICS = ("roc_auc", "f1", "accuracy", "r2", "rmse", "mae", "log_loss")


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A registered model: its newest version, and which version is in which exclusive stage.

    `updated` is in milliseconds since 1970.
    """

    name: str
    newest: int | None
    stages: Mapping[str, int]
    updated: int
    description: str = ""

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary for `json.dumps`."""
        return plain(self)


def as_version(found: Any, moved: Transition | None, aliases: Mapping[str, int]) -> ModelVersion:
    """Make a version of MLflow's, in the stage that its last move put it into. `aliases` are the model's.

    A move of another version that had the number before (it was deleted) does not count.
    """
    stage = moved.to_stage if moved and moved.created == found.creation_timestamp else None
    tags = dict(found.tags)
    return ModelVersion(
        model=found.name,
        number=int(found.version),
        stage=stage,
        created=found.creation_timestamp,
        source=found.source or "",
        run_id=found.run_id or "",
        model_id=found.model_id or "",
        user=found.user_id or "",
        description=found.description or "",
        aliases=tuple(sorted(alias for alias, number in aliases.items() if number == int(found.version))),
        tags=tags,
        size=int(tags[SIZE_TAG]) if tags.get(SIZE_TAG, "").isdigit() else size_of(found.source),
    )


def metric_names(versions: Iterable[ModelVersion]) -> list[str]:
    """The metrics of versions: those of the test part where there are any, the best known first."""
    known = list(dict.fromkeys(name for version in versions for name in version.metrics))
    tested = [name for name in known if name.startswith("test_")] or known
    first = [f"test_{name}" for name in _FIRST_METRICS] + list(_FIRST_METRICS)
    return sorted(tested, key=lambda name: first.index(name) if name in first else len(first))


def with_run(client: RegistryClient, version: ModelVersion) -> ModelVersion:
    """Add what the version's run measured, on which data and by whom; unchanged where it has no run."""
    if not version.run_id:
        return version
    try:
        with client.asking(f"look at run {version.run_id}"):
            run = client.mlflow.get_run(version.run_id)
    except MissingError:
        return version
    datasets = tuple(_dataset(given) for given in (run.inputs.dataset_inputs if run.inputs else ()))
    user = version.user or run.data.tags.get("mlflow.user", "")
    return replace(version, metrics=_metrics(run.data.metrics), datasets=datasets, user=user)


def _metrics(values: Mapping[str, float]) -> dict[str, VersionMetric]:
    """The figures of a run, `x_low` and `x_high` as the interval of `x`; those of parts (`a/b`) left out."""
    finite = {name: value for name, value in sorted(values.items()) if math.isfinite(value)}
    ends = {f"{name}{end}" for name in finite for end in ("_low", "_high")}
    return {
        name: VersionMetric(value, finite.get(f"{name}_low"), finite.get(f"{name}_high"))
        for name, value in finite.items()
        if name not in ends and "/" not in name
    }


def _dataset(given: Any) -> dict[str, str]:
    context = next((tag.value for tag in given.tags if tag.key == "mlflow.data.context"), "")
    return {"name": given.dataset.name, "digest": given.dataset.digest, "context": context}


def size_of(source: str | None) -> int | None:
    """Bytes of artifacts that lie on this machine, None where they do not."""
    folder = Path((source or "").removeprefix("file://"))
    if not source or not folder.is_absolute() or not folder.is_dir():
        return None
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
