"""`tabstudio card`: what a model is, how good, and what became of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tabstudio.cli import options as o


def command(
    model: o.Address,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Markdown file to write, in place of the terminal.")
    ] = None,
    as_json: o.Json = False,
) -> None:
    """Show a model's card: what it is, its data, how good it is and where not, its limits, its stages."""
    from tabstudio.registry.cards import card

    found = card(model)
    if output is not None:
        found.save(output)
        print(f"card: {output}")
    else:
        print(json.dumps(found.to_json(), indent=1) if as_json else found.text)
