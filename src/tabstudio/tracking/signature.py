"""A model's schema as an MLflow signature: names and types of its inputs and outputs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tabstudio.table.schema import Column, Label, Schema, Target

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

_TYPES = {"boolean": "boolean", "date": "datetime", "category": "string", "text": "string"}


def input_columns(schema: Schema) -> list[tuple[str, str]]:
    """Name and MLflow type of each feature.

    An integer column that had gaps is `double`: pandas keeps it as floats, and MLflow would refuse them as
    `long`. A category keeps the type of its labels, so that numbered categories pass as numbers.
    """
    return [(column.name, _type(column)) for column in schema.features]


def _type(column: Column) -> str:
    integers = column.dtype.startswith(("Int", "UInt"))
    if column.kind == "number" or (column.kind == "category" and integers):
        return "long" if integers and not column.missing else "double"
    if column.kind == "category" and column.dtype.startswith("Float"):
        return "double"
    return _TYPES[column.kind]


def output_columns(target: Target) -> list[tuple[str, str]]:
    """Name and MLflow type of each column that a prediction has."""
    if target.task == "regression":
        return [("prediction", "double")]
    labels = [("prediction", _label_type(target.classes))]
    return labels + [(f"probability_{label}", "double") for label in target.classes]


def _label_type(classes: tuple[Label, ...]) -> str:
    for kind, name in ((bool, "boolean"), (int, "long"), (float, "double")):
        if all(type(label) is kind for label in classes):
            return name
    return "string"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Spec of an input or output tensor: NumPy's name of its type, -1 for free sizes."""

    name: str
    dtype: str
    shape: tuple[int, ...]


def tensor_columns(specs: Sequence[TensorSpec]) -> list[dict[str, object]]:
    """Tensors as MLflow writes them down. A single one has no name."""
    several = len(specs) > 1
    return [
        {
            **({"name": spec.name} if several else {}),
            "type": "tensor",
            "tensor-spec": {"dtype": spec.dtype, "shape": list(spec.shape)},
        }
        for spec in specs
    ]


def mlflow_tensors(inputs: list[dict[str, object]], outputs: list[dict[str, object]]) -> ModelSignature:
    """Build an `mlflow.models.ModelSignature` of tensors that `tensor_columns` wrote down."""
    from mlflow.models import ModelSignature

    return ModelSignature.from_dict({"inputs": json.dumps(inputs), "outputs": json.dumps(outputs)})


def mlflow_signature(inputs: list[tuple[str, str]], outputs: list[tuple[str, str]]) -> ModelSignature:
    """Build an `mlflow.models.ModelSignature` of named columns."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec
    from mlflow.types import Schema as Columns

    def columns(pairs: list[tuple[str, str]]) -> Columns:
        return Columns([ColSpec(kind, name) for name, kind in pairs])

    return ModelSignature(inputs=columns(inputs), outputs=columns(outputs))
