"""The prediction log: what was answered is there after a kill, once, typed, and within its limits."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

import tabstudio
from tabstudio.cli.app import run
from tabstudio.errors import ConfigError, DataError, TabstudioError
from tabstudio.serving.predictionlog import compaction, feedback, writer
from tabstudio.serving.predictionlog.catalog import LogCatalog, model_folder
from tabstudio.serving.predictionlog.log_options import LogOptions
from tabstudio.serving.predictionlog.reader import catalog_models, prediction_log
from tabstudio.serving.predictionlog.segment import SEGMENTS, SegmentWriter, is_closed, list_segments
from tabstudio.serving.predictionlog.writer import PredictionLog
from tabstudio.table.schema import Column, Schema, Target

from .helpers import COLUMNS, NOW, SCHEMA, compacted, kept, opened, record, written

COMPACT = writer._Maintenance._compact


@pytest.fixture(autouse=True)
def _no_process_of_its_own(monkeypatch):
    """Compaction runs where a test calls it, not by a clock."""
    monkeypatch.setattr(writer._Maintenance, "_compact", lambda _: None)


def test_a_prediction_can_be_read_as_soon_as_it_is_recorded():
    log = opened()
    said = {0: [{"column": "city", "code": "unseen", "message": "city: 'Rome' was not seen in training"}]}
    log(record(warnings=said))
    (row,) = kept().to_dicts()
    assert row == {
        "time": datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC), "request_id": "r0", "row": 0, "version": "1",
        "role": "live", "protocol": "predict", "caller": "me", "warnings": ["city: unseen"],
        "prediction": "yes", "probability_no": 0.25, "probability_yes": 0.75, "input_age": 30,
        "input_weight": 70.5, "input_city": "Rome", "input_born": date(1996, 1, 2), "label": None,
        "label_time": None, "label_caller": None,
    }  # fmt: skip
    log.close()


def test_cells_are_typed_as_the_model_saw_them_whatever_they_came_in():
    rows = [("31", "1.070,5", 3.0, "NA"), (32, 1070.5, 3, None), (None, "NA", True, "1996-01-02")]
    written(record(0, rows[:1]), record(1, rows[1:2]), record(2, rows[2:]))
    assert kept().select(pl.col("^input_.*$")).rows() == [
        (31, 1070.5, "3", None),
        (32, 1070.5, "3", None),
        (None, None, "true", date(1996, 1, 2)),
    ]


def test_integers_longer_than_64_bits_are_kept():
    written(record(rows=[(30, 1.5, 10**30, None)]))
    assert kept()["input_city"].to_list() == ["1" + "0" * 30]


def test_the_same_rows_come_out_before_and_after_compaction():
    written(*(record(n, [(n, n / 2, f"c{n % 3}", None)] * (1 + n % 4)) for n in range(200)))
    before = kept()
    compacted()
    assert not list_segments(Path("log"))
    assert kept().equals(before)
    assert before["request_id"].n_unique() == 200
    assert len(before) == sum(1 + n % 4 for n in range(200))


def test_versions_with_other_columns_and_other_models_stand_side_by_side():
    log = opened()
    wider = replace(SCHEMA, columns=(Column("height", "number", dtype="Float64"), *SCHEMA.columns))
    log.opened("cancer", "2", wider)
    log.opened(
        "houses/a b", "7", Schema((Column("x", "number", dtype="Float64"),), Target("p", "regression"))
    )
    log(record(0))
    log(record(1, [(1.8, 40, 80.0, "Oslo", None)], version="2", role="canary"))
    log(record(2, [(2.5,)], model="houses/a b", version="7", labels=[99.5], probabilities=None))
    log.close()
    for _ in range(2):
        cancer = kept()
        assert cancer["version"].to_list() == ["1", "2"]
        assert cancer["input_height"].to_list() == [None, 1.8]
        assert kept("houses/a b")["prediction"].to_list() == [99.5]
        with LogCatalog(Path("log")) as catalogue:
            assert catalog_models(catalogue) == ["cancer", "houses/a b"]
        compacted()
    assert sorted(path.parent.name for path in Path("log").glob("*/*.parquet")) == ["cancer", "houses%2Fa b"]


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../../etc", "C:\\x", "segments"])
def test_no_model_name_leads_out_of_the_folder(name):
    folder = Path("log") / model_folder(name)
    assert folder.parent == Path("log")
    assert folder.resolve().parent == Path("log").resolve()


CHILD = """
import os, sys, time
sys.path.insert(0, {tests!r})
from helpers import opened, record
log = opened({folder!r})
number = 0
while True:
    log(record(int(sys.argv[1]) * 1_000_000 + number))
    os.write(1, b"%d\\n" % number)  # the acknowledgement
    number += 1
