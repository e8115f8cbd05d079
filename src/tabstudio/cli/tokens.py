"""`tabstudio tokens`: who may ask a server that others can reach."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tabstudio.errors import ConfigError


def command(
    action: Annotated[
        Literal["create", "list", "revoke"], typer.Argument(help="create or revoke NAME, or list all.")
    ],
    name: Annotated[str | None, typer.Argument(help="Who holds the token; it stands in the log.")] = None,
    file: Annotated[
        Path | None, typer.Option(help="The file of tokens, else that of TABSTUDIO_SERVE_TOKENS.")
    ] = None,
) -> None:
    """Make, list or revoke access tokens. Running servers follow within a second."""
    from tabstudio.serving import tokens

    path = tokens.tokens_file(file)
    if action == "list":
        for token in tokens.read_tokens(path):
            print(f"{token.name}  made {token.created}")
        return
    if not name:
        raise ConfigError(f"whose token? tabstudio tokens {action} NAME")
    if action == "create":
        print(tokens.create(name, path))
        typer.echo(
            f"Keep it: only its hash stands in {path}. Send it as  Authorization: Bearer TOKEN", err=True
        )
        return
    tokens.revoke(name, path)
    print(f"{name} has no access any more")
