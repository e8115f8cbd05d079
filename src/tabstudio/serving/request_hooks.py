"""Extension points of a worker: authentication, prediction records, counters, further routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tabstudio.table.schema import Schema

if TYPE_CHECKING:
    from starlette.routing import Route

Headers = Sequence[tuple[bytes, bytes]]
Fault = dict[str, Any]
"""`row` (from 0), `column` (None for a whole row) and `message`."""


class HttpError(Exception):
    """An error answer: HTTP `status`, a `code` for programs, a message and `faults` for people."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        faults: Sequence[Fault] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.faults, self.retry_after = list(faults), retry_after


class PredictionRecord(NamedTuple):
    """One answered request, for the prediction log and the counters.

    `role` is live, canary or shadow. `rows` are the raw values in the order of `columns`, `labels` one per
    row (the value of a regression), `probabilities` (rows, classes) or None; `warnings` by row.
    """

    request_id: str
    model: str
    version: str
    role: str
    protocol: str
    caller: str
    at: float
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    labels: list[Any]
    probabilities: list[list[float]] | None
    classes: tuple[object, ...]
    warnings: dict[int, list[dict[str, str]]]


class CompletedRequest(NamedTuple):
    """One HTTP request that was answered, `scope` as ASGI has it.

    `route` is a path with NAME for the model's name. `model` is "" where the path predicts nothing, `version`
    and `role` where no version was chosen yet.
    """

    scope: MutableMapping[str, Any]
    route: str
    model: str
    version: str
    role: str
    status: int
    seconds: float
    rows: int
    request_id: str


class RequestObserver(Protocol):
    """Counts what the worker does. Called on the event loop's thread, so it must be quick."""

    def request_completed(self, request: CompletedRequest) -> None:
        """One HTTP request was answered."""

    def version_installed(self, model: str, role: str, version: str) -> None:
        """A model's version was loaded and answers from now on."""

    def shadow_compared(self, model: str, version: str, rows: int, different: int) -> None:
        """A shadow predicted `rows` rows and gave another label to `different` of them."""


class PredictionService(Protocol):
    """The running worker, as its hooks see it."""

    in_flight: int
    """Requests that are being answered."""

    @property
    def queue_length(self) -> int:
        """Rows that wait for the network."""

    async def predict(
        self, name: str, row: dict[str, object], *, protocol: str, request_id: str, caller: str
    ) -> dict[str, object]:
        """Answer one row as the predict endpoint does, recorded and counted alike. Raises `HttpError`."""


def _ignore(*_: object) -> None:
    return None


async def _ignore_async(*_: object) -> None:
    return None


@dataclass(frozen=True, slots=True)
class ServingHooks:
    """All hooks of one worker.

    `opened` is called with a model's name, version, role, schema and profile before it answers its first
    request. `recorders` get the `PredictionRecord` of every answer before it is sent, on the loop's thread or
    a worker thread, and must never block. `authenticate` returns the caller's name or raises `HttpError`.
    `routes` are Starlette routes, built in a thread at the first request that needs them.
    """

    opened: Callable[[str, str, str, Schema, Mapping[str, object]], None] = _ignore
    recorders: tuple[Callable[[PredictionRecord], None], ...] = ()
    observer: RequestObserver | None = None
    authenticate: Callable[[Headers], str] | None = None
    routes: Callable[[], list[Route]] = field(default=list)
    start: Callable[[PredictionService], Awaitable[None]] = _ignore_async
    stop: Callable[[], Awaitable[None]] = _ignore_async
