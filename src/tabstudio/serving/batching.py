"""One served name: which version answers a request, and how requests that come together share one pass.

Requests that are read in neighbouring turns of the event loop, or wait while a batch is computed, go through
the network together. One that is alone waits for a single empty turn, some microseconds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import Executor
from hashlib import blake2b
from typing import NamedTuple

from tabstudio.errors import InputError
from tabstudio.serving.contract import RequestRows
from tabstudio.serving.request_hooks import HttpError
from tabstudio.serving.runtime import ModelAnswer, Runtime, join

MAX_WAIT_TURNS = 3
"""Turns of the event loop that a batch may wait while each brings further requests."""
MAX_BATCH_ROWS = 1024
"""Rows of several requests that are computed together."""
MAX_LOOP_SECONDS = 0.004
"""Seconds that a batch may take on the event loop; longer ones go to a thread, so that others are heard."""

log = logging.getLogger("tabstudio.serving")


class _Waiting(NamedTuple):
    rows: RequestRows
    future: asyncio.Future[ModelAnswer]
    until: float


class BatchQueue:
    """One version in one role, with the requests that wait for it. Lives on the event loop's thread."""

    def __init__(self, runtime: Runtime, role: str, pool: Executor) -> None:
        self.runtime, self.role, self.pool = runtime, role, pool
        self._waiting: list[_Waiting] = []
        self._scheduled = self._computing = False
        self._turns = self._seen = 0

    @property
    def queue_length(self) -> int:
        """Rows that wait."""
        return sum(len(waiting.rows.raw) for waiting in self._waiting)

    def answer(self, rows: RequestRows, until: float) -> asyncio.Future[ModelAnswer]:
        """Answer rows together with others that are there; `until` is the latest monotonic time.

        The future raises `HttpError` 503 where the time has passed before the rows had their turn.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[ModelAnswer] = loop.create_future()
        self._waiting.append(_Waiting(rows, future, until))
        if not self._scheduled and not self._computing:
            self._scheduled = True
            self._turns = self._seen = 0
            loop.call_soon(self._gather)
        return future

    def _gather(self) -> None:
        """Compute when a turn of the loop has brought nobody else."""
        if self._seen < len(self._waiting) and self._turns < MAX_WAIT_TURNS:
            self._seen = len(self._waiting)
            self._turns += 1
            asyncio.get_running_loop().call_soon(self._gather)
        else:
            self._flush()

    def _quick(self, rows: int) -> bool:
        return rows * self.runtime.seconds_per_row < MAX_LOOP_SECONDS

    def _flush(self) -> None:
        self._scheduled = False
        while self._waiting and not self._computing:
            batch, rows = self._batch()
            if not batch:
                continue
            if self._quick(rows):
                self._compute(batch)
            else:
                self._computing = True
                asyncio.get_running_loop().create_task(self._compute_beside(batch))

    def _batch(self) -> tuple[list[_Waiting], int]:
        """The next requests, as many as go together; those that waited too long are refused."""
        batch: list[_Waiting] = []
        count, taken, now = 0, 0, time.monotonic()
        for waiting in self._waiting:
            if batch and count + len(waiting.rows.raw) > MAX_BATCH_ROWS:
                break
            taken += 1
            if waiting.future.done():
                continue
            if waiting.until < now:
                waiting.future.set_exception(deadline_exceeded())
                continue
            batch.append(waiting)
            count += len(waiting.rows.raw)
        del self._waiting[:taken]
        return batch, count

    def _compute(self, batch: list[_Waiting]) -> None:
        try:
            answer = self.runtime.answer(join([waiting.rows for waiting in batch]))
        except InputError as error:  # the steps of a network made by hand refuse rows
            self._compute_each(batch, error)
        except Exception as error:  # noqa: BLE001 - every request of the batch must hear of it
            _fail(batch, error)
        else:
            _share_out(batch, answer)

    def _compute_each(self, batch: list[_Waiting], error: InputError) -> None:
        """One request's rows were refused: the others must not suffer for it."""
        if len(batch) == 1:
            _fail(batch, invalid_rows(error))
            return
        for waiting in batch:
            self._compute([waiting])

    async def _compute_beside(self, batch: list[_Waiting]) -> None:
        rows = join([waiting.rows for waiting in batch])
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self.pool, self.runtime.answer, rows)
        except InputError as error:
            self._compute_each(batch, error)
        except Exception as error:  # noqa: BLE001 - every request of the batch must hear of it
            _fail(batch, error)
        else:
            _share_out(batch, answer)
        finally:
            self._computing = False
            self._flush()


class Endpoint:
    """A name that is served: the live lane, and beside it a canary's, with its share, and a shadow's."""

    def __init__(self, name: str, live: BatchQueue) -> None:
        self.name, self.live = name, live
        self.canary: BatchQueue | None = None
        self.shadow: BatchQueue | None = None
        self.share = 0.0

    def lanes(self) -> list[BatchQueue]:
        """All lanes that there are."""
        return [lane for lane in (self.live, self.canary, self.shadow) if lane is not None]

    def lane_of(self, version: str) -> BatchQueue:
        """The lane in which a version is served. Raises `HttpError` 404."""
        for lane in self.lanes():
            if lane.runtime.version == version:
                return lane
        there = ", ".join(lane.runtime.version for lane in self.lanes())
        raise HttpError(404, "UNKNOWN_VERSION", f"version {version[:100]!r} is not served, but {there}")

    def choose(self, key: str) -> BatchQueue:
        """The lane for a routing key: the same key always gets the same, whichever worker is asked."""
        if self.canary is not None and routing_point(self.name, key) < self.share:
            return self.canary
        return self.live

    def install(self, runtime: Runtime, role: str, share: float, pool: Executor) -> None:
        """Let a version answer from now on. What the one before is computing, it still answers."""
        lane = BatchQueue(runtime, role, pool)
        if role == "canary":
            self.canary, self.share = lane, share
        elif role == "shadow":
            self.shadow = lane
        else:
            self.live = lane


def routing_point(name: str, key: str) -> float:
    """A point in [0, 1) that stands for a routing key of a model, by BLAKE2b."""
    digest = blake2b(f"{name}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / (1 << 64)


def invalid_rows(error: InputError) -> HttpError:
    """Answer to rows that the model's own steps do not take."""
    return HttpError(422, "INVALID_ROWS", str(error))


def deadline_exceeded() -> HttpError:
    """Answer to a request whose deadline passed while it waited."""
    return HttpError(
        503, "DEADLINE_EXCEEDED", "the deadline passed before the rows had their turn", retry_after=1
    )


def _share_out(batch: list[_Waiting], answer: ModelAnswer) -> None:
    if len(batch) == 1:
        _give(batch[0], answer)
        return
    start = 0
    for waiting in batch:
        end = start + len(waiting.rows.raw)
        _give(waiting, answer.part(start, end))
        start = end


def _give(waiting: _Waiting, answer: ModelAnswer) -> None:
    if not waiting.future.done():
        waiting.future.set_result(answer)


def _fail(batch: list[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.future.done():
            waiting.future.set_exception(error)
