"""Jobs are processes of their own: followed by their diary, stopped as by Ctrl-C, known after a kill."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import psutil
import pytest

from tabstudio.database import Database
from tabstudio.errors import ConfigError, DataError
from tabstudio.studio.access.roles import Actor, ForbiddenError
from tabstudio.studio.services.jobs import StudioJobs, job_process
from tabstudio.studio.services.jobs import studio_jobs as module
from tabstudio.studio.services.jobs.diary import DiaryReader, JobDiary
from tabstudio.studio.services.tables.table_folder import TableFolder
from tabstudio.tracking import spool

ANN, VIC = Actor("ann", "editor"), Actor("vic", "viewer")
QUICK = {"epochs": 3, "references": False, "resamples": 0, "hidden": [8]}
LONG = {"epochs": 100_000, "patience": 0, "references": False, "resamples": 0, "hidden": [8]}
SECONDS = 90


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a table in which jobs work."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "TABSTUDIO_"))]:
        if name != "TABSTUDIO_DELIVERY":
            monkeypatch.delenv(name)
    (tmp_path / "data").mkdir()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    frame = pl.DataFrame(x, schema=["a", "b b", "<i>c</i>"])
    frame.with_columns(pl.Series("y", np.where(x[:, 0] > 0, "yes", "no"))).write_csv("data/table.csv")
    return tmp_path


@pytest.fixture
def jobs(place):
    with Database(f"sqlite:///{place}/tabstudio.db") as database:
        made = StudioJobs(database, TableFolder(Path("data"), 1 << 20))
        yield made
        for job in made.list():
            if job.going and job.pid != os.getpid():
                psutil.Process(job.pid).kill()


def _until(jobs, job_id, what, seconds=SECONDS):
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        job = jobs.find(job_id)
        if what(job):
            return job
        time.sleep(0.1)
    raise AssertionError(f"{job.state}, {job.progress}, {jobs.output(job_id)}")


@pytest.mark.delivers
def test_a_training_is_followed_to_its_registered_version(jobs, place):
    job = jobs.start(ANN, "train", "table.csv", "y", {**QUICK, "drop": ["b b"]}, model="mine")
    assert job.state == "running"
    assert job.command == (
        "tabstudio train data/table.csv --target y --name mine --epochs 3 --no-references --resamples 0 "
        "--hidden 8 --drop 'b b'"
    )
    job = _until(jobs, job.id, lambda job: not job.going)
    assert job.state == "done", job.progress.error
    assert [number for number, _, _ in job.progress.epochs] == [1, 2, 3]
    assert all(0 < train < 2 and 0 < val < 2 for _, train, val in job.progress.epochs)
    assert job.progress.share == 1.0
    assert job.progress.result["model"] == "models:/mine/1"
    assert 0.5 < job.progress.result["figures"]["accuracy"][0] <= 1.0
    assert "table.csv: 200 rows, 2 features, target y" in job.progress.steps[0].title

    from mlflow import MlflowClient

    run = MlflowClient(f"sqlite:///{place}/mlflow.db").get_run(job.progress.run_id)
    assert run.data.tags["mlflow.user"] == "ann"
    assert run.data.tags["mlflow.source.name"] == job.command


@pytest.mark.delivers
def test_stopping_keeps_what_was_reached_and_it_can_go_on_later(jobs):
    job = jobs.start(ANN, "train", "table.csv", "y", LONG, register=False)
    _until(jobs, job.id, lambda job: len(job.progress.epochs) > 3)
    with pytest.raises(ForbiddenError, match="vic is viewer here, and cannot stop a training"):
        jobs.stop(VIC, job.id)
    job = jobs.stop(ANN, job.id)
    assert (job.state, job.progress.stopping) == ("stopping", "ann")
    with pytest.raises(ConfigError, match="it is stopping already"):
        jobs.stop(ANN, job.id)
    job = _until(jobs, job.id, lambda job: not job.going)
    assert job.state == "stopped"
    assert job.progress.result["partial"] is True
    assert job.progress.run_id

    reached = len(job.progress.epochs)
    again = jobs.again(ANN, job.id, resume=True)
    assert again.command.endswith("--no-register --resume")
    again = _until(jobs, again.id, lambda job: job.progress.epochs or not job.going)
    assert again.going, again.progress.error
    assert 1 < again.progress.epochs[0][0] <= reached + 1


def test_a_job_goes_on_without_whoever_started_it_and_is_known_again(jobs, place):
    job = jobs.start(ANN, "train", "table.csv", "y", LONG)
    _until(jobs, job.id, lambda job: job.progress.epochs)
    assert psutil.Process(job.pid).ppid() != os.getpid()
    with Database(f"sqlite:///{place}/tabstudio.db") as database:  # as a studio that was started anew
        other = StudioJobs(database, TableFolder(Path("data"), 1 << 20))
        before = other.token(job.id)
        found = other.find(job.id)
        assert found.state == "running"
        assert len(found.progress.epochs) >= 1
        _until(other, job.id, lambda now: len(now.progress.epochs) > len(found.progress.epochs))
        assert other.token(job.id) != before
        psutil.Process(job.pid).send_signal(signal.SIGKILL)
        assert _until(other, job.id, lambda job: not job.going).state == "died"
        assert other.token(job.id) != before


def test_a_job_that_does_not_heed_is_ended_by_force(jobs, monkeypatch):
    monkeypatch.setattr(module, "STOP_SECONDS", 0.5)
    monkeypatch.setattr(module, "KILL_SECONDS", 0.5)
    job = jobs.start(ANN, "train", "table.csv", "y", LONG)
    _until(jobs, job.id, lambda job: job.progress.epochs)
    psutil.Process(job.pid).suspend()  # it hears nothing
    jobs.stop(ANN, job.id)
    assert _until(jobs, job.id, lambda job: not job.going, 20).state == "stopped"
    assert jobs.find(job.id).progress.result == {}


def test_no_more_trainings_run_at_once_than_may(jobs, monkeypatch):
    monkeypatch.setenv("TABSTUDIO_TRAININGS", "1")
    jobs.start(ANN, "train", "table.csv", "y", LONG)
    with pytest.raises(ConfigError, match="1 trainings run, and no more than 1 may at once"):
        jobs.start(ANN, "train", "table.csv", "y", QUICK)
    assert len(jobs.list()) == 1
    monkeypatch.setenv("TABSTUDIO_TRAININGS", "many")
    with pytest.raises(ConfigError, match="a whole number above 0 was expected, got 'many'"):
        jobs.start(ANN, "train", "table.csv", "y", QUICK)


def test_a_search_tells_of_its_trials(jobs):
    job = jobs.start(ANN, "sweep", "table.csv", "y", {"trials": 4, "epochs": 2, "hidden": [4]})
    job = _until(jobs, job.id, lambda job: not job.going)
    assert job.state == "done", job.progress.error
    assert (job.progress.trials, job.progress.trials_wanted) == (4, 4)
    assert job.progress.best[-1][1] > 0
    assert "learning_rate" in job.progress.result["best"]


def test_an_error_is_told_as_the_command_line_tells_it(jobs):
    job = jobs.start(ANN, "train", "table.csv", "nothing", QUICK)
    job = _until(jobs, job.id, lambda job: not job.going)
    assert job.state == "failed"
    assert "there is no column 'nothing': the columns are a, b b" in job.progress.error


@pytest.mark.parametrize(
    ("who", "given", "error", "words"),
    [
        (VIC, {}, ForbiddenError, "cannot start a training"),
        (ANN, {"kind": "serve"}, ConfigError, "train or sweep was expected"),
        (ANN, {"target": ""}, ConfigError, "name the column to predict"),
        (ANN, {"name": "../table.csv"}, DataError, "below data"),
        (ANN, {"options": {"epoch": 3}}, ConfigError, "did you mean epochs"),
        (ANN, {"options": {"epochs": 0}}, ConfigError, "at least 1 was expected"),
        (ANN, {"model": "a/b"}, ConfigError, "without '/'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(jobs, who, given, error, words):
    asked = {"kind": "train", "name": "table.csv", "target": "y", "options": {}} | given
    with pytest.raises(error, match=words):
        jobs.start(who, **asked)
    assert jobs.list() == []
    assert not Path(".tabstudio").exists()


def test_a_diary_survives_torn_and_unknown_lines(tmp_path):
    diary = JobDiary(tmp_path / "diary.jsonl")
    reader = DiaryReader(diary.path)
    assert reader.read().ended is None
    diary.write("asked", table="\udcff odd")
    diary.write("of the future", much=True)
    with diary.path.open("ab") as file:
        file.write(b'{"what": "step", "at": 1.0, "ti\n{"what": "epoch"')
    assert reader.read().steps == []
    with diary.path.open("ab") as file:
        rest = (
            b', "at": 2.0, "number": 1, "of": 4, "train": 0.5, "val": null, "rows_per_second": 9, "left": 3}'
        )
        file.write(rest + b"\n")
    assert reader.read().epochs == [(1, 0.5, None)]
    assert reader.read().share == 0.25
    diary.write("failed", error="no")
    assert (reader.read().ended, reader.read().error) == ("failed", "no")


@pytest.fixture
def unstarted(jobs, monkeypatch):
    """Jobs whose processes are this one, so that nothing is trained."""
    monkeypatch.setattr(module.processes, "launch", lambda *_: psutil.Process())
    monkeypatch.setenv("TABSTUDIO_TRAININGS", "100")
    return jobs


def test_no_diary_is_read_while_others_wait_for_the_database(unstarted, monkeypatch):
    for _ in range(3):
        unstarted.start(ANN, "train", "table.csv", "y", QUICK)
    writing, inside, read = unstarted.database.writing, [], DiaryReader.read

    @contextmanager
    def held():
        with writing() as connection:
            inside.append(True)
            try:
                yield connection
            finally:
                inside.pop()

    def unheld(reader):
        assert not inside
        return read(reader)

    monkeypatch.setattr(unstarted.database, "writing", held)
    monkeypatch.setattr(DiaryReader, "read", unheld)
    assert unstarted.start(ANN, "train", "table.csv", "y", QUICK).state == "running"
    monkeypatch.setenv("TABSTUDIO_TRAININGS", "4")
    with pytest.raises(ConfigError, match="4 trainings run"):
        unstarted.start(ANN, "train", "table.csv", "y", QUICK)


def test_the_end_of_an_old_job_is_noticed_and_ended_ones_are_not_read_again(unstarted, monkeypatch):
    first, *others = [unstarted.start(ANN, "train", "table.csv", "y", QUICK) for _ in range(25)]
    for job in others:
        JobDiary(job.log.with_suffix(".jsonl")).write("stopped")
    before = unstarted.token()
    JobDiary(first.log.with_suffix(".jsonl")).write("stopped")
    assert unstarted.token() != before
    with monkeypatch.context() as patch:
        patch.setattr(DiaryReader, "read", None)
        unstarted.token()


def test_a_run_in_the_spool_is_opened_once_while_mlflow_is_down(tmp_path, monkeypatch):
    made = [spool.Journal(tmp_path, _about(pid)) for pid in (1, 2, os.getpid())]
    opened, load = [], spool.RunFolder.__init__

    def counted(run, path):
        opened.append(path)
        load(run, path)

    monkeypatch.setattr(spool.RunFolder, "__init__", counted)
    others: set[str] = set()
    mine, *rest = made[::-1]
    mine.path.rename(tmp_path / "later")
    for _ in range(10):
        assert job_process._own_run(tmp_path / "runs", others) is None
    (tmp_path / "later").rename(mine.path)
    assert job_process._own_run(tmp_path / "runs", others) == mine.path
    assert sorted(opened) == sorted(journal.path for journal in made)
    assert others == {journal.id for journal in rest}


def _about(pid: int) -> dict[str, object]:
    names = ("host", "cwd", "tracking_uri", "registry_uri", "experiment", "run_name", "source")
    return {"pid": pid, "started": 0.0, "start_time": 0, "tags": {}} | dict.fromkeys(names, "")
