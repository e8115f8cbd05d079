"""The registry: versions of models by name, their stages and history, and the way from an address to a model.

Names are imported on first use: `tabstudio.load` needs none of our tables.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tabstudio.registry.model_addresses import load, resolve
    from tabstudio.registry.registry import Registry

__all__ = ["Registry", "load", "resolve"]

_HOMES = {"Registry": "registry", "load": "model_addresses", "resolve": "model_addresses"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
