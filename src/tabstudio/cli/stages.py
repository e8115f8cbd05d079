"""`tabstudio promote`, `archive`, `rollback`, `request`, `approve`, `reject`, `webhooks`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tabstudio.cli.connections import (
    ActorOption,
    NameArgument,
    ReasonOption,
    VersionArgument,
    noted,
    open_registry,
    print_notices,
)
from tabstudio.cli.output import AsJson, print_gates, print_json

if TYPE_CHECKING:
    from tabstudio.errors import GateError
    from tabstudio.registry.records import Transition

StageOption = Annotated[str, typer.Option("--to", metavar="STAGE", help="The stage it goes to.")]
OpenStageOption = Annotated[
    str | None, typer.Option("--to", metavar="STAGE", help="The stage, where several requests are open.")
]


def promote(
    name: NameArgument,
    version: VersionArgument,
    to: StageOption,
    reason: ReasonOption,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The table that gates judge on, where it moved.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Go on where gates fail; the history says so.")
    ] = False,
    actor: ActorOption = None,
    json_: AsJson = False,
) -> None:
    """Put a version into a stage, if its gates pass.

    Where the stage asks for approvals, enough other people must have agreed.
    """
    from tabstudio.errors import GateError

    options: dict[str, str] = {"data": str(data)} if data else {}
    with open_registry(actor) as registry:
        try:
            rows = noted(registry.promote(name, version, to, reason=reason, force=force, options=options))
        except GateError as error:
            _print_refusal(error, json_=json_)
            raise
        exclusive = registry.rules.exclusive
    _print_transitions(rows, exclusive, json_=json_)


def archive(
    name: NameArgument,
    version: VersionArgument,
    reason: ReasonOption,
    actor: ActorOption = None,
    json_: AsJson = False,
) -> None:
    """Take a version out of its stage, into the archive."""
    with open_registry(actor) as registry:
        rows = noted(registry.archive(name, version, reason=reason))
        exclusive = registry.rules.exclusive
    _print_transitions(rows, exclusive, json_=json_)


def rollback(
    name: NameArgument,
    reason: ReasonOption,
    to_version: Annotated[
        int | None, typer.Option(metavar="N", help="A version that was there; else the one before.")
    ] = None,
    stage: Annotated[str, typer.Option(help="The stage to go back in.")] = "production",
    actor: ActorOption = None,
    json_: AsJson = False,
) -> None:
    """Put the version back that was in production before.

    It is checked first that it still loads and is unchanged.
    """
    from tabstudio.errors import GateError

    with open_registry(actor) as registry:
        try:
            rows = noted(registry.rollback(name, reason=reason, to_version=to_version, stage=stage))
        except GateError as error:
            _print_refusal(error, json_=json_)
            raise
        exclusive = registry.rules.exclusive
    _print_transitions(rows, exclusive, json_=json_)


def request(
    name: NameArgument,
    version: VersionArgument,
    to: StageOption,
    reason: ReasonOption,
    actor: ActorOption = None,
    json_: AsJson = False,
) -> None:
    """Ask others to agree that a version goes to a stage."""
    with open_registry(actor) as registry:
        print_notices(registry.look(name))
        row = registry.request(name, version, to, reason=reason)
        needed = registry.rules.stage(to).approvals
    if json_:
        print_json(row.to_json())
    else:
        print(f"{name} {row.version}: {row.actor} asks for {row.to_stage}; {needed} to agree:")
        print(f"  tabstudio approve {name} {row.version}")


def approve(
    name: NameArgument,
    version: VersionArgument,
    to: OpenStageOption = None,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Kept in the history.")] = "",
    actor: ActorOption = None,
    json_: AsJson = False,
) -> None:
    """Agree to a request. Nobody approves their own."""
    with open_registry(actor) as registry:
        print_notices(registry.look(name))
        row = registry.approve(name, version, to=to, reason=reason)
        request = next(r for r in registry.requests(name, row.version) if r.number == row.refers)
        missing = registry.rules.stage(str(row.to_stage)).approvals - len(request.approvals)
    if json_:
        print_json(row.to_json())
    elif missing > 0:
        print(f"{name} {row.version}: {row.actor} agrees to {row.to_stage}; {missing} more to agree")
    else:
        print(f"{name} {row.version}: {row.actor} agrees to {row.to_stage}; it may go there now:")
        print(f"  tabstudio promote {name} {row.version} --to {row.to_stage} --reason ...")


def reject(
    name: NameArgument,
    version: VersionArgument,
    reason: ReasonOption,
    to: OpenStageOption = None,
    actor: ActorOption = None,
    json_: AsJson = False,
) -> None:
    """Turn a request down."""
    with open_registry(actor) as registry:
        print_notices(registry.look(name))
        row = registry.reject(name, version, to=to, reason=reason)
    if json_:
        print_json(row.to_json())
    else:
        print(f"{name} {row.version}: {row.actor} turned the request for {row.to_stage} down: {row.reason}")


def webhooks(json_: AsJson = False) -> None:
    """Send the webhooks that wait.

    Every command of the registry sends them, too; this one says how many still wait.
    """
    from tabstudio.registry import Registry

    with Registry() as registry:
        sent = registry.deliver()
    if json_:
        print_json(asdict(sent))
        return
    print(f"{sent.delivered} delivered, {sent.waiting} waiting, {sent.given_up} given up")
    for problem in sent.problems:
        print(f"  {problem}")


def _print_transitions(rows: Sequence[Transition], exclusive: Sequence[str], *, json_: bool) -> None:
    if json_:
        print_json([row.to_json() for row in rows])
        return
    first = rows[0]
    if first.evidence.gates:
        print_gates(first.evidence.gates)
        print()
    for row in rows:
        print(f"{row.model} {row.version}: {row.from_stage or 'no stage'} → {row.to_stage or 'no stage'}")
    if first.forced:
        print("gates that did not pass were overruled; the history says so")
    if first.to_stage in exclusive:
        print(f"models:/{first.model}@{first.to_stage} is version {first.version} now")


def _print_refusal(error: GateError, *, json_: bool) -> None:
    if json_:
        print_json({"error": str(error), "gates": [asdict(result) for result in error.results]})
    else:
        print_gates(error.results)
        print()
