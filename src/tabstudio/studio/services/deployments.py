"""Services started, stopped and queried by users of the studio, for the pages and the REST API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from tabstudio._util.error_summary import summarize_error
from tabstudio._util.http_client import RequestError, send_request
from tabstudio.errors import TabstudioError
from tabstudio.serving.deployments import local_url

if TYPE_CHECKING:
    import httpx

    from tabstudio.serving.deployments import Deployment, Deployments
    from tabstudio.studio.access.roles import Actor
    from tabstudio.studio.studio import Studio

SECONDS = 2.0
"""Time limit of a request to a service."""
_PREDICT_SECONDS = 35.0
_SERVED = re.compile(r"[\w.\- ]{1,200}")
_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_PREDICT_PATH = re.compile(r"/v1/models/([^/]+)/predict")
_LINE_BYTES = 300


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """A version that a service answers with. `share` is that of a canary, None of the others."""

    service: str
    model: str
    version: str
    role: str
    share: float | None = None


class ServiceError(TabstudioError):
    """A service did not answer, or refused; `faults` names the columns that it could not read."""

    def __init__(self, message: str, faults: Sequence[dict[str, object]] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults)


@contextmanager
def _editing(studio: Studio, who: Actor, action: str) -> Iterator[Deployments]:
    """Check the role, and make pages look at the services after the block."""
    who.check("editor", action)
    try:
        yield studio.deployments
    finally:
        studio.feed.touch("deployments")


def start(studio: Studio, who: Actor, name: str, words: Sequence[str] = ()) -> Deployment:
    """Start a service and wait until it answers; words as `tabstudio serve` takes them.

    Raises `ForbiddenError`, else as `Deployments.start` does.
    """
    with _editing(studio, who, "start a service") as deployments:
        return deployments.start(name, words)


def stop(studio: Studio, who: Actor, name: str) -> Deployment:
    """Let a service answer its open requests, and end. Raises as `Deployments.stop` does."""
    with _editing(studio, who, f"stop the service {name}") as deployments:
        return deployments.stop(name)


def restart(studio: Studio, who: Actor, name: str) -> Deployment:
    """Stop a service where it runs, and start it as it was."""
    if stop(studio, who, name).state not in ("stopped", "died"):
        raise ServiceError(f"service {name}: it could not be stopped; its log may say why")
    return start(studio, who, name)


def remove(studio: Studio, who: Actor, name: str) -> None:
    """Stop a service and forget it, with its output. Raises as `Deployments.remove` does."""
    with _editing(studio, who, f"remove the service {name}") as deployments:
        deployments.remove(name)


def serve_arguments(
    model: str, which: str, *, port: int = 0, workers: int = 1, watch: float = 10.0
) -> list[str]:
    """Return the arguments of `tabstudio serve` for a model; `which` is a stage or the number of a version.

    >>> serve_arguments("churn (2026)", "production")
    ['churn-2026=models:/churn (2026)@production', '--port', '0', '--workers', '1', '--watch', '10']
    """
    address = f"models:/{model}/{which}" if which.isdigit() else f"models:/{model}@{which}"
    name = served_name(model)
    served = address if name == model else f"{name}={address}"
    return [served, "--port", str(port), "--workers", str(workers), "--watch", f"{watch:g}"]


def served_name(model: str) -> str:
    """Return the name that a registered model is served by: its own, where that can stand in a path."""
    return model if _SERVED.fullmatch(model) else service_name(model)


def registered_model(service: Deployment, served: str) -> str:
    """Return the registered model that a service serves by this name; the name itself where there is none."""
    models = (word.partition("models:/")[2] for word in service.words if "models:/" in word)
    names = (re.split("[@/]", model)[0] for model in models)
    return next((name for name in names if served_name(name) == served), served)


def service_name(text: str) -> str:
    """Return a name in the characters that the name of a service may have."""
    return _ODD.sub("-", text).strip("-._")[:60] or "model"


def log_size(studio: Studio, name: str) -> int:
    """Return the bytes of a service's output so far."""
    log = studio.deployments.find(name, ask=False).log
    return log.stat().st_size if log.exists() else 0


