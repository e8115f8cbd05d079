"""`tabstudio promote`, `archive`, `rollback`, `request`, `approve`, `reject`, `webhooks`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tabstudio.cli.connections import Acting, Name, Reason, Which, noted, print_notices, registry
from tabstudio.cli.tables import AsJson, as_json, gate_table

if TYPE_CHECKING:
    from tabstudio.registry.records import Transition

To = Annotated[str, typer.Option("--to", metavar="STAGE", help="The stage it goes to.")]
ToOpen = Annotated[
    str | None, typer.Option("--to", metavar="STAGE", help="The stage, where several requests are open.")
]


def promote(
    name: Name,
    version: Which,
    to: To,
    reason: Reason,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The table that gates judge on, where it moved.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Go on where gates fail; the history says so.")
    ] = False,
    actor: Acting = None,
    json_: AsJson = False,
) -> None:
    """Put a version into a stage, if its gates pass.

    Where the stage asks for approvals, enough other people must have agreed.
    """
    from tabstudio.errors import GateError

    options: dict[str, Any] = {"data": str(data)} if data else {}
    with registry(actor) as opened:
        try:
            rows = noted(opened.promote(name, version, to, reason=reason, force=force, options=options))
        except GateError as error:
            _refused(error, json_=json_)
            raise
        exclusive = opened.rules.exclusive
    _moved(rows, exclusive, json_=json_)


def archive(name: Name, version: Which, reason: Reason, actor: Acting = None, json_: AsJson = False) -> None:
    """Take a version out of its stage, into the archive."""
    with registry(actor) as opened:
        rows = noted(opened.archive(name, version, reason=reason))
        exclusive = opened.rules.exclusive
    _moved(rows, exclusive, json_=json_)


def rollback(
    name: Name,
    reason: Reason,
    to_version: Annotated[
        int | None, typer.Option(metavar="N", help="A version that was there; else the one before.")
    ] = None,
    stage: Annotated[str, typer.Option(help="The stage to go back in.")] = "production",
    actor: Acting = None,
    json_: AsJson = False,
) -> None:
    """Put the version back that was in production before.

    It is checked first that it still loads and is unchanged.
    """
    from tabstudio.errors import GateError

    with registry(actor) as opened:
        try:
            rows = noted(opened.rollback(name, reason=reason, to_version=to_version, stage=stage))
        except GateError as error:
            _refused(error, json_=json_)
            raise
        exclusive = opened.rules.exclusive
    _moved(rows, exclusive, json_=json_)


def request(
    name: Name, version: Which, to: To, reason: Reason, actor: Acting = None, json_: AsJson = False
) -> None:
    """Ask others to agree that a version goes to a stage."""
    with registry(actor) as opened:
        print_notices(opened.look(name))
        row = opened.request(name, version, to, reason=reason)
        needed = opened.rules.stage(to).approvals
    if json_:
        as_json(row.to_json())
    else:
        print(f"{name} {row.version}: {row.actor} asks for {row.to_stage}; {needed} to agree:")
        print(f"  tabstudio approve {name} {row.version}")


def approve(
    name: Name,
    version: Which,
    to: ToOpen = None,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Kept in the history.")] = "",
    actor: Acting = None,
    json_: AsJson = False,
) -> None:
    """Agree to a request. Nobody approves their own."""
    with registry(actor) as opened:
        print_notices(opened.look(name))
        row = opened.approve(name, version, to=to, reason=reason)
        asked = next(r for r in opened.requests(name, row.version) if r.number == row.refers)
        missing = opened.rules.stage(str(row.to_stage)).approvals - len(asked.approvals)
    if json_:
        as_json(row.to_json())
    elif missing > 0:
        print(f"{name} {row.version}: {row.actor} agrees to {row.to_stage}; {missing} more to agree")
    else:
        print(f"{name} {row.version}: {row.actor} agrees to {row.to_stage}; it may go there now:")
        print(f"  tabstudio promote {name} {row.version} --to {row.to_stage} --reason ...")


def reject(
    name: Name,
    version: Which,
    reason: Reason,
    to: ToOpen = None,
    actor: Acting = None,
    json_: AsJson = False,
) -> None:
    """Turn a request down."""
    with registry(actor) as opened:
        print_notices(opened.look(name))
        row = opened.reject(name, version, to=to, reason=reason)
    if json_:
        as_json(row.to_json())
    else:
        print(f"{name} {row.version}: {row.actor} turned the request for {row.to_stage} down: {row.reason}")


def webhooks(json_: AsJson = False) -> None:
    """Send the webhooks that wait.

    Every command of the registry sends them, too; this one says how many still wait.
    """
    from dataclasses import asdict

    from tabstudio.registry import Registry

    with Registry() as opened:
        sent = opened.deliver()
    if json_:
        as_json(asdict(sent))
        return
    print(f"{sent.delivered} delivered, {sent.waiting} waiting, {sent.given_up} given up")
    for problem in sent.problems:
        print(f"  {problem}")


def _moved(rows: Sequence[Transition], exclusive: Sequence[str], *, json_: bool) -> None:
    if json_:
        as_json([row.to_json() for row in rows])
        return
    first = rows[0]
    if first.evidence.gates:
        gate_table(first.evidence.gates)
        print()
    for row in rows:
        print(f"{row.model} {row.version}: {row.from_stage or 'no stage'} → {row.to_stage or 'no stage'}")
    if first.forced:
        print("gates that did not pass were overruled; the history says so")
    if first.to_stage in exclusive:
        print(f"models:/{first.model}@{first.to_stage} is version {first.version} now")


def _refused(error: Any, *, json_: bool) -> None:
    if json_:
        as_json({"error": str(error), "gates": [_plain(result) for result in error.results]})
    else:
        gate_table(error.results)
        print()


def _plain(result: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(result)
