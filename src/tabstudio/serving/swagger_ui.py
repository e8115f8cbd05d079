"""The files of Swagger UI from the installed package: no page loads anything from the internet."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from tabstudio.errors import ConfigError


def swagger_files() -> Path:
    """Return the folder of its files. Raises `ConfigError` where it is not installed."""
    package = find_spec("fastapi_swagger")
    if package is None or not package.submodule_search_locations:
        raise ConfigError("Swagger UI is not installed: pip install fastapi-swagger")
    return Path(package.submodule_search_locations[0]) / "resources"
