"""Failed logins, counted in constant memory: guesses wait longer and longer."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from hashlib import blake2b
from secrets import token_bytes
from threading import Lock
from time import monotonic

_WIDTH, _ROWS = 4096, 2


class FailureCounter:
    """Lets `burst` failures of one name pass, then one in `seconds`.

    A count-min sketch: a name has a cell in each of two rows, and the smaller count is its own. Names are
    hashed with a key of this process, so nobody can choose a name that shares both cells with another. It
    takes 128 KiB for any number of names.
    """

    def __init__(self, burst: int, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self.burst, self.seconds, self._clock = burst, seconds, clock
        self._key = token_bytes(16)
        self._counts = [array("d", [0.0]) * _WIDTH for _ in range(_ROWS)]
        self._updated = [array("d", [0.0]) * _WIDTH for _ in range(_ROWS)]
        self._lock = Lock()

    def wait(self, name: str) -> int:
        """Return how many seconds this name must wait, 0 for not at all."""
        now = self._clock()
        with self._lock:
            count = min(self._now(row, column, now) for row, column in enumerate(self._columns(name)))
        return max(0, math.ceil((count - self.burst + 1) * self.seconds))

    def note(self, name: str) -> None:
        """Count a failure."""
        self._add(name, 1.0)

    def take_back(self, name: str) -> None:
        """Take back a failure that was none."""
        self._add(name, -1.0)

    def _add(self, name: str, one: float) -> None:
        now = self._clock()
        with self._lock:
            for row, column in enumerate(self._columns(name)):
                self._counts[row][column] = max(0.0, self._now(row, column, now) + one)
                self._updated[row][column] = now

    def _now(self, row: int, column: int, now: float) -> float:
        passed = (now - self._updated[row][column]) / self.seconds
        return max(0.0, self._counts[row][column] - passed)

    def _columns(self, name: str) -> list[int]:
        digest = blake2b(name.encode(), key=self._key, digest_size=4 * _ROWS).digest()
        return [int.from_bytes(digest[4 * row : 4 * row + 4]) % _WIDTH for row in range(_ROWS)]
