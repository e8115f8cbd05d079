"""The command line: thin. Each command parses its options, calls one function and prints what it returns."""

from __future__ import annotations

import gc
import os
import sys

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code.

    0: done. 1: the data, model or tracker stood in the way. 2: the command was wrong.
    3: it was checked, and the answer is no (gates, a history, a reproduction). 130: interrupted.
    """
    gc.disable()  # imports make no garbage worth collecting, and take half the time without the collector
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] != ["run"]:  # a script of the user's finds the environment as it is
        # Idle OpenMP threads must sleep, not spin: the tracker and the references work beside the training.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from tabstudio.cli.app import run

    code = run(words)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # everything is flushed and closed; tearing torch down would take another second
