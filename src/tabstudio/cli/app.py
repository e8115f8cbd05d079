"""The commands put together, and the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from typing import Annotated

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from tabstudio._version import __version__
from tabstudio.cli.options import GroupedCommand, complete_signature
from tabstudio.errors import TabstudioError

COMMANDS = {
    "explore": "explore:command",
    "train": "train:command",
    "sweep": "sweep:command",
    "run": "run:command",
    "predict": "predict:command",
    "predictions": "predictions:command",
    "models": "versions:models",
    "versions": "versions:versions",
    "history": "versions:history",
    "compare": "compare:command",
    "card": "card:command",
    "reproduce": "reproduce:command",
    "gates": "gates:command",
    "promote": "stages:promote",
    "archive": "stages:archive",
    "rollback": "stages:rollback",
    "request": "stages:request",
    "approve": "stages:approve",
    "reject": "stages:reject",
    "webhooks": "stages:webhooks",
    "serve": "serve:command",
    "deployments": "deployments:command",
    "studio": "studio:command",
    "users": "users:command",
    "tokens": "tokens:command",
    "export": "export:command",
    "sync": "sync:command",
    "demo": "demo:command",
}
"""Each command and its function, by module of this folder."""
_CONTEXT_SETTINGS: dict[str, dict[str, bool]] = {
    # what follows the script belongs to the script, options too
    "run": {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False},
    "deployments": {"ignore_unknown_options": True},
}


def build_app(names: Iterable[str] = tuple(COMMANDS), *, summaries: bool = False) -> TyperGroup:
    """Return the command line with these commands; modules of others are not imported.

    With `summaries` the commands have no arguments and options of their own: enough to list them.
    """
    app = typer.Typer(
        name="tabstudio",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    app.callback()(_options)
    for name in names:
        module, function = COMMANDS[name].split(":")
        command = getattr(import_module(f"tabstudio.cli.{module}"), function)
        command = _summary(command) if summaries else complete_signature(command)
        app.command(name, cls=GroupedCommand, context_settings=_CONTEXT_SETTINGS.get(name))(command)
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group


def _summary(command: Callable[..., object]) -> Callable[[], None]:
    """A command that only has the help of another."""

    def summary() -> None: ...

    summary.__doc__ = command.__doc__
    return summary


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tabstudio {__version__}")
        raise typer.Exit


def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """From a table to a registered, honestly evaluated PyTorch model, tracked in MLflow."""


def run(words: list[str]) -> int:
    """Run the command that `words` spell and return its exit code; errors become messages on stderr."""
    own = words[: words.index("run")] if "run" in words[:2] else words  # a script has arguments of its own
    debug = "--debug" in own  # understood before and after the command
    words = [word for word in own if word != "--debug"] + words[len(own) :]
    app = build_app(words[:1]) if words[:1] and words[0] in COMMANDS else build_app(summaries=True)
    try:
        result = app.main(words, prog_name="tabstudio", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except TabstudioError as error:
        return _print_error(error, error.exit_code, debug)
    except OSError as error:
        return _print_error(error, 1, debug, _os_message(error))
    except TyperException as error:  # a command line that does not parse
        getattr(error, "show", partial(print, error, file=sys.stderr))()
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - a fault of our own still ends with advice and an exit code
        print(
            "tabstudio: this is a fault of tabstudio's own; please report it with these lines",
            file=sys.stderr,
        )
        traceback.print_exception(error)
        return 70


def _print_error(error: BaseException, code: int, debug: bool, message: str = "") -> int:
    if debug:
        traceback.print_exception(error)
    print(f"error: {message or error}", file=sys.stderr)
    for note in getattr(error, "__notes__", ()):
        print(note, file=sys.stderr)
    return code


def _os_message(error: OSError) -> str:
    import errno

    where = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"{where}the disk is full: free some space, or choose another place, and run the command again"
    return f"{where}{error.strerror or error}"
