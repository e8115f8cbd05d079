"""Micro-batching: requests share a pass, and none waits for ever or holds the others up."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from tabstudio.errors import InputError
from tabstudio.serving.batching import BatchQueue
from tabstudio.serving.contract import RequestRows
from tabstudio.serving.request_hooks import HttpError
from tabstudio.serving.runtime import ModelAnswer


def rows(*values: Any, parsed: dict[str, pl.Series] | None = None) -> RequestRows:
    return RequestRows([(value,) for value in values], parsed or {})


class SlowModel:
    """Answers each value with itself; its batches are expected to take long, so they go to a thread."""

    seconds_per_row = 1.0

    def __init__(self) -> None:
        self.threads: list[int] = []

    def answer(self, batch: RequestRows) -> ModelAnswer:
        self.threads.append(threading.get_ident())
        values = [value for (value,) in batch.raw]
        if "bad" in values:
            raise InputError("a bad value")
        return ModelAnswer(values, None, {})


def submit(model: Any, *requests: RequestRows) -> list[Any]:
    async def all_at_once() -> list[Any]:
        with ThreadPoolExecutor(1) as pool:
            queue = BatchQueue(model, "live", pool)
            until = time.monotonic() + 60
            futures = [queue.submit(request, until) for request in requests]
            async with asyncio.timeout(5):
                outcomes = await asyncio.gather(*futures, return_exceptions=True)
                again = await queue.submit(rows("later"), until)
        assert again.labels == ["later"]
        return outcomes

    return asyncio.run(all_at_once())


def test_a_batch_that_cannot_be_joined_is_refused_and_the_queue_goes_on() -> None:
    numbers, words = pl.Series("seen", [1]), pl.Series("seen", ["x"])
    outcomes = submit(SlowModel(), rows(1, parsed={"seen": numbers}), rows(2, parsed={"seen": words}))
    assert all(isinstance(outcome, pl.exceptions.SchemaError) for outcome in outcomes)


def test_refused_rows_of_a_slow_batch_are_not_computed_on_the_event_loop() -> None:
    model = SlowModel()
    first, second, third = submit(model, rows(1, 2), rows("bad"), rows(3))
    assert (first.labels, third.labels) == ([1, 2], [3])
    assert isinstance(second, HttpError)
    assert second.status == 422
    assert threading.get_ident() not in model.threads
    assert len(model.threads) == 5


@pytest.mark.parametrize("seconds_per_row", [0.0, 1.0])
def test_each_request_gets_the_error_of_its_batch(seconds_per_row: float) -> None:
    def answer(batch: RequestRows) -> ModelAnswer:
        if batch.raw[0] == ("later",):
            return ModelAnswer(["later"], None, {})
        raise MemoryError("no room")

    model = SimpleNamespace(seconds_per_row=seconds_per_row, answer=answer)
    assert [type(outcome) for outcome in submit(model, rows(1), rows(2))] == [MemoryError, MemoryError]


def test_a_closed_pool_refuses_the_requests_instead_of_leaving_them_waiting() -> None:
    async def after_shutdown() -> Any:
        pool = ThreadPoolExecutor(1)
        pool.shutdown()
        queue = BatchQueue(SlowModel(), "live", pool)  # type: ignore[arg-type]
        async with asyncio.timeout(5):
            return await queue.submit(rows(1), time.monotonic() + 60)

    with pytest.raises(RuntimeError, match="shutdown"):
        asyncio.run(after_shutdown())
