"""Register the model of a run as a version, from the studio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabstudio.errors import ConfigError
from tabstudio.registry import registration
from tabstudio.studio.services.runs.run_details import read_details

if TYPE_CHECKING:
    from tabstudio.studio.access.roles import Actor
    from tabstudio.studio.studio import Studio


def register_run_model(studio: Studio, who: Actor, run_id: str, model_id: str, name: str) -> int:
    """Register a model that a run has logged as the next version of `name`; returns its number.

    Raises `ForbiddenError` for who may not, `ConfigError` for a name that cannot be registered and a model
    that is not the run's or has been registered already, `TrackingError` where MLflow cannot be asked.
    """
    who.check("editor", "register a model")
    details = read_details(studio.runs, run_id)
    model = next((model for model in details.models if model.id == model_id), None)
    if model is None:
        raise ConfigError(f"run {run_id}: it has no model {model_id!r}")
    if model.versions:
        raise ConfigError(f"model {model.name}: it is {model.versions[0][0]} {model.versions[0][1]} already")
    number = registration.register(studio.runs.client, model_id, name)
    studio.feed.touch("registry")
    return number
