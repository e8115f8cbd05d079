"""Look at a table before training on it: numbers, charts, findings, and one page that holds them all."""

from __future__ import annotations

from tabstudio.exploration.exploration import Exploration, explore

__all__ = ["Exploration", "explore"]
