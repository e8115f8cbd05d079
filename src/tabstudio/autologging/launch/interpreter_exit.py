"""A script's end, in Python's order but without taking the libraries apart: it takes seconds."""

from __future__ import annotations

import ctypes
import gc
import io
import types

from tabstudio._compat.python import run_exit_functions


def leave_in_order(module: types.ModuleType) -> None:
    """Do what Python does before it ends, so that `os._exit` may follow and nothing is lost.

    Functions registered with `atexit` run, the script's own objects go (and with them their files are closed
    and their `__del__` runs), and every file that is still open, Python's or C's, is flushed.
    """
    run_exit_functions()
    _forget(module.__dict__)
    for thing in gc.get_objects():
        if issubclass(type(thing), io.BufferedWriter | io.BufferedRandom | io.TextIOWrapper):
            _flush(thing)
    ctypes.CDLL(None).fflush(None)


def _forget(names: dict[str, object]) -> None:
    """Let the names of a module go in the order in which Python does: those with one underscore first."""
    for private in (True, False):
        for name in list(names):
            if name.startswith("_") == private and not name.startswith("__"):
                names[name] = None


def _flush(file: io.IOBase) -> None:
    try:
        if not file.closed and file.writable():
            file.flush()
    except (OSError, ValueError):  # a pipe that nobody reads any more: Python passes over it, too
        return
