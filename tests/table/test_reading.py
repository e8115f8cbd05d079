"""One table, however it is written down."""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
import lzma
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tabstudio.errors import ConfigError, DataError
from tabstudio.options import ReadConfig
from tabstudio.table import Schema, read

ROWS = 40


def content(separator: str = ",", end: str = "\n", mark: str = ".") -> str:
    lines = [separator.join(["size", "colour", "when", "sold"])]
    for row in range(ROWS):
        colour = ["red", "blue", "Grün"][row % 3]
        number = "" if row == 7 else f"{row}.5".replace(".", mark)
        day = f"2024-01-{row % 28 + 1:02d}"
        lines.append(separator.join([number, colour, day, "yes" if row % 4 else "no"]))
    return end.join(lines) + end


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.csv"
    path.write_bytes(content().encode())
    return path


@pytest.fixture
def expected(plain: Path) -> str:
    return read(plain).fingerprint


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", ", "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends_make_no_difference(separator, end, tmp_path, expected):
    path = tmp_path / "table.txt"
    path.write_bytes(content(separator, end).encode())
    table = read(path)
    assert table.fingerprint == expected
    assert table.source.separator == separator[0]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1252"])
def test_encodings_make_no_difference(encoding, tmp_path, expected):
    path = tmp_path / "table.csv"
    path.write_bytes(content().encode(encoding))
    assert read(path).fingerprint == expected


@pytest.mark.parametrize(
    ("ending", "pack"),
    [
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
        (".zst", lambda data: pa.compress(data, "zstd", asbytes=True)),
    ],
)
def test_packed_files_make_no_difference(ending, pack, tmp_path, expected):
    path = tmp_path / f"table.csv{ending}"
    path.write_bytes(pack(content().encode()))
    assert read(path).fingerprint == expected


def test_typed_files_folders_and_globs_make_no_difference(plain, tmp_path, expected):
    frame = read(plain).frame
    frame.write_parquet(tmp_path / "table.parquet")
    frame.write_ipc(tmp_path / "table.arrow")
    assert read(tmp_path / "table.parquet").fingerprint == expected
    assert read(str(tmp_path / "table.arrow")).fingerprint == expected
    folder = tmp_path / "parts"
    folder.mkdir()
    for part in range(4):
        frame[part * 10 : part * 10 + 10].write_csv(folder / f"part-{part}.csv")
    assert read(folder).fingerprint == expected
    assert read(str(folder / "part-*.csv")).fingerprint == expected
    assert len(read(folder).source.files) == 4


@pytest.mark.parametrize(
    "form", ["polars", "lazy", "pandas", "nullable", "arrow", "columns", "rows", "chunks"]
)
def test_frames_in_memory_make_no_difference(form, plain, expected):
    frame = read(plain).frame
    forms = {
        "polars": lambda: frame,
        "lazy": frame.lazy,
        "pandas": frame.to_pandas,
        "nullable": lambda: frame.to_pandas().convert_dtypes(),
        "arrow": frame.to_arrow,
        "columns": lambda: frame.to_dict(as_series=False),
        "rows": frame.to_dicts,
        "chunks": lambda: pl.concat([frame[:13], frame[13:]], rechunk=False),
    }
    table = read(forms[form]())
    if form in ("pandas", "nullable"):
        assert table.schema["when"].kind == "date"
        table = read(table.frame.with_columns(pl.col("when").cast(pl.Date)))
    assert table.fingerprint == expected


def test_numpy_arrays_are_tables():
    table = read(np.arange(40, dtype=np.float32).reshape(20, 2) / 3)
    assert table.schema.names == ("x0", "x1")
    structured = np.array([(1, 2.5), (2, 3.5)], dtype=[("a", "i4"), ("b", "f8")])
    assert read(structured).frame.to_dict(as_series=False) == {"a": [1, 2], "b": [2.5, 3.5]}


