"""`tabstudio gates`: what a stage asks for, and whether a version would pass."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from tabstudio.cli.connections import Name, Which, registry
from tabstudio.cli.reproduce import DIFFERENT
from tabstudio.cli.tables import AsJson, as_json, gate_table


def command(
    name: Name,
    version: Which,
    to: Annotated[str, typer.Option("--to", metavar="STAGE", help="The stage whose gates are meant.")],
    data: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Rows with labels to judge by [default: the test rows]."),
    ] = None,
    json_: AsJson = False,
) -> int:
    """Judge a version by the gates of a stage; nothing is moved.

    0: it passes. 3: it does not.
    """
    with registry() as opened:
        stage = opened.rules.stage(to)
        found, results = opened.judge(name, version, to, data=data)
    failed = sum(not result.passed for result in results)
    if json_:
        told = {"version": found.address, "stage": stage.name, "passed": not failed}
        as_json({**told, "gates": [asdict(result) for result in results]})
    else:
        print(f"{found.address} before the gates of {stage.name}, of {opened.rules.source}\n")
        gate_table(results)
        print(f"\n{failed} of {len(results)} gates did not pass" if failed else "\nall gates passed")
    return DIFFERENT if failed else 0
