"""A model as ONNX: one input per column, numbers and words as they stand in a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tabstudio._version import __version__
from tabstudio.errors import MissingExtraError, ModelError
from tabstudio.model.predictor import Model
from tabstudio.serving.export.tensor_program import (
    NO_VALUE,
    ProgramColumns,
    TensorProgram,
    columns_of,
    example,
    facts,
    first_line,
    known,
    quiet,
)
from tabstudio.serving.export.verification import Array, FileAnswer, Rows

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto

OPSET, ML_OPSET, IR = 20, 3, 10
INSIDE = "tabstudio/"
"""Prefix of every name within the graph, so that no column has the same."""


def need_onnx() -> None:
    """Raise `MissingExtraError` where the libraries of the extra are not installed."""
    try:
        import onnx
        import onnxruntime
        import onnxscript
    except ImportError as error:
        raise MissingExtraError(
            f"ONNX files need the package {error.name}: pip install 'tabstudio[onnx]'"
        ) from error
    del onnx, onnxruntime, onnxscript


def write(model: Model, path: Path) -> None:
    """Write the file. Raises `ConfigError` for columns that cannot go inside."""
    need_onnx()
    import onnx

    columns = columns_of(model)
    graph = _network(model, columns)
    last, outputs = _answers(model, columns)
    first = [*_numbers(columns), *_categories(model, columns), *_fillers(columns, graph)]
    nodes = [*first, *graph.node, *last]
    whole = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "tabstudio", _inputs(columns), outputs, graph.initializer),
        producer_name="tabstudio",
        producer_version=__version__,
        opset_imports=[onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
        ir_version=IR,
    )
    onnx.helper.set_model_props(whole, {"tabstudio": json.dumps(facts(model))})
    onnx.checker.check_model(whole, full_check=True)
    onnx.save(whole, path)


def open_for(model: Model, path: Path) -> Callable[[Rows], FileAnswer]:
    """A function that predicts the rows of a table with the written file, as a user would."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def predict(rows: Rows) -> FileAnswer:
        inputs = {i.name: _tensor(rows[i.name], i.type) for i in session.get_inputs()}
        answers = session.run(None, inputs)
        return (None, answers[0]) if model.target.task == "regression" else (answers[0], answers[1])

    return predict


def _network(model: Model, columns: ProgramColumns) -> GraphProto:
    """The graph of the program, from numbers and level numbers on, every name with `INSIDE` before it."""
    import onnx
    import torch

    inputs, shapes = example(columns)
    try:
        with quiet():
            program = torch.onnx.export(
                TensorProgram(model, columns).eval(),
                inputs,
                dynamo=True,
                dynamic_shapes=shapes,
                opset_version=OPSET,
                input_names=["numbers", "categories"],
                output_names=["value"] if model.target.task == "regression" else ["place", "probabilities"],
                verbose=False,
            )
    except Exception as error:
        raise ModelError(f"the network cannot be written as ONNX: {first_line(error)}") from error
    assert program is not None
    return onnx.compose.add_prefix(program.model_proto, INSIDE).graph


def _inputs(columns: ProgramColumns) -> list[ValueInfoProto]:
    from onnx import TensorProto, helper

    kinds = {c.name: TensorProto.DOUBLE for c in columns.numbers}
    kinds |= {c.name: TensorProto.STRING for c in columns.categories}
    return [helper.make_tensor_value_info(name, kind, ["rows", 1]) for name, kind in kinds.items()]


def _numbers(columns: ProgramColumns) -> Iterator[NodeProto]:
    """All columns of numbers side by side (rows, numbers)."""
    from onnx import helper

    if columns.numbers:
        yield helper.make_node("Concat", [c.name for c in columns.numbers], [f"{INSIDE}numbers"], axis=1)


