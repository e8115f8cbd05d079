"""The networks: raw outputs from encoded rows, k members at once.

`mlp` is plain layers, `tabular` the default for tables, `tabm` shares most weights between many heads,
`resnet` adds to what came in. `Custom` runs a factory of the user's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tabstudio.errors import ConfigError
from tabstudio.model.networks.base import NetworkSpec, Pack
from tabstudio.model.networks.custom import Custom
from tabstudio.model.networks.joined import Joined, join
from tabstudio.model.networks.mlp import Mlp
from tabstudio.model.networks.resnet import Resnet
from tabstudio.model.networks.tabm import Tabm
from tabstudio.model.networks.tabular import Tabular

__all__ = [
    "BINNED",
    "MASKABLE",
    "NETWORKS",
    "Custom",
    "Joined",
    "NetworkSpec",
    "Pack",
    "build",
    "join",
    "rebuild",
]

NETWORKS: Mapping[str, Callable[[NetworkSpec, Sequence[int]], Pack]] = {
    "mlp": Mlp,
    "tabular": Tabular,
    "tabm": Tabm,
    "resnet": Resnet,
}
BINNED = ("tabular", "tabm", "resnet")
"""Networks that take bins of numbers."""
MASKABLE = ("mlp", "tabular")
"""Networks whose members may be of different widths."""


def build(spec: NetworkSpec, seeds: Sequence[int]) -> Pack:
    """A pack of `len(seeds)` freshly initialised members.

    Raises `ConfigError` for a network that does not exist.

    >>> import torch
    >>> from tabstudio.options import NetworkConfig
    >>> spec = NetworkSpec("mlp", 30, (), 1, NetworkConfig("mlp", (30, 15), 0.3, "relu"))
    >>> build(spec, [0, 1])(torch.zeros(4, 30), torch.zeros(4, 0, dtype=torch.int64)).shape
    torch.Size([2, 4, 1])
    """
    if spec.name not in NETWORKS:
        raise ConfigError(f"option network: one of {', '.join(NETWORKS)} was expected, got {spec.name!r}")
    return NETWORKS[spec.name](spec, seeds)


def rebuild(description: dict[str, Any], seeds: Sequence[int]) -> Pack:
    """A pack of the network that `Pack.description` describes; its weights are still to be loaded."""
    if "joined" in description:
        return Joined([rebuild(part["spec"], part["seeds"]) for part in description["joined"]])
    return build(NetworkSpec.from_json(description), seeds)