"""


def child(folder, worker):
    code = CHILD.format(tests=str(Path(__file__).parent), folder=str(folder))
    return subprocess.Popen([sys.executable, "-c", code, str(worker)], stdout=subprocess.PIPE)


def test_what_was_acknowledged_is_there_after_kill_9_from_several_workers():
    workers = [child("log", n) for n in (1, 2)]
    for worker in workers:
        for _ in range(300):
            worker.stdout.readline()
    for worker in workers:
        worker.send_signal(signal.SIGKILL)
    acknowledged = set()
    for number, worker in enumerate(workers, 1):
        lines = worker.stdout.read().split(b"\n")
        count = 300 + sum(1 for line in lines if line.isdigit())
        worker.communicate()
        acknowledged |= {f"r{number * 1_000_000 + n}" for n in range(count)}
    for _ in range(2):
        ids = kept()["request_id"].to_list()
        assert acknowledged <= set(ids)
        assert len(ids) == len(set(ids)) <= len(acknowledged) + 2  # one each may be between write and answer
        compacted()
    assert not list_segments(Path("log"))


def test_compaction_leaves_the_file_of_a_live_worker_alone():
    log = opened()
    log(record(0))
    compacted()
    (live,) = list_segments(Path("log"))
    assert not is_closed(live)
    log(record(1))
    assert kept()["request_id"].to_list() == ["r0", "r1"]
    log.close()


@pytest.mark.parametrize("place", ["publish", "_remove_consumed", "_retain"])
def test_a_kill_anywhere_in_compaction_neither_loses_nor_doubles_a_row(place, monkeypatch):
    written(*map(record, range(20)))
    before = kept()

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        owner = LogCatalog if place == "publish" else compaction
        real = getattr(owner, place)
        calls = []

        def after_the_first(*arguments):
            calls.append(place)
            return real(*arguments) if place == "_remove_consumed" and len(calls) == 1 else killed()

        patch.setattr(owner, place, after_the_first)
        with pytest.raises(KeyboardInterrupt):
            compacted()
    assert kept().equals(before)
    compacted()
    assert kept().equals(before)


def test_reading_while_workers_write_and_compaction_runs_sees_each_row_once():
    log = opened(segment_bytes=2_000)
    for number in range(300):
        log(record(number))
        if number % 25 == 0:
            time.sleep(0.02)
            compacted()
            assert kept()["request_id"].to_list() == [f"r{n}" for n in range(number + 1)]
    log.close()
    compacted()
    assert len(kept()) == 300


def test_small_files_of_a_day_are_joined_and_days_are_not_mixed():
    for number in range(5):
        written(record(number))
        compacted()
    written(record(86_400), record(86_401))
    compacted()
    with LogCatalog(Path("log")) as catalogue:
        assert [(file.rows, file.path.split("/")[1][:10]) for file in catalogue.files()] == [
            (5, "2026-03-04"),
            (2, "2026-03-05"),
        ]
    assert len(kept()) == 7


def test_a_midnight_begins_another_file():
    log = opened()
    log(record(at=time.time()))
    log(record(1, at=(time.time() // 86_400 + 1) * 86_400 + 1))
    assert len(list_segments(Path("log"))) == 2
    log.close()


def test_retention_by_days_and_by_size(monkeypatch):
    monkeypatch.setattr(compaction, "SMALL_BYTES", 0)
    for day in range(4):
        written(*(record(day * 86_400 + n, [(n, n * 1.37, os.urandom(8).hex(), None)]) for n in range(100)))
        compacted()
    with LogCatalog(Path("log")) as catalogue:
        sizes = [file.bytes for file in catalogue.files()]
    compacted(gigabytes=(sum(sizes[1:]) + 10) / 1e9)
    assert kept()["time"].dt.day().unique().sort().to_list() == [5, 6, 7]
    compacted(days=(time.time() - NOW) / 86_400 - 2.5)
    assert kept()["time"].dt.day().unique().sort().to_list() == [7]
    assert len(list(Path("log").glob("cancer/*.parquet"))) == 1


def test_masked_columns_are_hashes_and_left_out_ones_never_touch_the_disk():
    written(
        record(0, [(30, 70.5, "Rome", "1996-01-02"), (31, 60.5, "Rome", None), (32, 1.5, None, None)]),
        mask=("city",),
        leave_out=("age", "born"),
    )
    raw = b"".join(path.read_bytes() for path in Path("log").rglob("*.log"))
    assert b"Rome" not in raw
    assert b"1996" not in raw
    compacted()
    rows = kept()
    assert [name for name in rows.columns if name.startswith("input_")] == ["input_weight", "input_city"]
    first, second, none = rows["input_city"]
    assert first == second
    assert len(first) == 16
    assert none is None
    assert Path("log/key").stat().st_mode & 0o777 == 0o600


def test_warnings_are_kept_without_the_values_that_they_quote():
    said = {0: [{"column": "city", "code": "unseen", "message": "'Rome' was not seen"}]}
    written(record(warnings=said), mask=("city",))
    assert kept()["warnings"].to_list() == [["city: unseen"]]


def test_everything_may_be_left_out():
    written(record(), leave_out=COLUMNS)
    assert kept().select(pl.col("^input_.*$")).width == 0
    assert len(kept()) == 1


def test_a_full_disk_costs_records_and_one_warning_but_no_answer(monkeypatch, caplog):
    log = opened()
    log(record(0))
    full = OSError(28, "No space left on device")
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(SegmentWriter, "append", lambda *_: (_ for _ in ()).throw(full))
        for number in range(1, 6):
            log(record(number))
    log(record(6))
    log.close()
    assert log.lost == 5
    told = [r.getMessage() for r in caplog.records]
    assert len(told) == 2
    assert "No space left" in told[0]
    assert "written again" in told[1]
    assert kept()["request_id"].to_list() == ["r0", "r6"]


def test_a_write_cut_short_leaves_no_torn_record_behind(monkeypatch):
    log = opened()
    log(record(0))
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda handle, data: real(handle, data[: len(data) // 2]))
        log(record(1))
    log(record(2))
    log.close()
    assert kept()["request_id"].to_list() == ["r0", "r2"]
    assert log.lost == 1


def test_a_torn_end_is_left_out_and_told(caplog):
    written(record(0), record(1))
    (path,) = list_segments(Path("log"))
    path.write_bytes(path.read_bytes()[:-5])
    with caplog.at_level(logging.WARNING):
        compacted()
    assert kept()["request_id"].to_list() == ["r0"]
    assert "no whole record" in caplog.text


def test_a_folder_that_cannot_be_written_is_an_error_at_the_start():
    Path("file").write_text("")
    with pytest.raises(TabstudioError, match=r"file.*--log-folder"):
        PredictionLog(LogOptions(folder="file/log"))


def test_options_are_held_against_the_models():
    LogOptions(mask=("city",)).check([SCHEMA])
    with pytest.raises(ConfigError, match=r"'cty'.*'city'"):
        LogOptions(mask=("cty",)).check([SCHEMA])
    with pytest.raises(ConfigError, match="not both"):
        LogOptions(mask=("city",), leave_out=("city",))
    with pytest.raises(ConfigError, match="above 0"):
        LogOptions(days=0)


def test_an_unknown_model_or_folder_says_what_there_is():
    with pytest.raises(DataError, match="tabstudio serve"):
        tabstudio.prediction_log("cancer")
    written(record())
    with pytest.raises(DataError, match="did you mean 'cancer'"):
        prediction_log("cancr", "log")


def test_workers_start_compaction_in_a_process_of_its_own(monkeypatch):
    monkeypatch.setattr(writer._Maintenance, "_compact", COMPACT)
    monkeypatch.setattr(writer, "SYNC_SECONDS", 0.05)
    written(record(at=time.time()))
    (old,) = list_segments(Path("log"))
    log = opened()
    deadline = time.monotonic() + 60
    while old.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    log._maintenance._process.wait()
    log.close()
    assert kept()["request_id"].to_list() == ["r0"]


def test_the_command_shows_versions_last_rows_and_labels(capsys):
    written(*map(record, range(5)))
    with LogCatalog(Path("log")) as catalogue:
        feedback.store_feedback(catalogue, [feedback.FeedbackLabel("r4", "no")], "lab")
    assert run(["predictions", "--folder", "log"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "cancer"
    assert lines[2].split() == ["1", "live", "5", "1", "2026-03-04", "05:06:07Z", "2026-03-04", "05:06:11Z"]
    assert run(["predictions", "cancer", "--folder", "log", "--last", "2"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.split() == ["2026-03-04", "05:06:11Z", "r4", "0", "1", "live", "me", "yes", "no"]
    assert run(["predictions", "cancr", "--folder", "log"]) == 1
    assert "did you mean 'cancer'" in capsys.readouterr().err


def test_a_segment_that_cannot_be_closed_does_not_end_the_syncing(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(writer, "SYNC_SECONDS", 0.01)
    log = PredictionLog(LogOptions(folder=str(tmp_path)))
    segment = SegmentWriter(tmp_path / SEGMENTS)
    monkeypatch.setattr(segment, "close", failing_close(segment))
    log._maintenance.retire(segment)
    wait_for(lambda: "cannot be closed" in caplog.text)
    log.opened("cancer", "1", SCHEMA)
    log(record())
    wait_for(lambda: log._maintenance._synced == log._segment.size)
    log.close()


def failing_close(segment):
    close = segment.close

    def fail():
        close()
        raise OSError(5, "Input/output error")

    return fail


def wait_for(condition):
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_segment_that_cannot_be_named_leaves_no_file(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="Input/output"):
        SegmentWriter(tmp_path / SEGMENTS)
    assert list((tmp_path / SEGMENTS).iterdir()) == []


def test_compaction_removes_segments_of_a_writer_that_was_killed_while_it_made_them(tmp_path):
    folder = tmp_path / SEGMENTS
    folder.mkdir()
    old, fresh = folder / "a.new", folder / "b.new"
    old.touch()
    fresh.touch()
    os.utime(old, (1, 1))
    compaction.compact(tmp_path, 90, 10)
    assert [path.name for path in folder.iterdir()] == ["b.new"]
