"""The registry: versions of models by name, and the way from an address to a model."""

from __future__ import annotations

from tabstudio.registry.versions import load, resolve

__all__ = ["load", "resolve"]
