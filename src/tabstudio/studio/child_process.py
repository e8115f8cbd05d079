"""A child process that ends with its parent, also when the parent is killed.

`python -m tabstudio.studio.child_process COMMAND...`. Standard input is a pipe that nobody writes to. When
the parent is gone, the system closes the pipe, and the command and all that it has started are ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

SECONDS = 5
"""How long the command may take to end before it is ended by force."""


def main(command: list[str]) -> int:
    """Run the command in a process group of its own; return its exit status."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    signal.signal(signal.SIGTERM, lambda *_: _end(child))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the studio, which closes the pipe
    threading.Thread(target=_wait_for_the_end, args=(child,), daemon=True).start()
    return child.wait()


def _wait_for_the_end(child: subprocess.Popen[bytes]) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(SECONDS)
        os.killpg(child.pid, signal.SIGKILL)  # what the command has left behind, too


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
