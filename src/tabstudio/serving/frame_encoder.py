"""Raw rows to the tensor of a network that was trained by hand, through the steps kept beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tabstudio.model.preprocessing import Preprocessing
from tabstudio.serving.contract import Row
from tabstudio.serving.row_encoder import Warnings
from tabstudio.table import conform
from tabstudio.table.schema import Schema

Array = npt.NDArray[Any]


class FrameEncoder:
    """Stands where `RowEncoder` stands. The steps know no row that is odd, they take it or refuse it."""

    def __init__(self, schema: Schema, preprocessing: Preprocessing) -> None:
        self.schema, self.preprocessing = schema, preprocessing
        self.names = tuple(column.name for column in schema.features)

    def encode(self, rows: Sequence[Row], parsed: Mapping[str, pl.Series]) -> tuple[Array, Array, Warnings]:
        """Numbers float32 (n, d), codes int64 (n, 0), and no warnings.

        Raises `InputError` where a step refuses a value, or a gap is left that nothing fills.
        """
        columns = dict(zip(self.names, map(list, zip(*rows, strict=True)), strict=True))
        frame = conform({**columns, **parsed}, self.schema)
        numbers = np.asarray(self.preprocessing.encode(frame).numbers)
        return numbers, np.empty((len(rows), 0), dtype=np.int64), {}
