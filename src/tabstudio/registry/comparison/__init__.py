"""Two models side by side, on rows that neither was trained on."""

from __future__ import annotations

from tabstudio.registry.comparison.compare import compare
from tabstudio.registry.comparison.result import Comparison, MetricGap

__all__ = ["Comparison", "MetricGap", "compare"]
