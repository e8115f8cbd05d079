"""The JSON that the REST API takes and gives: shapes made from the records, and the bodies of requests."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import fields
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from tabstudio.registry.approvals import ApprovalRequest
from tabstudio.registry.catalog import RegisteredModel
from tabstudio.registry.history import ChainFault, Verification
from tabstudio.registry.records import GateResult, ModelVersion, Transition, VersionMetric
from tabstudio.registry.stage_rules import Stage, StageRules
from tabstudio.serving.deployments import Deployment

_NOTICES = "What the registry noticed meanwhile: changes made in MLflow, repairs."


class JsonShape(BaseModel):
    """JSON that is made of our own records."""

    model_config = ConfigDict(from_attributes=True)


_SHAPES: dict[type, type[JsonShape]] = {}


def shape(record: type, /, *, leave_out: Container[str] = (), **more: object) -> type[JsonShape]:
    """Return the shape of a dataclass: each of its fields, described by the text that its type carries.

    `more` adds fields and takes the place of others, each a type, or a type and its default.
    """
    hints = get_type_hints(record, include_extras=True)
    own = [field.name for field in fields(record) if field.name not in leave_out]
    content = {name: more[name] if name in more else _field(hints[name]) for name in own}
    _SHAPES[record] = named(record.__name__, str(record.__doc__).partition("\n")[0], **content | more)
    return _SHAPES[record]


def named(name: str, doc: str, /, **content: object) -> type[JsonShape]:
    """Return a shape of these fields, each a type, or a type and its default."""
    pairs: dict[str, Any] = {
        key: value if isinstance(value, tuple) else (value, ...) for key, value in content.items()
    }
    return create_model(name, __base__=JsonShape, __doc__=doc, **pairs)


def page_of(item: type[JsonShape], name: str, doc: str, field: str = "items") -> type[JsonShape]:
    """Return the shape of some items with the notices of the registry."""
    notices = (list[str], Field(description=_NOTICES))
    return named(name, doc, **{field: list[item]}, notices=notices)  # type: ignore[valid-type]


def _field(hint: object) -> tuple[object, object]:
    """Return type and description of a field whose type may carry a text."""
    texts = [text for text in getattr(hint, "__metadata__", ()) if isinstance(text, str)]
    return _shaped(hint), Field(description=texts[0] if texts else None)


def _shaped(hint: object) -> object:
    """Return a type with the shapes of records in the place of the records."""
    if isinstance(hint, type) and hint in _SHAPES:
        return _SHAPES[hint]
    origin, parts = get_origin(hint), tuple(map(_shaped, get_args(hint)))
    if origin is Annotated:
        return parts[0]
    if origin in (Union, UnionType):
        return Union[parts]  # noqa: UP007 - made of values
    return hint if origin in (None, Literal) else origin[parts]


Model = shape(RegisteredModel, description=(str, ""))
Models = page_of(Model, "Models", "A page of models, in alphabetical order.")
Metric = shape(VersionMetric)
Version = shape(ModelVersion, address=(str, Field(description="What `tabstudio.load` takes.")))
Versions = page_of(Version, "Versions", "Versions of a model, the newest first.")
Gate = shape(GateResult)
Row = shape(
    Transition,
    evidence=(
        dict[str, Any],
        Field(description="Metrics, gates, datasets, the bundle's hash, who agreed."),
    ),
)
Rows = page_of(Row, "Transitions", "What happened to a model, the newest first.")
Moved = page_of(Row, "Moved", "The rows that an action wrote, its own first.", "rows")
Then = named(
    "Then",
    "How each stage stood at a time: the rows that put its versions there.",
    stages=dict[str, list[Row]],  # type: ignore[valid-type]
)
Fault = shape(ChainFault)
Verified = shape(Verification, whole=bool)
Request = shape(ApprovalRequest, number=int, model=str, version=int, stage=str)
Requests = page_of(Request, "Requests", "Every request for a version, the newest first.")
Judgement = named(
    "Judgement",
    "What the gates of a stage say to a version.",
    version=Version,
    stage=str,
    passed=bool,
    gates=list[Gate],  # type: ignore[valid-type]
)
OneStage = shape(Stage)
Rules = shape(StageRules, leave_out=("webhooks",))  # the addresses of receivers are secrets
Service = shape(Deployment, leave_out=("log",))  # a path of the studio's machine
Services = named("Deployments", "Every service, by name.", items=list[Service])  # type: ignore[valid-type]


class ReasonBody(BaseModel):
    """A reason, kept in the history."""

    reason: str = Field(max_length=10_000)


class GoalBody(ReasonBody):
    """A stage, and why."""

    to: str = Field(description="The stage.")


class PromotionBody(GoalBody):
    """What a promotion is asked with."""

    force: bool = Field(False, description="Go on where gates fail; the history says so. Takes approver.")
    data: str | None = Field(None, description="A table of the studio that gates judge on.")


class AnswerBody(BaseModel):
    """What is said to a request."""

    reason: str = Field("", max_length=10_000)
    to: str | None = Field(None, description="The stage, where several requests are open.")


class RollbackBody(ReasonBody):
    """Which way back."""

    stage: str = "production"
    to_version: int | None = Field(None, description="One that was there at some time; else the one before.")


class JudgingBody(BaseModel):
    """What the gates are asked with."""

    to: str = Field(description="The stage whose gates are meant.")
    data: str | None = Field(None, description="A table of the studio to judge by; else the test rows.")


class ServiceBody(BaseModel):
    """What a service is started with."""

    name: str
    words: list[str] = Field(
        default=[],
        description="What follows `tabstudio serve`: models:/NAME@STAGE and options. Empty: as it was.",
    )


class Card(JsonShape):
    """A model card."""

    model_config = ConfigDict(extra="allow")

    address: str
    card: str = Field(description="Markdown.")


class ComparisonReport(JsonShape):
    """Two models side by side."""

    text: str = Field(description="The report for a terminal.")
    comparison: dict[str, Any] = Field(description="Every figure, interval and difference.")


class Log(JsonShape):
    """The last lines of a service's output."""

    lines: list[str]


class Gone(JsonShape):
    """It is not there any more."""

    status: Literal["removed"] = "removed"


class Problem(BaseModel):
    """What stood in the way."""

    code: str = Field(description="A word for programs: not_found, conflict, gates_failed, forbidden, ...")
    message: str = Field(description="What was expected, what came and what to do, for people.")
    gates: list[dict[str, Any]] | None = Field(None, description="With gates_failed: what each gate found.")


class Refusal(BaseModel):
    """The one shape of errors."""

    error: Problem
