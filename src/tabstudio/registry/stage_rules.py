"""The stages of a project, and what each of them asks for: read from `tabstudio.toml` or `pyproject.toml`.

[tool.tabstudio.registry]                      # [registry] in tabstudio.toml
order = ["staging", "production", "archived"]
in_order = false                               # true: a version must have been in the stage before

[tool.tabstudio.registry.stages.production]
approvals = 1                                  # other people who must agree
promoters = ["ann", "bob"]                     # who may; empty: everybody
approvers = ["carol"]

[tool.tabstudio.registry.stages.production.gates]
roc_auc = 0.95

[[tool.tabstudio.registry.webhooks]]
url = "https://ci.example.org/hooks/models"
secret_env = "MODEL_HOOK_SECRET"
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, ClassVar, TypeVar
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from tabstudio.errors import ConfigError, RegistryError
from tabstudio.registry.records import TransitionKind

DEFAULT_ORDER = ("staging", "production", "archived")
ARCHIVE = "archived"
_FILES = ("tabstudio.toml", "pyproject.toml")
_NAME = re.compile(r"(?!v\d+$)(?!latest$|none$)[a-z][a-z0-9_-]{0,63}")
_Part = TypeVar("_Part")


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage. An exclusive one holds one version at a time and is an alias in MLflow.

    `approvals` is the number of other people who must agree; `promoters` and `approvers` are who may,
    everybody where empty. `gates` is what `tabstudio.registry.gates` judges by. A version that makes room
    for another one goes to the stage `displaced_to`, or to none.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    exclusive: Annotated[bool, "It holds one version at a time."] = True
    approvals: Annotated[int, Field(ge=0)] = 0
    promoters: tuple[str, ...] = ()
    approvers: tuple[str, ...] = ()
    gates: Mapping[str, object] = field(default_factory=dict)
    displaced_to: str | None = None


@dataclass(frozen=True, slots=True)
class Webhook:
    """Who is told, of every kind of event or of `kinds`. The secret stays in the environment."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    url: str
    secret_env: str = ""
    kinds: tuple[TransitionKind, ...] = ()

    def __repr__(self) -> str:
        return f"Webhook({receiver(self.url)!r}, secret_env={self.secret_env!r}, kinds={self.kinds!r})"


