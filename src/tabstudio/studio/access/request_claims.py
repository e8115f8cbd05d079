"""The claim that a request makes (token, proxy header, session cookie), and the address it came from."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.types import Scope

from tabstudio.errors import AccessError
from tabstudio.studio.access import tokens
from tabstudio.studio.access.authentication import Claim

if TYPE_CHECKING:
    from tabstudio.studio.studio_options import StudioOptions

COOKIE = "tabstudio_session"


def request_claim(options: StudioOptions, scope: Scope, headers: Headers) -> Claim | None:
    """Return the claim that a request makes, None where it makes none. It is not verified here.

    A token that is shown counts before anything else. Raises `AccessError` for the header of a proxy that
    comes from somebody else.
    """
    words = headers.get("authorization", "").split()
    if len(words) == 2 and words[0].lower() == "bearer":
        return Claim("token", tokens.secret_digest(words[1]))
    if options.user_header:
        return _by_proxy(options, scope, headers)
    if not options.login:
        return Claim("owner")
    secret = _cookie(headers)
    return Claim("session", tokens.secret_digest(secret)) if secret else None


def client_address(options: StudioOptions, scope: Scope, headers: Headers) -> str:
    """Return the address that a request came from, or the one that a trusted proxy saw."""
    address = _peer(scope)
    if address in options.proxies:
        forwarded = [part.strip() for part in headers.get("x-forwarded-for", "").split(",") if part.strip()]
        return forwarded[-1] if forwarded else address
    return address


def _by_proxy(options: StudioOptions, scope: Scope, headers: Headers) -> Claim | None:
    names = headers.getlist(options.user_header)
    if not names:
        return None
    if _peer(scope) not in options.proxies:
        raise AccessError(
            f"{options.user_header}: only the proxy may say who asks, and this is not the proxy"
        )
    if len(names) > 1:
        raise AccessError(f"{options.user_header}: one name was expected, got {len(names)}")
    return Claim("proxy", names[0].strip()) if names[0].strip() else None


def _peer(scope: Scope) -> str:
    return str((scope.get("client") or ("",))[0])


def _cookie(headers: Headers) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""
