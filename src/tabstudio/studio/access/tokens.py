"""Secrets of sessions and access tokens: 32 random bytes, stored as their SHA-256, which needs no salt."""

from __future__ import annotations

from hashlib import sha256
from secrets import token_urlsafe

PREFIX = "tabstudio_"
"""Secret scanners know a published token by it."""


def new_session_secret() -> str:
    """Return a new secret for the cookie of a session."""
    return token_urlsafe(32)


def new_token() -> str:
    """Return a new access token."""
    return PREFIX + token_urlsafe(32)


def secret_digest(secret: str) -> str:
    """Return the hash that is stored of a secret."""
    return sha256(secret.encode()).hexdigest()
