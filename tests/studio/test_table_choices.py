"""What a person chooses for a table stands in the page's address, and nothing else does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest

from tabstudio._util import processes
from tabstudio.errors import ConfigError
from tabstudio.studio.pages.data.table_choices import TableChoices
from tabstudio.studio.services.jobs.job_command import job_arguments, job_command

EVIL = "a & b?\"'<i>"


def test_choices_survive_in_the_address():
    choices = TableChoices("old/a b.csv")
    choices.aim(EVIL)
    choices.leave_out("x", "y")
    choices.read_as("zip", "category")
    choices.use("id")
    choices.set("missing", ["?", "none"])
    parts = urlsplit(choices.address)
    assert parts.path == "/data/table/old/a%20b.csv"
    told = parse_qs(parts.query)
    assert TableChoices.of("old/a b.csv", told["target"][0], told["read"][0]) == choices
    assert choices.options == {
        "drop": ["x", "y"],
        "kind": {"zip": "category"},
        "keep": ["id"],
        "missing": ["?", "none"],
    }


def test_what_is_taken_back_leaves_nothing():
    choices = TableChoices("a.csv", "y")
    choices.leave_out("x")
    choices.use("x")
    choices.use("id")
    choices.leave_out("id")
    choices.read_as("zip", "category")
    choices.read_as("zip", "")
    choices.set("separator", "")
    assert choices.options == {}
    assert choices.address == "/data/table/a.csv?target=y"


def test_another_target_takes_along_what_was_said_of_the_last():
    choices = TableChoices("a.csv", "y", {"task": "binary", "positive": "yes", "drop": ["z", "x"]})
    choices.aim("z")
    assert choices.options == {"drop": ["x"]}


@pytest.mark.parametrize("read", ["{", "[]", '{"epochs": 3}', "3"])
def test_a_damaged_address_is_told(read):
    with pytest.raises(ConfigError, match="the address of this page is damaged"):
        TableChoices.of("a.csv", "y", read)


def test_the_command_of_a_job_says_the_same_whatever_its_names_hold():
    asked = {
        "kind": "train",
        "table": "data/a b.csv",
        "target": EVIL,
        "name": "m",
        "options": {"drop": ["$HOME", "-x"], "kind": {EVIL: "text"}, "hidden": [30, 15], "references": False},
        "register": False,
        "resume": True,
    }
    assert job_arguments(asked) == [
        *("train", "data/a b.csv", "--target", EVIL, "--name", "m", "--drop", "$HOME", "--drop", "-x"),
        *("--kind", f"{EVIL}=text", "--hidden", "30,15", "--no-references", "--no-register", "--resume"),
    ]
    said = subprocess.run(
        ["sh", "-c", f'tabstudio() {{ printf "%s\\n" "$@"; }}; {job_command(asked)}'],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert said == job_arguments(asked)


def test_a_process_outlives_its_starter_and_is_known_again(tmp_path):
    process = processes.launch(
        [sys.executable, "-c", "import os, time; print(os.getcwd(), flush=True); time.sleep(60)"],
        tmp_path,
        tmp_path / "log",
    )
    try:
        born = process.create_time()
        assert process.ppid() != os.getpid()
        assert processes.find(process.pid, born) == process
        assert processes.find(process.pid, born - 5) is None  # somebody else had that number
        assert processes.find(0, born) is None
        until = time.monotonic() + 20
        while not (tmp_path / "log").read_text() and time.monotonic() < until:
            time.sleep(0.05)
        assert (tmp_path / "log").read_text().strip() == str(tmp_path)
    finally:
        processes.kill([process])
    psutil.wait_procs([process], timeout=10)
    assert processes.find(process.pid, born) is None
    processes.kill([process])
