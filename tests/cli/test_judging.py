"""`compare`, `gates`, `reproduce`, `card` on the command line: what they print, their codes, bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from tabstudio.cli.app import run
from tabstudio.recipes import train
from tabstudio.tracking import deliver

QUICK = {"network": "mlp", "hidden": (8,), "folds": 2, "references": False, "resamples": 100, "epochs": 2}
GATES = "[registry.stages.production.gates]\n"


@pytest.fixture(scope="module")
def shop(cancer_csv, tmp_path_factory):
    """A project: two versions of `cancer` and a model of another table in a folder."""
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TABSTUDIO_DELIVERY", "later")
        shutil.copy(cancer_csv, "cancer.csv")
        train("cancer.csv", "diagnosis", name="cancer", output="one", **QUICK)
        train("cancer.csv", "diagnosis", name="cancer", output="two", **{**QUICK, "epochs": 20})
        frame = pl.read_csv("cancer.csv").rename({"diagnosis": "verdict"})
        frame.write_csv("other.csv")
        train("other.csv", "verdict", register=False, output="other", **QUICK)
        assert deliver().complete
    return folder


@pytest.fixture
def project(shop, monkeypatch):
    monkeypatch.chdir(shop)
    yield shop
    (shop / "tabstudio.toml").unlink(missing_ok=True)


def told(capsys, *words):
    code = run(list(words))
    return code, capsys.readouterr()


def test_compare_prints_writes_and_speaks_json(project, capsys, tmp_path):
    output = str(tmp_path / "out")
    code, said = told(
        capsys, "compare", "models:/cancer/1", "two/model", "--slice", "worst area", "-o", output
    )
    assert code == 0
    assert "the same 142 test rows of both" in said.out
    assert "worst area: below" in said.out
    assert (tmp_path / "out" / "report.html").exists()
    code, said = told(capsys, "compare", "one/model", "two/model", "--json")
    found = json.loads(said.out)
    assert found["config"]["epochs"] == {"first": 2, "second": 20}
    assert next(gap for gap in found["metrics"] if gap["metric"] == "log_loss")["better"] == "second"


def test_gates_say_what_passes_by_table_json_and_code(project, capsys):
    Path("tabstudio.toml").write_text(f"{GATES}metrics = {{ roc_auc = 0.5 }}\nsize = '1 kB'\n")
    code, said = told(capsys, "gates", "cancer", "2", "--to", "production")
    assert code == 3
    assert "1 of 3 gates did not pass" in said.out
    code, said = told(capsys, "gates", "cancer", "latest", "--to", "production", "--json")
    assert code == 3
    found = json.loads(said.out)
    assert {gate["name"]: gate["passed"] for gate in found["gates"]} == {
        "bundle": True,
        "metrics.roc_auc": True,
        "size": False,
    }
    Path("tabstudio.toml").write_text(f"{GATES}metrics = {{ roc_auc = 0.5 }}\n")
    assert told(capsys, "gates", "cancer", "2", "--to", "production")[0] == 0


def test_reproduce_says_identical_and_keeps_it_for_the_gate(project, capsys):
    Path("tabstudio.toml").write_text(f"{GATES}reproduces = true\n")
    assert told(capsys, "gates", "cancer", "1", "--to", "production")[0] == 3
    code, said = told(capsys, "reproduce", "models:/cancer/1", "--record")
    assert code == 0
    assert "the same to the last bit" in said.out
    assert told(capsys, "gates", "cancer", "1", "--to", "production")[0] == 0
    code, said = told(capsys, "reproduce", "two/model", "--json")
    assert json.loads(said.out)["identical"] is True


def test_the_card_knows_the_version_and_its_stages(project, capsys, tmp_path):
    assert told(capsys, "promote", "cancer", "2", "--to", "production", "--reason", "it is *good*")[0] == 0
    path = tmp_path / "card.md"
    assert told(capsys, "card", "models:/cancer@production", "-o", str(path))[0] == 0
    text = path.read_text()
    assert 'tabstudio.load("models:/cancer/2")' in text
    assert "Version 2 of cancer, in production." in text
    assert r"it is \*good\*" in text
    assert "## Limits" in text
    code, said = told(capsys, "card", "models:/cancer/1", "--json")
    found = json.loads(said.out)
    assert (code, found["stage"], found["moves"]) == (0, None, [])
    assert found["data"]["rows"] == 569
    assert told(capsys, "card", "one/model")[1].out.startswith("# cancer")


def test_the_registered_description_is_the_card_of_that_version(project):
    from mlflow import MlflowClient

    uri = f"sqlite:///{project / 'mlflow.db'}"
    text = MlflowClient(uri, uri).get_model_version("cancer", "2").description
    assert 'tabstudio.load("models:/cancer/2")' in text
    assert len(text) <= 5000


def changed_rows():
    pl.read_csv("cancer.csv").head(400).write_csv("changed.csv")
    return "changed.csv"


def gates_of(text):
    Path("tabstudio.toml").write_text(GATES + text)
    return ["gates", "cancer", "1", "--to", "production"]


def moved_table():
    """The bundle as it was, its table gone."""
    shutil.copytree("other", "gone", dirs_exist_ok=True)
    Path("other.csv").unlink(missing_ok=True)
    return ["reproduce", "gone/model"]


CASES = {
    "compare a version that is not there": (
        lambda: ["compare", "models:/cancer/9", "models:/cancer/1"],
        1,
        ["models:/cancer/9", "its versions are 1, 2"],
    ),
    "compare a misspelt name": (lambda: ["compare", "models:/cancr/1", "one/model"], 1, ["cancr", "cancer"]),
    "compare other targets": (
        lambda: ["compare", "one/model", "other/model"],
        1,
        ["target", "diagnosis", "verdict"],
    ),
    "compare on rows of another table": (
        lambda: ["compare", "one/model", "two/model", "--data", "other.csv"],
        2,
        ["other.csv", "diagnosis"],
    ),
    "compare on no file": (
        lambda: ["compare", "one/model", "two/model", "--data", "nowhere.csv"],
        1,
        ["nowhere.csv"],
    ),
    "slice of no column": (
        lambda: ["compare", "one/model", "two/model", "--slice", "worst aera"],
        2,
        ["worst aera", "worst area"],
    ),
    "unknown gate": (lambda: gates_of("metric = { f1 = 0.5 }"), 2, ["production", "metric", "metrics"]),
    "unknown measure": (lambda: gates_of("metrics = { f2 = 0.5 }"), 2, ["f2", "f1"]),
    "a gate that is no table": (lambda: gates_of("metrics = 0.5"), 2, ["metrics", "0.5"]),
    "gates of an unknown stage": (
        lambda: ["gates", "cancer", "1", "--to", "prodction"],
        1,
        ["prodction", "production"],
    ),
    "gates of an unknown version": (lambda: ["gates", "cancer", "7", "--to", "production"], 1, ["7", "1"]),
    "reproduce on changed rows": (
        lambda: ["reproduce", "one/model", "--data", changed_rows()],
        1,
        ["changed.csv", "fingerprint", "400"],
    ),
    "reproduce without its table": (moved_table, 1, ["other.csv", "--data"]),
    "record of a folder": (lambda: ["reproduce", "one/model", "--record"], 2, ["record", "one/model"]),
    "card of nothing": (lambda: ["card", "models:/cancer/5"], 1, ["models:/cancer/5"]),
    "card into no folder": (lambda: ["card", "one/model", "-o", "no/where.md"], 1, ["no/where.md"]),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_told_in_one_screen(project, capsys, case):
    make, code, words = CASES[case]
    found, said = told(capsys, *make())
    assert found == code
    assert said.err.startswith("error: ")
    assert "Traceback" not in said.err
    assert len(said.err.splitlines()) <= 24
    for word in words:
        assert word in said.err
