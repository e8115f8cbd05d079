"""`tabstudio users`: who may use the studio."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tabstudio.errors import ConfigError

if TYPE_CHECKING:
    from tabstudio.database import Database
    from tabstudio.studio.access.users import UserStore


def command(
    action: Annotated[
        Literal["add", "list", "role", "password", "remove", "token"],
        typer.Argument(help="add NAME, list, role NAME, password NAME, remove NAME or token NAME."),
    ],
    name: Annotated[str | None, typer.Argument(help="Who is meant.")] = None,
    role: Annotated[
        str | None, typer.Option(help="viewer, editor, approver or admin; each may what those before may.")
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Where the password stands, else TABSTUDIO_PASSWORD, else it is asked."
        ),
    ] = None,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Somebody who comes by a token, or through a proxy.")
    ] = False,
    label: Annotated[
        str, typer.Option("--for", metavar="WORDS", help="What a token is for.")
    ] = "command line",
    days: Annotated[
        int | None, typer.Option(min=1, help="Days that a token counts [default: for ever].")
    ] = None,
    revoke: Annotated[bool, typer.Option("--revoke", help="Let the token count no more.")] = False,
) -> None:
    """Add people to the studio, change what they may do, make tokens for their programs."""
    from tabstudio.studio.access.users import UserStore

    with _database() as database:
        users = UserStore(database)
        if action == "list":
            _list(users)
            return
        if not name:
            raise ConfigError(f"who? tabstudio users {action} NAME")
        if action == "add":
            users.add(name, _role(action, role), None if no_password else _password(password_file))
            print(f"{name} is {role} now")
        elif action == "role":
            users.set_role(name, _role(action, role))
            print(f"{name} is {role} now")
        elif action == "password":
            users.set_password(name, _password(password_file))
            print(f"{name} has a new password; where they were logged in, they are not any more")
        elif action == "remove":
            users.remove(name)
            print(f"{name} has no access any more")
        elif revoke:
            users.revoke(name, label)
            print(f"the token of {name} for {label} counts no more")
        else:
            print(users.token(name, label, days))
            print(
                f"Keep it, it is shown this once. It may do what {name} may: export TABSTUDIO_TOKEN",
                file=sys.stderr,
            )


def _database() -> Database:
    from tabstudio.database import Database, database_address
    from tabstudio.settings import registry_address

    return Database(database_address(registry_uri=registry_address()))


def _list(users: UserStore) -> None:
    from tabstudio.cli.output import print_table

    rows = [
        (
            user.name,
            user.role,
            user.created[:10],
            "yes" if user.password else "no",
            ", ".join(user.tokens) or "–",
        )
        for user in users.list()
    ]
    if rows:
        print_table(("name", "role", "since", "password", "tokens"), rows)
    else:
        print("there is nobody yet; `tabstudio users add NAME --role admin`")


def _role(action: str, role: str | None) -> str:
    if role is None:
        raise ConfigError(f"which role? tabstudio users {action} NAME --role viewer|editor|approver|admin")
    return role


def _password(file: Path | None) -> str:
    """The new password from where it stands; a person types it twice, unseen."""
    from tabstudio.settings import setting

    if file is not None:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    if setting("TABSTUDIO_PASSWORD"):
        return setting("TABSTUDIO_PASSWORD")
    if not sys.stdin.isatty():
        raise ConfigError(
            "there is no terminal to ask for the password: name a file with --password-file, "
            "or set TABSTUDIO_PASSWORD"
        )
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password
