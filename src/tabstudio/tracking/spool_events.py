"""The lines of a run's journal except metric points: one JSON object each, of the type that `kind` names."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class ValuesEvent(TypedDict):
    """Parameters (`params`) or tags (`tags`)."""

    values: dict[str, str]


class ArtifactEvent(TypedDict):
    """Files in the folder `place` of the spool, which go to the folder `to` of the run."""

    place: str
    to: str


class DatasetEvent(TypedDict):
    """A data set that the run has read."""

    name: str
    fingerprint: str
    schema: dict[str, object]
    rows: int
    source: str
    context: str


class ModelEvent(TypedDict):
    """A model in the folder `place` of the spool; `network` is PyTorch's version where it is no bundle.

    `inputs` and `outputs` are pairs of names and types of a bundle, MLflow's tensor specs of a network.
    """

    place: str
    registered_name: str | None
    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]
    dataset: tuple[str, str] | None
    time: int
    inputs: Any
    outputs: Any
    example: Any
    network: NotRequired[str | None]
    name: str
    card: str
    step: int


class FinishEvent(TypedDict):
    """The end of the run; `time` is in milliseconds since 1970."""

    status: str
    time: int
    notes: list[str]
