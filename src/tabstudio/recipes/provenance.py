"""Where a model came from: what a later reproduction has to find again, or say that it has not."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tabstudio._version import __version__

LIBRARIES = ("numpy", "polars", "scikit-learn", "scipy", "torch")
"""Those whose versions may change a figure."""


def address(source: object) -> str:
    """Where the table lies, as an absolute path or pattern; '' for a frame in memory."""
    return str(Path(source).absolute()) if isinstance(source, str | Path) else ""


def environment(device: str, precision: str) -> dict[str, Any]:
    """What may change the last bit of a training on `device` (`cpu`, `cuda:0`), and the commit it ran at."""
    import torch

    from tabstudio.tracking.environment import commit

    return {
        "tabstudio": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
        "threads": torch.get_num_threads(),
        "device": device,
        "precision": precision,
        "accelerator": torch.cuda.get_device_name(device) if device.startswith("cuda") else "",
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "platform": platform.platform(),
        "commit": commit(Path.cwd()),
    }


def _processor() -> str:
    """Return the processor's name as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
