"""bf16 where the processor has instructions for it and the products are large enough to gain by them.

Weights, losses and the optimizer stay in float32: only the products run in bf16, by torch's autocast.
"""

from __future__ import annotations

from typing import Literal

import torch

from tabstudio._compat.torch_functions import cpu_has_bf16
from tabstudio.options import NetworkConfig

Chosen = Literal["float32", "bf16"]

LEAST_BATCH, LEAST_WIDTH = 1024, 128
"""Below these the casts cost what the products save (measured with avx512_bf16, two threads)."""


def choose_precision(
    wanted: Literal["auto", "float32", "bf16"], device: str, network: NetworkConfig | None, batch: int
) -> tuple[Chosen, str]:
    """Precision and why: from sizes and the processor, never from timing, so that seeds decide the bits."""
    if wanted != "auto":
        return wanted, "asked for"
    if not has_bf16(device):
        return "float32", "no bf16 instructions"
    if network is None:
        return "float32", "a network of the user's own"
    if batch < LEAST_BATCH or min(network.widths, default=0) < LEAST_WIDTH:
        return "float32", f"batches of {batch:,} are too small for bf16 to pay"
    return "bf16", "the processor has bf16 instructions"


def has_bf16(device: str) -> bool:
    """Whether the device multiplies bf16 natively."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device != "cpu":
        return False
    return cpu_has_bf16()
