"""What cannot be read is refused, with the file, the place and the way out."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pandas as pd
import pytest

from tabstudio.errors import ConfigError, DataError
from tabstudio.options import ReadConfig
from tabstudio.table import read


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n \n", "nothing but blanks"),
        (b"a,b,c\n", "no rows"),
        (b"a,b,c", "no rows"),
        (b"a,b,c\n\n\n", "no rows"),
        (b"a,b\n1,2\n1,2,3\n4,5\n6\n", r"2 of 4 rows do not have the header's 2 cells"),
        (b"a,b\n1,2\n1,2,3\n4,5\n6\n", r"line 3: 3 cells\n  line 5: 1 cells"),
        (b'a,b\n1,"x\n2,y\n3,z\n', r"line 2: a quote is opened and never closed"),
        (bytes(range(256)) * 8, "not a text file"),
        (b"\x01\x02\x03\x04\x05\x06" * 50, "not a text file"),
        (b"a,b\n0,1,2\n1,3,4\n", "all rows have 3: correct the line of column names"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b'{"a": 1}', "JSON"),
        (b"PK\x03\x04" + b"0" * 100, "Excel"),
        (b"\x89PNG\r\n\x1a\n" + b"0" * 100, "PNG"),
        (pickle.dumps({"a": [1]}, protocol=4), "pickle"),
        (b"\x1f\x8b\x08\x00broken", "cannot be unpacked"),
        (b"PAR1broken", "Parquet file is damaged"),
        (b"ARROW1broken", "Arrow file is damaged"),
    ],
)
def test_a_file_that_is_no_table_is_refused(content, said, tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_many_ragged_rows_are_counted_and_the_first_are_shown(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n" + "1,2\n1,2,3\n" * 50)
    with pytest.raises(DataError, match="50 of 100 rows") as caught:
        read(path)
    assert "and 45 more" in str(caught.value)
    assert len(str(caught.value).splitlines()) < 10


def test_ragged_rows_of_a_long_file_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tabstudio.table.text_files._SMALL", 1 << 10)
    path = tmp_path / "table.csv"
    path.write_text("a,b\n" + "1,2\n" * 2000 + "7\n" + "1,2\n" * 10)
    with pytest.raises(DataError, match="line 2002: 1 cells"):
        read(path)


def test_a_missing_file_is_named_with_its_neighbour(tmp_path):
    (tmp_path / "cancer.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match=r"did you mean cancer\.csv"):
        read(tmp_path / "cancr.csv")
    with pytest.raises(DataError, match="does not exist either"):
        read(tmp_path / "no" / "cancer.csv")
    with pytest.raises(DataError, match="no file matches"):
        read(str(tmp_path / "*.parquet"))


def test_a_folder_without_tables_is_refused(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "notes.md").write_text("x")
    with pytest.raises(DataError, match="no table lies in this folder"):
        read(folder)


def test_files_with_other_columns_are_named(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.csv").write_text("a,b\n1,2\n")
    (folder / "b.csv").write_text("a,c\n1,2\n")
    with pytest.raises(DataError, match=r"b\.csv.*differ.*a\.csv; it lacks 'b'; it has also 'c'"):
        read(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a\n1\n")
    path.chmod(0)
    with pytest.raises(DataError, match="not permitted"):
        read(path)


def test_denied_permission_is_a_data_error(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    path.write_text("a\n1\n")

    def deny(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", deny)
    with pytest.raises(DataError, match=r"table\.csv.*not permitted"):
        read(path)


@pytest.mark.parametrize(
    "data", [{}, [], [1, 2], np.zeros(3), 7, {"a": [1, 2], "b": [1]}, {"a": [[1], [2]]}, pd.Series([1, 2])]
)
def test_what_is_no_table_in_memory_is_refused(data):
    with pytest.raises(DataError):
        read(data)


GOOD = {"size": [1.5, 2.5, 3.5, 4.5], "diagnosis": ["a", "b", "a", "b"]}


def test_a_target_that_is_missing_is_suggested():
    with pytest.raises(ConfigError, match="no column 'Diagnosi': did you mean 'diagnosis'"):
        read(GOOD, target="Diagnosi")
    with pytest.raises(ConfigError, match="the columns are size, diagnosis"):
        read(GOOD, target="outcome")


def test_all_options_with_unknown_columns_are_named_at_once():
    with pytest.raises(ConfigError) as caught:
        read(GOOD, config=ReadConfig(drop=("siz",), keep=("nothing",), kinds={"diagnose": "category"}))
    assert [word in str(caught.value) for word in ("option drop", "option keep", "option kind")] == [True] * 3


@pytest.mark.parametrize(
    ("labels", "config", "said"),
    [
        (["a"] * 4, ReadConfig(), "the one value 'a'"),
        ([None] * 4, ReadConfig(), "no value in any row"),
        (["a", "b", "c", "d"], ReadConfig(), "another value in each of the 4 rows"),
        (["a", "b", "a", "b"], ReadConfig(task="regression"), "a regression needs numbers"),
        (["2024-01-01", "2024-01-02", "2024-01-01", "2024-01-02"], ReadConfig(), "holds dates"),
        ([1, 2, 3, 1], ReadConfig(task="binary"), "has 3 values"),
        (["a", "b", "a", "b"], ReadConfig(positive="c"), "'c' is no class"),
        (["a", "b", "c", "a"], ReadConfig(positive="c", task="multiclass"), "for two classes"),
    ],
)
def test_a_target_that_cannot_be_predicted_is_refused(labels, config, said):
    with pytest.raises((DataError, ConfigError), match=said):
        read({"size": [1.5, 2.5, 3.5, 4.5], "y": labels}, target="y", config=config)


def test_a_kind_that_does_not_fit_names_the_rows():
    with pytest.raises(DataError, match="column 'a' cannot be read as a number") as caught:
        read({"a": ["1", "x", "3", "y"]}, config=ReadConfig(kinds={"a": "number"}))
    assert "row 2: 'x'" in str(caught.value)
    assert "row 4: 'y'" in str(caught.value)


def test_unknown_encodings_and_separators_are_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="'utf-99' is unknown"):
        read(path, config=ReadConfig(encoding="utf-99"))
    with pytest.raises(ConfigError, match="one character"):
        read(path, config=ReadConfig(separator="::"))


def test_the_target_cannot_be_dropped():
    with pytest.raises(ConfigError, match="cannot be dropped"):
        read(GOOD, target="diagnosis", config=ReadConfig(drop=("diagnosis",)))
