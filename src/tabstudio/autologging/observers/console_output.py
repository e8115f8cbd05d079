"""Records the script and what it prints as artifacts of the run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tabstudio.autologging.events import Observer

if TYPE_CHECKING:
    from tabstudio.autologging.launch.session import AutologSession
    from tabstudio.tracking import Run
    from tabstudio.tracking.run import Status

MOST_CHARACTERS = 8_000_000
"""Number of characters kept of each stream, so that a script that prints for days fills no disk."""


class ConsoleObserver(Observer):
    """Copies stdout and stderr as they are written, and keeps the script.

    The streams stay the objects that they are (a terminal stays one): only their `write` is listened to. What
    a program started by the script prints passes by unseen.
    """

    name = "what is printed"

    def __init__(self, script: Path | None = None) -> None:
        self._script = script
        self._copies: list[_Copy] = []

    def install(self, session: AutologSession) -> None:
        """Replace the streams' `write`."""
        self._session = session
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None:
                self._copies.append(_Copy(name, stream))

    def remove(self) -> None:
        """Restore the streams' `write`."""
        for copy in self._copies:
            copy.close()

    def run_began(self, run: Run) -> None:
        """Keep the script as it stands now: it may be edited while it runs."""
        if self._script is not None:
            run.artifact(self._script, f"source/{self._script.name}")

    def process_ends(self, status: Status) -> None:
        """Keep what was printed, where there is a run."""
        if self._session.runs:
            for copy in self._copies:
                text = copy.text()
                if text:
                    self._session.run.artifact(text.encode(), f"output/{copy.name}.txt")


class _Copy:
    """One stream's `write`, replaced on the object itself by one that remembers."""

    def __init__(self, name: str, stream: IO[str]) -> None:
        self.name = name
        self._stream, self._write = stream, stream.write
        self._parts: list[str] = []
        self._room = MOST_CHARACTERS
        self._own = vars(stream).get("write") if hasattr(stream, "__dict__") else None
        self._listener = self._listening(stream.write)
        stream.write = self._listener  # type: ignore[method-assign]

    def _listening(self, write: Callable[[str], int]) -> Callable[[str], int]:
        def listener(text: str) -> int:
            written = write(text)
            if self._room > 0:
                self._parts.append(text)
                self._room -= len(text)
            return written

        return listener

    def text(self) -> str:
        """Return what was written, each line as a terminal shows it at the end: bars overwrite themselves."""
        cut = "" if self._room > 0 else f"\n... (only the first {MOST_CHARACTERS:,} characters are kept)\n"
        lines = "".join(self._parts).split("\n")
        return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines) + cut

    def close(self) -> None:
        stream: Any = self._stream
        if vars(stream).get("write") is not self._listener:
            return
        if self._own is None:
            del stream.write
        else:
            stream.write = self._own
