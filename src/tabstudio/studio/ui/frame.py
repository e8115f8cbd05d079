"""The frame around every page (header, navigation, theme), and the decorator that declares a page."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from fastapi import Request
from nicegui import background_tasks, ui

from tabstudio.errors import AccessError, TabstudioError
from tabstudio.studio.access.authentication import Claim
from tabstudio.studio.access.roles import Actor
from tabstudio.studio.ui.elements import problem, tag

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio

P = ParamSpec("P")
Build = Callable[Concatenate["PageView", P], Awaitable[None]]
log = logging.getLogger("tabstudio.studio")

DESTINATIONS = (
    ("Home", "/"),
    ("Data", "/data"),
    ("Runs", "/runs"),
    ("Monitor", "/monitor"),
    ("Deployments", "/deployments"),
)
THEMES = {"light": False, "dark": True}
_HEAD = '<link rel="stylesheet" href="/static/studio.css"><script src="/static/studio.js" defer></script>'


class PageView:
    """One page in one browser: its user, and its subscriptions to changes."""

    def __init__(self, studio: Studio, request: Request) -> None:
        self.studio = studio
        self._claim: Claim = request.scope["state"]["claim"]
        self.client = ui.context.client

    @property
    def who(self) -> Actor:
        """The user with their present role. Raises `AccessError` once they have logged out."""
        return self.studio.access.checked(self._claim)

    def follow(self, topic: str, follower: Callable[[], Awaitable[None] | None]) -> Callable[[], None]:
        """Call `follower` after each change of a topic, where this stands, until the page is closed.

        What is returned ends it before.
        """
        slot = ui.context.slot

        async def notify() -> None:
            with slot:
                answer = follower()
                if inspect.isawaitable(answer):
                    await answer

        leave = self.studio.feed.follow(topic, notify)
        self.client.on_delete(leave)
        return leave

    def soon(self, build: Callable[[], Awaitable[None]], height: str = "8rem") -> None:
        """Show a placeholder at once, and replace it by what `build` makes when it is ready."""
        container = ui.element("div").classes("soon").style(f"min-height:{height}").props('aria-busy="true"')

        async def fill() -> None:
            with container:
                try:
                    await build()
                except TabstudioError as error:
                    problem(str(error))
            container.props(remove="aria-busy").style("min-height:0")

        with container:
            background_tasks.create(fill(), name="a part of a page")


def page(studio: Studio, path: str, title: str, destination: str) -> Callable[[Build[P]], Build[P]]:
    """Declare an async function that builds the page at `path`; the navigation marks `destination`.

    Its parameters after the view are those of the path and the query, as FastAPI reads them. A
    `TabstudioError` becomes a message on the page.
    """

    def declare(build: Build[P]) -> Build[P]:
        async def shown(request: Request, *args: P.args, **kwargs: P.kwargs) -> None:
            view = PageView(studio, request)
            with frame(view, destination, request.cookies.get("tabstudio_theme", "")):
                try:
                    await build(view, *args, **kwargs)
                except TabstudioError as error:
                    problem(str(error))

        parameters = list(inspect.signature(build, eval_str=True).parameters.values())[1:]
        request = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Request)
        shown.__signature__ = inspect.Signature([request, *parameters])  # type: ignore[attr-defined]
        ui.page(path, title=f"{title} · tabstudio", response_timeout=30)(shown)
        return build

    return declare


@contextmanager
def frame(view: PageView, destination: str, theme: str) -> Iterator[None]:
    """Header and navigation; what is built inside stands in the page's main part."""
    ui.add_head_html(_HEAD)
    ui.query("html").props('lang="en"')
    dark = ui.dark_mode(THEMES.get(theme))
    ui.html('<a class="skip" href="#main">Skip to the content</a>', sanitize=False)
    with ui.element("header").classes("bar"):
        ui.link("tabstudio", "/").classes("brand")
        with ui.element("nav").props('aria-label="Pages"'):
            for name, address in DESTINATIONS:
                link = ui.link(name, address)
                if name == destination:
                    link.props('aria-current="page"')
            if view.studio.mlflow_url:
                ui.link("MLflow", view.studio.mlflow_url, new_tab=True).props('rel="noopener"')
        ui.element("span").classes("grow")
        _user_menu(view)
        _theme_button(dark)
    with (
        ui.element("div").props('id="main" tabindex="-1"').classes("page")
    ):  # Quasar's page around it is <main>
        yield


def _user_menu(view: PageView) -> None:
    """User, role and the button that logs out."""
    who = view.who
    shown = ui.label(f"{who.name} · {who.role}").classes("who")
    if not view.studio.options.login:
        return

    def follow() -> None:
        with suppress(AccessError):  # the page is on its way to the login
            shown.text = f"{view.who.name} · {view.who.role}"

    view.follow("people", follow)
    if who.may("admin"):
        ui.link("People", "/people").classes("who")
    if not view.studio.options.user_header:
        with ui.element("form").props('method="post" action="/logout"').classes("logout"):
            tag("button", "Log out").props('type="submit"')


def _theme_button(dark: ui.dark_mode) -> None:
    names = {None: "auto", False: "light", True: "dark"}
    order = {None: False, False: True, True: None}
    button = ui.button(f"Theme: {names[dark.value]}").props("flat dense").classes("theme")

    def turn() -> None:
        dark.value = order[dark.value]
        button.text = f"Theme: {names[dark.value]}"
        ui.run_javascript(
            f"document.cookie='tabstudio_theme={names[dark.value]};path=/;max-age=31536000;samesite=strict'"
        )

    button.on_click(turn)
