"""Bad input ends with one screen that names the place and the way out, and leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tabstudio.cli.app import run

ROWS = "\n".join(f"{i % 7},{i % 5},{'yes' if i % 3 else 'no'}" for i in range(60))
GOOD = f"a,b,label\n{ROWS}\n"


def write(name, content):
    path = Path(name)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


CASES = {
    "missing file": (lambda: ["train", "nowhere.csv", "-t", "label"], 1, ["nowhere.csv"]),
    "empty file": (lambda: ["train", write("empty.csv", ""), "-t", "label"], 1, ["empty.csv", "empty"]),
    "header only": (
        lambda: ["train", write("head.csv", "a,b,label\n"), "-t", "label"],
        1,
        ["head.csv", "no rows"],
    ),
    "target missing": (
        lambda: ["train", write("t.csv", GOOD), "-t", "lable"],
        2,
        ["t.csv", "'lable'", "'label'"],
    ),
    "target constant": (
        lambda: ["train", write("t.csv", GOOD.replace("no", "yes")), "-t", "label"],
        1,
        ["t.csv", "label", "yes"],
    ),
    "non-numeric regression target": (
        lambda: ["train", write("t.csv", GOOD), "-t", "label", "--task", "regression"],
        1,
        ["t.csv", "label", "number"],
    ),
    "ragged rows": (
        lambda: ["train", write("r.csv", GOOD + "1,2,yes,extra\n3\n"), "-t", "label"],
        1,
        ["r.csv", "62", "63"],
    ),
    "binary junk": (
        lambda: ["train", write("junk.csv", bytes(range(256)) * 20), "-t", "label"],
        1,
        ["junk.csv"],
    ),
    "folder without tables": (lambda: [Path("d").mkdir(), ["train", "d", "-t", "label"]][1], 1, ["d"]),
    "one row per class": (
        lambda: ["train", write("o.csv", "a,label\n1,x\n2,y\n"), "-t", "label"],
        1,
        ["o.csv"],
    ),
    "unknown option in a file": (
        lambda: ["train", write("t.csv", GOOD), "-t", "label", "--config", write("c.toml", "epoch = 3")],
        2,
        ["epoch", "epochs"],
    ),
    "kind without column": (
        lambda: ["train", write("t.csv", GOOD), "-t", "label", "--kind", "number"],
        2,
        ["kind"],
    ),
    "no target": (lambda: ["train", write("t.csv", GOOD)], 2, ["--target"]),
    "output is a file": (
        lambda: ["train", write("t.csv", GOOD), "-t", "label", "-o", write("out", "x")],
        2,
        ["out"],
    ),
    "unknown device": (
        lambda: ["train", write("t.csv", GOOD), "-t", "label", "--device", "tpu"],
        2,
        ["tpu", "cpu"],
    ),
    "explore a missing file": (lambda: ["explore", "nowhere.csv"], 1, ["nowhere.csv"]),
    "predict with a wrong model": (
        lambda: ["predict", "no-model", write("t.csv", GOOD), "-o", "out.csv"],
        1,
        ["no-model"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_told_in_one_screen(case, capsys):
    make, code, words = CASES[case]
    arguments = make()
    before = set(Path().iterdir())
    assert run(arguments) == code
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert "Traceback" not in told
    assert len(told.splitlines()) <= 24
    for word in words:
        assert word in told
    assert set(Path().iterdir()) - before <= {Path(".tabstudio")}


@pytest.fixture
def no_superuser():
    """Somebody whom the permissions of files hold back; root is nobody for a while."""
    Path.cwd().chmod(0o755)
    if superuser := os.geteuid() == 0:
        os.seteuid(65534)
    yield
    if superuser:
        os.seteuid(0)


def test_unreadable_file_is_named(capsys, request, tmp_path_factory):
    path = write("secret.csv", GOOD)
    assert run(["explore", path]) == 0  # all that has to be imported is
    Path(path).chmod(0)
    request.getfixturevalue("no_superuser")
    assert run(["explore", path]) == 1
    assert "secret.csv" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["trein"], ["train", "x.csv", "--epoch", "3"], ["train"]])
def test_a_command_line_that_does_not_parse_is_code_2(words, capsys):
    assert run(words) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_debug_shows_the_traceback(capsys):
    assert run(["explore", "nowhere.csv", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_version_and_help_leave_with_0(capsys):
    assert run(["--version"]) == 0
    assert run(["train", "--help"]) == 0
    assert "--target" in capsys.readouterr().out
