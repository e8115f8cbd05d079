"""A model's card: what was measured when it was trained, and what became of it since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tabstudio.errors import ModelError, TabstudioError
from tabstudio.evaluation import model_card as markdown
from tabstudio.model.bundle import record
from tabstudio.registry.downloads import Downloads
from tabstudio.registry.model_addresses import AddressResolver, resolve
from tabstudio.registry.records import ModelVersion, Transition
from tabstudio.registry.registry import Registry

_OF_REPORT = ("test", "slices", "data", "training", "environment")


@dataclass(frozen=True, slots=True)
class VersionCard:
    """A model card: `text` is Markdown, `facts` the same as data."""

    address: str
    text: str
    facts: Mapping[str, object]

    def to_json(self) -> dict[str, object]:
        """A plain dictionary for `json.dumps`."""
        return {"address": self.address, **self.facts, "card": self.text}

    def save(self, path: str | Path) -> Path:
        """Write the text to a file. Raises `TabstudioError` where it cannot be written."""
        path = Path(path)
        try:
            path.write_text(self.text, encoding="utf-8")
        except OSError as error:
            raise TabstudioError(f"{path}: the card cannot be written: {error.strerror}") from error
        return path

    def _repr_markdown_(self) -> str:
        return self.text


def card(
    address: str | Path, *, tracking_uri: str | None = None, registry_uri: str | None = None
) -> VersionCard:
    """Return the card of a model: what was measured when it was trained, and what became of it since.

    Parameters
    ----------
    address : str or path
        `models:/NAME/VERSION`, `models:/NAME@ALIAS`, `runs:/ID/model` or a folder. A registered version's
        card has its stages.
    tracking_uri, registry_uri : str, optional
        MLflow's addresses; by default as MLflow's own settings say.

    Returns
    -------
    VersionCard
        The card; it prints as Markdown.

    Raises
    ------
    ModelError
        There is no such model, or it was not made by `tabstudio train`.

    Examples
    --------
    >>> print(tabstudio.card("models:/cancer/1"))  # doctest: +SKIP
    """
    text = str(address)
    if not text.startswith(("models:", "runs:")):
        return _with_sections(text, resolve(text), {})
    with (
        Registry(tracking_uri=tracking_uri, registry_uri=registry_uri) as registry,
        Downloads() as downloads,
    ):
        resolver = AddressResolver(text, registry.client, downloads)
        registered = resolver.version()
        if registered is None:
            return _with_sections(text, resolver.bundle(), {})
        version = registry.version(registered.name, registered.version)
        moves, notes = registry.moves(version), registry.notes(version)
        facts: dict[str, object] = {"stage": version.stage, "moves": [move.to_json() for move in moves]}
        sections, note = _registered(version, moves, notes), version.description
        return _with_sections(version.address, registry.bundle(version), facts, *sections, description=note)


def _with_sections(
    address: str, folder: Path, facts: dict[str, object], *sections: str, description: str = ""
) -> VersionCard:
    report = record(folder).report
    body = report.get("card") or description
    if not body:
        raise ModelError(f"model {address}: it has no card; models that `tabstudio train` makes have one")
    facts = {name: report.get(name) for name in _OF_REPORT} | facts
    return VersionCard(address, markdown.card(body, address, *sections), facts)


def _registered(version: ModelVersion, moves: list[Transition], notes: list[Transition]) -> Iterator[str]:
    name = markdown.plain(version.model)
    yield f"## In the registry\n\nVersion {version.number} of {name}, {_stage(version)}."
    if moves:
        head = ("when", "from", "to", "by", "why")
        rows = [
            (move.time, move.from_stage or "none", move.to_stage or "none", move.actor, move.reason)
            for move in moves
        ]
        yield markdown.table(head, rows)
    judged = next((move for move in moves if move.evidence.gates), None)
    if judged is not None:
        state = "in spite of gates that did not pass" if judged.forced else "through these gates"
        gates = [
            (gate.name, "passed" if gate.passed else "FAILED", gate.measured, gate.required)
            for gate in judged.evidence.gates
        ]
        yield f"It came to {judged.to_stage} {state}:"
        yield markdown.table(("gate", "", "measured", "required"), gates)
    reproduced = next((note for note in notes if "reproduction" in note.evidence.facts), None)
    if reproduced is not None:
        yield f"{markdown.plain(reproduced.reason)}, {reproduced.time}."


def _stage(version: ModelVersion) -> str:
    return f"in {version.stage}" if version.stage else "in no stage"
