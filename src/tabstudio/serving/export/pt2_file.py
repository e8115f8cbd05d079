"""A model as a PyTorch program (`torch.export`), loaded without tabstudio.

    program = torch.export.load("model.pt2", extra_files=(about := {"tabstudio.json": ""}))
    label, probabilities = program.module()(numbers, categories)

`about` names the columns in their order and the levels of each category: a category goes in as the index of
its level, -1 where it is missing, any other number where it is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tabstudio.errors import ModelError
from tabstudio.model.predictor import Model
from tabstudio.serving.export.tensor_program import (
    NO_VALUE,
    TensorProgram,
    columns_of,
    example,
    facts,
    first_line,
    known,
    quiet,
)
from tabstudio.serving.export.verification import FileAnswer, Rows

ABOUT = "tabstudio.json"


def write(model: Model, path: Path) -> None:
    """Write the file. Raises `ConfigError` for columns that cannot go inside."""
    import torch

    columns = columns_of(model)
    inputs, shapes = example(columns)
    about = facts(model) | {
        "numbers": [column.name for column in columns.numbers],
        "categories": {column.name: list(known(column)) for column in columns.categories},
    }
    try:
        with quiet():
            program = torch.export.export(TensorProgram(model, columns).eval(), inputs, dynamic_shapes=shapes)
            torch.export.save(program, path, extra_files={ABOUT: json.dumps(about)})
    except OSError:
        raise
    except Exception as error:
        raise ModelError(f"the network cannot be written as a program: {first_line(error)}") from error


def open_for(model: Model, path: Path) -> Callable[[Rows], FileAnswer]:
    """A function that predicts the rows of a table with the written file, as a user would."""
    import torch

    extra = {ABOUT: ""}
    program = torch.export.load(path, extra_files=extra).module()
    about = json.loads(extra[ABOUT])

    def predict(rows: Rows) -> FileAnswer:
        count = len(next(iter(rows.values())))
        numbers = np.full((count, len(about["numbers"])), np.nan)
        for i, name in enumerate(about["numbers"]):
            numbers[:, i] = [np.nan if v is None else float(v) for v in rows[name]]
        categories = np.empty((count, len(about["categories"])), dtype=np.int64)
        for i, (name, levels) in enumerate(about["categories"].items()):
            numbered = {level: number for number, level in enumerate(levels)} | {None: NO_VALUE}
            categories[:, i] = [numbered.get(value, len(levels)) for value in rows[name]]
        with torch.inference_mode():
            answers = program(torch.from_numpy(numbers), torch.from_numpy(categories))
        if model.target.task == "regression":
            return None, answers.numpy()
        return np.asarray(model.classes, dtype=object)[answers[0].numpy()], answers[1].numpy()

    return predict
