"""The ASGI application of one worker: it answers predictions itself, all else by `ManagementRoutes`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tabstudio.errors import InputError
from tabstudio.serving.batching import BatchQueue, Endpoint, deadline_exceeded, invalid_rows
from tabstudio.serving.contract import RequestRows
from tabstudio.serving.http_messages import (
    AllowedHosts,
    BodyReader,
    ClientDisconnected,
    Receive,
    Response,
    Scope,
    Send,
    error_response,
    headers_of,
    request_id,
    respond,
)
from tabstudio.serving.mlflow_protocol import MlflowProtocol
from tabstudio.serving.protocols import (
    NativeProtocol,
    ParsedRequest,
    RequestContext,
    ServingProtocol,
    native_answer,
)
from tabstudio.serving.request_hooks import CompletedRequest, HttpError, PredictionRecord, ServingHooks
from tabstudio.serving.runtime import ModelAnswer, Runtime
from tabstudio.serving.serve_options import ServeOptions
from tabstudio.serving.v2_protocol import V2Protocol

if TYPE_CHECKING:
    from tabstudio.serving.management_routes import ManagementRoutes

LARGE_BODY_BYTES = 1 << 20
"""Bodies from this size on are read, answered and written in a thread."""
MAX_SHADOW_REQUESTS = 64
"""Requests that wait for shadows at a time; further ones are not sent to them."""

log = logging.getLogger("tabstudio.serving")
Reload = Callable[[str], Awaitable[Mapping[str, object]]]


class PredictionRoute(NamedTuple):
    """A path that predicts: of which model, in which protocol, and its template for counters."""

    endpoint: Endpoint
    protocol: ServingProtocol
    template: str
    version: str | None = None


class App:
    """Answers for `endpoints` within the bounds of `options`.

    `reload` makes the supervisor look for the newest version of a model. `draining` is set when the worker is
    about to end: it no longer calls itself ready, and answers to the last request.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        options: ServeOptions,
        hooks: ServingHooks,
        pool: ThreadPoolExecutor,
        reload: Reload,
    ) -> None:
        self.endpoints, self.options, self.hooks, self.reload = endpoints, options, hooks, reload
        self.bounds, self.pool = options.bounds, pool
        self.hosts = AllowedHosts((options.host, *options.hosts))
        self.bodies = BodyReader(options.bounds)
        self.in_flight = 0
        self.draining = False
        self._routes = self._prediction_routes()
        self._management: ManagementRoutes | None = None
        self._shadow_tasks: set[asyncio.Task[None]] = set()

    @property
    def queue_length(self) -> int:
        """Rows that wait for the network."""
        return sum(queue.queue_length for endpoint in self.endpoints.values() for queue in endpoint.queues())

    def install(self, name: str, runtime: Runtime, role: str, share: float) -> None:
        """Serve a version from now on, in its role."""
        self.hooks.opened(name, runtime.version, role, runtime.schema, runtime.profile)
        self.endpoints[name].install(runtime, role, share, self.pool)
        if self.hooks.observer:
            self.hooks.observer.version_installed(name, role, runtime.version)
        log.debug("%s: version %s answers as %s", name, runtime.version, role)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        started = time.monotonic()
        headers = headers_of(scope)
        own_id = request_id(headers)
        route = self._route(scope["path"]) if scope["method"] == "POST" else None
        self.in_flight += 1
        name, rows, version, role = "", 0, "", ""
        try:
            if route is None:
                template, status = await self._management_routes().answer(
                    scope, receive, send, headers, own_id
                )
            else:
                template, name = route.template, route.endpoint.name
                response, rows, queue = await self._answer(route, scope, receive, headers, own_id, started)
                status = response.status
                if queue:
                    version, role = queue.runtime.version, queue.role
                await respond(send, response, own_id)
        except ClientDisconnected:
            return
        finally:
            self.in_flight -= 1
        if self.hooks.observer:
            seconds = time.monotonic() - started
            self.hooks.observer.request_completed(
                CompletedRequest(scope, template, name, version, role, status, seconds, rows, own_id)
            )

    async def predict(
        self, name: str, row: dict[str, object], *, protocol: str, request_id: str, caller: str
    ) -> dict[str, object]:
        """Answer one row as the predict endpoint does, recorded alike. Raises `HttpError`."""
        endpoint = self.endpoints.get(name)
        if endpoint is None:
            raise HttpError(404, "UNKNOWN_MODEL", f"there is no model {name[:100]!r}")
        queue = endpoint.choose(request_id)
        rows = queue.runtime.contract.take([row], 1)
        answer = await queue.submit(rows, time.monotonic() + self.bounds.deadline)
        self._record(queue, rows, answer, protocol, request_id, caller)
        self._send_to_shadow(endpoint, queue, rows, answer, request_id)
        content: dict[str, object] = msgspec.to_builtins(native_answer(queue.runtime, answer, request_id))
        return content

    def admit(self, scope: Scope, headers: dict[bytes, bytes], open_to_all: bool = False) -> str:
        """Check host, token and load of a request; return the caller's name. Raises `HttpError`."""
        self.hosts.check(headers.get(b"host"))
        caller = ""
        if self.hooks.authenticate and not open_to_all:
            caller = self.hooks.authenticate(scope["headers"])
        if self.in_flight > self.bounds.in_flight:
            limit = self.bounds.in_flight
            raise HttpError(429, "TOO_MANY_REQUESTS", f"{limit:,} requests are being answered", retry_after=1)
        return caller

    async def _answer(
        self,
        route: PredictionRoute,
        scope: Scope,
        receive: Receive,
        headers: dict[bytes, bytes],
        own_id: str,
        started: float,
    ) -> tuple[Response, int, BatchQueue | None]:
        queue = None
        try:
            caller = self.admit(scope, headers)
            key = headers.get(b"x-routing-key")
            queue = self._queue(route, key.decode("latin-1") if key else own_id)
            body = await self.bodies.read(receive, headers)
            try:
                content_type = headers.get(b"content-type", b"").decode("latin-1")
                context = RequestContext(own_id, content_type, headers)
                call = _PredictionCall(route, queue, body, context, caller, started)
                if len(body) >= LARGE_BODY_BYTES:
                    response, rows = await self._answer_in_thread(call)
                else:
                    parsed = route.protocol.read(queue.runtime, body, context, self.bounds.rows)
                    answer = await queue.submit(parsed.rows, started + self.bounds.deadline)
                    response, rows = self._respond(call, parsed, answer)
                return response, rows, queue
            finally:
                self.bodies.release(len(body))
        except HttpError as error:
            return error_response(error, own_id), 0, queue
        except ClientDisconnected:
            raise
        except Exception:
            log.exception("request %s failed", own_id)
            internal = HttpError(500, "INTERNAL", "the server failed; its log says why")
            return error_response(internal, own_id), 0, queue

    def _queue(self, route: PredictionRoute, key: str) -> BatchQueue:
        if route.version is None:
            return route.endpoint.choose(key)
        return route.endpoint.queue_of(route.version)

    async def _answer_in_thread(self, call: _PredictionCall) -> tuple[Response, int]:
        """Read, answer and write in a thread: the request is a batch by itself."""
        loop = asyncio.get_running_loop()
        parsed, answer, response = await loop.run_in_executor(self.pool, self._whole_answer, call)
        self._send_to_shadow(call.route.endpoint, call.queue, parsed.rows, answer, call.context.request_id)
        return response, len(parsed.rows.raw)

    def _whole_answer(self, call: _PredictionCall) -> tuple[ParsedRequest, ModelAnswer, Response]:
        if time.monotonic() > call.started + self.bounds.deadline:
            raise deadline_exceeded()
        runtime, protocol = call.queue.runtime, call.route.protocol
        parsed = protocol.read(runtime, call.body, call.context, self.bounds.rows)
        try:
            answer = runtime.answer(parsed.rows)
        except InputError as error:
            raise invalid_rows(error) from error
        response = parsed.write(answer)
        self._record(call.queue, parsed.rows, answer, protocol.name, call.context.request_id, call.caller)
        return parsed, answer, response

    def _respond(
        self, call: _PredictionCall, parsed: ParsedRequest, answer: ModelAnswer
    ) -> tuple[Response, int]:
        response, own_id = parsed.write(answer), call.context.request_id
        self._record(call.queue, parsed.rows, answer, call.route.protocol.name, own_id, call.caller)
        self._send_to_shadow(call.route.endpoint, call.queue, parsed.rows, answer, own_id)
        return response, len(parsed.rows.raw)

    def _record(
        self,
        queue: BatchQueue,
        rows: RequestRows,
        answer: ModelAnswer,
        protocol: str,
        request_id: str,
        caller: str,
    ) -> None:
        if not self.hooks.recorders:
            return
        runtime = queue.runtime
        record = PredictionRecord(
            request_id,
            runtime.name,
            runtime.version,
            queue.role,
            protocol,
            caller,
            time.time(),
            runtime.contract.names,
            rows.raw,
            answer.labels,
            answer.probabilities,
            runtime.classes,
            answer.warnings,
        )
        for recorder in self.hooks.recorders:
            recorder(record)

    def _send_to_shadow(
        self, endpoint: Endpoint, queue: BatchQueue, rows: RequestRows, answer: ModelAnswer, request_id: str
    ) -> None:
        """Have the shadow predict the same rows, after the answer and only while it keeps up."""
        shadow = endpoint.shadow
        if shadow is None or len(self._shadow_tasks) >= MAX_SHADOW_REQUESTS:
            return
        comparison = self._compare_shadow(shadow, queue, rows, answer, request_id)
        task = asyncio.get_running_loop().create_task(comparison)
        self._shadow_tasks.add(task)
        task.add_done_callback(self._shadow_tasks.discard)

    async def _compare_shadow(
        self, shadow: BatchQueue, queue: BatchQueue, rows: RequestRows, answer: ModelAnswer, request_id: str
    ) -> None:
        contract, runtime = shadow.runtime.contract, shadow.runtime
        try:
            names = queue.runtime.contract.names
            if contract.names != names:
                rows = contract.take([dict(zip(names, row, strict=True)) for row in rows.raw], len(rows.raw))
            shadow_answer = await shadow.submit(rows, time.monotonic() + self.bounds.deadline)
        except HttpError as error:
            log.warning("shadow %s of %s: %s", runtime.version, runtime.name, error.message)
            return
        except Exception:
            log.exception("shadow %s of %s failed", runtime.version, runtime.name)
            return
        self._record(shadow, rows, shadow_answer, "shadow", request_id, "")
        if self.hooks.observer:
            different = sum(a != b for a, b in zip(answer.labels, shadow_answer.labels, strict=True))
            self.hooks.observer.shadow_compared(runtime.name, runtime.version, len(rows.raw), different)

    def _management_routes(self) -> ManagementRoutes:
        if self._management is None:
            from tabstudio.serving.management_routes import ManagementRoutes

            self._management = ManagementRoutes(self)
        return self._management

    def _prediction_routes(self) -> dict[str, PredictionRoute]:
        routes: dict[str, PredictionRoute] = {}
        native, mlflow, v2 = NativeProtocol(), MlflowProtocol(), V2Protocol()
        for name, endpoint in self.endpoints.items():
            for template, protocol in (
                ("/v1/models/NAME/predict", native),
                ("/v1/models/NAME/invocations", mlflow),
                ("/v2/models/NAME/infer", v2),
            ):
                routes[template.replace("NAME", name)] = PredictionRoute(endpoint, protocol, template)
        first = next(iter(self.endpoints.values()))
        routes["/invocations"] = PredictionRoute(first, mlflow, "/invocations")
        return routes

    def _route(self, path: str) -> PredictionRoute | None:
        route = self._routes.get(path)
        if route is None and path.startswith("/v2/models/") and path.endswith("/infer"):
            name, _, version = path[len("/v2/models/") : -len("/infer")].partition("/versions/")
            if name in self.endpoints and version:
                template = "/v2/models/NAME/versions/VERSION/infer"
                return PredictionRoute(self.endpoints[name], V2Protocol(), template, version)
        return route


class _PredictionCall(NamedTuple):
    route: PredictionRoute
    queue: BatchQueue
    body: bytes
    context: RequestContext
    caller: str
    started: float
