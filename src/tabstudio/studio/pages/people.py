"""The page People: all users for admins, the own password and tokens for everybody."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nicegui import run, ui

from tabstudio.errors import ConfigError, TabstudioError
from tabstudio.report.text_format import format_time
from tabstudio.studio.access.roles import MEANING, ROLES
from tabstudio.studio.access.users import StudioUser
from tabstudio.studio.ui import copy_button, tables
from tabstudio.studio.ui.dialogs import ConfirmDialog
from tabstudio.studio.ui.elements import empty, heading, section, tag
from tabstudio.studio.ui.frame import PageView, page

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio


def install(studio: Studio) -> None:
    """Declare the page."""

    @page(studio, "/people", "People", "")
    async def people(view: PageView) -> None:
        who = view.who
        heading("People", f"You are {who.name}, {who.role}: you may {_may(who.role)}.")
        if view.studio.options.login:
            with section("You"):
                oneself = _OwnAccount(view, who.name)
                await oneself.draw()
            view.follow("people", oneself.follow)
        if who.may("admin"):
            with section("Everybody", "A changed role counts at once, also for pages that are open."):
                everybody = _AllUsers(view)
                await everybody.draw()
            view.follow("people", everybody.follow)
        with section("Roles"):
            tables.plain_table(
                ("role", "may"),
                [(role, MEANING[role]) for role in ROLES],
                "Each may what those above it may, too.",
            )


def _may(role: str) -> str:
    return ", ".join(MEANING[one] for one in ROLES[: ROLES.index(role) + 1])


class _UserList:
    """Users, all or the one it is `about`, drawn again where one of them has changed."""

    def __init__(self, view: PageView, about: str = "") -> None:
        self.view, self.about = view, about
        self.container = ui.element("div")
        self.shown: list[StudioUser] = []

    async def draw(self) -> None:
        """Draw the users."""
        self._show(await self._users())

    async def follow(self) -> None:
        """Draw the users where one of them has changed."""
        users = await self._users()
        if users != self.shown:
            self._show(users)

    def _show(self, users: list[StudioUser]) -> None:
        self.shown = users
        self.container.clear()
        with self.container:
            self._rows(users)

    def _rows(self, users: list[StudioUser]) -> None:
        raise NotImplementedError

    async def _users(self) -> list[StudioUser]:
        people = self.view.studio.people(self.view.who, about=self.about)
        everybody = await run.io_bound(people.list) or []
        return [person for person in everybody if self.about in ("", person.name)]


class _OwnAccount(_UserList):
    """The own password and tokens."""

    def _rows(self, users: list[StudioUser]) -> None:
        for mine in users:
            self._row(mine)

    def _row(self, mine: StudioUser) -> None:
        with ui.element("div").classes("row-wrap"):
            if mine.password:
                ui.button("Change the password", on_click=self.ask_password).props("outline no-caps")
            ask = ui.button("New token", on_click=lambda: _ask_token(self.view, self.about))
            ask.props("outline no-caps")
        _tokens(self.view, mine)

    def ask_password(self) -> None:
        """Open the dialog that changes the password."""
        question = ConfirmDialog(
            "Change your password",
            "Change it",
            lambda _: self.change(str(old.value), str(new.value)),
            text="You will be logged out everywhere.",
            reason=False,
        )
        with question.body:
            old = _password("Old password", "current-password")
            new = _password("New password", "new-password")
        question.open()

    def change(self, old: str, new: str) -> str:
        """Change the password, where the old one is right."""
        people = self.view.studio.people(self.view.who, about=self.about)
        if people.login(self.about, old) is None:
            raise ConfigError("the old password is another one")
        people.set_password(self.about, new)
        self.view.studio.feed.touch("people")
        return "your password is changed"


class _AllUsers(_UserList):
    """The list that admins see and change."""

    def __init__(self, view: PageView) -> None:
        ui.button("Add somebody", on_click=self.ask_add).props("unelevated no-caps")
        super().__init__(view)
        self.container.classes("people")

    def _rows(self, users: list[StudioUser]) -> None:
        if not users:
            empty("Nobody yet: whoever sits at this machine is admin. Add a first admin to ask for logins.")
        for person in users:
            group = ui.element("div").classes("person")
            group.props["role"], group.props["aria-label"] = "group", person.name
            with group:
                self._row(person)

    def _row(self, person: StudioUser) -> None:
        with ui.element("div").classes("row-wrap"):
            tag("strong", person.name)
            chosen = ui.select(list(ROLES), value=person.role, label="Role").props("dense outlined")
            chosen.on_value_change(lambda event: self.set_role(person, str(event.value)))
            ui.label(f"since {format_time(person.created)[:10]}").classes("muted")
            if not person.password:
                ui.label("no password").classes("muted")
            ui.element("span").classes("grow")
            ui.button("New password", on_click=lambda: self.ask_password(person)).props("flat dense no-caps")
            ui.button("New token", on_click=lambda: _ask_token(self.view, person.name)).props(
                "flat dense no-caps"
            )
            ui.button("Remove", on_click=lambda: self.ask_remove(person)).props(
                "flat dense no-caps color=negative"
            )
        _tokens(self.view, person)

    async def set_role(self, person: StudioUser, role: str) -> None:
        """Change the role of a user."""
        try:
            await run.io_bound(self.view.studio.people(self.view.who).set_role, person.name, role)
            ui.notify(f"{person.name} is {role} now", type="positive")
        except TabstudioError as error:
            ui.notify(str(error), type="negative", multi_line=True)
        await self.draw()

    def ask_add(self) -> None:
        """Open the dialog that adds a user."""

        def add(_: str) -> str:
            secret = str(password.value) or None
            self.view.studio.people(self.view.who).add(str(name.value), str(role.value), secret)
            return f"{name.value} is {role.value} now"

        question = ConfirmDialog(
            "Add somebody", "Add", add, reason=False, text="They may change their password later."
        )
        with question.body:
            name = ui.input("Name").props('outlined maxlength="128" autocomplete="off"')
            role = ui.select(list(ROLES), value="viewer", label="Role").props("outlined")
            password = _password("Password, or nothing for a program or a proxy", "new-password")
        question.open()

    def ask_password(self, person: StudioUser) -> None:
        """Open the dialog that sets a user's password."""

        def change(_: str) -> str:
            self.view.studio.people(self.view.who).set_password(person.name, str(new.value))
            return f"{person.name} has a new password"

        title = f"A new password for {person.name}"
        question = ConfirmDialog(title, "Change it", change, reason=False, text="Their sessions end.")
        with question.body:
            new = _password("New password", "new-password")
        question.open()

    def ask_remove(self, person: StudioUser) -> None:
        """Open the dialog that removes a user."""

        def remove(_: str) -> str:
            self.view.studio.people(self.view.who).remove(person.name)
            return f"{person.name} has no access any more"

        text = "Their sessions and tokens end. What they did stays in the histories."
        ConfirmDialog(f"Remove {person.name}", "Remove", remove, reason=False, danger=True, text=text).open()


