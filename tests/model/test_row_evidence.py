"""A bundle's evidence: kept whole, small, and enough to know rows again."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from tabstudio.errors import ModelError
from tabstudio.model import bundle, bundle_files, predictor
from tabstudio.model.row_evidence import MOST_CELLS, RowEvidence, feature_keys


@pytest.fixture
def evidence(model, rows):
    numbers = np.arange(len(rows))
    predictions = np.full((len(rows), 2), 0.5)
    return RowEvidence.of(model.schema, rows.head(2), rows, numbers, numbers % 2, predictions)


@pytest.fixture
def folder(model, evidence, tmp_path):
    model.evidence = evidence
    return model.save(tmp_path / "model")


def test_evidence_comes_back_from_the_bundle(folder, evidence, model, rows):
    for found in (predictor.load(folder).evidence, bundle.record(folder).evidence):
        for name, array in evidence.tensors().items():
            np.testing.assert_array_equal(found.tensors()[name], array)
    assert found.trained.contains(feature_keys(rows.head(2), model.schema)).all()
    assert predictor.load(folder).to_bytes() == model.to_bytes()


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_damaged_evidence_is_refused_by_name(folder, damage):
    path = folder / bundle_files.EVIDENCE
    data = path.read_bytes()
    path.unlink()
    if damage == "changed":
        path.write_bytes(data[:-1] + b"\1")
    for read in (predictor.load, bundle.record):
        with pytest.raises(ModelError, match=rf"evidence\.safetensors (was|is) {damage}"):
            read(folder)


def test_evidence_that_the_manifest_does_not_list_is_refused(model, folder, tmp_path):
    model.evidence = None
    plain = model.save(tmp_path / "plain")
    (plain / bundle_files.EVIDENCE).write_bytes((folder / bundle_files.EVIDENCE).read_bytes())
    with pytest.raises(ModelError, match=r"evidence\.safetensors does not belong"):
        bundle.record(plain)


def test_a_very_large_test_part_is_thinned(model, rows):
    count = MOST_CELLS
    frame = pl.concat([rows] * (count // len(rows) + 1))[:count]
    numbers = np.arange(count)
    found = RowEvidence.of(model.schema, rows, frame, numbers, numbers % 2, np.zeros((count, 2)))
    assert found.predictions.size <= MOST_CELLS
    assert found.numbers[:3].tolist() == [0, 2, 4]
    assert len(found.keys) == len(found.labels) == len(found.predictions)


def test_a_record_is_read_without_torch(folder, model):
    code = (
        f"import sys; from tabstudio.model.bundle import record; r = record({str(folder)!r});"
        "print('torch' in sys.modules, r.schema.target.name, sorted(r.sizes), r.digest)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy, target, *_, digest = told.split()
    assert (heavy, target, digest) == ("False", model.target.name, bundle.digest(folder))
    assert json.loads((folder / "network.json").read_text()) == bundle.record(folder).network
