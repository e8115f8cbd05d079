"""`tabstudio gates`: what a stage asks for, and whether a version would pass."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from tabstudio.cli.connections import NameArgument, VersionArgument, open_registry
from tabstudio.cli.output import AsJson, print_gates, print_json
from tabstudio.cli.reproduce import DIFFERENT


def command(
    name: NameArgument,
    version: VersionArgument,
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
    with open_registry() as registry:
        stage = registry.rules.stage(to)
        judged, results = registry.judge(name, version, to, data=data)
    failed = sum(not result.passed for result in results)
    if json_:
        answer = {"version": judged.address, "stage": stage.name, "passed": not failed}
        print_json({**answer, "gates": [asdict(result) for result in results]})
    else:
        print(f"{judged.address} before the gates of {stage.name}, of {registry.rules.source}\n")
        print_gates(results)
        print(f"\n{failed} of {len(results)} gates did not pass" if failed else "\nall gates passed")
    return DIFFERENT if failed else 0
