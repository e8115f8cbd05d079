"""Everything that is no prediction: health, what is served, the contract, reloads, pages of extensions.

Starlette is imported when the first such request comes; a health check needs none of it.
"""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabstudio._version import __version__
from tabstudio.errors import ConfigError
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

_WHOLE = ("/health", "/ping", "/v2/health/live", "/v2/health/ready")
_OPEN = ("/docs", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js")
_PREDICTING = (
    "/v1/models/{model}/predict",
    "/v1/models/{model}/invocations",
    "/v2/models/{model}/infer",
    "/v2/models/{model}/versions/{version}/infer",
)
_TYPES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
_DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>tabstudio</title>
<link rel="stylesheet" href="docs/swagger-ui.css"></head>
<body><div id="page"></div><script src="docs/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "openapi.json", dom_id: "#page", tryItOutEnabled: true,
validatorUrl: null, persistAuthorization: true})</script></body></html>
"""


class ManagementRoutes:
    """Answers the requests of `app` that predict nothing."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def answer(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[bytes, bytes], asked_id: str
    ) -> tuple[str, int]:
        """Answer one request; return its route, for counters, and its status."""
        path = scope["path"]
        try:
            caller = self.app.admit(scope, headers, open_to_all=path in _WHOLE or path in _OPEN)
            if path in _WHOLE:
                response = self._health(path, scope["method"])
                await respond(send, response, asked_id)
                return path, response.status
            body = await self.app.bodies.read(receive, headers)
        except HttpError as refused:
            response = error_response(refused, asked_id)
            await respond(send, response, asked_id)
            return "refused", response.status
        scope["state"] = {"caller": caller, "request_id": asked_id}
        told = _Told(send, asked_id)
        try:
            await self._starlette(scope, _replayed(body), told.send)
        finally:
            self.app.bodies.release(len(body))
        route = scope.get("route")
        return getattr(route, "path", "unknown"), told.status

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
    def _starlette(self) -> Starlette:
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
            *(Route(path, self._only_known, methods=["POST"]) for path in _PREDICTING),
            Route("/v2", self._server),
            Route("/v2/models/{model}", self._metadata),
            Route("/v2/models/{model}/ready", self._ready),
            Route("/v2/models/{model}/versions/{version}", self._metadata),
            Route("/v2/models/{model}/versions/{version}/ready", self._ready),
            *self.app.extensions.routes(),
        ]
        handlers: Any = {HttpError: _refused, HTTPException: _not_found}
        return Starlette(routes=routes, exception_handlers=handlers)

    async def _version(self, request: Request) -> Page:
        del request
        return _page(_mlflow_version().encode())

    async def _openapi(self, request: Request) -> Page:
        del request
        return _json(document(self.app.endpoints, self.app.bounds))

    async def _docs(self, request: Request) -> Page:
        del request
        return _page(_DOCS.encode(), "text/html")

    async def _asset(self, request: Request) -> Page:
        name = request.path_params["name"]
        if name not in _TYPES:
            raise HttpError(404, "NOT_FOUND", f"there is no {request.url.path[:100]}")
        return _page((_assets() / name).read_bytes(), _TYPES[name])

    async def _models(self, request: Request) -> Page:
        del request
        return _json({"models": [self._described(name) for name in self.app.endpoints]})

    async def _model(self, request: Request) -> Page:
        return _json(self._described(self._name(request)))

    async def _reload(self, request: Request) -> Page:
        name = self._name(request)
        failed = await self.app.reload(name)
        if failed.get("error"):
            raise HttpError(409, "NOT_RELOADED", failed["error"])
        return _json(self._described(name))

    async def _only_known(self, request: Request) -> Page:
        """Answer to a prediction with a model that is not served; the others never come here."""
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
        versions = [lane.runtime.version for lane in self.app.endpoints[runtime.name].lanes()]
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
        wanted = request.path_params.get("version", endpoint.live.runtime.version)
        return endpoint.lane_of(wanted).runtime

    def _described(self, name: str) -> dict[str, Any]:
        endpoint = self.app.endpoints[name]
        runtime = endpoint.live.runtime
        served = [
            {"version": lane.runtime.version, "role": lane.role, "sha256": lane.runtime.digest}
            | ({"share": endpoint.share} if lane.role == "canary" else {})
            for lane in endpoint.lanes()
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


class _Told:
    """Passes a response on, with the request's id, and remembers its status."""

    def __init__(self, send: Send, asked_id: str) -> None:
        self._send, self._id, self.status = send, asked_id, 500

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", []), (b"x-request-id", self._id.encode())]
        await self._send(message)


def _replayed(body: bytes) -> Receive:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


def _page(body: bytes, content_type: str = "application/json", status: int = 200) -> Page:
    from starlette.responses import Response as Page

    return Page(body, status, media_type=content_type)


def _json(content: dict[str, Any], status: int = 200) -> Page:
    return _page(encode(content), status=status)


async def _refused(request: Request, refused: HttpError) -> Page:
    response = error_response(refused, request.scope["state"]["request_id"])
    page = _page(response.body, status=response.status)
    page.headers.update({name.decode(): value.decode() for name, value in response.headers})
    return page


async def _not_found(request: Request, fault: Any) -> Page:
    path, method = request.url.path[:100], request.method[:20]
    code, text = "NOT_FOUND", f"there is no {path}; /docs says what there is"
    if fault.status_code == 405:
        code, text = "METHOD_NOT_ALLOWED", f"{path} does not answer to {method}"
    page = await _refused(request, HttpError(fault.status_code, code, text))
    page.headers.update(fault.headers or {})
    return page


def _assets() -> Path:
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
