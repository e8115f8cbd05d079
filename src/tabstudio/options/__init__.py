"""The options of `train`, `sweep` and `explore`: declared once, and set by their flat names."""

from __future__ import annotations

from tabstudio.options.config import (
    OPTIONS,
    Device,
    EvaluationConfig,
    NetworkConfig,
    Precision,
    ReadConfig,
    Recipe,
    Scaling,
    SearchConfig,
    SplitConfig,
    TrainConfig,
    TrainingConfig,
    configure,
    load_config,
)

__all__ = [
    "OPTIONS",
    "Device",
    "EvaluationConfig",
    "NetworkConfig",
    "Precision",
    "ReadConfig",
    "Recipe",
    "Scaling",
    "SearchConfig",
    "SplitConfig",
    "TrainConfig",
    "TrainingConfig",
    "configure",
    "load_config",
]
