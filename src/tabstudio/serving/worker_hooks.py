"""The hooks of a worker: prediction log, metrics, tokens, traces, and the pages for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

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
    from starlette.routing import Route

    from tabstudio.serving.tracing import Tracing


def build_hooks(options: ServeOptions, worker: int) -> ServingHooks:
    """Build the hooks of worker number `worker`, from 0 on.

    Raises `ConfigError` where a token is demanded and there is none, `TabstudioError` where the prediction
    log cannot be written, `MissingExtraError` for traces without the extra `otel`.
    """
    hooks = WorkerHooks(options, worker)
    return ServingHooks(
        opened=hooks.opened,
        recorders=hooks.recorders,
        observer=hooks,
        authenticate=token_gate(options.host),
        routes=hooks.routes,
        start=hooks.start,
        stop=hooks.stop,
    )


class WorkerHooks:
    """Metrics, log, traces and forms of one worker. `forms` are those of the live versions."""

    def __init__(self, options: ServeOptions, worker: int) -> None:
        self.options = options
        self.metrics = Metrics(options.scratch, worker)
        self.version_installed = self.metrics.version_installed
        self.shadow_compared = self.metrics.shadow_compared
        self.recorders: tuple[Callable[[PredictionRecord], None], ...] = (self.metrics.predicted,)
        self.log = PredictionLog(options.log) if options.log.enabled else None
        if self.log is not None:
            self.recorders = (*self.recorders, self.log)
            self.metrics.lost = partial(getattr, self.log, "lost")
        self.tracing = _tracing(worker) if options.trace else None
        self.forms: dict[str, PredictionForm] = {}
        self.service: PredictionService
        self._snapshots: asyncio.Task[None] | None = None

    def opened(
        self, model: str, version: str, role: str, schema: Schema, profile: Mapping[str, object]
    ) -> None:
        """Prepare log and form for a version before it answers."""
        if self.log is not None:
            self.log.opened(model, version, schema)
        if role == "live":
            self.forms[model] = PredictionForm(model, version, schema, profile)

    def request_completed(self, request: CompletedRequest) -> None:
        """Count one HTTP request; write its line and make its span where these are switched on."""
        self.metrics.request_completed(request)
        if self.options.access_log:
            server_log.log_access(request)
        if self.tracing is not None:
            self.tracing.request_completed(request)

    def routes(self) -> list[Route]:
        """Routes of metrics, feedback and forms."""
        from tabstudio.serving.extra_routes import ExtraRoutes

        folder = self.log.folder if self.log is not None else None
        return ExtraRoutes(self.options, self.metrics, self.forms, self.service, folder).routes()

    async def start(self, service: PredictionService) -> None:
        """Begin to take snapshots of the running worker's metrics."""
        self.service = service
        self.metrics.gauges["in_flight"] = lambda: service.in_flight
        self.metrics.gauges["queue_rows"] = lambda: service.queue_length
        self._snapshots = asyncio.create_task(self._take_snapshots())

    async def stop(self) -> None:
        """Write the last metrics, bring the log to the disk, send the last spans."""
        if self._snapshots is not None:
            self._snapshots.cancel()
            with suppress(asyncio.CancelledError):
                await self._snapshots
        self.metrics.snapshot()
        if self.log is not None:
            await asyncio.to_thread(self.log.close)
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.stop)

    async def _take_snapshots(self) -> None:
        while True:
            self.metrics.snapshot()
            await asyncio.sleep(SNAPSHOT_SECONDS)


def _tracing(worker: int) -> Tracing:
    from tabstudio.serving.tracing import Tracing

    return Tracing(worker)
