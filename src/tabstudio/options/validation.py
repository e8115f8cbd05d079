"""Options set by their flat names and checked, from Python, a TOML file or the command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabstudio.errors import ConfigError
from tabstudio.options.config import TrainConfig
from tabstudio.options.declarations import Declared
from tabstudio.options.option_table import OPTIONS

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

_OUT_OF_BOUND = {
    "greater_than",
    "greater_than_equal",
    "less_than",
    "finite_number",
    "string_pattern_mismatch",
}


def configure(base: TrainConfig | None = None, **options: Any) -> TrainConfig:
    """Return a configuration with options set by their flat names, as command line and TOML spell them.

    Parameters
    ----------
    base : TrainConfig, optional
        The configuration to begin with; by default every option at its default.
    **options
        Options by name.

    Returns
    -------
    TrainConfig
        The configuration; `base` is not changed.

    Raises
    ------
    ConfigError
        Names every unknown option and every value that does not fit.

    Examples
    --------
    >>> configure(epochs=20, network="mlp", hidden=(30, 15)).network.hidden
    (30, 15)
    """
    config = base or TrainConfig()
    faults = [_unknown(name) for name in options if name not in OPTIONS]
    sections: dict[str, dict[str, object]] = {}
    for declared in (OPTIONS[name] for name in options if name in OPTIONS):
        sections.setdefault(declared.section, {})[declared.field] = options[declared.name]
    if "seed" in options:
        sections.setdefault("training", {})["seed"] = options["seed"]
    for section, values in sections.items():
        checked = _checked(getattr(config, section) if section else config, section, values, faults)
        config = replace(config, **{section: checked}) if section else checked
    if faults:
        raise ConfigError("\n".join(faults))
    return config


def load_config(path: str | Path) -> dict[str, Any]:
    """Options of a TOML file, by their flat names, to be handed to `configure`.

    Raises `ConfigError` where the file cannot be read or is not TOML.
    """
    import tomllib

    try:
        with Path(path).open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: the configuration cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: this is not a TOML file: {error}") from error


@cache
def _section_adapter(section: str) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    cls = type(getattr(TrainConfig(), section)) if section else TrainConfig
    return TypeAdapter(cls)


def _checked(base: Any, section: str, values: dict[str, object], faults: list[str]) -> Any:
    """A section with new values; `base` where a value does not fit, with the reason in `faults`."""
    from pydantic import ValidationError

    merged = {option.name: getattr(base, option.name) for option in fields(base)} | values
    try:
        return _section_adapter(section).validate_python(merged)
    except ValidationError as error:
        declared = {option.field: option for option in OPTIONS.values() if option.section == section}
        known = [fault for fault in error.errors() if fault["loc"][0] in declared]  # a seed fails but once
        faults.extend(dict.fromkeys(_messages(known, declared, values)))
        return base


def _messages(
    faults: list[ErrorDetails], declared: dict[str, Declared], values: dict[str, object]
) -> Iterator[str]:
    for fault in faults:
        option = declared[str(fault["loc"][0])]
        if fault["type"] in _OUT_OF_BOUND and option.bound:
            yield f"option {option.name}: {option.bound.text} expected, got {values[option.field]!r}"
        elif option.form == "word":
            yield (
                f"option {option.name}: one of {', '.join(option.words)} was expected, got {fault['input']!r}"
            )
        else:
            yield f"option {option.name}: {fault['msg']}, got {fault['input']!r}"


def _unknown(name: str) -> str:
    close = get_close_matches(name, OPTIONS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"the options are {', '.join(sorted(OPTIONS))}"
    return f"option {name} does not exist: {hint}"
