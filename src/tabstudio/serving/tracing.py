"""Traces for OpenTelemetry: a server span of every answered request, sent in batches by a thread.

Imported only where traces are asked for; importing it raises `MissingExtraError` without the extra `otel`.
Where spans go and which are kept, the library reads from its own environment variables, `OTEL_...`.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Sequence
from threading import Thread

from tabstudio._version import __version__
from tabstudio.errors import ConfigError, MissingExtraError
from tabstudio.serving.request_hooks import CompletedRequest, Headers

try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.propagators.textmap import Getter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.trace import SpanKind, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    from opentelemetry.util.types import AttributeValue
except ImportError as error:
    raise MissingExtraError(f"traces need the package {error.name}: pip install 'tabstudio[otel]'") from error

LAST_SECONDS = 3.0
"""What the last spans get to arrive when a worker ends."""
_LONGEST = 1024
"""Characters of a path or a client's name that a span keeps: what waits must not grow with requests."""
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"))

log = logging.getLogger("tabstudio.serving")


def check_environment() -> None:
    """Raise `ConfigError` where the environment asks for what we do not speak."""
    for name in _PROTOCOLS:
        value = os.environ.get(name) or "http/protobuf"
        if value != "http/protobuf":
            raise ConfigError(f"{name}: traces are sent by http/protobuf, got {value!r}")


class Tracing:
    """The spans of one worker. They wait in a bounded queue; what finds no room there is dropped.

    Raises `ConfigError` for a setting that the library refuses.
    """

    def __init__(self, worker: int) -> None:
        check_environment()
        heard = _Heard()
        library = logging.getLogger("opentelemetry")
        library.handlers[:], library.propagate = [heard], False
        try:
            sender = _Sender(OTLPSpanExporter(), heard)
            self._provider = TracerProvider(resource=_resource(worker), shutdown_on_exit=False)
            self._provider.add_span_processor(BatchSpanProcessor(sender))
        except ValueError as error:
            raise ConfigError(f"a setting OTEL_... of the environment is wrong: {error}") from error
        self._tracer = self._provider.get_tracer("tabstudio.serving", __version__)
        self._context = TraceContextTextMapPropagator()

    def finished(self, done: CompletedRequest) -> None:
        """Make the span of a request that was just answered, below the caller's own where it names one."""
        ended = time.time_ns()
        method = done.scope["method"] if done.scope["method"] in _METHODS else "HTTP"
        span = self._tracer.start_span(
            f"{method} {done.route}" if done.route.startswith("/") else method,
            context=self._context.extract(done.scope["headers"], getter=_GETTER),
            kind=SpanKind.SERVER,
            attributes=_attributes(done),
            start_time=ended - int(done.seconds * 1e9),
        )
        if done.status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end(ended)

    def stop(self) -> None:
        """Send what is left, for `LAST_SECONDS` at most."""
        ending = Thread(target=self._provider.shutdown, daemon=True)  # a dead collector is not waited for
        ending.start()
        ending.join(LAST_SECONDS)


def _attributes(done: CompletedRequest) -> dict[str, AttributeValue]:
    """The semantic conventions' for HTTP servers, and our own."""
    scope = done.scope
    told: dict[str, AttributeValue] = {
        "http.request.method": scope["method"] if scope["method"] in _METHODS else "_OTHER",
        "http.response.status_code": done.status,
        "url.scheme": scope["scheme"],
        "url.path": scope["path"][:_LONGEST],
        "network.protocol.version": scope["http_version"],
        "tabstudio.request_id": done.request_id,
    }
    if done.route.startswith("/"):
        told["http.route"] = done.route
    if done.status >= 500:
        told["error.type"] = str(done.status)
    for side in ("client", "server"):
        if scope.get(side):
            told[f"{side}.address"] = scope[side][0]
            if scope[side][1]:
                told[f"{side}.port"] = scope[side][1]
    if agent := _GETTER.get(scope["headers"], "user-agent"):
        told["user_agent.original"] = agent[0][:_LONGEST]
    if done.model:
        told |= {"tabstudio.model": done.model, "tabstudio.rows": done.rows}
    if done.version:
        told |= {"tabstudio.version": done.version, "tabstudio.role": done.role}
    return told


def _resource(worker: int) -> Resource:
    """Who sends the spans; what the environment says goes first."""
    ours: dict[str, AttributeValue] = {
        "service.name": "tabstudio",
        "service.version": __version__,
        "service.instance.id": str(uuid.uuid4()),
        "process.pid": os.getpid(),
        "tabstudio.worker": worker,
    }
    return Resource.create({**ours, **OTELResourceDetector().detect().attributes})


class _Reader(Getter[Headers]):
    """Looks headers up as they came."""

    def get(self, carrier: Headers, key: str) -> list[str] | None:
        name = key.encode()
        return [value.decode("latin-1") for header, value in carrier if header == name] or None

    def keys(self, carrier: Headers) -> list[str]:
        return [name.decode("latin-1") for name, _ in carrier]


_GETTER = _Reader()


class _Heard(logging.Handler):
    """Passes on what the library says: of sending once until it works again, else once for each place."""

    def __init__(self) -> None:
        super().__init__()
        self.said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        sending = record.name.startswith("opentelemetry.exporter")
        place = "sending" if sending else f"{record.name}:{record.lineno}"
        if place in self.said:
            return
        self.said.add(place)
        text = "traces do not arrive, requests are answered all the same: %s" if sending else "traces: %s"
        log.warning(text, record.getMessage())


class _Sender(SpanExporter):
    """Sends by another exporter, and says when that works again."""

    def __init__(self, exporter: SpanExporter, heard: _Heard) -> None:
        self._exporter, self._heard = exporter, heard
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        arrived = result is SpanExportResult.SUCCESS
        if arrived and self._failing:
            self._heard.said.clear()
            log.info("traces arrive again")
        self._failing = not arrived
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()
