"""Micro-batching, and the choice of the version that answers a request.

Requests that are read in neighbouring turns of the event loop, or wait while a batch is computed, go through
the network together. A request that is alone waits for a single empty turn, some microseconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from hashlib import blake2b
from itertools import accumulate, pairwise
from typing import NamedTuple

from tabstudio.errors import InputError
from tabstudio.serving.contract import RequestRows
from tabstudio.serving.request_hooks import HttpError
from tabstudio.serving.runtime import ModelAnswer, Runtime, join

MAX_WAIT_TURNS = 3
"""Turns of the event loop that a batch waits while each brings further requests."""
MAX_BATCH_ROWS = 1024
"""Rows of several requests that are computed together."""
MAX_LOOP_SECONDS = 0.004
"""Longest expected time of a batch on the event loop; longer ones are computed in a thread."""


class _PendingRequest(NamedTuple):
    rows: RequestRows
    future: asyncio.Future[ModelAnswer]
    until: float


class BatchQueue:
    """One version in one role, with the requests that wait for it. Lives on the event loop's thread."""

    def __init__(self, runtime: Runtime, role: str, pool: Executor) -> None:
        self.runtime, self.role, self.pool = runtime, role, pool
        self._pending: list[_PendingRequest] = []
        self._scheduled = False
        self._computing: asyncio.Task[None] | None = None
        self._turns = self._counted = 0

    @property
    def queue_length(self) -> int:
        """Rows that wait."""
        return sum(len(request.rows.raw) for request in self._pending)

    def submit(self, rows: RequestRows, until: float) -> asyncio.Future[ModelAnswer]:
        """Answer rows together with other pending ones; `until` is the latest monotonic time to begin.

        The future raises `HttpError` 503 where the time has passed before the rows had their turn.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[ModelAnswer] = loop.create_future()
        self._pending.append(_PendingRequest(rows, future, until))
        if not self._scheduled and self._computing is None:
            self._scheduled = True
            self._turns = self._counted = 0
            loop.call_soon(self._gather)
        return future

    def _gather(self) -> None:
        """Compute as soon as a turn of the loop has brought no further request."""
        if self._counted < len(self._pending) and self._turns < MAX_WAIT_TURNS:
            self._counted = len(self._pending)
            self._turns += 1
            asyncio.get_running_loop().call_soon(self._gather)
        else:
            self._flush()

    def _flush(self) -> None:
        self._scheduled = False
        while self._pending and self._computing is None:
            batch, rows = self._next_batch()
            if not batch:
                continue
            if rows * self.runtime.seconds_per_row < MAX_LOOP_SECONDS:
                _deliver(batch, self._outcomes(batch))
            else:
                self._computing = asyncio.get_running_loop().create_task(self._compute_in_thread(batch))

    def _next_batch(self) -> tuple[list[_PendingRequest], int]:
        """The next requests that go together and their rows; those that waited too long are refused."""
        batch: list[_PendingRequest] = []
        rows, used, now = 0, 0, time.monotonic()
        for request in self._pending:
            if batch and rows + len(request.rows.raw) > MAX_BATCH_ROWS:
                break
            used += 1
            if request.future.done():
                continue
            if request.until < now:
                request.future.set_exception(deadline_exceeded())
                continue
            batch.append(request)
            rows += len(request.rows.raw)
        del self._pending[:used]
        return batch, rows

    async def _compute_in_thread(self, batch: list[_PendingRequest]) -> None:
        try:
            loop = asyncio.get_running_loop()
            outcomes = await loop.run_in_executor(self.pool, self._outcomes, batch)
        except Exception as error:  # noqa: BLE001 - the pool is closed: every request gets the error
            outcomes = [error] * len(batch)
        finally:
            self._computing = None
        _deliver(batch, outcomes)
        self._flush()

    def _outcomes(self, batch: list[_PendingRequest]) -> Sequence[ModelAnswer | Exception]:
        """The answer of each request, or the error it gets instead."""
        try:
            answer = self.runtime.answer(join([request.rows for request in batch]))
            return _split(batch, answer)
        except InputError as error:  # raised by the preprocessing steps of a network of one's own
            if len(batch) == 1:
                return [invalid_rows(error)]
            return [outcome for request in batch for outcome in self._outcomes([request])]
        except Exception as error:  # noqa: BLE001 - every request of the batch gets it
            return [error] * len(batch)


class Endpoint:
    """A served name: the queue of its live version, and those of a canary, with its share, and a shadow."""

    def __init__(self, name: str, live: BatchQueue) -> None:
        self.name, self.live = name, live
        self.canary: BatchQueue | None = None
        self.shadow: BatchQueue | None = None
        self.share = 0.0

    def queues(self) -> list[BatchQueue]:
        """The queues of all its versions."""
        return [queue for queue in (self.live, self.canary, self.shadow) if queue is not None]

    def queue_of(self, version: str) -> BatchQueue:
        """The queue of a version. Raises `HttpError` 404."""
        for queue in self.queues():
            if queue.runtime.version == version:
                return queue
        served = ", ".join(queue.runtime.version for queue in self.queues())
        raise HttpError(404, "UNKNOWN_VERSION", f"version {version[:100]!r} is not served, but {served}")

    def choose(self, key: str) -> BatchQueue:
        """The queue for a routing key: the same one for the same key, in every worker."""
        if self.canary is not None and routing_point(self.name, key) < self.share:
            return self.canary
        return self.live

    def install(self, runtime: Runtime, role: str, share: float, pool: Executor) -> None:
        """Serve a version from now on. The version before finishes what it is computing."""
        queue = BatchQueue(runtime, role, pool)
        if role == "canary":
            self.canary, self.share = queue, share
        elif role == "shadow":
            self.shadow = queue
        else:
            self.live = queue


def routing_point(name: str, key: str) -> float:
    """The BLAKE2b hash of a model's routing key as a number in [0, 1)."""
    digest = blake2b(f"{name}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / (1 << 64)


def invalid_rows(error: InputError) -> HttpError:
    """Error of rows that the model's own preprocessing refuses."""
    return HttpError(422, "INVALID_ROWS", str(error))


def deadline_exceeded() -> HttpError:
    """Error of a request whose deadline passed while it waited."""
    return HttpError(
        503, "DEADLINE_EXCEEDED", "the deadline passed before the rows had their turn", retry_after=1
    )


def _split(batch: list[_PendingRequest], answer: ModelAnswer) -> list[ModelAnswer]:
    if len(batch) == 1:
        return [answer]
    ends = list(accumulate(len(request.rows.raw) for request in batch))
    return [answer.part(start, end) for start, end in pairwise([0, *ends])]


def _deliver(batch: list[_PendingRequest], outcomes: Sequence[ModelAnswer | Exception]) -> None:
    for request, outcome in zip(batch, outcomes, strict=True):
        if request.future.done():
            continue
        if isinstance(outcome, Exception):
            request.future.set_exception(outcome)
        else:
            request.future.set_result(outcome)
