"""The data of the registry: versions, gates, evidence, transitions, and their JSON.

A text beside a type, `Annotated[int, "..."]`, is what the documentation of the REST API says of the field.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, Literal, TypeVar

from tabstudio.report.text_format import format_value

TransitionKind = Literal[
    "promote",
    "archive",
    "rollback",
    "displaced",
    "external",
    "request",
    "approve",
    "reject",
    "note",
    "lost",
]
"""`displaced`: made room for another version; `external`: done in MLflow, behind our back; `note`: a finding
that is kept, such as a reproduction; `lost`: rows that MLflow had been told of are gone."""
MOVES: tuple[TransitionKind, ...] = ("promote", "archive", "rollback", "displaced", "external")
"""The kinds that put a version into another stage."""
_Item = TypeVar("_Item")


class Noticed(list[_Item]):
    """A list, and the `notices` of the call that made it: changes found in MLflow, and repairs."""

    def __init__(self, items: Iterable[_Item] = (), notices: Iterable[str] = ()) -> None:
        super().__init__(items)
        self.notices = tuple(notices)


@dataclass(frozen=True, slots=True)
class VersionMetric:
    """A figure of a version's run, with the 95 % interval where one was recorded."""

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return format_value(self.value)
        return f"{format_value(self.value)} [{format_value(self.low)}, {format_value(self.high)}]"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A registered version as MLflow knows it, and the stage that it is in.

    `created` is in milliseconds since 1970 and, with model and number, tells the version from another one
    that had its number before. `datasets` holds MLflow's datasets of the run: name, digest, context.
    `size` is in bytes, None where it was not recorded.
    """

    model: str
    number: int
    stage: Annotated[str | None, "The stage that it is in, null for none."]
    created: Annotated[int, "Milliseconds since 1970."]
    source: Annotated[str, "Where MLflow keeps its files."] = ""
    run_id: str = ""
    model_id: Annotated[str, "MLflow's logged model, empty where there is none."] = ""
    user: str = ""
    description: str = ""
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, VersionMetric] = field(default_factory=dict)
    datasets: Annotated[
        tuple[Mapping[str, str], ...], "MLflow's datasets of the run: name, digest, context."
    ] = ()
    size: Annotated[int | None, "Bytes, null where it was not recorded."] = None

    @property
    def address(self) -> str:
        """What `tabstudio.load` takes."""
        return f"models:/{self.model}/{self.number}"

    def to_json(self) -> dict[str, object]:
        """Return a plain dictionary for `json.dumps`."""
        return plain(self) | {"address": self.address}


@dataclass(frozen=True, slots=True)
class GateResult:
    """What one gate found: `measured` and `required` as a person reads them, what to do in `message`."""

    name: str
    passed: bool
    measured: str
    required: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a decision rests on, kept with it: the figures, the gates, the data, the model's own hash.

    `bundle` is the SHA-256 of the bundle's manifest, empty for a model of another library. `approvals` names
    those who approved. `facts` is free for what a gate wants to keep.
    """

    metrics: Mapping[str, VersionMetric] = field(default_factory=dict)
    gates: tuple[GateResult, ...] = ()
    datasets: tuple[Mapping[str, str], ...] = ()
    bundle: str = ""
    approvals: tuple[str, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return a plain dictionary for `json.dumps`; what is empty is left out."""
        return {name: value for name, value in plain(self).items() if value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evidence:
        """Return the evidence that `to_json` wrote; what a newer tabstudio has added is kept in `facts`."""
        known = {f.name for f in fields(cls)}
        newer = {name: value for name, value in data.items() if name not in known}
        return cls(
            metrics={name: VersionMetric(**value) for name, value in data.get("metrics", {}).items()},
            gates=tuple(GateResult(**gate) for gate in data.get("gates", ())),
            datasets=tuple(data.get("datasets", ())),
            bundle=data.get("bundle", ""),
            approvals=tuple(data.get("approvals", ())),
            facts={**data.get("facts", {}), **newer},
        )


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of the history: who moved which version from where to where, when, why and on what evidence.

    `number` counts from 1 per model. `time` is UTC, ISO 8601. A stage of None is no stage. `refers` is the
    number of the row that this one belongs to: of a displaced version the promotion, of an approval the
    request. `hash` is the SHA-256 over everything else, `previous` included.
    """

    model: str
    number: Annotated[int, "Counts from 1 per model."]
    kind: TransitionKind
    version: int
    created: Annotated[int, "When that version was made, milliseconds since 1970."]
    from_stage: str | None
    to_stage: str | None
    actor: str
    time: Annotated[str, "UTC, ISO 8601."]
    reason: str
    evidence: Evidence
    forced: Annotated[bool, "Gates that did not pass were overruled."]
    refers: Annotated[int | None, "The row that this one belongs to."]
    previous: str
    hash: Annotated[str, "SHA-256 over everything else."]

    def __str__(self) -> str:
        way = f"{self.from_stage or 'no stage'} -> {self.to_stage or 'no stage'}"
        return f"{self.model} {self.version}: {way} ({self.kind} by {self.actor}, {self.time})"

    def to_json(self) -> dict[str, object]:
        """Return a plain dictionary for `json.dumps`."""
        return plain(self) | {"evidence": self.evidence.to_json()}


def plain(value: Any) -> dict[str, object]:
    """Return a dataclass as JSON has it: tuples become lists."""
    content: dict[str, object] = json.loads(json.dumps(asdict(value)))
    return content
