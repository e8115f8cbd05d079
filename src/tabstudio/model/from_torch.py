"""Builds a model of raw rows from a user's own trained network and preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from tabstudio.errors import ModelError
from tabstudio.model.graph_network import Graph, graph_of
from tabstudio.model.inference.head import OutputHead
from tabstudio.model.predictor import Model
from tabstudio.model.preprocessing import Preprocessing, taken
from tabstudio.model.profile import profile
from tabstudio.model.torch_export import evaluating_copy, exported, untouched_random_state
from tabstudio.table import conform
from tabstudio.table.schema import Column, Label, Schema, Target

PROBE_ROWS = 7
TOLERANCE = 1e-5


def model_from_torch(
    module: nn.Module,
    *,
    preprocessor: object = None,
    columns: Sequence[str] | None = None,
    classes: object = None,
    answers: str | None = None,
    target: str = "target",
    positive: Label | None = None,
    threshold: float | None = None,
    rows: object = None,
) -> Model:
    """A model of raw rows: `preprocessor`, then `module` in evaluation mode on the CPU, then the labels.

    The module maps (rows, inputs) to (rows, outputs) or (rows,). `classes` are the labels in the order of its
    outputs, a fitted `LabelEncoder` or `OneHotEncoder`'s categories included; none makes it a regression.
    `answers` says what the module gives: `logits`, `probabilities` or `values`; left out, it is what its last
    operator says. `rows` are raw rows as they came from the file, the training rows at best: they give the
    model its reference profile, and the steps are held against scikit-learn's own on them.

    Nothing of what is handed over is changed, nor the random state.

    Raises `ModelError` saying what cannot be kept as data, and what to do instead.
    """
    raw = None if rows is None else named(rows, columns)
    preprocessing, features = taken(preprocessor, columns, _is_single(rows))
    labels = _labels(classes)
    goal = _target(target, labels, positive)
    schema = Schema((*features, Column(target, "category" if labels else "number", "target")), goal)
    with untouched_random_state():
        pack = _graph(module, preprocessing.width, answers, labels, goal)
        if _answers_gaps(pack, preprocessing.width):
            preprocessing = preprocessing.missing_taken()
    model = Model(schema, preprocessing, pack, OutputHead(goal, threshold=threshold))
    if raw is not None:
        frame = conform(raw, schema)
        _check_steps(preprocessing, preprocessor, rows, frame)
        model.profile = profile(frame, schema)
    return model


def named(rows: Any, columns: Sequence[str] | None) -> Any:
    """Return rows with column names; those of an array are `columns`."""
    if isinstance(rows, np.ndarray) and columns is not None:
        return {name: rows[:, index] for index, name in enumerate(columns)}
    return rows


def _is_single(rows: object) -> bool:
    """Whether the rows that were trained on were float32 throughout."""
    dtype = getattr(rows, "dtype", None)
    kinds = [dtype] if dtype is not None else list(getattr(rows, "dtypes", ()))
    return bool(kinds) and all(str(kind).lower() == "float32" for kind in kinds)


def _labels(classes: Any) -> tuple[Label, ...]:
    if classes is None:
        return ()
    labels = getattr(classes, "classes_", classes)
    plain = [label.item() if isinstance(label, np.generic) else label for label in labels]
    if len(plain) < 2 or len(set(plain)) != len(plain):
        raise ModelError(f"classes: two labels or more were expected, each once, got {plain}")
    return tuple(plain)


def _target(name: str, labels: tuple[Label, ...], positive: Label | None) -> Target:
    if not labels:
        return Target(name, "regression", reason="no classes were named")
    if len(labels) > 2:
        return Target(name, "multiclass", labels, reason=f"{len(labels)} classes were named")
    if positive is not None and positive != labels[1]:
        raise ModelError(
            f"positive: the second of the classes {list(labels)} was expected, since a network's one output "
            f"is that of the second; got {positive!r}"
        )
    return Target(name, "binary", labels, labels[1], "two classes were named")


def _graph(
    module: nn.Module, width: int, answers: str | None, labels: tuple[Label, ...], goal: Target
) -> Graph:
    """The module as a graph that gives what it gives. Raises `ModelError` where it does not."""
    probe = torch.randn(PROBE_ROWS, width, generator=torch.Generator().manual_seed(0))
    twin = evaluating_copy(module)
    if not any(True for _ in twin.parameters()):
        raise ModelError("a network with parameters was expected, this module has none")
    with torch.no_grad():
        expected = _tried(twin, probe, width)
    try:
        program = exported(twin, (probe,))
    except ModelError as error:
        raise ModelError(f"the network cannot be kept as a graph of operators: {error}") from error
    graph = Graph(*graph_of(program, answers, len(labels)), goal.outputs).eval()
    with torch.no_grad():
        _same(graph, probe, expected)
        _same(graph, probe[:1].repeat(3, 1), twin(probe[:1].repeat(3, 1)))
        _check_answers(graph, expected)
        graph(probe, probe)
    return graph


def _tried(twin: nn.Module, probe: Tensor, width: int) -> Tensor:
    try:
        answer = twin(probe)
    except Exception as error:
        raise ModelError(
            f"the network does not take what the preprocessing gives, float32 rows of {width} columns: "
            f"{error}. Was the preprocessor that it was trained with handed over?"
        ) from error
    if not isinstance(answer, Tensor):
        raise ModelError(
            f"a network that gives one tensor was expected, this one gives {type(answer).__name__}"
        )
    return answer


def _same(graph: Graph, rows: Tensor, expected: Tensor) -> None:
    answer = graph.answer(rows)
    if answer.shape != expected.shape or not torch.allclose(
        answer, expected, TOLERANCE, TOLERANCE, equal_nan=True
    ):
        raise ModelError(
            "the network's graph does not give what the network gives: it draws random numbers in evaluation "
            "mode, or its path through the code depends on values"
        )


def _check_answers(graph: Graph, answer: Tensor) -> None:
    if graph.answers == "probabilities" and not bool(((answer >= 0) & (answer <= 1)).all()):
        raise ModelError("answers: probabilities were announced, but the network gives others than 0 to 1")


def _answers_gaps(graph: Graph, width: int) -> bool:
    """Whether the network, when every column is missing, still has an answer."""
    with torch.no_grad():
        answer = graph.answer(torch.full((2, width), torch.nan))
    return bool(torch.isfinite(answer).all())


def _check_steps(preprocessing: Preprocessing, preprocessor: Any, rows: Any, frame: pl.DataFrame) -> None:
    """Compare the imported steps with the transformer itself, where it accepts the rows as they are."""
    if preprocessor is None:
        return
    inputs = rows[list(preprocessing.columns)] if hasattr(rows, "columns") else rows
    if not hasattr(preprocessor, "feature_names_in_"):
        inputs = np.asarray(inputs)
    theirs = preprocessor.transform(inputs)
    theirs = np.asarray(theirs.toarray() if hasattr(theirs, "toarray") else theirs, dtype=np.float64)
    ours = preprocessing.transform(frame)
    if theirs.shape != ours.shape or not np.allclose(ours, theirs, TOLERANCE, TOLERANCE, equal_nan=True):
        raise ModelError(
            "preprocessor: what is kept of it as data does not give its own figures on these rows; "
            f"it gives {theirs.shape}, this {ours.shape}. Please report it"
        )
