"""The options of `train`, `sweep` and `explore`: declared once in `config`, set by their flat names.

Precedence is argument > environment > file > default.
"""

from __future__ import annotations

from tabstudio.options.config import (
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
)
from tabstudio.options.declarations import GROUPS, Declared
from tabstudio.options.option import Bound, Option, User
from tabstudio.options.option_table import OPTIONS, searched_options, used_by
from tabstudio.options.validation import configure, load_config

__all__ = [
    "GROUPS",
    "OPTIONS",
    "Bound",
    "Declared",
    "Device",
    "EvaluationConfig",
    "NetworkConfig",
    "Option",
    "Precision",
    "ReadConfig",
    "Recipe",
    "Scaling",
    "SearchConfig",
    "SplitConfig",
    "TrainConfig",
    "TrainingConfig",
    "User",
    "configure",
    "load_config",
    "searched_options",
    "used_by",
]
