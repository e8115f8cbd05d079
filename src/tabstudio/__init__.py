"""From a table to a registered, honestly evaluated PyTorch model.

Four lines take a newcomer from a file to predictions:

    import tabstudio

    print(tabstudio.explore("cancer.csv", target="diagnosis"))
    result = tabstudio.train("cancer.csv", target="diagnosis")
    tabstudio.load("models:/cancer/1").predict("new-patients.csv")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tabstudio._version import __version__
from tabstudio.errors import (
    AccessError,
    ConfigError,
    ConflictError,
    DatabaseError,
    DataError,
    GateError,
    InputError,
    MissingExtraError,
    ModelError,
    RegistryError,
    TabstudioError,
    TrackingError,
    TrainingError,
)

if TYPE_CHECKING:
    from tabstudio.autologging import autolog
    from tabstudio.autologging.launch.log_model import log_model
    from tabstudio.estimators import TabularClassifier, TabularRegressor
    from tabstudio.exploration import explore
    from tabstudio.options import TrainConfig, configure
    from tabstudio.recipes import sweep, train
    from tabstudio.recipes.reproduction_job import reproduce
    from tabstudio.registry import Registry, load
    from tabstudio.registry.comparison import compare
    from tabstudio.registry.version_card import card
    from tabstudio.serving.batch_prediction import score
    from tabstudio.serving.export.exporter import export
    from tabstudio.serving.predictionlog.reader import prediction_log
    from tabstudio.table import check, read, split

__all__ = [
    "AccessError",
    "ConfigError",
    "ConflictError",
    "DataError",
    "DatabaseError",
    "GateError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "Registry",
    "RegistryError",
    "TabstudioError",
    "TabularClassifier",
    "TabularRegressor",
    "TrackingError",
    "TrainConfig",
    "TrainingError",
    "__version__",
    "autolog",
    "card",
    "check",
    "compare",
    "configure",
    "explore",
    "export",
    "load",
    "log_model",
    "prediction_log",
    "read",
    "reproduce",
    "score",
    "split",
    "sweep",
    "train",
]

_HOMES = {
    "Registry": "tabstudio.registry",
    "TabularClassifier": "tabstudio.estimators",
    "TabularRegressor": "tabstudio.estimators",
    "TrainConfig": "tabstudio.options",
    "autolog": "tabstudio.autologging.launch.start",
    "card": "tabstudio.registry.version_card",
    "check": "tabstudio.table",
    "compare": "tabstudio.registry.comparison",
    "configure": "tabstudio.options",
    "explore": "tabstudio.exploration",
    "export": "tabstudio.serving.export.exporter",
    "load": "tabstudio.registry",
    "log_model": "tabstudio.autologging.launch.log_model",
    "prediction_log": "tabstudio.serving.predictionlog.reader",
    "read": "tabstudio.table",
    "reproduce": "tabstudio.recipes.reproduction_job",
    "score": "tabstudio.serving.batch_prediction",
    "split": "tabstudio.table",
    "sweep": "tabstudio.recipes",
    "train": "tabstudio.recipes",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import tabstudio` stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tabstudio' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
