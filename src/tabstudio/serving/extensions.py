"""The hooks of a worker, made from its options."""

from __future__ import annotations

from tabstudio.serving.hooks import Extensions
from tabstudio.serving.options import ServeOptions


def extensions(options: ServeOptions, worker: int) -> Extensions:
    """Make what stands around the answering of requests in worker number `worker`, from 0 on."""
    del options, worker
    return Extensions()
