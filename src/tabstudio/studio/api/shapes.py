"""What the REST API takes and gives of the registry, as JSON."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tabstudio.registry.records import TransitionKind
from tabstudio.studio.access.roles import Role

_NOTICES = "What the registry noticed meanwhile: changes made in MLflow, repairs."


class Shape(BaseModel):
    """JSON that is made of our own records."""

    model_config = ConfigDict(from_attributes=True)


class About(Shape):
    """Which studio this is, and who asks."""

    version: str = Field(description="The version of tabstudio.")
    api: str = Field(description="The version of this API.")
    name: str = Field(description="Who asks.")
    role: Role = Field(description="What they may do.")


class Model(Shape):
    """A registered model."""

    name: str
    newest: int | None = Field(description="The number of its newest version.")
    stages: dict[str, int] = Field(description="Which version is in which exclusive stage.")
    updated: int = Field(description="When it was changed last, milliseconds since 1970.")
    description: str = ""


class Models(Shape):
    """A page of models, in alphabetical order."""

    items: list[Model]
    notices: list[str] = Field(description=_NOTICES)


class Metric(Shape):
    """A figure of a version's run, with its 95 % interval where one was recorded."""

    value: float
    low: float | None
    high: float | None


class Version(Shape):
    """A registered version."""

    model: str
    number: int
    stage: str | None = Field(description="The stage that it is in, null for none.")
    created: int = Field(description="Milliseconds since 1970.")
    source: str = Field(description="Where MLflow keeps its files.")
    run_id: str
    model_id: str = Field(description="MLflow's logged model, empty where there is none.")
    user: str
    description: str
    aliases: list[str]
    tags: dict[str, str]
    metrics: dict[str, Metric]
    datasets: list[dict[str, str]] = Field(description="MLflow's datasets of the run: name, digest, context.")
    size: int | None = Field(description="Bytes, null where it was not recorded.")
    address: str = Field(description="What `tabstudio.load` takes.")


class Versions(Shape):
    """Versions of a model, the newest first."""

    items: list[Version]
    notices: list[str] = Field(description=_NOTICES)


class Gate(Shape):
    """What one gate found."""

    name: str
    passed: bool
    measured: str
    required: str
    message: str


class Transition(Shape):
    """One row of a history."""

    model: str
    number: int = Field(description="Counts from 1 per model.")
    kind: TransitionKind
    version: int
    created: int = Field(description="When that version was made, milliseconds since 1970.")
    from_stage: str | None
    to_stage: str | None
    actor: str
    time: str = Field(description="UTC, ISO 8601.")
    reason: str
    evidence: dict[str, Any] = Field(description="Metrics, gates, datasets, the bundle's hash, who agreed.")
    forced: bool = Field(description="Gates that did not pass were overruled.")
    refers: int | None = Field(description="The row that this one belongs to.")
    previous: str
    hash: str = Field(description="SHA-256 over everything else.")


class Transitions(Shape):
    """What happened to a model, the newest first."""

    items: list[Transition]
    notices: list[str] = Field(description=_NOTICES)


class Moved(Shape):
    """The rows that an action wrote, its own first."""

    rows: list[Transition]
    notices: list[str] = Field(description=_NOTICES)


class Then(Shape):
    """How each stage stood at a time: the rows that put its versions there."""

    stages: dict[str, list[Transition]]


class Fault(Shape):
    """A place where a history is not as it was written."""

    number: int
    problem: str


class Verification(Shape):
    """What the check of a whole history found."""

    model: str
    rows: int
    head: str = Field(description="The hash of the last row.")
    whole: bool
    faults: list[Fault]


class Request(Shape):
    """A request to put a version into a stage."""

    number: int
    model: str
    version: int
    stage: str
    asked: Transition
    approvals: list[Transition]
    closed: Transition | None = Field(description="What ended it; null while it is open.")


class Requests(Shape):
    """Every request for a version, the newest first."""

    items: list[Request]
    notices: list[str] = Field(description=_NOTICES)


class Judgement(Shape):
    """What the gates of a stage say to a version."""

    version: Version
    stage: str
    passed: bool
    gates: list[Gate]


class Stage(Shape):
    """One stage and what it asks for."""

    name: str
    exclusive: bool = Field(description="It holds one version at a time.")
    approvals: int
    promoters: list[str]
    approvers: list[str]
    gates: dict[str, Any]
    displaced_to: str | None


class Rules(Shape):
    """The stages in their order."""

    stages: list[Stage]
    in_order: bool
    source: str = Field(description="The file they are from.")


class Why(BaseModel):
    """A reason, kept in the history."""

    reason: str = Field(max_length=10_000)


class Goal(Why):
    """A stage, and why."""

    to: str = Field(description="The stage.")


class Promotion(Goal):
    """What a promotion is asked with."""

    force: bool = Field(False, description="Go on where gates fail; the history says so. Takes approver.")
    data: str | None = Field(None, description="A table of the studio that gates judge on.")


class Answer(BaseModel):
    """What is said to a request."""

    reason: str = Field("", max_length=10_000)
    to: str | None = Field(None, description="The stage, where several requests are open.")


class Rollback(Why):
    """Which way back."""

    stage: str = "production"
    to_version: int | None = Field(None, description="One that was there at some time; else the one before.")


class Judging(BaseModel):
    """What the gates are asked with."""

    to: str = Field(description="The stage whose gates are meant.")
    data: str | None = Field(None, description="A table of the studio to judge by; else the test rows.")


class Card(Shape):
    """A model card."""

    model_config = ConfigDict(extra="allow")

    address: str
    card: str = Field(description="Markdown.")


class Comparison(Shape):
    """Two models side by side."""

    text: str = Field(description="The report for a terminal.")
    comparison: dict[str, Any] = Field(description="Every figure, interval and difference.")


Removed = Literal["removed"]


class Gone(Shape):
    """It is not there any more."""

    status: Removed = "removed"
