"""`tabstudio reproduce`: train a model again and compare it bit by bit."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tabstudio.cli import options as o

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
    as_json: o.Json = False,
) -> int:
    """Train a model again as it was trained and say what differs, to the last bit; nothing is registered.

    0: identical. 3: it came out different. 1: it could not be tried.
    """
    from tabstudio.cli.progress import TerminalReporter
    from tabstudio.recipes.reporter import Reporter
    from tabstudio.recipes.reproducing import reproduce

    if as_json:
        found = reproduce(model, data=data, record=record, reporter=Reporter())
        print(json.dumps(found.to_json(), indent=1))
    else:
        with TerminalReporter() as reporter:
            found = reproduce(model, data=data, record=record, reporter=reporter)
        print(found.text())
    return 0 if found.identical else DIFFERENT
