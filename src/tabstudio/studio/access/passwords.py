"""Passwords as argon2id hashes; a name that does not exist takes as long to refuse as a wrong password."""

from __future__ import annotations

import unicodedata
from functools import cache
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from tabstudio.errors import ConfigError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST, LONGEST = 10, 1024
AT_ONCE = 2
"""Each check takes 64 MiB: many logins at a time wait, they do not fill the memory."""
_SLOTS = BoundedSemaphore(AT_ONCE)


def hash_password(password: str) -> str:
    """Hash a new password. Raises `ConfigError` for one that is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise ConfigError(f"a password of {SHORTEST} to {LONGEST:,} characters was expected")
    with _SLOTS:
        return _hasher().hash(_normalized(password))


def verify_password(stored: str, password: str) -> bool:
    """Whether `password` is the one that was hashed; `stored` is empty where there is none."""
    from argon2.exceptions import InvalidHashError, VerificationError

    if len(password) > LONGEST:
        return False
    with _SLOTS:
        try:
            return _hasher().verify(stored or _dummy_hash(), _normalized(password)) and bool(stored)
        except (VerificationError, InvalidHashError):
            return False


def needs_rehash(stored: str) -> bool:
    """Whether a hash was made with other parameters than today's."""
    return _hasher().check_needs_rehash(stored)


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()  # the second recommendation of RFC 9106: 64 MiB, three passes


@cache
def _dummy_hash() -> str:
    """Return a hash to check where there is no such user, so that it takes the same time."""
    return _hasher().hash("nobody's")


def _normalized(password: str) -> str:
    """Return the password in Unicode form NFKC: keyboards send the same characters differently."""
    return unicodedata.normalize("NFKC", password)
