"""The version that a model's address stands for now, and the models of the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tabstudio.errors import ConfigError
from tabstudio.registry import resolve
from tabstudio.serving.serve_options import RolloutCandidate, ServedModel

if TYPE_CHECKING:
    from tabstudio.registry.mlflow_client import RegistryClient

_SHARE = re.compile(r"(?P<address>.+)=(?P<share>\d+(?:\.\d+)?)%")
_NAME = re.compile(r"[\w.\- ]{1,200}")


class ResolvedVersion(NamedTuple):
    """A version: its name in answers, an address that never moves, and its local folder."""

    version: str
    address: str
    folder: Path


def split_name(address: str) -> tuple[str, str]:
    """Split NAME=ADDRESS; without a name, that of the registered model or of the folder.

    Raises `ConfigError` for a name that cannot stand in a path.
    """
    name, equals, rest = address.partition("=")
    if not equals or ":" in name or "/" in name:
        name, rest = _default_name(address), address
    if not _NAME.fullmatch(name):
        raise ConfigError(f"model {address}: letters, digits and . _ - make a name: write NAME={rest}")
    return name, rest


def version_identity(address: str) -> str:
    """The version's number, or the digest of a folder's manifest: it changes when the address moves.

    Nothing is downloaded. Raises `ModelError` where the address stands for nothing, `TrackingError` where the
    registry cannot be asked.
    """
    if address.startswith("models:/"):
        return _version_number(address)
    if address.startswith("runs:"):
        return address
    from tabstudio.model import bundle

    return bundle.digest(resolve(address))


def resolve_version(address: str) -> ResolvedVersion:
    """The version that an address stands for, downloaded where it is not on this machine.

    Raises `ModelError` where there is none or its files are not those of its manifest.
    """
    identity = version_identity(address)
    if address.startswith("models:/"):
        name = re.split("[@/]", address.removeprefix("models:/"))[0]
        pinned = f"models:/{name}/{identity}" if identity.isdigit() else address
        return ResolvedVersion(identity, identity, resolve(pinned))
    version = identity if address.startswith("runs:") else identity[:12]
    return ResolvedVersion(version, identity, resolve(address))


def _default_name(address: str) -> str:
    if address.startswith("models:/"):
        return re.split("[@/]", address.removeprefix("models:/"))[0]
    parts = [part for part in Path(address).absolute().parts if part not in ("model", "bundle")]
    return parts[-1] if not address.startswith("runs:") else address.split("/")[-1]


def _version_number(address: str) -> str:
    """The version's number, from the registry unless the address has it; a logged model has its id."""
    rest = address.removeprefix("models:/")
    if "@" not in rest and ("/" not in rest or rest.rpartition("/")[2].isdigit()):
        return rest.rpartition("/")[2]
    from tabstudio.registry.model_addresses import AddressResolver

    version = AddressResolver(address, _client()).version()
    assert version is not None
    return str(version.version)


@lru_cache(maxsize=1)
def _client() -> RegistryClient:
    from tabstudio.registry.mlflow_client import RegistryClient

    return RegistryClient()


def served_models(
    models: Sequence[str], canaries: Sequence[str], shadows: Sequence[str]
) -> tuple[ServedModel, ...]:
    """The served models of the command line.

    Models are [NAME=]ADDRESS, shadows too, canaries [NAME=]ADDRESS=10%. A candidate belongs to the model of
    its name, or to the only one. Raises `ConfigError` for arguments of another form.
    """
    served = {name: ServedModel(name, address) for name, address in map(split_name, models)}
    if len(served) < len(models):
        return tuple(
            ServedModel(*split_name(model)) for model in models
        )  # ServeOptions says which came twice
    for argument in canaries:
        match = _SHARE.fullmatch(argument)
        if match is None:
            raise ConfigError(f"option canary: [NAME=]MODEL=10% was expected, got {argument!r}")
        _add_candidate(served, RolloutCandidate("canary", match["address"], float(match["share"]) / 100))
    for argument in shadows:
        _add_candidate(served, RolloutCandidate("shadow", argument))
    return tuple(served.values())


def _add_candidate(served: dict[str, ServedModel], candidate: RolloutCandidate) -> None:
    name, address = split_name(candidate.address)
    if name not in served:
        if len(served) > 1 or candidate.address != address:
            known = ", ".join(served)
            raise ConfigError(f"option {candidate.role}: {name!r} is none of the models served ({known})")
        name = next(iter(served))
    model = served[name]
    if any(other.role == candidate.role for other in model.candidates):
        raise ConfigError(f"option {candidate.role}: {name} has one already")
    served[name] = replace(model, candidates=(*model.candidates, replace(candidate, address=address)))
