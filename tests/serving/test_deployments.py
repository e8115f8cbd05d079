"""Services by name: real processes, known for what they are, ended only if they are what was started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress

import psutil
import pytest
from sqlalchemy import update

from tabstudio.cli.app import run
from tabstudio.database import Database
from tabstudio.database.tables import deployments as table
from tabstudio.errors import ConfigError, TabstudioError
from tabstudio.serving.deployments import Deployments

WORDS = ["cancer=model", "--port", "0", "--no-log"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    import polars as pl

    from tabstudio.model.encoder import Encoder
    from tabstudio.model.networks import NetworkSpec, build
    from tabstudio.model.predictor import Model
    from tabstudio.model.profile import profile
    from tabstudio.options import NetworkConfig
    from tabstudio.table.schema import Column, Schema, Target

    frame = pl.DataFrame({"age": list(range(20, 60))})
    schema = Schema(
        (Column("age", "number", dtype="Int64"), Column("ill", "category", "target")),
        Target("ill", "binary", ("no", "yes"), "yes"),
    )
    encoder = Encoder.fit(frame, schema, "minmax")
    spec = NetworkSpec("mlp", 1, (), 1, NetworkConfig("mlp", (4,), 0.0, "relu"))
    model = Model(schema, encoder, build(spec, [0]), profile=profile(frame, schema))
    return model.save(tmp_path_factory.mktemp("models") / "model")


@pytest.fixture
def services(tmp_path, bundle):
    (tmp_path / "model").symlink_to(bundle, target_is_directory=True)
    with Database(f"sqlite:///{tmp_path}/tabstudio.db") as database:
        services = Deployments(database)
        yield services
        for one in services.list():
            with suppress(ConfigError):
                services.stop(one.name)


def answer(one):
    body = json.dumps({"rows": [{"age": 33}]}).encode()
    asked = urllib.request.Request(
        f"{one.url}/v1/models/cancer/predict", body, {"content-type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=10) as response:
        return json.load(response)["predictions"][0]["label"]


def test_a_service_is_started_found_again_stopped_and_started_as_it_was(services, tmp_path):
    one = services.start("cancer", WORDS)
    assert (one.state, one.words) == ("running", tuple(WORDS))
    assert answer(one) in ("no", "yes")
    with Database(f"sqlite:///{tmp_path}/tabstudio.db") as again:  # as after a restart of the program
        assert Deployments(again).list() == [one]
    assert "serving at" in "".join(services.output("cancer"))
    with pytest.raises(ConfigError, match=r"it is running at http.*stop it first"):
        services.start("cancer", WORDS)
    assert services.stop("cancer").state == "stopped"
    assert not psutil.pid_exists(one.pid)
    two = services.start("cancer")
    assert two.state == "running"
    assert two.pid != one.pid
    services.remove("cancer")
    assert services.list() == []
    assert not two.log.exists()


def test_one_that_was_killed_has_died_and_can_be_started_again(services):
    one = services.start("cancer", WORDS)
    workers = psutil.Process(one.pid).children()
    os.kill(one.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(one.pid), *workers] if psutil.pid_exists(one.pid) else workers, 20)
    assert services.find("cancer").state == "died"
    assert services.start("cancer").state == "running"


def test_a_process_that_got_the_same_number_is_never_ended(services):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        one = services.start("cancer", WORDS)
        services.stop("cancer")
        with services.database.writing() as connection:
            row = {"wanted": True, "pid": stranger.pid, "born": 12345.0, "url": one.url}
            connection.execute(update(table).values(**row))
        assert services.find("cancer").state == "died"
        assert services.stop("cancer").state == "stopped"
        assert stranger.poll() is None
        stranger.communicate(b"\n")
    assert stranger.returncode == 0


def test_one_that_hangs_is_not_answering_and_is_ended_by_force(services, monkeypatch):
    monkeypatch.setattr("tabstudio.serving.deployments.STOP_SECONDS", 0.5)
    monkeypatch.setattr("tabstudio.serving.deployments._HEALTH_SECONDS", 0.2)
    one = services.start("cancer", WORDS)
    processes = [psutil.Process(one.pid), *psutil.Process(one.pid).children()]
    for process in processes:
        process.suspend()
    assert services.find("cancer").state == "not answering"
    services.stop("cancer")
    gone, alive = psutil.wait_procs(processes, 10)
    assert (len(gone), alive) == (len(processes), [])


def test_one_that_cannot_start_says_why_and_leaves_nothing(services):
    with pytest.raises(TabstudioError, match="ended before it answered:\nerror: model nowhere: there is no"):
        services.start("cancer", ["nowhere"])
    assert services.list() == []


def test_one_of_another_machine_is_shown_and_left_alone(services):
    services.start("cancer", WORDS)
    services.stop("cancer")
    with services.database.writing() as connection:
        connection.execute(update(table).values(machine="far-away", wanted=True, pid=os.getpid()))
    assert services.find("cancer").state == "elsewhere"
    for forbidden in (services.stop, services.start):
        with pytest.raises(ConfigError, match="far-away"):
            forbidden("cancer")


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "a" * 65])
def test_names_that_cannot_be_one_are_refused(services, name):
    with pytest.raises(ConfigError, match="letters, digits"):
        services.start(name, WORDS)


def test_a_new_one_needs_a_model_and_an_unknown_one_names_the_known(services):
    with pytest.raises(ConfigError, match="start cancer MODEL"):
        services.start("cancer")
    with pytest.raises(ConfigError, match="none at all"):
        services.find("cancer")


def test_output_can_be_followed_to_its_end(services):
    one = services.start("cancer", WORDS)
    lines = services.output("cancer", 1, follow=True)
    assert "serving at" in next(lines)
    os.kill(one.pid, signal.SIGTERM)
    until = time.monotonic() + 30
    for _ in lines:
        assert time.monotonic() < until
    assert services.find("cancer").state == "died"


def test_the_command_starts_lists_reads_and_forgets(services, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TABSTUDIO_DATABASE_URL", f"sqlite:///{tmp_path}/tabstudio.db")
    assert run(["deployments", "start", "cancer", *WORDS]) == 0
    assert capsys.readouterr().out.startswith("cancer answers at http://127.0.0.1:")
    assert run(["deployments", "list"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.split()[:2] == ["cancer", "running"]
    assert run(["deployments", "logs", "cancer", "--lines", "1"]) == 0
    assert "serving at" in capsys.readouterr().out
    assert run(["deployments", "remove", "cancer"]) == 0
    assert run(["deployments", "stop"]) == 2
    assert "deployments stop NAME" in capsys.readouterr().err
