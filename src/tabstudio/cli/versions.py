"""`tabstudio models`, `versions`, `history`: look at what is registered, and at what happened to it."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from tabstudio.cli.connections import NameArgument, noted, open_registry, print_notices
from tabstudio.cli.output import AsJson, print_json, print_table
from tabstudio.report.text_format import format_age, format_size, format_time, shorten

if TYPE_CHECKING:
    from tabstudio.registry.records import Transition
    from tabstudio.remote.protocols import AnyRegistry

SHOWN_METRICS = 2
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many are shown at once.")]


def models(
    page: Annotated[int, typer.Option(min=1, help="The page that is shown.")] = 1,
    limit: Limit = 20,
    json_: AsJson = False,
) -> None:
    """List the registered models and what is in their stages."""
    with open_registry() as registry:
        listed = noted(registry.models(page=page, limit=limit))
        stages = registry.rules.exclusive
    if json_:
        print_json([model.to_json() for model in listed])
    elif not listed:
        print("no more models" if page > 1 else "no model is registered yet; `tabstudio train` registers one")
    else:
        rows = [
            (
                m.name,
                str(m.newest or "–"),
                *(str(m.stages.get(s, "–")) for s in stages),
                format_age(m.updated),
            )
            for m in listed
        ]
        print_table(("model", "newest", *stages, "changed"), rows, right=range(1, len(stages) + 3))
        if len(listed) == limit:
            print(f"more: --page {page + 1}")


def versions(
    name: NameArgument,
    before: Annotated[int | None, typer.Option(help="Show versions below this number.")] = None,
    limit: Limit = 20,
    json_: AsJson = False,
) -> None:
    """List a model's versions, the newest first.

    With stage, figures and their intervals, data, run, size, age and who made it.
    """
    from tabstudio.registry.catalog import metric_names

    with open_registry() as registry:
        listed = noted(registry.versions(name, before=before, limit=limit))
    if json_:
        print_json([version.to_json() for version in listed])
        return
    if not listed:
        print(f"{name} has no {'older ' if before else ''}versions")
        return
    names = metric_names(listed)[:SHOWN_METRICS]
    rows = [
        (
            str(v.number),
            v.stage or "–",
            *(str(v.metrics.get(metric, "–")) for metric in names),
            shorten(v.datasets[0]["name"]) if v.datasets else "–",
            v.run_id[:8] or "–",
            format_size(v.size) if v.size is not None else "–",
            format_age(v.created),
            v.user or "–",
            ", ".join(f"@{alias}" for alias in v.aliases if alias != v.stage),
        )
        for v in listed
    ]
    head = (
        "version",
        "stage",
        *(n.removeprefix("test_") for n in names),
        "data",
        "run",
        "size",
        "age",
        "by",
        "",
    )
    print_table(head, rows, right=(0, len(names) + 4, len(names) + 5))
    if len(listed) == limit and listed[-1].number > 1:
        print(f"older: --before {listed[-1].number}")


def history(
    name: NameArgument,
    at: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="What was in each stage then: 2026-03-01, or with a time."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Find any row that was edited, removed or inserted.")
    ] = False,
    export: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the whole history as .json or .csv.")
    ] = None,
    before: Annotated[int | None, typer.Option(help="Show rows below this number.")] = None,
    limit: Limit = 20,
    json_: AsJson = False,
) -> int:
    """Tell what happened to a model, by whom and why.

    Also what was in production on a date, and whether any row of the history was edited or removed.
    """
    with open_registry() as registry:
        if verify:
            return _print_verification(registry, name, json_=json_)
        print_notices(registry.look(name))
        if export is not None:
            _write_history(registry, name, export)
        elif at is not None:
            _print_stages_at(registry, name, at, limit, json_=json_)
        else:
            _print_history(registry.history(name, before=before, limit=limit), name, limit, json_=json_)
    return 0


def _print_verification(registry: AnyRegistry, name: str, *, json_: bool) -> int:
    history = registry.verify(name)
    if json_:
        print_json(history.to_json())
    elif history.whole:
        print(f"{name}: all {history.rows:,} rows are as they were written; the last hash is {history.head}")
    else:
        print(f"{name}: the history is not as it was written")
        for fault in history.faults:
            print(f"  {fault}")
    return 0 if history.whole else 3


def _write_history(registry: AnyRegistry, name: str, path: Path) -> None:
    from tabstudio.errors import ConfigError

    ending = path.suffix.lower()
    if ending not in (".json", ".csv"):
        raise ConfigError(f"option export: a file ending in .json or .csv was expected, got {path}")
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = (_write_csv if ending == ".csv" else _write_json)(registry.export(name), file)
    print(f"{rows:,} rows in {path}")


def _write_csv(rows: Iterable[Transition], file: TextIO) -> int:
    from tabstudio.registry.records import Transition

    writer = csv.DictWriter(file, [field.name for field in fields(Transition)])
    writer.writeheader()
    written = 0
    for row in rows:
        writer.writerow({**row.to_json(), "evidence": json.dumps(row.evidence.to_json(), ensure_ascii=False)})
        written += 1
    return written


def _write_json(rows: Iterable[Transition], file: TextIO) -> int:
    written = 0
    for row in rows:
        file.write((",\n" if written else "[\n") + json.dumps(row.to_json(), ensure_ascii=False))
        written += 1
    file.write("\n]\n" if written else "[]\n")
    return written


def _print_stages_at(registry: AnyRegistry, name: str, at: str, limit: int, *, json_: bool) -> None:
    stages = registry.at(name, at, limit=limit)
    if json_:
        print_json({stage: [row.to_json() for row in rows] for stage, rows in stages.items()})
        return
    rows = [
        (stage, str(row.version), f"since {format_time(row.time)}", row.actor, row.reason)
        for stage, members in stages.items()
        for row in members
    ]
    empty = [(stage, "–", "", "", "") for stage, members in stages.items() if not members]
    print_table(
        ("stage", "version", "UTC", "by", "reason"),
        sorted([*rows, *empty], key=lambda r: list(stages).index(r[0])),
    )


def _print_history(rows: list[Transition], name: str, limit: int, *, json_: bool) -> None:
    if json_:
        print_json([row.to_json() for row in rows])
        return
    if not rows:
        print(f"nothing happened to {name} yet; `tabstudio promote {name} 1 --to staging --reason ...`")
        return
    cells = [
        (
            str(row.number),
            format_time(row.time),
            str(row.version),
            f"{row.from_stage or '–'} → {row.to_stage or '–'}",
            row.kind + (", FORCED" if row.forced else ""),
            row.actor,
            row.reason,
        )
        for row in rows
    ]
    print_table(("row", "UTC", "version", "stage", "what", "by", "reason"), cells, right=(0, 2))
    if len(rows) == limit and rows[-1].number > 1:
        print(f"older: --before {rows[-1].number}")