def _tokens(view: PageView, person: StudioUser) -> None:
    """List the tokens of a user, each with a button that revokes it."""
    for label in person.tokens:
        with ui.element("div").classes("row-wrap"):
            ui.label(f"token for {label}").classes("muted")
            revoke = ui.button("Revoke", on_click=_revoking(view, person.name, label))
            revoke.props("flat dense no-caps").props["aria-label"] = f"Revoke the token for {label}"


def _revoking(view: PageView, name: str, label: str) -> Callable[[], object]:
    def revoke(_: str) -> str:
        view.studio.people(view.who, about=name).revoke(name, label)
        view.studio.feed.touch("people")
        return f"the token for {label} counts no more"

    return lambda: ConfirmDialog(
        f"Revoke the token for {label}", "Revoke", revoke, reason=False, danger=True
    ).open()


def _ask_token(view: PageView, name: str) -> None:
    """Open the dialog that creates a token and shows it this once."""

    async def make() -> None:
        try:
            people = view.studio.people(view.who, about=name)
            secret = await run.io_bound(people.token, name, str(label.value))
        except TabstudioError as error:
            ui.notify(str(error), type="negative", multi_line=True)
            return
        view.studio.feed.touch("people")
        card.clear()
        with card:
            _show_token(str(secret), dialog)

    with view.client.content:  # a row that is redrawn meanwhile must not take the dialog along
        dialog = ui.dialog(value=True).props("persistent")
    dialog.props["aria-label"] = title = f"A token for a program of {name}"
    with dialog, ui.element("div").classes("q-card question") as card:
        tag("h2", title)
        label = ui.input("What it is for", value="command line").props('outlined maxlength="128"')
        with ui.element("div").classes("row-wrap ends"):
            ui.button("Cancel", on_click=dialog.delete).props("flat no-caps")
            ui.button("Make it", on_click=make).props("unelevated no-caps")


def _show_token(secret: str, dialog: ui.dialog) -> None:
    tag("h2", "The new token")
    ui.label("Copy it now: it is shown this once.")
    copy_button.copyable_command(secret)
    ui.label(
        "Programs send it as Authorization: Bearer TOKEN; the command line takes it from TABSTUDIO_TOKEN."
    ).classes("muted")
    with ui.element("div").classes("row-wrap ends"):
        ui.button("I have it", on_click=dialog.delete).props("unelevated no-caps")


def _password(label: str, autocomplete: str) -> ui.input:
    field = ui.input(label, password=True)
    return field.props(f'outlined maxlength="1024" autocomplete="{autocomplete}"')