def log_tail(service: Deployment, lines: int) -> str:
    """Return the last lines of a service's output, however long all of it is."""
    if not service.log.exists():
        return ""
    with service.log.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - lines * _LINE_BYTES))
        text = file.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])


def served_versions(service: Deployment) -> list[ServedVersion]:
    """Ask a running service which versions it serves. Raises `ServiceError` where it does not answer."""
    return [
        ServedVersion(service.name, model["name"], lane["version"], lane["role"], lane.get("share"))
        for model in request_json(service, "/v1/models")["models"]
        for lane in model["served"]
    ]


def all_served_versions(studio: Studio) -> list[ServedVersion]:
    """Return what every running service serves; those that do not answer are left out."""
    versions: list[ServedVersion] = []
    for service in studio.deployments.list(ask=False):
        if service.state == "running":
            with suppress(ServiceError):
                versions += served_versions(service)
    return versions


def row_schemas(service: Deployment) -> dict[str, dict[str, object]]:
    """Return the JSON Schema of a row by model, from the OpenAPI document of the service."""
    document = request_json(service, "/openapi.json")
    schemas = {}
    for path, operations in document["paths"].items():
        if named := _PREDICT_PATH.fullmatch(path):
            body = operations["post"]["requestBody"]["content"]["application/json"]["schema"]
            rows = _dereferenced(document, body)["properties"]["rows"]
            schemas[named[1]] = _dereferenced(document, _dereferenced(document, rows)["items"])
    return schemas


def _dereferenced(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema that a `$ref` into the same document points at (RFC 6901), or `schema` itself."""
    while "$ref" in schema:
        part: Any = document
        for token in unquote(schema["$ref"]).removeprefix("#/").split("/"):
            part = part[token.replace("~1", "/").replace("~0", "~")]
        schema = part
    return schema


def predict(service: Deployment, model: str, row: dict[str, object]) -> dict[str, object]:
    """Ask a service about one row. Raises `ServiceError` with every fault that it names."""
    body = json.dumps({"rows": [row]}).encode()
    return request_json(
        service, f"/v1/models/{quote(model, safe='')}/predict", body, seconds=_PREDICT_SECONDS
    )


def request_json(
    service: Deployment, path: str, body: bytes | None = None, *, seconds: float = SECONDS
) -> dict[str, Any]:
    """Return the JSON answer of a service. Raises `ServiceError`."""
    answer: dict[str, Any] = json.loads(request_bytes(service, path, body, seconds=seconds))
    return answer


def request_bytes(
    service: Deployment, path: str, body: bytes | None = None, *, seconds: float = SECONDS
) -> bytes:
    """Return the answer of a service of this machine. Raises `ServiceError`."""
    if not service.url:
        raise ServiceError(f"service {service.name} is {service.state}: start it first")
    headers = {"content-type": "application/json"} if body is not None else {}
    url = local_url(service.url) + path
    method = "GET" if body is None else "POST"
    try:
        answer = send_request(method, url, seconds=seconds, body=body, headers=headers, use_proxy=False)
    except RequestError as error:
        raise ServiceError(f"service {service.name} does not answer: {summarize_error(error)}") from error
    if not answer.is_success:
        raise _refusal(service, answer)
    return answer.content


def _refusal(service: Deployment, answer: httpx.Response) -> ServiceError:
    if answer.status_code == 401:
        return ServiceError(
            f"service {service.name} asks for an access token: use it with one at {service.url}/docs"
        )
    try:
        body = answer.json()
        return ServiceError(str(body["error"]), body.get("faults") or ())
    except (ValueError, KeyError, TypeError):  # not the one shape of our own services' errors
        return ServiceError(f"service {service.name} answered {answer.status_code} {answer.reason_phrase}")
