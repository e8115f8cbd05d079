"""The way to a studio: questions and answers in JSON over HTTP, and what its refusals mean."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from tabstudio._util.error_summary import summarize_error
from tabstudio._util.http_client import RequestError, open_request
from tabstudio._version import __version__
from tabstudio.errors import AccessError, ConfigError, GateError, TabstudioError
from tabstudio.registry.records import GateResult
from tabstudio.remote.contract import API, API_HEADER, API_VERSION, CODES
from tabstudio.settings import shown

if TYPE_CHECKING:
    import httpx

SECONDS = 300.0
"""How long a studio may work on one question: gates may train nothing, but they may compute."""


class Connection:
    """Asks the studio at `url`, showing `token`.

    Every method raises `AccessError` where the token is refused or the role is too low, `TabstudioError`
    where the studio cannot be reached or is of another API, and else what the studio itself met.
    """

    def __init__(self, url: str, token: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                "TABSTUDIO_URL: an address such as https://studio.example.org was expected, "
                f"got {shown(url)!r}"
            )
        self.url = url.rstrip("/")
        self._token = token

    def __repr__(self) -> str:
        return f"Connection({shown(self.url)!r})"

    def get(self, path: str, **query: object) -> Any:
        """Ask for JSON; what is None is left out of the query."""
        with self._request("GET", path, query=query) as answer:
            return self._json(answer)

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        """Have something done, and return what came of it."""
        with self._request("POST", path, body) as answer:
            return self._json(answer)

    def delete(self, path: str) -> None:
        """Have something removed."""
        with self._request("DELETE", path):
            pass

    def lines(self, path: str, **query: object) -> Iterator[str]:
        """Go through an answer line by line, as it comes."""
        with self._request("GET", path, query=query) as answer:
            for line in _json_lines(answer.iter_bytes()):
                yield line.decode()

    def content(self, path: str, **query: object) -> bytes:
        """Fetch a file."""
        with self._request("GET", path, query=query) as answer:
            return answer.read()

    def foreign(self, what: str) -> TabstudioError:
        """Return the error that what answers is not a studio."""
        return TabstudioError(f"{shown(self.url)} does not answer as a studio: {what}; see TABSTUDIO_URL")

    @contextmanager
    def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, object] | None = None,
    ) -> Iterator[httpx.Response]:
        sent = {name: value for name, value in (query or {}).items() if value is not None}
        address = f"{self.url}{API}{path}" + (f"?{urlencode(sent, doseq=True)}" if sent else "")
        headers = {"accept": "application/json", "user-agent": f"tabstudio/{__version__}"}
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        if body is not None:
            headers["content-type"] = "application/json"
        content = json.dumps(body).encode() if body is not None else None
        try:
            with open_request(method, address, seconds=SECONDS, body=content, headers=headers) as answer:
                self._check_api(answer.headers)
                if not answer.is_success:
                    answer.read()
                    raise self._refusal(answer)
                yield answer
        except RequestError as error:
            raise TabstudioError(
                f"the studio at {shown(self.url)} cannot be reached: {summarize_error(error)}; "
                "see TABSTUDIO_URL"
            ) from error

    def _json(self, answer: httpx.Response) -> Any:
        try:
            return json.loads(answer.read())
        except ValueError as error:
            raise self.foreign("what it answers is no JSON") from error

    def _check_api(self, headers: httpx.Headers) -> None:
        theirs, _, version = headers.get(API_HEADER, "").partition(" ")
        if not theirs:
            raise self.foreign("it is no studio")
        if theirs != API_VERSION:
            raise TabstudioError(
                f"the studio at {shown(self.url)} is tabstudio {version}, whose API is version {theirs}; "
                f"this is tabstudio {__version__}, which speaks version {API_VERSION}: install the same one"
            )

    def _refusal(self, answer: httpx.Response) -> TabstudioError:
        try:
            error = json.loads(answer.content)["error"]
            code, message = str(error["code"]), str(error["message"])
        except (ValueError, KeyError, TypeError):
            return self.foreign(f"it answered {answer.status_code} {answer.reason_phrase}")
        if code == "unauthenticated":
            way = "see TABSTUDIO_TOKEN" if self._token else "set TABSTUDIO_TOKEN"
            return AccessError(f"the studio at {shown(self.url)} does not know who asks: {message}; {way}")
        if code == "gates_failed":
            return GateError(message, tuple(GateResult(**gate) for gate in error.get("gates", ())))
        kind, _ = CODES.get(code, (TabstudioError, 0))
        return kind(message)


def _json_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Split at line feeds alone: JSON may hold other signs that end a line."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    if rest:
        yield rest