def test_pandas_categories_nullables_and_odd_names():
    frame = pd.DataFrame({0: pd.Categorical(["a", "b", "a"]), " b ": pd.array([1, None, 3], dtype="Int32")})
    frame["mixed"] = pd.Series(["x", 2.0, None], dtype=object)
    table = read(frame)
    assert table.frame.to_dict(as_series=False) == {
        "0": ["a", "b", "a"],
        "b": [1, None, 3],
        "mixed": ["x", "2", None],
    }


def test_pandas_times_with_a_zone_are_utc_and_durations_seconds():
    times = pd.to_datetime(["2020-01-01", "2021-07-01"]).tz_localize("Europe/Berlin")
    frame = pd.DataFrame({"t": times, "d": pd.to_timedelta([1, 2], unit="s")})
    assert read(frame).frame.rows() == [
        (dt.datetime(2019, 12, 31, 23), 1.0),
        (dt.datetime(2021, 6, 30, 22), 2.0),
    ]


def test_integer_width_and_text_type_do_not_change_the_fingerprint():
    wide = pa.table(
        {"a": pa.array([1, 2, None], pa.int64()), "b": pa.array(["x", None, "z"], pa.large_string())}
    )
    narrow = pa.table({"a": pa.array([1, 2, None], pa.int32()), "b": pa.array(["x", None, "z"], pa.string())})
    assert read(wide).fingerprint == read(narrow).fingerprint


@pytest.mark.parametrize(
    "other",
    [
        {"a": [1, 2, 4], "b": ["x", None, "z"]},
        {"a": [1, 2, None], "b": ["x", None, "z"]},
        {"a": [1, 2, 3], "b": ["x", "z", None]},
        {"a": [1.5, 2, 3], "b": ["x", None, "z"]},
        {"a": [1, 2, 3], "c": ["x", None, "z"]},
        {"b": ["x", None, "z"], "a": [1, 2, 3]},
        {"a": [1, 2, 3], "b": ["xz", None, ""]},
        {"a": [3, 2, 1], "b": ["z", None, "x"]},
    ],
)
def test_the_fingerprint_sees_every_change(other):
    assert read(other).fingerprint != read({"a": [1, 2, 3], "b": ["x", None, "z"]}).fingerprint


@pytest.mark.parametrize(
    ("cells", "values", "form"),
    [
        (["1,5", "-2,25", "1.000,5", "7"], [1.5, -2.25, 1000.5, 7.0], "decimal comma"),
        (["1,200", "3", "1,000,000"], [1200, 3, 1000000], "thousands"),
        (["1,200.5", "3"], [1200.5, 3.0], "thousands"),
        (["0,125", "0,250"], [0.125, 0.25], "decimal comma"),
        (["$1,250.50", "$3", "-$12,000"], [1250.5, 3, -12000], "$#, thousands"),
        (["1.250,5 €", "7 €"], [1250.5, 7.0], "# €, decimal comma"),
        (["13.56%", "7%"], [13.56, 7.0], "#%"),
        (["1 year", "12 years"], [1, 12], "# years"),
        (["1248 CC", "998 CC"], [1248, 998], "# CC"),
        (["8GB", "16GB", "n/a"], [8, 16, None], "#GB"),
        (["10,000+", "5+"], [10000, 5], "#+, thousands"),
        (["1,200 sq ft", "850 sq ft"], [1200, 850], "# sq ft, thousands"),
        (["€1.5M", "€565K", "€0"], [1.5e6, 565e3, 0.0], "€# k m b"),
        (["19M", "8.5k", "300"], [19e6, 8500.0, 300.0], "# k m b"),
        (["5s", "7s"], [5, 7], "#s"),
        (["13:30", "0:45", "24:00:36"], [13.5, 0.75, 24.01], "h:mm"),
        (["1:30 PM", "12:00 am", "12:45 pm"], [13.5, 0.0, 12.75], "h:mm am"),
        (["1e3", "-.5", "+2."], [1000.0, -0.5, 2.0], ""),
        (["3", "none", "unknown", "4"], [3, None, None, 4], ""),
        (["1.5", "inf", "-Infinity"], [1.5, None, None], ""),
    ],
)
def test_numbers_as_people_write_them(cells, values, form):
    table = read({"a": cells})
    assert table.schema["a"].kind == "number"
    assert table.schema["a"].format == form
    assert table.frame["a"].to_list() == values


