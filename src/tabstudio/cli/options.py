"""Options that several commands share; those of a training are made from their declarations."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from tabstudio.errors import ConfigError

if TYPE_CHECKING:
    from tabstudio._compat.typer import Context, HelpFormatter
    from tabstudio.options import Declared, User

Command = TypeVar("Command", bound=Callable[..., object])

File = Annotated[
    str, typer.Argument(metavar="FILE", help="CSV, Parquet or Arrow file, a folder or a glob of them.")
]
ADDRESS = "models:/NAME/VERSION, models:/NAME@ALIAS, runs:/ID/model or a folder."
Address = Annotated[str, typer.Argument(metavar="MODEL", help=ADDRESS)]
Config = Annotated[
    Path | None,
    typer.Option(metavar="TOML", help="Options by the same names, from a file; the command line wins."),
]
Target = Annotated[str | None, typer.Option("--target", "-t", help="The column to predict.")]
Experiment = Annotated[str | None, typer.Option(help="MLflow experiment [default: the model's name].")]
TrackingUri = Annotated[str | None, typer.Option(help="MLflow's address [default: MLFLOW_TRACKING_URI].")]

JOB = ("target", "name", "experiment", "tracking_uri")
"""What a file may say beside the options of `TrainConfig`."""
_TYPES: dict[str, object] = {
    "flag": bool | None,
    "whole": int | None,
    "number": float | None,
    "words": list[str] | None,
    "pairs": list[str] | None,
}


class GroupedCommand(TyperCommand):
    """A command whose help shows options under the titles of their groups."""

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the arguments and the groups of options."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
            record = parameter.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)


def with_options(user: User) -> Callable[[Command], Command]:
    """Give a command the declared options of `user`, which come to it as `**options`: None where not used."""

    def marked(command: Command) -> Command:
        command.__dict__["options_of"] = user
        return command

    return marked


def complete_signature(command: Command) -> Command:
    """Replace the `**options` of a command by its declared options, which are imported only now."""
    from tabstudio.options import used_by

    user = command.__dict__.pop("options_of", None)
    if user is not None:
        own = inspect.signature(command, eval_str=True)
        parameters = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        parameters += [
            inspect.Parameter(o.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_annotation(o))
            for o in used_by(user)
        ]
        command.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _annotation(declared: Declared) -> object:
    """The type and `typer.Option` of a declared option."""
    option, flag = declared.option, f"--{declared.name.replace('_', '-')}"
    shown = typer.Option(
        f"{flag}/--no-{flag[2:]}" if declared.form == "flag" else flag,
        help=option.help if declared.unset == "none" else f"{option.help} [default: {declared.unset}]",
        metavar=option.metavar or "|".join(declared.words) or None,
        rich_help_panel=declared.group if declared.section else None,
    )
    return Annotated[_TYPES.get(declared.form, str | None), shown]


def require_target(target: str | None) -> str:
    """Return the target column.

    Raises `ConfigError` where none is named.
    """
    if target is None:
        raise ConfigError("option target: name the column to predict, such as --target diagnosis")
    return target


def merge_options(config_file: Path | None, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the file and of the command line, which wins; those of neither are left out.

    Raises `ConfigError` where the file holds an option that does not exist or fit.
    """
    from tabstudio.options import OPTIONS, configure, load_config

    parsers: dict[str, Callable[[Any], Any]] = {"pairs": parse_kinds, "widths": parse_widths}
    merged = load_config(config_file) if config_file else {}
    configure(**{name: value for name, value in merged.items() if name not in JOB})
    for name, value in options.items():
        if value is not None and value != []:
            form = OPTIONS[name].form if name in OPTIONS else "text"
            merged[name] = parsers[form](value) if form in parsers else value
    return merged


def parse_kinds(pairs: list[str]) -> dict[str, str]:
    """Return COLUMN=KIND words as a dictionary.

    Raises `ConfigError` where a word has no `=`.
    """
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise ConfigError(f"option kind: COLUMN=KIND was expected, such as zip=category, got {wrong[0]!r}")
    return dict(pair.rsplit("=", 1) for pair in pairs)


def parse_widths(text: str) -> tuple[int, ...]:
    """Return `30,15` as (30, 15).

    Raises `ConfigError` where a part is not a whole number.
    """
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ConfigError(f"option hidden: whole numbers such as 30,15 were expected, got {text!r}") from None