def _categories(model: Model, columns: ProgramColumns) -> Iterator[NodeProto]:
    """All words as level numbers, side by side (rows, categories)."""
    from onnx import helper

    levels = []
    for column in columns.categories:
        numbers = {level: number for number, level in enumerate(known(column))}
        missing = ("", *model.schema.missing_words, *model.schema[column.name].missing_words)
        numbers |= dict.fromkeys(missing, NO_VALUE)
        levels.append(f"{INSIDE}level of {column.name}")
        yield helper.make_node(
            "LabelEncoder",
            [column.name],
            levels[-1:],
            domain="ai.onnx.ml",
            keys_strings=list(numbers),
            values_int64s=list(numbers.values()),
            default_int64=len(known(column)),
        )
    if levels:
        yield helper.make_node("Concat", levels, [f"{INSIDE}categories"], axis=1)


def _fillers(columns: ProgramColumns, graph: GraphProto) -> Iterator[NodeProto]:
    """What the network wants of a kind that the table has no column of: a tensor (rows, 0)."""
    from onnx import TensorProto, helper

    wanted = {name for node in graph.node for name in node.input}
    kinds = {"numbers": TensorProto.DOUBLE, "categories": TensorProto.INT64}
    empty = [name for name in kinds if not getattr(columns, name) and INSIDE + name in wanted]
    for name in empty:
        (other,) = kinds.keys() - {name}
        bounds = [f"{INSIDE}bound {number}" for number in range(3)]
        for bound, value in zip(bounds, (0, 0, 1), strict=True):
            yield helper.make_node("Constant", [], [bound], value_ints=[value])
        yield helper.make_node("Slice", [INSIDE + other, *bounds], [f"{INSIDE}nothing"])
        yield helper.make_node("Cast", [f"{INSIDE}nothing"], [INSIDE + name], to=kinds[name])


def _answers(model: Model, columns: ProgramColumns) -> tuple[list[NodeProto], list[ValueInfoProto]]:
    """The last nodes, which give labels their names, and the graph's outputs."""
    from onnx import TensorProto, helper

    input_names = {info.name for info in _inputs(columns)}
    value, label, probabilities = (
        f"predicted {name}" if name in input_names else name for name in ("value", "label", "probabilities")
    )
    if model.target.task == "regression":
        return [helper.make_node("Identity", [f"{INSIDE}value"], [value])], [
            helper.make_tensor_value_info(value, TensorProto.DOUBLE, ["rows"])
        ]
    classes = _label_tensor(model)
    nodes = [
        helper.make_node("Constant", [], [f"{INSIDE}classes"], value=classes),
        helper.make_node("Gather", [f"{INSIDE}classes", f"{INSIDE}place"], [label]),
        helper.make_node("Identity", [f"{INSIDE}probabilities"], [probabilities]),
    ]
    shares = helper.make_tensor_value_info(probabilities, TensorProto.DOUBLE, ["rows", len(model.classes)])
    return nodes, [helper.make_tensor_value_info(label, classes.data_type, ["rows"]), shares]


def _label_tensor(model: Model) -> TensorProto:
    """The class labels in their own type; labels of several types as text."""
    from onnx import TensorProto, helper

    kinds = {
        str: TensorProto.STRING,
        int: TensorProto.INT64,
        float: TensorProto.DOUBLE,
        bool: TensorProto.BOOL,
    }
    types = {type(label) for label in model.classes}
    kind = kinds[types.pop()] if len(types) == 1 else TensorProto.STRING
    words = kind == TensorProto.STRING
    values: Any = [str(label).encode() if words else label for label in model.classes]
    return helper.make_tensor("classes", kind, [len(values)], values)


def _tensor(values: list[Any], kind: str) -> Array:
    if kind == "tensor(string)":
        cells: Array = np.array(["" if v is None else str(v) for v in values], dtype=object)
    else:
        cells = np.array([np.nan if v is None else float(v) for v in values], dtype=np.float64)
    return cells.reshape(-1, 1)