@dataclass(frozen=True, slots=True)
class StageRules:
    """All stages in their order, and who is file. `source` is the file they are from."""

    stages: tuple[Stage, ...]
    in_order: bool = False
    webhooks: tuple[Webhook, ...] = ()
    source: Annotated[str, "The file they are from."] = "the defaults"

    @property
    def exclusive(self) -> tuple[str, ...]:
        """The names of the stages that hold one version at a time."""
        return tuple(stage.name for stage in self.stages if stage.exclusive)

    def before(self, name: str) -> Stage | None:
        """Return the stage that comes before, None before the first."""
        names = [stage.name for stage in self.stages]
        index = names.index(name)
        return self.stages[index - 1] if index else None

    def stage(self, name: str) -> Stage:
        """Look a stage up. Raises `RegistryError` with the nearest name."""
        stages = {stage.name: stage for stage in self.stages}
        if name.lower() in stages:
            return stages[name.lower()]
        near = difflib.get_close_matches(name.lower(), stages, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        raise RegistryError(f"stage {name!r}: {hint}The stages are {', '.join(stages)} (from {self.source})")


@dataclass(frozen=True, slots=True)
class _File:
    """The `[registry]` table as it stands in the file."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    order: tuple[str, ...] = DEFAULT_ORDER
    in_order: bool = False
    stages: Mapping[str, dict[str, object]] = field(default_factory=dict)
    webhooks: tuple[dict[str, object], ...] = ()


def receiver(url: str) -> str:
    """Return a webhook's address fit for messages: the rest of it is often a secret itself.

    >>> receiver("https://bot:key@hooks.example.org/services/T0/B1/x8fJ")
    'https://hooks.example.org/...'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/..."


def find_rules(folder: Path | None = None) -> StageRules:
    """Return the rules of the project: of `tabstudio.toml` or `pyproject.toml`, here or in a folder above.

    The nearest file that says something of the registry counts; without one, the defaults. The project ends
    at the folder that holds `.git`, else at the nearest `pyproject.toml`: beyond it are other people's files.
    Raises `ConfigError` as `make_rules` does.
    """
    folder = (folder or Path.cwd()).absolute()
    for path in (parent / name for parent in _project(folder) for name in _FILES):
        table = _registry_table(path)
        if table is not None:
            return make_rules(table, str(path))
    return make_rules({})


def make_rules(table: Mapping[str, object], source: str = "the defaults") -> StageRules:
    """Return the rules that a `[registry]` table describes.

    Raises `ConfigError` naming every fault of it.
    """
    faults: list[str] = []
    file = _parsed_part(_File, table, "", faults) or _File()
    faults += [
        f"order: {name!r} is no name of a stage, such as staging"
        for name in file.order
        if not _NAME.fullmatch(name)
    ]
    faults += [
        f"stages.{name}: the order is {', '.join(file.order)}"
        for name in file.stages
        if name not in file.order
    ]
    stages = [_stage_from_toml(name, file, faults) for name in dict.fromkeys(file.order)]
    webhooks = [_webhook(hook, f"webhooks[{n}]", faults) for n, hook in enumerate(file.webhooks)]
    if faults:
        raise ConfigError("\n".join(f"{source}: registry: {fault}" for fault in faults))
    return StageRules(tuple(s for s in stages if s), file.in_order, tuple(w for w in webhooks if w), source)


def _project(folder: Path) -> list[Path]:
    """Return a folder and those above it that belong to the same project, the nearest first."""
    above = [folder, *folder.parents]
    for mark in (".git", "pyproject.toml"):
        for index, candidate in enumerate(above):
            if (candidate / mark).exists():
                return above[: index + 1]
    return [folder]


def _registry_table(path: Path) -> Mapping[str, object] | None:
    if not path.is_file():
        return None
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: this is not a TOML file: {error}") from error
    if path.name == "pyproject.toml":
        content = content.get("tool", {}).get("tabstudio", {})
    table: Mapping[str, object] | None = content.get("registry")
    return table


def _stage_from_toml(name: str, file: _File, faults: list[str]) -> Stage | None:
    location, table = f"stages.{name}", file.stages.get(name, {})
    exclusive = table.get("exclusive", name != ARCHIVE)
    room = ARCHIVE if exclusive and ARCHIVE in file.order and name != ARCHIVE else None
    table = {"name": name, "exclusive": exclusive, "displaced_to": room} | table
    stage = _parsed_part(Stage, table, location, faults)
    if stage is None:
        return None
    if stage.displaced_to is not None and (
        stage.displaced_to not in file.order or stage.displaced_to == name
    ):
        faults.append(f"{location}.displaced_to: another stage of {', '.join(file.order)} was expected")
    if stage.approvers and stage.approvals > len(stage.approvers):
        faults.append(
            f"{location}.approvals: there are {len(stage.approvers)} approvers, got {stage.approvals}"
        )
    if stage.gates:
        from tabstudio.registry.gates import parse_gates

        try:
            parse_gates(stage.gates, name)
        except ConfigError as error:
            faults += str(error).splitlines()
    return stage


def _webhook(table: dict[str, object], location: str, faults: list[str]) -> Webhook | None:
    hook = _parsed_part(Webhook, table, location, faults)
    if hook is not None and not hook.url.startswith(("http://", "https://")):
        faults.append(
            f"{location}.url: an address with http:// or https:// was expected, got {receiver(hook.url)}"
        )
    return hook


def _parsed_part(
    kind: type[_Part], table: Mapping[str, object], location: str, faults: list[str]
) -> _Part | None:
    """Return one part of the rules, None where it does not fit: that is added to `faults`."""
    if not table:
        return kind()
    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    try:
        part: _Part = TypeAdapter(kind).validate_python(dict(table))
    except ValidationError as error:
        for fault in error.errors():
            where = ".".join(str(part) for part in (location, *fault["loc"]) if part != "")
            if fault["type"] == "unexpected_keyword_argument":
                near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                faults.append(f"{where}: there is no such setting; {hint}")
            else:
                faults.append(f"{where}: {fault['msg']}, got {fault['input']!r}")
        return None
    return part
