"""Everything beside predictions: health, models, OpenAPI, reloads, and the routes of the hooks.

Starlette and the pages are imported, in a thread, by the first request that needs them; health does not.
"""

from __future__ import annotations

import asyncio
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from tabstudio._version import __version__
from tabstudio.errors import ConfigError
from tabstudio.report.templates import render
from tabstudio.serving.http_messages import Message, Receive, Response, Scope, Send, error_response, respond
from tabstudio.serving.openapi import document
from tabstudio.serving.protocols import encode
from tabstudio.serving.request_hooks import HttpError
from tabstudio.serving.runtime import Runtime
from tabstudio.serving.swagger_ui import swagger_files
from tabstudio.serving.v2_protocol import datatype, input_type

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response as Page

    from tabstudio.serving.app import App

_HEALTH = ("/health", "/ping", "/v2/health/live", "/v2/health/ready")
_OPEN_TO_ALL = (*_HEALTH, "/docs", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js")
_PREDICTING = (
    "/v1/models/{model}/predict",
    "/v1/models/{model}/invocations",
    "/v2/models/{model}/infer",
    "/v2/models/{model}/versions/{version}/infer",
)
_ASSET_TYPES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


class ManagementRoutes:
    """Answers the requests of `app` that predict nothing."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def answer(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[bytes, bytes], own_id: str
    ) -> tuple[str, int]:
        """Answer one request; return its route, for counters, and its status."""
        path = scope["path"]
        try:
            caller = self.app.admit(scope, headers, open_to_all=path in _OPEN_TO_ALL)
            if path in _HEALTH:
                response = self._health(path, scope["method"])
                await respond(send, response, own_id)
                return path, response.status
            body = await self.app.bodies.read(receive, headers)
        except HttpError as error:
            response = error_response(error, own_id)
            await respond(send, response, own_id)
            return "refused", response.status
        scope["state"] = {"caller": caller, "request_id": own_id}
        recorder = _StatusRecorder(send, own_id)
        try:
            starlette = await asyncio.shield(self._starlette)
            await starlette(scope, _replay(body), recorder.send)
        finally:
            self.app.bodies.release(len(body))
        route = scope.get("route")
        return getattr(route, "path", "unknown"), recorder.status

    def _health(self, path: str, method: str) -> Response:
        if method not in ("GET", "HEAD"):
            raise HttpError(405, "METHOD_NOT_ALLOWED", f"{path} does not answer to {method[:20]}")
        ready = not self.app.draining
        if path.startswith("/v2"):
            word = b"ready" if path.endswith("ready") else b"live"
            status = 200 if ready or word == b"live" else 503
            return Response(status, encode({word.decode(): status == 200}))
        return Response(200 if ready or path == "/health" else 503, b"\n")

    @cached_property
    def _starlette(self) -> asyncio.Future[Starlette]:
        return asyncio.get_running_loop().run_in_executor(self.app.pool, self._application)

    def _application(self) -> Starlette:
        from starlette.applications import Starlette
        from starlette.exceptions import HTTPException
        from starlette.routing import Route

        routes = [
            Route("/version", self._version),
            Route("/openapi.json", self._openapi),
            Route("/docs", self._docs),
            Route("/docs/{name}", self._asset),
            Route("/v1/models", self._models),
            Route("/v1/models/{model}", self._model),
            Route("/v1/models/{model}/reload", self._reload, methods=["POST"]),
            *(Route(path, self._unknown_model, methods=["POST"]) for path in _PREDICTING),
            Route("/v2", self._server),
            Route("/v2/models/{model}", self._metadata),
            Route("/v2/models/{model}/ready", self._ready),
            Route("/v2/models/{model}/versions/{version}", self._metadata),
            Route("/v2/models/{model}/versions/{version}/ready", self._ready),
            *self.app.hooks.routes(),
        ]
        application = Starlette(routes=routes)
        application.add_exception_handler(HttpError, _on_http_error)
        application.add_exception_handler(HTTPException, _on_unknown_route)
        return application

    async def _version(self, request: Request) -> Page:
        del request
        return _page(_mlflow_version().encode())

    async def _openapi(self, request: Request) -> Page:
        del request
        return _json(document(self.app.endpoints, self.app.bounds))

    async def _docs(self, request: Request) -> Page:
        del request
        return _page(render("tabstudio.serving", "swagger.html").encode(), "text/html")

    async def _asset(self, request: Request) -> Page:
        name = request.path_params["name"]
        if name not in _ASSET_TYPES:
            raise HttpError(404, "NOT_FOUND", f"there is no {request.url.path[:100]}")
        content = await asyncio.to_thread((_swagger_files() / name).read_bytes)
        return _page(content, _ASSET_TYPES[name])

    async def _models(self, request: Request) -> Page:
        del request
        return _json({"models": [self._description(name) for name in self.app.endpoints]})

    async def _model(self, request: Request) -> Page:
        return _json(self._description(self._name(request)))

    async def _reload(self, request: Request) -> Page:
        name = self._name(request)
        reply = await self.app.reload(name)
        if reply.get("error"):
            raise HttpError(409, "NOT_RELOADED", str(reply["error"]))
        return _json(self._description(name))

    async def _unknown_model(self, request: Request) -> Page:
        """Answer to a prediction by a model that is not served; `App` answers all others itself."""
        self._name(request)
        raise HttpError(404, "NOT_FOUND", f"there is no {request.url.path[:100]}")

    async def _server(self, request: Request) -> Page:
        del request
        extensions = ["binary_tensor_data"]
        return _json({"name": "tabstudio", "version": __version__, "extensions": extensions})

    async def _metadata(self, request: Request) -> Page:
        runtime = self._runtime(request)
        outputs = [
            ("prediction", datatype(runtime.uniform(list(runtime.classes))) if runtime.classes else "FP64")
        ]
        outputs += [(f"probability_{name}", "FP64") for name in runtime.class_names]
        inputs = [(field.name, input_type(field)) for field in runtime.contract.fields]
        versions = [queue.runtime.version for queue in self.app.endpoints[runtime.name].queues()]
        return _json(
            {
                "name": runtime.name,
                "versions": versions,
                "platform": "tabstudio",
                "inputs": [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in inputs],
                "outputs": [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in outputs],
            }
        )

    async def _ready(self, request: Request) -> Page:
        runtime = self._runtime(request)
        return _json(
            {"name": runtime.name, "ready": not self.app.draining}, 503 if self.app.draining else 200
        )

    def _name(self, request: Request) -> str:
        name = str(request.path_params["model"])
        if name not in self.app.endpoints:
            raise HttpError(
                404,
                "UNKNOWN_MODEL",
                f"there is no model {name[:100]!r}; there is {', '.join(self.app.endpoints)}",
            )
        return name

    def _runtime(self, request: Request) -> Runtime:
        endpoint = self.app.endpoints[self._name(request)]
        version = request.path_params.get("version", endpoint.live.runtime.version)
        return endpoint.queue_of(version).runtime

    def _description(self, name: str) -> dict[str, object]:
        endpoint = self.app.endpoints[name]
        runtime = endpoint.live.runtime
        served = [
            {"version": queue.runtime.version, "role": queue.role, "sha256": queue.runtime.digest}
            | ({"share": endpoint.share} if queue.role == "canary" else {})
            for queue in endpoint.queues()
        ]
        return {
            "name": name,
            "version": runtime.version,
            "task": runtime.target.task,
            "target": runtime.target.name,
            "classes": list(runtime.classes),
            "threshold": runtime.threshold,
            "features": [{"name": f.name, "kind": f.column.kind} for f in runtime.contract.fields],
            "served": served,
        }


class _StatusRecorder:
    """Sends a response with the request's id, and keeps its status."""

    def __init__(self, send: Send, own_id: str) -> None:
        self._send, self._id, self.status = send, own_id, 500

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", []), (b"x-request-id", self._id.encode())]
        await self._send(message)


def _replay(body: bytes) -> Receive:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


def _page(body: bytes, content_type: str = "application/json", status: int = 200) -> Page:
    from starlette.responses import Response as Page

    return Page(body, status, media_type=content_type)


def _json(content: dict[str, object], status: int = 200) -> Page:
    return _page(encode(content), status=status)


async def _on_http_error(request: Request, error: Exception) -> Page:
    assert isinstance(error, HttpError)
    response = error_response(error, request.scope["state"]["request_id"])
    page = _page(response.body, status=response.status)
    page.headers.update({name.decode(): value.decode() for name, value in response.headers})
    return page


async def _on_unknown_route(request: Request, error: Exception) -> Page:
    from starlette.exceptions import HTTPException

    assert isinstance(error, HTTPException)
    path, method = request.url.path[:100], request.method[:20]
    code, text = "NOT_FOUND", f"there is no {path}; /docs says what there is"
    if error.status_code == 405:
        code, text = "METHOD_NOT_ALLOWED", f"{path} does not answer to {method}"
    page = await _on_http_error(request, HttpError(error.status_code, code, text))
    page.headers.update(error.headers or {})
    return page


def _swagger_files() -> Path:
    try:
        return swagger_files()
    except ConfigError as error:
        raise HttpError(404, "NOT_FOUND", str(error)) from error


def _mlflow_version() -> str:
    """MLflow's version, which is what its own server answers to /version."""
    try:
        return version("mlflow")
    except PackageNotFoundError:
        return __version__
