"""Columns and blocks beside each other: polars, NumPy and the hash let go of the interpreter's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_WORTH = 1 << 17
"""Fewer rows than this are done before a thread has started."""


def run_parallel(work: Callable[[Item], Result], items: Iterable[Item], rows: int) -> list[Result]:
    """`work` of each item, in their order, on all processors this process may use where `rows` are many."""
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if rows < _WORTH or workers < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, items))
