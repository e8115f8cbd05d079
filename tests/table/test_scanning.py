"""A file of any length comes in pieces that add up to the whole."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import polars as pl
import pytest

from tabstudio.errors import DataError, InputError
from tabstudio.table import Table, conform, read, scan

ROWS = 2500


@pytest.fixture
def text() -> str:
    lines = ["a,text,n"]
    lines += [f'{row}.5,"line {row},\nnext ""{row}""",{row % 7 or ""}' for row in range(ROWS)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def table(text: str, tmp_path: Path) -> Table:
    path = tmp_path / "whole.csv"
    path.write_text(text)
    return read(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_pieces_of_text_add_up(encoding, end, text, table, tmp_path, monkeypatch):
    monkeypatch.setattr("tabstudio.table.chunked_reader._BLOCK", 1000)
    path = tmp_path / "scan.csv.gz"
    path.write_bytes(gzip.compress(text.replace("\n", end).replace(f",{end}", ",\n").encode(encoding)))
    pieces = list(scan(path, table.schema, rows=100))
    assert max(piece.height for piece in pieces) <= 100
    assert pieces[0].columns == ["a", "text", "n"]
    whole = conform(pl.concat(pieces), table.schema)
    assert whole.equals(conform(table.frame, table.schema))


def test_bare_carriage_returns(tmp_path, monkeypatch):
    path = tmp_path / "old.csv"
    path.write_bytes(b"a,b\r" + b"1,x\r2,y\r" * 500)
    monkeypatch.setattr("tabstudio.table.chunked_reader._BLOCK", 100)
    schema = read(path).schema
    assert sum(piece.height for piece in scan(path, schema)) == 1000


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_typed_files_and_folders(ending, table, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for part in range(2):
        frame = table.frame[part * 1250 : (part + 1) * 1250]
        path = folder / f"{part}.{ending}"
        frame.write_parquet(path, row_group_size=500) if ending == "parquet" else frame.write_ipc(path)
    pieces = list(scan(folder, table.schema, rows=400))
    assert max(piece.height for piece in pieces) <= 400
    assert pl.concat(pieces).equals(table.frame)


def test_frames_in_memory(table):
    assert [piece.height for piece in scan(table.frame, table.schema, rows=1000)] == [1000, 1000, 500]


def test_a_lacking_column_is_named_before_the_first_row(table, tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("text,n\n1,2\n")
    with pytest.raises(InputError, match=r"other\.csv: columns are missing: 'a'"):
        next(scan(path, table.schema))


def test_ragged_rows_are_named_by_their_line_in_the_file(tmp_path, monkeypatch):
    path = tmp_path / "ragged.csv"
    path.write_text("a,b\n" + "1,2\n" * 500 + "1,2,3\n" + "1,2\n")
    schema = read({"a": [1, 2], "b": [1, 2]}).schema
    monkeypatch.setattr("tabstudio.table.chunked_reader._BLOCK", 100)
    with pytest.raises(DataError, match="line 502: 3 cells"):
        list(scan(path, schema))


@pytest.mark.parametrize("block", [1 << 22, 7])
def test_a_record_of_empty_cells_is_a_row_and_an_empty_line_is_none(block, tmp_path, monkeypatch):
    monkeypatch.setattr("tabstudio.table.chunked_reader._BLOCK", block)
    path = tmp_path / "t.csv"
    path.write_bytes(b'a,b\n1,x\n\n,\n2,"y\n\nz"\r\n\r\n,\n\n')
    schema = read({"a": [1, 2, 1, 2], "b": ["x", "y", "x", "y"]}).schema
    frame = pl.concat(list(scan(path, schema)))
    assert frame.rows() == [("1", "x"), (None, None), ("2", "y\n\nz"), (None, None)]


def test_a_ragged_row_after_an_empty_line_is_named_by_its_line(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n\n\n3,4,5\n")
    schema = read({"a": [1, 2, 1, 2], "b": [1, 2, 1, 3]}).schema
    with pytest.raises(DataError, match="line 5: 3 cells"):
        list(scan(path, schema))


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("tabstudio.table.chunked_reader._BLOCK", 1 << 14)
    monkeypatch.setattr("tabstudio.table.chunked_reader.HEAD", 1 << 14)
    schema = read({"a": [1, 2], "b": ["x", "y"]}).schema
    path = tmp_path / "long.csv"
    path.write_text("a,b\n" + "1,some words\n" * 200_000)
    tracemalloc.start()
    assert sum(piece.height for piece in scan(path, schema)) == 200_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < path.stat().st_size / 4
