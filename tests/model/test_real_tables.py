"""Every real table is encoded soundly, and the same after the encoder went through JSON."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tabstudio.model.column_encoders import DateColumn, NumberColumn
from tabstudio.model.encoder import Encoder
from tabstudio.model.profile import profile
from tabstudio.table import read

INDEX = Path(__file__).resolve().parents[3] / "shared" / "data" / "INDEX.csv"
TABLES = (
    [(r["file"], r["target"]) for r in csv.DictReader(INDEX.read_text().splitlines())]
    if INDEX.exists()
    else []
)


@pytest.mark.parametrize(("file", "target"), TABLES, ids=[file.split(".")[0] for file, _ in TABLES])
def test_a_real_table_is_encoded_to_finite_numbers_and_codes_in_range(
    real_tables: Path, file: str, target: str
) -> None:
    table = read(real_tables / file, target=target)
    encoder = Encoder.fit(table.frame, table.schema, "robust")
    inputs = encoder.encode(table.frame)
    days = [column.days if isinstance(column, DateColumn) else column for column in encoder.writers]
    heavy = [column.name for column in days if isinstance(column, NumberColumn) and column.scale.log]
    bound = np.array([25.0 if name in heavy else 3.001 for name in encoder.names])
    assert (np.abs(inputs.numbers) < bound).all()
    for place, cardinality in enumerate(encoder.cardinalities):
        assert 0 <= int(inputs.codes[:, place].min()) <= int(inputs.codes[:, place].max()) < cardinality
    assert inputs.unseen == inputs.gaps == {}
    assert Encoder.from_json(json.loads(json.dumps(encoder.to_json(), allow_nan=False))) == encoder
    json.dumps(profile(table.frame, table.schema), allow_nan=False)
