"""Write the pages that are made from the code: the command line and the settings. `make docs` runs it."""

from __future__ import annotations

import inspect
from pathlib import Path

import typer
from typer.core import TyperGroup

from tabstudio.cli.app import app
from tabstudio.settings import SETTINGS

HERE = Path(__file__).parent


def command_line() -> str:
    """`docs/command-line.md`: every command with its arguments and options."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    parts = ["# The command line\n", "This page is made from the commands themselves: `make docs`.\n"]
    for name, command in group.commands.items():
        parts.append(f"## tabstudio {name}\n\n{inspect.cleandoc(command.help or '')}\n")
        rows = []
        for parameter in command.params:
            words = [*parameter.opts, *parameter.secondary_opts]
            spelled = (
                ", ".join(f"`{word}`" for word in words)
                if words[0].startswith("-")
                else f"`{words[0].upper()}`"
            )
            rows.append(f"| {spelled} | {getattr(parameter, 'help', '') or ''} |")
        parts.append("\n".join(["| option | meaning |", "| --- | --- |", *rows]) + "\n")
    return "\n".join(parts)


def settings() -> str:
    """`docs/settings.md`: every environment variable."""
    rows = [f"| `{s.name}` | {s.default or ''} | {s.help} |" for s in SETTINGS]
    head = (
        "# Settings\n\nEnvironment variables that are read. This page is made from the code: `make docs`.\n"
    )
    return "\n".join([head, "| variable | default | meaning |", "| --- | --- | --- |", *rows]) + "\n"


PAGES = {"command-line.md": command_line, "settings.md": settings}

if __name__ == "__main__":
    for page, write in PAGES.items():
        (HERE / page).write_text(write(), encoding="utf-8")
