"""`tabstudio card`: what a model is, how good, and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tabstudio.cli import options as o
from tabstudio.cli.connections import open_remote_registry
from tabstudio.cli.output import AsJson, print_json

if TYPE_CHECKING:
    from tabstudio.registry.version_card import VersionCard


def command(
    model: o.Address,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Markdown file to write, in place of the terminal.")
    ] = None,
    json_: AsJson = False,
) -> None:
    """Show a model's card: what it is, its data, how good it is and where not, its limits, its stages."""
    card = _card(model)
    if output is not None:
        card.save(output)
    if json_:
        print_json(card.to_json())
    elif output is not None:
        print(f"card: {output}")
    else:
        print(card.text)


def _card(model: str) -> VersionCard:
    studio = open_remote_registry()
    if studio is not None:
        return studio.card(model)
    from tabstudio.registry.version_card import card

    return card(model)
