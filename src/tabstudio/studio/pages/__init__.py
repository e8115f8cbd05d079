"""The pages, one module each; each has a function `install(studio)` that declares its addresses."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio

PAGES = ("home", "data", "jobs", "runs", "monitor", "model", "deployments", "people")


def install(studio: Studio) -> None:
    """Declare every page."""
    for name in PAGES:
        import_module(f"tabstudio.studio.pages.{name}").install(studio)
