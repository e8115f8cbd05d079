"""What stands around the answering of requests in a worker: log, metrics, tokens, and the pages for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from tabstudio.serving import server_log
from tabstudio.serving.metrics import SNAPSHOT_SECONDS, Metrics
from tabstudio.serving.prediction_form import PredictionForm
from tabstudio.serving.predictionlog.writer import PredictionLog
from tabstudio.serving.request_hooks import (
    CompletedRequest,
    PredictionRecord,
    PredictionService,
    ServingHooks,
)
from tabstudio.serving.serve_options import ServeOptions
from tabstudio.serving.tokens import token_gate
from tabstudio.table.schema import Schema

if TYPE_CHECKING:
    from tabstudio.serving.tracing import Tracing


def build_hooks(options: ServeOptions, worker: int) -> ServingHooks:
    """Make what stands around the answering of requests in worker number `worker`, from 0 on.

    Raises `ConfigError` where a token is demanded and there is none, `TabstudioError` where the prediction
    log cannot be written, `MissingExtraError` for traces without the extra `otel`.
    """
    around = WorkerHooks(options, worker)
    return ServingHooks(
        opened=around.opened,
        recorders=around.recorders,
        counters=around,
        authenticate=token_gate(options.host),
        routes=around.routes,
        start=around.start,
        stop=around.stop,
    )


class WorkerHooks:
    """The parts of one worker, put together. `forms` are those of the versions that are live."""

    def __init__(self, options: ServeOptions, worker: int) -> None:
        self.options = options
        self.metrics = Metrics(options.scratch, worker)
        self.swapped, self.shadowed = self.metrics.swapped, self.metrics.shadowed
        self.recorders: tuple[Callable[[PredictionRecord], None], ...] = (self.metrics.predicted,)
        self.log = PredictionLog(options.log) if options.log.enabled else None
        if self.log is not None:
            self.recorders = (*self.recorders, self.log)
            self.metrics.lost = partial(getattr, self.log, "lost")
        self.tracing = _tracing(worker) if options.trace else None
        self.forms: dict[str, PredictionForm] = {}
        self.service: PredictionService
        self._ticking: asyncio.Task[None] | None = None

    def opened(self, model: str, version: str, role: str, schema: Schema, profile: Mapping[str, Any]) -> None:
        """Hear of a version before it answers."""
        if self.log is not None:
            self.log.opened(model, version, schema)
        if role == "live":
            self.forms[model] = PredictionForm(model, version, schema, profile)

    def finished(self, done: CompletedRequest) -> None:
        """Count one HTTP request, write a line and make a span where that was asked for."""
        self.metrics.finished(done.route, done.model, done.status, done.seconds, done.rows)
        if self.options.access_log:
            server_log.log_access(done)
        if self.tracing is not None:
            self.tracing.finished(done)

    def routes(self) -> list[Any]:
        """Routes of Starlette: metrics, feedback, forms."""
        from tabstudio.serving.extra_routes import ExtraRoutes

        folder = self.log.folder if self.log is not None else None
        return ExtraRoutes(self.options, self.metrics, self.forms, self.service, folder).routes()

    async def start(self, service: PredictionService) -> None:
        """Begin to look at the running worker."""
        self.service = service
        self.metrics.gauges["in_flight"] = lambda: service.in_flight
        self.metrics.gauges["queue_rows"] = lambda: service.queue_length
        self._ticking = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        """Leave the last numbers, bring the log to the disk, send the last spans."""
        if self._ticking is not None:
            self._ticking.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticking
        self.metrics.snapshot()
        if self.log is not None:
            await asyncio.to_thread(self.log.close)
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.stop)

    async def _tick(self) -> None:
        while True:
            self.metrics.snapshot()
            await asyncio.sleep(SNAPSHOT_SECONDS)


def _tracing(worker: int) -> Tracing:
    from tabstudio.serving.tracing import Tracing

    return Tracing(worker)
