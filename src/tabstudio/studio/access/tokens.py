"""What browsers and programs show: 32 random bytes, kept as their SHA-256, which needs no salt."""

from __future__ import annotations

from hashlib import sha256
from secrets import token_urlsafe

PREFIX = "tabstudio_"
"""By it a token is known where it was published by accident."""


def new_session_secret() -> str:
    """Make what a browser holds."""
    return token_urlsafe(32)


def new_token() -> str:
    """Make what a program shows."""
    return PREFIX + token_urlsafe(32)


def secret_digest(secret: str) -> str:
    """Return what is kept of a secret."""
    return sha256(secret.encode()).hexdigest()
