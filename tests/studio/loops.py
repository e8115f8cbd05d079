"""Coroutines in tests that share their process with a browser."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def run(story: Coroutine[Any, Any, T]) -> T:
    """Run it in a loop and a thread of its own: while a browser is open, the main thread has its loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, story).result()
