"""The commands put together, and the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from tabstudio._version import __version__
from tabstudio.cli import (
    card,
    compare,
    demo,
    deployments,
    explore,
    export,
    gates,
    predict,
    predictions,
    reproduce,
    serve,
    stages,
    studio,
    sweep,
    sync,
    tokens,
    train,
    users,
    versions,
)
from tabstudio.cli import run as run_
from tabstudio.errors import TabstudioError

app = typer.Typer(
    name="tabstudio",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
_COMMANDS: dict[str, Callable[..., Any]] = {
    "explore": explore.command,
    "train": train.command,
    "sweep": sweep.command,
    "run": run_.command,
    "predict": predict.command,
    "predictions": predictions.command,
    "models": versions.models,
    "versions": versions.versions,
    "history": versions.history,
    "compare": compare.command,
    "card": card.command,
    "reproduce": reproduce.command,
    "gates": gates.command,
    "promote": stages.promote,
    "archive": stages.archive,
    "rollback": stages.rollback,
    "request": stages.request,
    "approve": stages.approve,
    "reject": stages.reject,
    "webhooks": stages.webhooks,
    "serve": serve.command,
    "deployments": deployments.command,
    "studio": studio.command,
    "users": users.command,
    "tokens": tokens.command,
    "export": export.command,
    "sync": sync.command,
    "demo": demo.command,
}
_PASSED_ON: dict[str, dict[Any, Any]] = {"run": run_.SETTINGS, "deployments": deployments.PASSED_ON}
for _name, _command in _COMMANDS.items():
    app.command(_name, context_settings=_PASSED_ON.get(_name))(_command)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"tabstudio {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """From a table to a registered, honestly evaluated PyTorch model, tracked in MLflow."""


def run(words: list[str]) -> int:
    """The exit code of the command that `words` spell, errors told on stderr without a traceback."""
    own = words[: words.index("run")] if "run" in words[:2] else words  # a script has arguments of its own
    debug = "--debug" in own  # understood before and after the command
    words = [word for word in own if word != "--debug"] + words[len(own) :]
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    try:
        result = command.main(words, prog_name="tabstudio", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except TabstudioError as error:
        return _tell(error, error.exit_code, debug)
    except OSError as error:
        return _tell(error, 1, debug, _os_message(error))
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


def _tell(error: BaseException, code: int, debug: bool, message: str = "") -> int:
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