@pytest.mark.parametrize(
    "cells",
    [
        ["12a", "12b", "14"],
        ["5 kg", "500 g"],
        ["A11", "A12"],
        ["007A", "008A"],
        ["1.2.3v", "1.2.4v"],
        ["$5", "€5"],
        ["2", "3b"],
        ["5 m", "7 ms"],
        ["5", "6s"],
        ["6s", "5"],
        ["2:1", "3:0"],
        ["10-20", "20-30"],
        ["5'11\"", "6'2\""],
    ],
)
def test_codes_ranges_and_mixed_units_are_words(cells):
    assert read({"a": cells * 3}).schema["a"].kind == "category"


@pytest.mark.parametrize(
    "word", ["", " ", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "#N/A", "<NA>"]
)
def test_missing_words(word):
    table = read({"a": ["1", word, "3"], "b": ["x", word, "y"]})
    assert table.frame.to_dict(as_series=False) == {"a": [1, None, 3], "b": ["x", None, "y"]}


def test_infinite_numbers_are_missing_and_said_so():
    for values in ([1.5, float("inf"), float("nan")], ["1.5", "inf", "NaN"]):
        table = read({"a": values})
        assert table.frame["a"].to_list() == [1.5, None, None]
        assert "1 infinite values" in table.schema["a"].reason


def test_a_byte_that_is_not_utf_8_late_in_the_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n" + b"1,plain\n" * 200_000 + "2,Grün\n".encode("latin-1"))
    table = read(path)
    assert table.frame["b"][-1] == "Grün"
    assert any("not UTF-8" in note.reason for note in table.notes)
    with pytest.raises(DataError, match=r"a\.csv.*do not fit the encoding utf-8"):
        read(path, config=ReadConfig(encoding="utf-8"))


def test_a_first_line_of_numbers_is_doubted(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("1,2\n3,4\n5,6\n")
    assert any(note.subject == "header" for note in read(path).notes)


def test_none_and_unknown_are_categories_among_words():
    table = read({"a": ["none", "unknown", "some"]})
    assert table.frame["a"].null_count() == 0


def test_missing_words_that_are_told_are_the_only_ones():
    table = read({"a": ["?", "x", "-9"]}, config=ReadConfig(missing=("-9",)))
    assert table.frame["a"].to_list() == ["?", "x", None]


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("2014-10-13", dt.date(2014, 10, 13)),
        ("13.10.2014", dt.date(2014, 10, 13)),
        ("10/13/2014", dt.date(2014, 10, 13)),
        ("13/10/2014", dt.date(2014, 10, 13)),
        ("13-Oct-2014", dt.date(2014, 10, 13)),
        ("10/13/14", dt.date(2014, 10, 13)),
        ("13/1/98", dt.date(1998, 1, 13)),
        ("13.10.14", dt.date(2014, 10, 13)),
        ("3-Oct-14", dt.date(2014, 10, 3)),
        ("10/3/14 18:57", dt.datetime(2014, 10, 3, 18, 57)),
        ("Oct 13, 2014", dt.date(2014, 10, 13)),
        ("20141013T000000", dt.datetime(2014, 10, 13)),
        ("2014-10-13 04:05:06", dt.datetime(2014, 10, 13, 4, 5, 6)),
        ("2014-10-13T04:05:06.5", dt.datetime(2014, 10, 13, 4, 5, 6, 500000)),
        ("2014-10-13T04:05:06Z", dt.datetime(2014, 10, 13, 4, 5, 6)),
        ("2014-10-13T04:05:06+02:00", dt.datetime(2014, 10, 13, 2, 5, 6)),
        ("10/13/2014 4:05:06 PM", dt.datetime(2014, 10, 13, 16, 5, 6)),
    ],
)
def test_dates(cell, moment):
    table = read({"a": [cell, "", cell]})
    assert table.schema["a"].kind == "date"
    assert table.frame["a"].to_list() == [moment, None, moment]


