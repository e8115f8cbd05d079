"""Private functions and classes of PyTorch. Importing this imports torch."""

from __future__ import annotations

import torch
from torch._ops import OpOverload as OpOverload

foreach_add_ = torch._foreach_add_
foreach_addcmul_ = torch._foreach_addcmul_
foreach_div_ = torch._foreach_div_
foreach_lerp_ = torch._foreach_lerp_
foreach_mul_ = torch._foreach_mul_
foreach_norm = torch._foreach_norm
foreach_sqrt = torch._foreach_sqrt
fused_adamw_ = torch._fused_adamw_
tensor_item = torch._C.TensorBase.item
"""`Tensor.item`, even where somebody has replaced that."""
function_transforms = torch._C._functorch.peek_interpreter_stack
"""The transform of functions that is at work (`vmap`, `grad`), whose tensors have no values; None without."""


def cpu_has_bf16() -> bool:
    """Return whether the processor multiplies bf16 natively."""
    checks = (getattr(torch.cpu, name, None) for name in _CPU_CHECKS)
    return any(check is not None and check() for check in checks)


_CPU_CHECKS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
