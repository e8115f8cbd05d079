"""Swagger UI, which comes in a wheel: no page asks the internet for it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from tabstudio.errors import ConfigError


def swagger_files() -> Path:
    """Return the folder of its files. Raises `ConfigError` where it is not installed."""
    found = find_spec("fastapi_swagger")
    if found is None or not found.submodule_search_locations:
        raise ConfigError("Swagger UI is not installed: pip install fastapi-swagger")
    return Path(found.submodule_search_locations[0]) / "resources"
