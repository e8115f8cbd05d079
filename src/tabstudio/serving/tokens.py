"""Access tokens: named, stored as hashes in a file, revocable while the server runs.

A token is 32 random bytes, so its plain SHA-256 cannot be turned back and needs no salt. The file has a line
per token, `NAME sha256:HEX DATE`; servers look at it again within a second of a change.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hmac
import ipaddress
import logging
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from tabstudio._util.atomic_files import draft_path
from tabstudio.errors import ConfigError
from tabstudio.serving.request_hooks import Headers, HttpError
from tabstudio.settings import setting

PREFIX = "tabstudio_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LINE = re.compile(rf"({_NAME.pattern}) sha256:([0-9a-f]{{64}}) (\d{{4}}-\d\d-\d\d)")
_LOOK_SECONDS = 1.0

logger = logging.getLogger("tabstudio.serving")


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A stored token: the name of its owner, its SHA-256, its date."""

    name: str
    digest: str
    created: str


def tokens_file(path: str | Path | None = None) -> Path:
    """Return the absolute path of the file of tokens."""
    chosen = path or setting("TABSTUDIO_SERVE_TOKENS") or Path(setting("TABSTUDIO_HOME")) / "serve-tokens"
    return Path(chosen).absolute()


def read_tokens(path: Path) -> list[AccessToken]:
    """The tokens of a file, none where there is no file. Raises `ConfigError` for a line of another form."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the file of tokens cannot be read: {error}") from error
    tokens = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if not match:
            raise ConfigError(
                f"{path}, line {number}: NAME sha256:HEX DATE was expected; "
                "make tokens with `tabstudio tokens create NAME`"
            )
        tokens.append(AccessToken(*match.groups()))
    return tokens


def create(name: str, path: Path) -> str:
    """Create a token for `name` and return it: it is shown this once, only its hash is stored.

    Raises `ConfigError` for a name that has one already or cannot be one.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"a name of letters, digits, dots, - and _ was expected, at most 64, got {name!r}")
    with _editing(path) as tokens:
        if any(token.name == name for token in tokens):
            raise ConfigError(f"{path}: {name} has a token already: revoke it first, or take another name")
        secret = PREFIX + secrets.token_urlsafe(32)
        tokens.append(AccessToken(name, _digest(secret.encode()), datetime.now(UTC).strftime("%Y-%m-%d")))
    return secret


def revoke(name: str, path: Path) -> None:
    """Revoke a token. Raises `ConfigError` where there is none of that name."""
    with _editing(path) as tokens:
        others = [token for token in tokens if token.name != name]
        if len(others) == len(tokens):
            names = ", ".join(token.name for token in tokens) or "none"
            raise ConfigError(f"{path}: there is no token of {name!r}; there are {names}")
        tokens[:] = others


class TokenGate:
    """Authenticates callers by their token. Call it with a request's headers.

    `Authorization: Bearer TOKEN`, or Basic with the token as password, so that a browser can ask for it.
    Returns the caller's name; raises `HttpError` (401) for a missing, unknown or revoked token.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._digests = _digests(path)
        self._stamp = self._file_stamp()
        self._due = time.monotonic() + _LOOK_SECONDS

    def __call__(self, headers: Headers) -> str:
        """The caller's name."""
        if time.monotonic() >= self._due:
            self._reread()
        credentials = [value for key, value in headers if key == b"authorization"]
        token = _token(credentials[0]) if len(credentials) == 1 else None
        if not token:
            raise HttpError(401, "UNAUTHENTICATED", "a token was expected: Authorization: Bearer TOKEN")
        digest, caller = sha256(token).digest(), ""
        for name, known in self._digests:
            if hmac.compare_digest(digest, known):  # all are compared: the time is the same for any
                caller = name
        if not caller:
            raise HttpError(401, "UNAUTHENTICATED", "this token is unknown or was revoked")
        return caller

    def _reread(self) -> None:
        self._due = time.monotonic() + _LOOK_SECONDS
        stamp = self._file_stamp()
        if stamp != self._stamp:
            self._stamp, self._digests = stamp, []
            try:
                self._digests = _digests(self.path)
            except ConfigError as error:
                logger.error("nobody is let in: %s", error)  # noqa: TRY400 - the line says it all

    def _file_stamp(self) -> tuple[int, int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def token_gate(host: str) -> TokenGate | None:
    """The gate of a server on `host`; None on the loopback, unless `TABSTUDIO_SERVE_TOKENS` is set.

    Raises `ConfigError` where a token is demanded and there is none.
    """
    if is_loopback(host) and not setting("TABSTUDIO_SERVE_TOKENS"):
        return None
    path = tokens_file()
    if not read_tokens(path):
        raise ConfigError(
            f"serving on {host} needs a token, and {path} holds none: make one with "
            "`tabstudio tokens create NAME`, or serve on 127.0.0.1"
        )
    return TokenGate(path)


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _digests(path: Path) -> list[tuple[str, bytes]]:
    return [(token.name, bytes.fromhex(token.digest)) for token in read_tokens(path)]


def _token(header: bytes) -> bytes | None:
    kind, _, rest = header.partition(b" ")
    if kind.lower() == b"bearer":
        return rest.strip()
    if kind.lower() == b"basic":
        try:
            return base64.b64decode(rest.strip(), validate=True).partition(b":")[2]
        except binascii.Error:
            return None
    return None


def _digest(secret: bytes) -> str:
    return sha256(secret).hexdigest()


@contextmanager
def _editing(path: Path) -> Iterator[list[AccessToken]]:
    """The tokens of a file to be changed; written atomically, under a lock."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f".{path.name}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            tokens = read_tokens(path)
            yield tokens
            _write(path, tokens)
    except OSError as error:
        raise ConfigError(f"{path}: the file of tokens cannot be written: {error.strerror}") from error


def _write(path: Path, tokens: Sequence[AccessToken]) -> None:
    lines = (f"{token.name} sha256:{token.digest} {token.created}\n" for token in tokens)
    with draft_path(path) as draft:
        draft.touch(0o600, exist_ok=False)
        draft.write_text("".join(lines))
