"""`tabstudio gates`: what a stage asks for, and whether a version would pass."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tabstudio.cli import options as o
from tabstudio.cli.reproduce import DIFFERENT

if TYPE_CHECKING:
    from tabstudio.registry.records import GateResult


def command(
    name: Annotated[str, typer.Argument(help="The registered model.")],
    version: Annotated[str, typer.Argument(help="Its version: a number, latest, or a stage.")],
    to: Annotated[str, typer.Option("--to", metavar="STAGE", help="The stage whose gates are meant.")],
    data: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Rows with labels to judge by [default: the test rows]."),
    ] = None,
    as_json: o.Json = False,
) -> int:
    """Judge a version by the gates of a stage; nothing is moved.

    0: it passes. 3: it does not.
    """
    from tabstudio.registry import gates
    from tabstudio.registry.registry import Registry

    registry = Registry()
    stage = registry.rules.stage(to)
    found = registry.version(name, version)
    results = gates.judge(registry, found, registry.current(name, stage.name), stage, {"data": data})
    passed = all(result.passed for result in results)
    if as_json:
        told = {"version": found.address, "stage": stage.name, "passed": passed}
        print(json.dumps({**told, "gates": [asdict(result) for result in results]}, indent=1))
    else:
        print(f"{found.address} before the gates of {stage.name} ({registry.rules.source})\n")
        print("\n".join(map(line, results)))
        failed = sum(not result.passed for result in results)
        print("\nall gates passed" if passed else f"\n{failed} of {len(results)} gates did not pass")
    return 0 if passed else DIFFERENT


def line(result: GateResult) -> str:
    """One gate, in one line and another one where there is more to say."""
    head = f"  {'passed' if result.passed else 'FAILED'}  {result.name}: {result.measured}"
    required = f"; required: {result.required}" if result.required else ""
    return f"{head}{required}" + (f"\n          {result.message}" if result.message else "")