def test_eight_digits_are_a_date_where_the_name_says_so():
    table = read({"date": ["20141013", "20141014"], "code": ["20141013", "20141014"]})
    assert (table.schema["date"].kind, table.schema["code"].kind) == ("date", "number")


def test_true_and_false_are_boolean_and_yes_and_no_are_words():
    table = read({"a": ["TRUE", "FALSE", ""], "b": ["yes", "no", "yes"]})
    assert table.frame["a"].to_list() == [True, False, None]
    assert table.schema["b"].kind == "category"


def test_codes_of_digits_keep_their_zeros():
    table = read({"zip": ["02134", "10001", "94103"], "key": ["12345678901234567890123", "1", "2"]})
    assert table.frame["zip"].to_list() == ["02134", "10001", "94103"]
    assert table.frame["key"][0] == "12345678901234567890123"


def test_kinds_that_are_told(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("zip,size,when\n02134,3,20240101\n10001,4,20240102\n")
    config = ReadConfig(kinds={"zip": "category", "size": "category", "when": "date"})
    assert read(path, config=config).frame.to_dict(as_series=False) == {
        "zip": ["02134", "10001"],
        "size": ["3", "4"],
        "when": [dt.date(2024, 1, 1), dt.date(2024, 1, 2)],
    }


def test_names_are_stripped_and_made_unique_with_a_note(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(" a ,a,,b\n1,2,3,4\n5,6,7,8\n")
    table = read(path)
    assert table.schema.names == ("a", "a_2", "column_3", "b")
    assert {"a", "a_2", "column_3"} <= {note.subject for note in table.notes}


def test_quoted_separators_quotes_and_line_ends(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('a,b\n"x, y","say ""so"""\n"two\nlines",z\n')
    assert read(path).frame.to_dict(as_series=False) == {"a": ["x, y", "two\nlines"], "b": ['say "so"', "z"]}


def test_a_quote_inside_a_cell_is_kept(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,5" pipe\n2,x\n')
    assert read(path).frame["b"].to_list() == ['5" pipe', "x"]


def test_empty_lines_are_left_out_with_a_note(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("\na,b\n1,2\n\n3,4\n\n")
    table = read(path)
    assert table.frame["a"].to_list() == [1, 3]
    assert any("empty lines" in note.reason for note in table.notes)


def test_one_column_is_a_table(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n2\n")
    assert read(path).frame["a"].to_list() == [1, 2]


def test_ids_and_constants_are_left_out_unless_kept():
    data = {
        "id": list(range(100, 3100, 100)),
        "name": [f"n{row}" for row in range(30)],
        "one": ["x"] * 30,
        "none": [None] * 30,
        "length": [row * 1.25 for row in range(30)],
        "population": [row * row + 5 for row in range(30)],
    }
    roles = {column.name: column.role for column in read(data).schema}
    assert roles == {
        "id": "id",
        "name": "id",
        "one": "constant",
        "none": "constant",
        "length": "feature",
        "population": "feature",
    }
    kept = read(data, config=ReadConfig(keep=("id", "one"), drop=("length",))).schema
    assert (kept["id"].role, kept["one"].role, kept["length"].role) == ("feature", "feature", "dropped")
    assert all(column.reason for column in kept)


def test_a_long_file_is_read_as_a_short_one(tmp_path, monkeypatch):
    monkeypatch.setattr("tabstudio.table.text_files._SMALL", 1 << 10)
    monkeypatch.setattr("tabstudio.table.text_files.HEAD", 1 << 9)
    rng = np.random.default_rng(0)
    rows = [f"{i},{rng.normal():.6f},{'NA' if i % 50 == 0 else i % 7},w{i % 5}" for i in range(3000)]
    path = tmp_path / "long.csv"
    path.write_text("i,x,k,w\n" + "\n".join(rows) + "\n")
    long = read(path)
    monkeypatch.undo()
    short = read(path)
    assert long.fingerprint == short.fingerprint
    assert long.schema == short.schema


def test_a_missing_number_that_is_told_counts_behind_the_sample_too(tmp_path, monkeypatch):
    monkeypatch.setattr("tabstudio.table.text_files._SMALL", 1 << 10)
    monkeypatch.setattr("tabstudio.table.text_files.HEAD", 1 << 9)
    monkeypatch.setattr("tabstudio.table.text_files._SLICES", 0)
    path = tmp_path / "long.csv"
    path.write_text("a,b,c\n" + "1,2.5,x\n" * 3000 + "-9,-9,x\n")
    frame = read(path, config=ReadConfig(missing=("-9",))).frame
    assert frame.row(-1) == (None, None, "x")


def test_long_columns_are_counted_by_a_sample():
    rng = np.random.default_rng(0)
    rows = 150_000
    few, many = rng.integers(0, 900, rows), rng.normal(size=rows)
    schema = read(
        {"few": few, "many": many, "same": np.ones(rows), "word": rng.choice(list("abc"), rows)}
    ).schema
    assert schema["few"].unique == pytest.approx(900, rel=0.02)
    assert schema["many"].unique == rows
    assert "estimated" in schema["many"].reason
    assert (schema["same"].role, schema["word"].unique) == ("constant", 3)


def test_a_surprise_late_in_a_long_file_is_read_right(tmp_path, monkeypatch):
    monkeypatch.setattr("tabstudio.table.text_files._SMALL", 1 << 10)
    monkeypatch.setattr("tabstudio.table.text_files.HEAD", 1 << 9)
    monkeypatch.setattr("tabstudio.table.text_files._SLICES", 0)
    rows = [f"{i},{i}" for i in range(3000)]
    rows[2900], rows[2950] = "2.5,x", "NA,3"
    path = tmp_path / "long.csv"
    path.write_text("a,b\n" + "\n".join(rows) + "\n")
    table = read(path)
    assert table.frame["a"][2900] == 2.5
    assert table.frame["a"].null_count() == 1
    assert table.frame["b"][2900] == "x"


def test_the_schema_survives_json():
    import json

    schema = read({"a": ["1,5", "none", "2,5"], "b": ["x", "y", "x"]}, target="b").schema
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


def test_reprs_name_the_reasons_and_escape_what_the_file_holds():
    table = read({"<script>": ["a", "b", "a"], "y": [0, 1, 1]}, target="y")
    assert "two values" in repr(table)
    assert "<script>" not in table._repr_html_()


def test_unlabelled_rows_are_left_out_with_a_note():
    table = read({"a": [1.5, 2.5, 3.5, 4.5], "y": ["p", None, "q", "q"]}, target="y")
    assert len(table) == 3
    assert table.source.rows == 4
    assert any("1 left out" in note.value for note in table.notes)
    assert table.labels().tolist() == [0, 1, 1]


def test_distinct_texts_are_features_where_their_words_recur():
    """Another value in every row makes keys, and prose as well: words that others have tell these apart."""
    words = ["good", "bad", "slow", "fun", "plot", "actor", "long", "bright"]
    review = [" ".join(words[(i * k) % 8] for k in (1, 3, 5)) + f" take{i}" for i in range(100)]
    key = [f"lot {i} of {i * 7919}" for i in range(100)]
    schema = read(pl.DataFrame({"review": review, "key": key})).schema
    assert (schema["review"].kind, schema["review"].role) == ("text", "feature")
    assert (schema["key"].kind, schema["key"].role) == ("text", "id")


def test_roles_and_rows_can_be_chosen():
    table = read({"a": [1.5, 2.5, 3.5, 4.5], "g": ["p", "p", "q", "q"], "y": [0, 1, 0, 1]}, target="y")
    grouped = table.with_role("g", "group", "as told")
    assert [column.name for column in grouped.schema.features] == ["a"]
    assert table.take(np.array([2, 0])).frame["a"].to_list() == [3.5, 1.5]
    with pytest.raises(ConfigError, match=r"no column 'G1': did you mean 'g'|no column 'G1'"):
        table.with_role("G1", "group", "as told")
