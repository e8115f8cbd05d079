"""The stages of a project, and what each of them asks for: read from `tabstudio.toml` or `pyproject.toml`.

[tool.tabstudio.registry]                      # [registry] in tabstudio.toml
order = ["staging", "production", "archived"]
in_order = false                               # true: a version must have been in the stage before

[tool.tabstudio.registry.stages.production]
approvals = 1                                  # other people who must agree
promoters = ["ann", "bob"]                     # who may; empty: everybody
approvers = ["carol"]

[tool.tabstudio.registry.stages.production.gates]
roc_auc = 0.95

[[tool.tabstudio.registry.webhooks]]
url = "https://ci.example.org/hooks/models"
secret_env = "MODEL_HOOK_SECRET"
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tabstudio.errors import RegistryError

DEFAULT_ORDER = ("staging", "production", "archived")
_FILES = ("tabstudio.toml", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage. An exclusive one holds one version at a time and is an alias in MLflow.

    `approvals` is the number of other people who must agree; `promoters` and `approvers` are who may,
    everybody where empty. `gates` is what `tabstudio.registry.gates` judges by. A version that makes room
    for another one goes to the stage `displaced_to`, or to none.
    """

    name: str
    exclusive: bool = True
    approvals: int = 0
    promoters: tuple[str, ...] = ()
    approvers: tuple[str, ...] = ()
    gates: Mapping[str, Any] = field(default_factory=dict)
    displaced_to: str | None = None


@dataclass(frozen=True, slots=True)
class Webhook:
    """Who is told of each transition. The secret stays in the environment, under the name `secret_env`."""

    url: str
    secret_env: str = ""
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """All stages in their order, and who is told. `source` is the file they are from."""

    stages: tuple[Stage, ...]
    in_order: bool = False
    webhooks: tuple[Webhook, ...] = ()
    source: str = "the defaults"

    def stage(self, name: str) -> Stage:
        """Look a stage up. Raises `RegistryError` with the nearest name."""
        found = {stage.name: stage for stage in self.stages}
        if name in found:
            return found[name]
        near = difflib.get_close_matches(name.lower(), found, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise RegistryError(f"stage {name!r}: {hint}The stages are {', '.join(found)} (of {self.source})")
