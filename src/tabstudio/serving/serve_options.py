"""Options of a server: its models, its address, and the bounds of a worker."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal

from tabstudio.errors import ConfigError
from tabstudio.serving.predictionlog.log_options import LogOptions

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of one worker process, each with the status of a request beyond it.

    `body_bytes` and `rows` of one request, also after decompression (413); `in_flight` requests at a time
    (429) and `buffered_bytes` of all their bodies (503); `connections` (503); `deadline` seconds from the
    request's first byte to its answer (503); `header_seconds` and `body_seconds` to receive a request (408);
    `idle_seconds` a connection may stay without one; `drain_seconds` that requests in flight get at the end.
    """

    body_bytes: int = 16 * MIB
    rows: int = 10_000
    in_flight: int = 1_024
    buffered_bytes: int = 256 * MIB
    connections: int = 2_048
    deadline: float = 30.0
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    idle_seconds: float = 75.0
    drain_seconds: float = 30.0

    def __post_init__(self) -> None:
        wrong = [f"{f.name} {getattr(self, f.name)}" for f in fields(self) if not getattr(self, f.name) > 0]
        if wrong:
            raise ConfigError(f"bounds of a server must be greater than 0, got {', '.join(wrong)}")


@dataclass(frozen=True, slots=True)
class RolloutCandidate:
    """A version beside the one that serves: a `canary` answers a share of the requests, a `shadow` none."""

    role: Literal["canary", "shadow"]
    address: str
    share: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ConfigError(
                f"a share between 0% and 100% was expected, got {self.share:.4g} of {self.address}"
            )


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model served under `name`: its address, and candidates beside it."""

    name: str
    address: str
    candidates: tuple[RolloutCandidate, ...] = ()


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """One server. `watch` are the seconds between two looks at addresses that can move; 0 never looks.

    `hosts` are the names that a request's `Host` may have beside those of the loopback; `*` allows all.
    `json_logs` writes the server's own log as JSON lines, `access_log` a line for every request, `trace`
    sends spans to an OpenTelemetry collector. `scratch` is a temporary folder that all workers share.
    """

    models: tuple[ServedModel, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    watch: float = 10.0
    hosts: tuple[str, ...] = ()
    bounds: Bounds = field(default_factory=Bounds)
    log: LogOptions = field(default_factory=LogOptions)
    json_logs: bool = False
    access_log: bool = False
    trace: bool = False
    scratch: str = ""

    def __post_init__(self) -> None:
        names = [model.name for model in self.models]
        if not names:
            raise ConfigError("at least one model was expected, none was given")
        doubles = sorted({name for name in names if names.count(name) > 1})
        if doubles:
            raise ConfigError(
                f"every model needs a name of its own, {', '.join(doubles)} came twice: write NAME=ADDRESS"
            )
        if self.workers < 1:
            raise ConfigError(f"option workers: at least 1 was expected, got {self.workers}")
        if self.watch < 0:
            raise ConfigError(f"option watch: seconds from 0 on were expected, got {self.watch}")


def as_json(options: ServeOptions) -> bytes:
    """The options as JSON, for a worker process."""
    import msgspec

    return msgspec.json.encode(options)


def from_json(data: bytes | str) -> ServeOptions:
    """The options that `as_json` wrote."""
    import msgspec

    return msgspec.json.decode(data, type=ServeOptions)
