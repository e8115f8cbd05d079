"""Traces for OpenTelemetry: a server span of every answered request, sent in batches by a thread.

Imported only where traces are asked for; importing it raises `MissingExtraError` without the extra `otel`.
The library reads where spans go, and which are kept, from its own environment variables, `OTEL_...`.
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
"""Time for the last spans to arrive when a worker ends."""
_LONGEST = 1024
"""Characters of a path or user agent that a span keeps, so that waiting spans stay small."""
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"))

log = logging.getLogger("tabstudio.serving")


def check_environment() -> None:
    """Raise `ConfigError` where the environment asks for another transport than HTTP with protobuf."""
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
        library_log = _LibraryLog()
        library = logging.getLogger("opentelemetry")
        library.handlers[:], library.propagate = [library_log], False
        try:
            exporter = _LoggingExporter(OTLPSpanExporter(), library_log)
            self._provider = TracerProvider(resource=_resource(worker), shutdown_on_exit=False)
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
        except ValueError as error:
            raise ConfigError(f"a setting OTEL_... of the environment is wrong: {error}") from error
        self._tracer = self._provider.get_tracer("tabstudio.serving", __version__)
        self._context = TraceContextTextMapPropagator()

    def request_completed(self, request: CompletedRequest) -> None:
        """Make the span of a request that was just answered, below the caller's span where there is one."""
        ended = time.time_ns()
        method = request.scope["method"] if request.scope["method"] in _METHODS else "HTTP"
        span = self._tracer.start_span(
            f"{method} {request.route}" if request.route.startswith("/") else method,
            context=self._context.extract(request.scope["headers"], getter=_GETTER),
            kind=SpanKind.SERVER,
            attributes=_attributes(request),
            start_time=ended - int(request.seconds * 1e9),
        )
        if request.status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end(ended)

    def stop(self) -> None:
        """Send what is left, for `LAST_SECONDS` at most."""
        ending = Thread(target=self._provider.shutdown, daemon=True)  # a dead collector may block it
        ending.start()
        ending.join(LAST_SECONDS)


def _attributes(request: CompletedRequest) -> dict[str, AttributeValue]:
    """Attributes of the semantic conventions for HTTP servers, and our own."""
    scope = request.scope
    attributes: dict[str, AttributeValue] = {
        "http.request.method": scope["method"] if scope["method"] in _METHODS else "_OTHER",
        "http.response.status_code": request.status,
        "url.scheme": scope["scheme"],
        "url.path": scope["path"][:_LONGEST],
        "network.protocol.version": scope["http_version"],
        "tabstudio.request_id": request.request_id,
    }
    if request.route.startswith("/"):
        attributes["http.route"] = request.route
    if request.status >= 500:
        attributes["error.type"] = str(request.status)
    for side in ("client", "server"):
        if scope.get(side):
            attributes[f"{side}.address"] = scope[side][0]
            if scope[side][1]:
                attributes[f"{side}.port"] = scope[side][1]
    if agent := _GETTER.get(scope["headers"], "user-agent"):
        attributes["user_agent.original"] = agent[0][:_LONGEST]
    if request.model:
        attributes |= {"tabstudio.model": request.model, "tabstudio.rows": request.rows}
    if request.version:
        attributes |= {"tabstudio.version": request.version, "tabstudio.role": request.role}
    return attributes


def _resource(worker: int) -> Resource:
    """The sender of the spans; the environment's attributes go first."""
    own: dict[str, AttributeValue] = {
        "service.name": "tabstudio",
        "service.version": __version__,
        "service.instance.id": str(uuid.uuid4()),
        "process.pid": os.getpid(),
        "tabstudio.worker": worker,
    }
    return Resource.create({**own, **OTELResourceDetector().detect().attributes})


class _Reader(Getter[Headers]):
    """Reads the headers of an ASGI scope."""

    def get(self, carrier: Headers, key: str) -> list[str] | None:
        name = key.encode()
        return [value.decode("latin-1") for header, value in carrier if header == name] or None

    def keys(self, carrier: Headers) -> list[str]:
        return [name.decode("latin-1") for name, _ in carrier]


_GETTER = _Reader()


class _LibraryLog(logging.Handler):
    """Logs the library's messages: of sending once until it works again, others once per line of code."""

    def __init__(self) -> None:
        super().__init__()
        self.logged: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        sending = record.name.startswith("opentelemetry.exporter")
        source = "sending" if sending else f"{record.name}:{record.lineno}"
        if source in self.logged:
            return
        self.logged.add(source)
        text = "traces do not arrive, requests are answered all the same: %s" if sending else "traces: %s"
        log.warning(text, record.getMessage())


class _LoggingExporter(SpanExporter):
    """Sends by another exporter, and logs when that works again."""

    def __init__(self, exporter: SpanExporter, library_log: _LibraryLog) -> None:
        self._exporter, self._library_log = exporter, library_log
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        arrived = result is SpanExportResult.SUCCESS
        if arrived and self._failing:
            self._library_log.logged.clear()
            log.info("traces arrive again")
        self._failing = not arrived
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()
