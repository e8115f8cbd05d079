"""`tabstudio reproduce`: train a model again and compare it bit by bit."""

from __future__ import annotations

from typing import Annotated

import typer

from tabstudio.cli import options as o
from tabstudio.cli.output import AsJson, print_json

DIFFERENT = 3
"""The exit code of a check that was made and whose answer is no."""


def command(
    model: o.Address,
    data: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Where its table lies now [default: where it lay then]."),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Note the outcome in the version's history, for its gates.")
    ] = False,
    json_: AsJson = False,
) -> int:
    """Train a model again as it was trained and say what differs, to the last bit; nothing is registered.

    0: identical. 3: it came out different. 1: it could not be tried.
    """
    from tabstudio.cli.progress import TerminalReporter
    from tabstudio.recipes.reproduction_job import reproduce

    if json_:
        reproduction = reproduce(model, data=data, record=record)
        print_json(reproduction.to_json())
    else:
        with TerminalReporter() as reporter:
            reproduction = reproduce(model, data=data, record=record, reporter=reporter)
        print(reproduction.text())
    return 0 if reproduction.identical else DIFFERENT
