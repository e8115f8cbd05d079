"""What the annotations of a configuration declare: each option with its type, default, bound and words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from types import NoneType
from typing import Annotated, Any, Literal, cast, get_args, get_origin, get_type_hints

from tabstudio.options.option import Bound, Option

GROUPS: Mapping[str, str] = {
    "": "Recipe",
    "read": "Reading",
    "split": "Split",
    "network": "Network",
    "training": "Training",
    "evaluation": "Evaluation",
    "search": "Search",
}
"""Section of `TrainConfig` -> its title in the help, the form and the documentation."""
Form = Literal["flag", "whole", "number", "word", "words", "widths", "pairs", "text"]
"""How a value is entered: `words` are several texts, `widths` several whole numbers, `pairs` KEY=VALUE."""
_FORMS: Mapping[object, Form] = {
    bool: "flag",
    int: "whole",
    float: "number",
    Literal: "word",
    Mapping: "pairs",
}


@dataclass(frozen=True, slots=True)
class Declared:
    """An option: where it stands in `TrainConfig`, its type, default, bound, and what is shown of it."""

    name: str
    section: str
    field: str
    type: Any
    default: Any
    bound: Bound | None
    option: Option

    @property
    def group(self) -> str:
        """Title of its section."""
        return GROUPS[self.section]

    @property
    def label(self) -> str:
        """Its name in a form."""
        return self.option.label or self.option.help.rstrip(".")

    @property
    def form(self) -> Form:
        """How its value is entered."""
        return _form(self.type)

    @property
    def words(self) -> tuple[str, ...]:
        """Values to choose from, the default first; empty where any value goes."""
        words = self.option.words or (get_args(self.type) if self.form == "word" else ())
        return tuple(sorted(words, key=lambda word: word != self.default))

    @property
    def unset(self) -> str:
        """What holds where it is left open: the default, or what is chosen in its place."""
        if self.option.unset and self.default in (None, {}):
            return self.option.unset
        value = {True: "yes", False: "no"}.get(self.default) if self.form == "flag" else self.default
        return f"{value}: {self.option.unset}" if self.option.unset else str("none" if value == () else value)

    def of(self, config: object) -> object:
        """Its value in a configuration."""
        return getattr(getattr(config, self.section) if self.section else config, self.field)


def _declarations(cls: type, section: str = "") -> Iterator[Declared]:
    hints = get_type_hints(cls, include_extras=True)
    for declaration in fields(cls):
        hint = hints[declaration.name]
        kind, *extras = get_args(hint) if get_origin(hint) is Annotated else [None]
        option = next((extra for extra in extras if isinstance(extra, Option)), None)
        if option is not None:
            bounds = [extra for extra in (*extras, *_inner(kind)) if isinstance(extra, Bound)]
            yield Declared(
                option.name or declaration.name,
                section,
                declaration.name,
                next(arm for arm in (*_arms(kind), kind) if arm is not NoneType),
                _default(declaration),
                next(iter(bounds), None),
                option,
            )


def _default(declaration: Field[object]) -> object:
    return declaration.default if declaration.default_factory is MISSING else declaration.default_factory()


def _arms(kind: object) -> tuple[object, ...]:
    """The arms of `T | None`; empty for any other type."""
    arms = get_args(kind)
    return arms if NoneType in arms else ()


def _inner(kind: object) -> Iterator[object]:
    """Metadata of the types inside a type."""
    for inner in get_args(kind):
        yield from getattr(inner, "__metadata__", ())
        yield from _inner(inner)


def _form(kind: object) -> Form:
    origin = get_origin(kind)
    if origin is tuple:
        return "words" if get_args(kind)[0] is str else "widths"
    return _FORMS.get(origin or kind, "text")


@cache
def declared_options(cls: type) -> Mapping[str, Declared]:
    """Return every option of a configuration by its flat name: its own first, then those of its sections."""
    declared = [*_declarations(cls)]
    for section, inner in get_type_hints(cls).items():
        if is_dataclass(inner):
            declared += _declarations(cast("type", inner), section)
    return {option.name: option for option in declared}
