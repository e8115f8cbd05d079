"""Gates: what a version must show before it may enter a stage. A gate that cannot be judged does not pass."""

from __future__ import annotations

from tabstudio.registry.gates.judge import judge, loads
from tabstudio.registry.gates.rules import StageGates, parse_gates

__all__ = ["StageGates", "judge", "loads", "parse_gates"]
