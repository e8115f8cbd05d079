"""Register a model that a run has logged without a name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tabstudio.registry.catalog import size_of
from tabstudio.registry.mlflow_client import MissingError, RegistryClient
from tabstudio.tracking.mlflow_names import SIZE_TAG, abridged, check_model_name

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

DESCRIPTION_LENGTH = 5000
VERSIONS_TAG = "mlflow.modelVersions"


def register(client: RegistryClient, model_id: str, name: str) -> int:
    """Make a logged model the next version of `name`; returns its number.

    The version says what the run's note says. Raises `ConfigError` for a name that cannot be registered,
    `TrackingError` where MLflow cannot be asked.
    """
    import mlflow

    check_model_name(name)
    mlflow.set_tracking_uri(client.tracking_uri)  # MLflow's registry asks this one for the model
    with client.asking(f"register a version of {name}"):
        model = client.mlflow.get_logged_model(model_id)
        _registered(client, name)
        version = client.mlflow.create_model_version(
            name, f"models:/{model_id}", run_id=model.source_run_id, tags=_tags(model), model_id=model_id
        )
        versions = [
            *json.loads(model.tags.get(VERSIONS_TAG, "[]")),
            {"name": name, "version": version.version},
        ]
        # What `mlflow.register_model` sets, too: MLflow's page of the model shows its versions by this tag.
        client.mlflow.set_logged_model_tags(model_id, {VERSIONS_TAG: json.dumps(versions)})
        _describe(client, model, version)
    return int(version.version)


def _registered(client: RegistryClient, name: str) -> None:
    """Make the registered model where there is none yet; somebody else may do so at the same time."""
    from mlflow.exceptions import MlflowException

    try:
        client.mlflow.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _tags(model: LoggedModel) -> dict[str, str]:
    tags = {key: value for key, value in model.tags.items() if not key.startswith("mlflow.")}
    size = size_of(model.artifact_location)
    return tags | ({SIZE_TAG: str(size)} if size is not None else {})


def _describe(client: RegistryClient, model: LoggedModel, version: ModelVersion) -> None:
    if not model.source_run_id:
        return
    try:
        with client.asking("look at the run"):
            note = client.mlflow.get_run(model.source_run_id).data.tags.get("mlflow.note.content", "")
    except MissingError:
        return
    address = f"models:/{version.name}/{version.version}"
    description = abridged(note, DESCRIPTION_LENGTH, f"tabstudio card {address}")
    if description:
        client.mlflow.update_model_version(version.name, version.version, description)
