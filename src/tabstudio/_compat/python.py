"""Private names of Python's own library."""

from __future__ import annotations

import atexit
import threading
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zlib import _Decompress as _ZlibDecompress

    Decompressor = _ZlibDecompress
    """The type of what `zlib.decompressobj` returns."""


def join_threads() -> None:
    """Wait for all threads that are no daemons, as Python does when it ends."""
    threading._shutdown()  # type: ignore[attr-defined]


def run_exit_functions() -> None:
    """Call what is registered with `atexit`, once."""
    atexit._run_exitfuncs()


def is_being_imported(module: ModuleType) -> bool:
    """Return whether a module's code still runs for the first time."""
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))
