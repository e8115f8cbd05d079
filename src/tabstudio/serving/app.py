"""The ASGI application of one worker: predictions are answered here, everything else by `pages`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

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
    Reply,
    RequestContext,
    ServingProtocol,
    native_answer,
)
from tabstudio.serving.request_hooks import CompletedRequest, HttpError, PredictionRecord, ServingHooks
from tabstudio.serving.runtime import ModelAnswer, Runtime
from tabstudio.serving.serve_options import ServeOptions
from tabstudio.serving.v2_protocol import V2Protocol

LARGE_BODY_BYTES = 1 << 20
"""Bodies from here on are read, answered and written in a thread."""

log = logging.getLogger("tabstudio.serving")
Reload = Callable[[str], Awaitable[dict[str, Any]]]


class PredictionRoute(NamedTuple):
    """A path that predicts: for which model, in which protocol, and how counters call it."""

    endpoint: Endpoint
    speech: ServingProtocol
    route: str
    version: str | None = None


class App:
    """Answers for `endpoints` within the bounds of `options`.

    `reload` asks the supervisor for the newest version of a model. `draining` is set when the worker is about
    to end: it no longer calls itself ready, and answers to the last request.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        options: ServeOptions,
        extensions: ServingHooks,
        pool: ThreadPoolExecutor,
        reload: Reload,
    ) -> None:
        self.endpoints, self.options, self.extensions, self.reload = endpoints, options, extensions, reload
        self.bounds, self.pool = options.bounds, pool
        self.hosts = AllowedHosts((options.host, *options.hosts))
        self.bodies = BodyReader(options.bounds)
        self.in_flight = 0
        self.draining = False
        self._hot = self._paths()
        self._pages: Any = None
        self._shadows: set[asyncio.Task[None]] = set()

    @property
    def queue_length(self) -> int:
        """Rows that wait for the network."""
        return sum(lane.queue_length for endpoint in self.endpoints.values() for lane in endpoint.lanes())

    def install(self, name: str, runtime: Runtime, role: str, share: float) -> None:
        """Let a version answer from now on, in its role."""
        self.extensions.opened(name, runtime.version, role, runtime.schema, runtime.profile)
        self.endpoints[name].install(runtime, role, share, self.pool)
        if self.extensions.counters:
            self.extensions.counters.swapped(name, role, runtime.version)
        log.debug("%s: version %s answers as %s", name, runtime.version, role)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        started = time.monotonic()
        headers = headers_of(scope)
        asked_id = request_id(headers)
        hot = self._predicts(scope["path"]) if scope["method"] == "POST" else None
        self.in_flight += 1
        rows, version, role = 0, "", ""
        try:
            if hot is None:
                route, status = await self._page(scope, receive, send, headers, asked_id)
                name = ""
            else:
                route, name = hot.route, hot.endpoint.name
                response, rows, lane = await self._answer(hot, scope, receive, headers, asked_id, started)
                status = response.status
                if lane:
                    version, role = lane.runtime.version, lane.role
                await respond(send, response, asked_id)
        except ClientDisconnected:
            return
        finally:
            self.in_flight -= 1
        if self.extensions.counters:
            seconds = time.monotonic() - started
            done = CompletedRequest(scope, route, name, version, role, status, seconds, rows, asked_id)
            self.extensions.counters.finished(done)

    async def predict(
        self, name: str, row: dict[str, Any], *, protocol: str, request_id: str, caller: str
    ) -> dict[str, Any]:
        """Answer one row as the predict endpoint does, recorded alike. Raises `HttpError`."""
        endpoint = self.endpoints.get(name)
        if endpoint is None:
            raise HttpError(404, "UNKNOWN_MODEL", f"there is no model {name[:100]!r}")
        lane = endpoint.choose(request_id)
        rows = lane.runtime.contract.take([row], 1)
        answer = await lane.answer(rows, time.monotonic() + self.bounds.deadline)
        self._record(lane, rows, answer, protocol, request_id, caller)
        self._to_shadow(endpoint, lane, rows, answer, request_id)
        said: dict[str, Any] = msgspec.to_builtins(native_answer(lane.runtime, answer, request_id))
        return said

    def admit(self, scope: Scope, headers: dict[bytes, bytes], open_to_all: bool = False) -> str:
        """Let a request in, and say who asks. Raises `HttpError`."""
        self.hosts.check(headers.get(b"host"))
        caller = ""
        if self.extensions.authenticate and not open_to_all:
            caller = self.extensions.authenticate(scope["headers"])
        if self.in_flight > self.bounds.in_flight:
            most = self.bounds.in_flight
            raise HttpError(429, "TOO_MANY_REQUESTS", f"{most:,} requests are being answered", retry_after=1)
        return caller

    async def _answer(
        self,
        hot: PredictionRoute,
        scope: Scope,
        receive: Receive,
        headers: dict[bytes, bytes],
        asked_id: str,
        started: float,
    ) -> tuple[Response, int, BatchQueue | None]:
        lane = None
        try:
            caller = self.admit(scope, headers)
            key = headers.get(b"x-routing-key")
            lane = self._lane(hot, key.decode("latin-1") if key else asked_id)
            body = await self.bodies.read(receive, headers)
            try:
                content_type = headers.get(b"content-type", b"").decode("latin-1")
                job = _Job(hot, lane, body, RequestContext(asked_id, content_type, headers), caller, started)
                if len(body) >= LARGE_BODY_BYTES:
                    rows, reply = await self._beside(job)
                else:
                    question = hot.speech.read(lane.runtime, body, job.asked, self.bounds.rows)
                    answer = await lane.answer(question.rows, started + self.bounds.deadline)
                    rows, reply = self._finish(job, question, answer)
            finally:
                self.bodies.release(len(body))
            return Response(200, reply.body, reply.content_type, reply.headers), rows, lane
        except HttpError as answered:
            return error_response(answered, asked_id), 0, lane
        except ClientDisconnected:
            raise
        except Exception:
            log.exception("request %s failed", asked_id)
            failed = HttpError(500, "INTERNAL", "the server failed; its log says why")
            return error_response(failed, asked_id), 0, lane

    def _lane(self, hot: PredictionRoute, key: str) -> BatchQueue:
        if hot.version is None:
            return hot.endpoint.choose(key)
        return hot.endpoint.lane_of(hot.version)

    async def _beside(self, job: _Job) -> tuple[int, Reply]:
        """Do all of it in a thread: the request is a batch by itself."""
        question, answer, reply = await asyncio.get_running_loop().run_in_executor(
            self.pool, self._whole, job
        )
        self._to_shadow(job.hot.endpoint, job.lane, question.rows, answer, job.asked.request_id)
        return len(question.rows.raw), reply

    def _whole(self, job: _Job) -> tuple[ParsedRequest, ModelAnswer, Reply]:
        if time.monotonic() > job.started + self.bounds.deadline:
            raise deadline_exceeded()
        runtime, speech = job.lane.runtime, job.hot.speech
        question = speech.read(runtime, job.body, job.asked, self.bounds.rows)
        try:
            answer = runtime.answer(question.rows)
        except InputError as error:
            raise invalid_rows(error) from error
        reply = question.write(answer)
        self._record(job.lane, question.rows, answer, speech.name, job.asked.request_id, job.caller)
        return question, answer, reply

    def _finish(self, job: _Job, question: ParsedRequest, answer: ModelAnswer) -> tuple[int, Reply]:
        lane, asked = job.lane, job.asked
        reply = question.write(answer)
        self._record(lane, question.rows, answer, job.hot.speech.name, asked.request_id, job.caller)
        self._to_shadow(job.hot.endpoint, lane, question.rows, answer, asked.request_id)
        return len(question.rows.raw), reply

    def _record(
        self,
        lane: BatchQueue,
        rows: RequestRows,
        answer: ModelAnswer,
        protocol: str,
        request_id: str,
        caller: str,
    ) -> None:
        if not self.extensions.recorders:
            return
        runtime = lane.runtime
        record = PredictionRecord(
            request_id,
            runtime.name,
            runtime.version,
            lane.role,
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
        for recorder in self.extensions.recorders:
            recorder(record)

    def _to_shadow(
        self, endpoint: Endpoint, lane: BatchQueue, rows: RequestRows, answer: ModelAnswer, request_id: str
    ) -> None:
        """Ask the shadow the same rows, after the answer and only while it keeps up."""
        shadow = endpoint.shadow
        if shadow is None or len(self._shadows) >= _SHADOWS:
            return
        asking = self._ask_shadow(shadow, lane, rows, answer, request_id)
        task = asyncio.get_running_loop().create_task(asking)
        self._shadows.add(task)
        task.add_done_callback(self._shadows.discard)

    async def _ask_shadow(
        self, shadow: BatchQueue, lane: BatchQueue, rows: RequestRows, answer: ModelAnswer, request_id: str
    ) -> None:
        contract = shadow.runtime.contract
        try:
            if contract.names != lane.runtime.contract.names:
                names = lane.runtime.contract.names
                rows = contract.take([dict(zip(names, row, strict=True)) for row in rows.raw], len(rows.raw))
            until = time.monotonic() + self.bounds.deadline
            other = await shadow.answer(rows, until)
        except HttpError as answered:
            log.warning("shadow %s of %s: %s", shadow.runtime.version, shadow.runtime.name, answered.message)
            return
        self._record(shadow, rows, other, "shadow", request_id, "")
        if self.extensions.counters:
            different = sum(a != b for a, b in zip(answer.labels, other.labels, strict=True))
            runtime = shadow.runtime
            self.extensions.counters.shadowed(runtime.name, runtime.version, len(rows.raw), different)

    async def _page(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[bytes, bytes], asked_id: str
    ) -> tuple[str, int]:
        if self._pages is None:
            from tabstudio.serving.management_routes import ManagementRoutes

            self._pages = ManagementRoutes(self)
        route, status = await self._pages.answer(scope, receive, send, headers, asked_id)
        return str(route), int(status)

    def _paths(self) -> dict[str, PredictionRoute]:
        paths: dict[str, PredictionRoute] = {}
        predict, invocations, inference = NativeProtocol(), MlflowProtocol(), V2Protocol()
        for name, endpoint in self.endpoints.items():
            own = f"/v1/models/{name}"
            paths[f"{own}/predict"] = PredictionRoute(endpoint, predict, "/v1/models/NAME/predict")
            paths[f"{own}/invocations"] = PredictionRoute(
                endpoint, invocations, "/v1/models/NAME/invocations"
            )
            paths[f"/v2/models/{name}/infer"] = PredictionRoute(endpoint, inference, "/v2/models/NAME/infer")
        first = next(iter(self.endpoints.values()))
        paths["/invocations"] = PredictionRoute(first, invocations, "/invocations")
        return paths

    def _predicts(self, path: str) -> PredictionRoute | None:
        hot = self._hot.get(path)
        if hot is None and path.startswith("/v2/models/") and path.endswith("/infer"):
            name, _, version = path[len("/v2/models/") : -len("/infer")].partition("/versions/")
            if name in self.endpoints and version:
                route = "/v2/models/NAME/versions/VERSION/infer"
                return PredictionRoute(self.endpoints[name], V2Protocol(), route, version)
        return hot


class _Job(NamedTuple):
    hot: PredictionRoute
    lane: BatchQueue
    body: bytes
    asked: RequestContext
    caller: str
    started: float


_SHADOWS = 64
"""Requests that wait for shadows at a time; further ones are not asked."""
