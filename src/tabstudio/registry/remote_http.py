"""The way to a studio: questions and answers in JSON over HTTP, and what its refusals mean."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tabstudio._util.error_summary import summarize_error
from tabstudio._version import __version__
from tabstudio.errors import (
    AccessError,
    ConfigError,
    ConflictError,
    DatabaseError,
    DataError,
    GateError,
    ModelError,
    RegistryError,
    TabstudioError,
    TrackingError,
)
from tabstudio.registry.records import GateResult
from tabstudio.settings import shown

API = "/api/v1"
API_HEADER = "tabstudio-api"
"""Header of every answer: the version of the API, then that of the studio."""
API_VERSION = "1"
SECONDS = 300.0
"""How long a studio may work on one question: gates may train nothing, but they may compute."""
CODES: dict[str, tuple[type[TabstudioError], int]] = {
    "gates_failed": (GateError, 409),
    "conflict": (ConflictError, 409),
    "not_found": (ModelError, 404),
    "not_allowed": (RegistryError, 409),
    "forbidden": (AccessError, 403),
    "unauthenticated": (AccessError, 401),
    "bad_option": (ConfigError, 422),
    "bad_data": (DataError, 422),
    "tracking": (TrackingError, 502),
    "database": (DatabaseError, 503),
    "failed": (TabstudioError, 409),
}
"""The codes of refusals, the more special error first, with what is raised for each and its HTTP status."""


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

    def get(self, path: str, **query: Any) -> Any:
        """Ask for JSON; what is None is left out of the query."""
        with self._asking("GET", path, query=query) as answer:
            return json.load(answer)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Have something done, and return what came of it."""
        with self._asking("POST", path, body) as answer:
            return json.load(answer)

    def delete(self, path: str) -> None:
        """Have something removed."""
        with self._asking("DELETE", path):
            pass

    def lines(self, path: str, **query: Any) -> Iterator[str]:
        """Go through an answer line by line, as it comes."""
        with self._asking("GET", path, query=query) as answer:
            for line in answer:
                yield line.decode()

    def content(self, path: str, **query: Any) -> bytes:
        """Fetch a file."""
        with self._asking("GET", path, query=query) as answer:
            return answer.read()

    @contextmanager
    def _asking(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Iterator[HTTPResponse]:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        address = f"{self.url}{API}{path}" + (f"?{urlencode(given, doseq=True)}" if given else "")
        headers = {"accept": "application/json", "user-agent": f"tabstudio/{__version__}"}
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        if body is not None:
            headers["content-type"] = "application/json"
        content = json.dumps(body).encode() if body is not None else None
        asked = urllib.request.Request(address, content, headers, method=method)  # noqa: S310 - http or https
        try:
            with _OPENER.open(asked, timeout=SECONDS) as answer:
                self._check_api(answer.headers)
                yield answer
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from error
        except (OSError, HTTPException) as error:
            raise TabstudioError(
                f"the studio at {shown(self.url)} cannot be reached: {summarize_error(error)}; "
                "see TABSTUDIO_URL"
            ) from error
        except ValueError as error:
            raise self._foreign("what it answers is no JSON") from error

    def _check_api(self, headers: Message) -> None:
        theirs, _, version = headers.get(API_HEADER, "").partition(" ")
        if not theirs:
            raise self._foreign("it is no studio")
        if theirs != API_VERSION:
            raise TabstudioError(
                f"the studio at {shown(self.url)} is tabstudio {version}, whose API is version {theirs}; "
                f"this is tabstudio {__version__}, which speaks version {API_VERSION}: install the same one"
            )

    def _refusal(self, error: urllib.error.HTTPError) -> TabstudioError:
        self._check_api(error.headers)
        try:
            told = json.load(error)["error"]
            code, message = str(told["code"]), str(told["message"])
        except (ValueError, KeyError, TypeError):
            return self._foreign(f"it answered {error.code} {error.reason}")
        if code == "unauthenticated":
            way = "see TABSTUDIO_TOKEN" if self._token else "set TABSTUDIO_TOKEN"
            return AccessError(f"the studio at {shown(self.url)} does not know who asks: {message}; {way}")
        if code == "gates_failed":
            return GateError(message, tuple(GateResult(**gate) for gate in told.get("gates", ())))
        kind, _ = CODES.get(code, (TabstudioError, 0))
        return kind(message)

    def _foreign(self, what: str) -> TabstudioError:
        return TabstudioError(f"{shown(self.url)} does not answer as a studio: {what}; see TABSTUDIO_URL")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A token is shown to the studio alone, not to where it, or a proxy's login, points."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects)


def path_of(*parts: object) -> str:
    """Put parts of an address together, whatever signs they hold.

    >>> path_of("models", "a b", 3)
    '/models/a%20b/3'
    """
    return "".join(f"/{quote(str(part), safe='')}" for part in parts)
