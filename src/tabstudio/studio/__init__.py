"""The studio: one web page for tables, runs, the Monitor tab and deployments, and the same over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tabstudio.studio.server import serve as serve
    from tabstudio.studio.studio_options import StudioOptions as StudioOptions

__all__ = ["StudioOptions", "serve"]


def __getattr__(name: str) -> object:
    if name == "StudioOptions":
        from tabstudio.studio.studio_options import StudioOptions

        return StudioOptions
    if name == "serve":
        from tabstudio.studio.server import serve

        return serve
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
