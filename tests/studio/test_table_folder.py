"""The folder of tables: nothing outside it is named, nothing half-written stays, nothing is overwritten."""

from __future__ import annotations

import asyncio
import gzip
import os
import threading

import pytest

from tabstudio._util.atomic_files import DRAFT_PREFIX
from tabstudio.errors import ConfigError, DataError
from tabstudio.studio.services.tables.table_folder import NameTakenError, TableFolder, UploadTooLargeError
from tabstudio.table.sources import identify

from .loops import run

CSV = b"a,b\n1,x\n2,y\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data" / "old").mkdir(parents=True)
    (tmp_path / "data" / "one.csv").write_bytes(CSV)
    (tmp_path / "data" / "old" / "two.csv.gz").write_bytes(gzip.compress(CSV))
    return tmp_path / "data"


async def _blocks(*blocks):
    for block in blocks:
        yield block


async def _identify(path):
    identify(path)


def _receive(tables, name, *blocks, check=_identify, **options):
    return run(tables.receive(name, _blocks(*blocks), check, **options))


def test_tables_are_listed_below_the_folder_and_nothing_else(folder, tmp_path):
    (folder / ".hidden.csv").write_bytes(CSV)
    (folder / "notes.md").write_text("no table")
    (tmp_path / "secret.csv").write_bytes(CSV)
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "inside.csv").symlink_to(folder / "one.csv")
    listed = TableFolder(folder, 100).list()
    assert [entry.name for entry in listed] == ["inside.csv", "old/two.csv.gz", "one.csv"]
    assert [entry.bytes for entry in listed if entry.name == "one.csv"] == [len(CSV)]
    assert TableFolder(tmp_path / "none", 100).list() == []


@pytest.mark.parametrize(
    "name",
    [
        "../secret.csv",
        "/etc/passwd",
        "old/../../secret.csv",
        "link.csv",
        "out/secret.csv",
        "",
        "one.csv\0",
        "x.csv",
    ],
)
def test_no_name_leads_out_of_the_folder(folder, tmp_path, name):
    (tmp_path / "secret.csv").write_bytes(CSV)
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "out").symlink_to(tmp_path)
    with pytest.raises(DataError, match="below"):
        TableFolder(folder, 100).find(name)


def test_a_table_is_found_by_its_name(folder):
    assert TableFolder(folder, 100).find("old/two.csv.gz") == folder / "old" / "two.csv.gz"


def test_an_upload_stands_there_whole(folder):
    entry = _receive(TableFolder(folder, 100), "C:\\fakepath\\..\\Neu/Größe <b>.csv", CSV[:3], CSV[3:])
    assert entry.name == "Größe _b_.csv"
    assert (folder / entry.name).read_bytes() == CSV


def test_an_upload_never_takes_the_place_of_another_unasked(folder):
    tables = TableFolder(folder, 100)
    with pytest.raises(NameTakenError, match=r"one\.csv: there is a table of that name"):
        _receive(tables, "one.csv", b"a,b\n3,z\n")
    assert (folder / "one.csv").read_bytes() == CSV
    _receive(tables, "one.csv", b"a,b\n3,z\n", replace=True)
    assert (folder / "one.csv").read_bytes() == b"a,b\n3,z\n"


def test_of_two_uploads_of_one_name_at_once_one_is_told(folder):
    tables = TableFolder(folder, 100)
    both, told = threading.Barrier(2), []

    async def check(path):
        await asyncio.to_thread(both.wait)

    def upload(content):
        try:
            told.append(_receive(tables, "new.csv", content, check=check))
        except NameTakenError as error:
            told.append(error)

    threads = [threading.Thread(target=upload, args=(content,)) for content in (CSV, CSV.upper())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(one).__name__ for one in told) == ["NameTakenError", "TableEntry"]
    assert (folder / "new.csv").read_bytes() in (CSV, CSV.upper())


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("new.csv", b"", DataError, r"^new\.csv: the file is empty"),
        ("new.csv", b"x" * 101, UploadTooLargeError, "at most 100 bytes"),
        ("new.csv", b"%PDF-1.7", DataError, "a PDF document"),
        ("new.csv", b"<!doctype html>", DataError, "a web page"),
        ("new.parquet", CSV, DataError, "the name says parquet"),
        ("new.exe", CSV, ConfigError, "a name that ends in .csv"),
        (".csv", CSV, ConfigError, "a name that ends in .csv"),
        ("..", CSV, ConfigError, "a name that ends in .csv"),
        ("n" * 300 + ".csv", CSV, ConfigError, "at most 200 bytes"),
    ],
)
def test_what_is_no_table_leaves_nothing_behind(folder, name, content, error, words):
    before = sorted(folder.rglob("*"))
    with pytest.raises(error, match=words):
        _receive(TableFolder(folder, 100), name, content)
    assert sorted(folder.rglob("*")) == before


def test_an_upload_that_is_cut_off_leaves_nothing_behind(folder):
    async def cut_off():
        yield CSV
        raise ConnectionError("the browser has gone")

    before = sorted(folder.rglob("*"))
    with pytest.raises(ConnectionError):
        run(TableFolder(folder, 100).receive("new.csv", cut_off(), _identify))
    assert sorted(folder.rglob("*")) == before


def test_what_a_killed_studio_has_left_is_removed_later(folder):
    old, young = folder / f"{DRAFT_PREFIX}old.csv", folder / f"{DRAFT_PREFIX}young.csv"
    old.write_bytes(CSV)
    young.write_bytes(CSV)
    os.utime(old, (0, 0))
    TableFolder(folder, 100).clear()
    assert not old.exists()
    assert young.exists()


def test_a_packed_file_that_would_fill_the_memory_is_refused(folder):
    bomb = folder / "bomb.csv.gz"
    bomb.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 1000))
    TableFolder(folder, 1000).check_packing(bomb)
    with pytest.raises(UploadTooLargeError, match="unpacked it has more than 2,000 bytes"):
        TableFolder(folder, 100).check_packing(bomb)
