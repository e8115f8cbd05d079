"""The login page: plain HTML without script, and without state on the server before the login."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from tabstudio.report.templates import render
from tabstudio.studio.access.authentication import SESSION_DAYS
from tabstudio.studio.access.logins import PasswordLogins, SlowDownError
from tabstudio.studio.access.request_claims import COOKIE, client_address
from tabstudio.studio.access_guard import LOGIN

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio

WRONG = "This name and this password do not belong together."
_THEMES = {"dark": "body--dark", "light": "body--light"}


def router(studio: Studio) -> APIRouter:
    """Make `/login`, `/logout` and `/health`."""
    routes, logins = APIRouter(include_in_schema=False), PasswordLogins(studio.access)

    @routes.get("/health")
    def health() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @routes.get(LOGIN)
    def asked(request: Request, next: str = "/") -> Response:  # noqa: A002 - the name that people see
        if not studio.options.login or studio.options.user_header:
            return RedirectResponse("/", 303)
        return _page(request, next)

    @routes.post(LOGIN)
    async def login(
        request: Request,
        name: Annotated[str, Form()],
        password: Annotated[str, Form()],
        next: Annotated[str, Form()] = "/",  # noqa: A002
    ) -> Response:
        address = client_address(studio.options, request.scope, request.headers)
        try:
            secret = await logins.attempt(name, password, address)
        except SlowDownError as error:
            answer = _page(
                request, next, name, f"Too many failed logins. Try again in {error.seconds} s.", 429
            )
            answer.headers["retry-after"] = str(error.seconds)
            return answer
        if secret is None:
            return _page(request, next, name, WRONG, 401)
        answer = RedirectResponse(_local(next), 303)
        answer.set_cookie(
            COOKIE,
            secret,
            max_age=SESSION_DAYS * 86_400,
            secure=_is_https(studio, request),
            httponly=True,
            samesite="strict",
        )
        return answer

    @routes.post("/logout")
    async def logout(request: Request) -> Response:
        claim = request.scope["state"]["claim"]
        if claim.kind == "session":
            await asyncio.to_thread(studio.access.end, claim)
        answer = RedirectResponse(LOGIN, 303)
        answer.delete_cookie(COOKIE, secure=_is_https(studio, request), httponly=True, samesite="strict")
        return answer

    return routes


def _page(request: Request, next_: str, name: str = "", problem: str = "", status: int = 200) -> Response:
    theme = _THEMES.get(request.cookies.get("tabstudio_theme", ""), "")
    page = render(
        "tabstudio.studio",
        "login.html",
        action=LOGIN,
        theme=theme,
        problem=problem,
        name=name,
        next=_local(next_),
    )
    return HTMLResponse(page, status)


def _local(address: str) -> str:
    """Return the page of this studio to go to after the login; the start page for any other address."""
    own = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return address if own else "/"


def _is_https(studio: Studio, request: Request) -> bool:
    return f"https://{request.headers.get('host', '').lower()}" in studio.options.origins()
