import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tabstudio.errors import TrackingError
from tabstudio.tracking import spool
from tabstudio.tracking.spool import Journal, RunFolder, runs

ABOUT = {
    "tracking_uri": "sqlite:////nowhere/mlflow.db",
    "registry_uri": "sqlite:////nowhere/mlflow.db",
    "experiment": "e",
    "run_name": "r",
    "source": "s",
    "tags": {},
    "start_time": 0,
}


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path, ABOUT)


def drained(folder: RunFolder) -> list:
    events = []
    while chunk := folder.read(most=1000):
        events += [event for _, event in chunk]
        folder.state.offset = chunk[-1][0]
    return events


def test_what_is_written_is_read_in_order(journal):
    journal.points({"a": 1, "b": 0.1}, 3, 17)
    journal.event("tags", values={"k": "é\n"})
    folder = RunFolder(journal.path)
    assert folder.pending() == 3
    assert drained(folder) == [
        ["m", "a", 1.0, 3, 17],
        ["m", "b", 0.1, 3, 17],
        {"kind": "tags", "values": {"k": "é\n"}},
    ]
    assert folder.pending() == 0


def test_values_that_are_not_finite_are_kept(journal):
    journal.points({"a": math.nan, "b": math.inf, "c": -math.inf}, 0, 0)
    values = [event[2] for event in drained(RunFolder(journal.path))]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf]


def test_a_series_is_kept_as_its_points_would_be(journal):
    journal.series("loss", [(1, 0.5), (3, math.inf), (5, 1)], 17)
    assert drained(RunFolder(journal.path)) == [
        ["m", "loss", 0.5, 1, 17],
        ["m", "loss", math.inf, 3, 17],
        ["m", "loss", 1.0, 5, 17],
    ]


def test_a_torn_line_is_waited_for_and_a_damaged_one_left_out_with_a_note(journal):
    path = journal.path / "journal-000001.jsonl"
    path.write_bytes(b'["m","a",1.0,0,0]\n["m","a",\xff\n["m","a",2.0,')
    folder = RunFolder(journal.path)
    assert drained(folder) == [["m", "a", 1.0, 0, 0], None]
    assert "damaged line" in folder.state.notes[0]
    with path.open("ab") as file:
        file.write(b"1,0]\n")
    assert drained(folder) == [["m", "a", 2.0, 1, 0]]


def test_delivered_segments_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 200)
    journal = Journal(tmp_path, ABOUT)
    for step in range(100):
        journal.points({"loss": 0.5}, step, 0)
    folder = RunFolder(journal.path)
    assert len(list(journal.path.glob("journal-*"))) > 5
    assert folder.pending() == 100
    assert [event[3] for event in drained(folder)] == list(range(100))
    assert len(list(journal.path.glob("journal-*"))) == 1
    assert folder.pending() == 0


def test_the_place_reached_survives_the_process(journal):
    journal.points({"a": 1}, 0, 0)
    folder = RunFolder(journal.path)
    folder.state.offset = folder.read()[-1][0]
    folder.save()
    assert RunFolder(journal.path).read() == []


def test_only_one_process_delivers_a_run(journal):
    first, second = RunFolder(journal.path), RunFolder(journal.path)
    assert first.claim()
    assert not second.claim()
    first.remove()
    assert not journal.path.exists()


def test_a_slow_writer_lives_and_a_reused_pid_does_not(journal):
    folder = RunFolder(journal.path)
    assert folder.alive()
    assert not folder.left()
    about = json.loads((journal.path / "about.json").read_text())
    (journal.path / "about.json").write_text(json.dumps({**about, "started": about["started"] - 1e6}))
    assert not RunFolder(journal.path).alive()
    assert RunFolder(journal.path).left()


def test_a_run_whose_recorder_was_closed_is_left_though_its_process_lives(journal):
    journal.leave()
    assert RunFolder(journal.path).alive()
    assert RunFolder(journal.path).left()


def test_a_writer_on_another_machine_is_gone_after_an_hour_of_silence(journal):
    about = json.loads((journal.path / "about.json").read_text())
    (journal.path / "about.json").write_text(json.dumps({**about, "host": "elsewhere", "pid": 1}))
    assert RunFolder(journal.path).alive()
    for path in journal.path.iterdir():
        os.utime(path, (1e9, 1e9))
    assert not RunFolder(journal.path).alive()


def test_artifacts_are_copies(journal, tmp_path):
    source = tmp_path / "log.txt"
    source.write_text("first")
    place = journal.keep(source, "log.txt")
    source.write_text("second")
    assert (journal.path / place / "log.txt").read_text() == "first"
    with pytest.raises(TrackingError, match="there is no file"):
        journal.keep(tmp_path / "missing", "x")


FULL_DISK = """
import resource, sys
from pathlib import Path
from tabstudio.tracking.spool import Journal
journal = Journal(Path("spool"), dict({about!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))
for step in range(50):
    journal.points({{"loss": step}}, step, 0)
assert journal.keep(b"x" * 1000, "big.bin") is None
assert not list((journal.path / "files").iterdir())
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.points({{"loss": 7}}, 1000, 0)
print(journal.lost, len(journal.notes), journal.notes[0])
"""


def test_a_disk_without_room_is_noted_once_and_training_goes_on():
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK.format(about=ABOUT)], capture_output=True, text=True, check=True
    )
    lost, notes, *note = done.stdout.split()
    assert int(lost) > 10
    assert int(notes) == 1
    assert "records are lost" in " ".join(note)
    (folder,) = runs(Path("spool"))
    steps = [event[3] for event in drained(folder) if event]
    assert steps[0] == 0
    assert steps[-1] == 1000


def test_a_spool_that_cannot_be_written_is_told_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackingError, match="TABSTUDIO_HOME"):
        Journal(tmp_path / "file", ABOUT)


KILLED = """
import os, sys
from pathlib import Path
from tabstudio.tracking.spool import Journal
journal = Journal(Path("spool"), dict({about!r}))
for step in range(10**9):
    journal.points({{"loss": step}}, step, 0)
    os.write(1, b"%d\\n" % step)
"""


def test_kill_minus_nine_takes_back_nothing_that_was_acknowledged():
    writer = subprocess.Popen([sys.executable, "-c", KILLED.format(about=ABOUT)], stdout=subprocess.PIPE)
    read = b""
    while read.count(b"\n") < 3000:
        read += os.read(writer.stdout.fileno(), 2**16)
    writer.send_signal(signal.SIGKILL)
    read += writer.stdout.read()
    writer.stdout.close()
    writer.wait()
    acknowledged = int(read.splitlines()[-2])
    (folder,) = runs(Path("spool"))
    steps = [event[3] for event in drained(folder)]
    assert steps == list(range(len(steps)))
    assert len(steps) > acknowledged
    assert not folder.alive()
