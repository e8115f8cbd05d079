"""The registry on the command line: what a person reads, what a program reads, and how a command ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tabstudio.cli.app import run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="session")
def mlflow_of_one_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with `ill` in two versions of no library that we know."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("one-model")
    (folder / "files").mkdir()
    (folder / "files" / "MLmodel").write_text("flavors: {}\n")
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db", f"sqlite:///{folder}/mlflow.db")
    client.create_registered_model("ill")
    experiment = client.create_experiment("ill", artifact_location=str(folder / "artifacts"))
    for value in (0.8, 0.9):
        run_ = client.create_run(experiment)
        for name, shift in (("test_f1", 0), ("test_f1_low", -0.05), ("test_f1_high", 0.05)):
            client.log_metric(run_.info.run_id, name, value + shift)
        client.set_terminated(run_.info.run_id)
        client.create_model_version("ill", str(folder / "files"), run_.info.run_id)
    return folder / "mlflow.db"


@pytest.fixture
def ill(mlflow_of_one_model, monkeypatch):
    Path("mlflow.db").write_bytes(mlflow_of_one_model.read_bytes())
    monkeypatch.setenv("TABSTUDIO_ACTOR", "ann")


def told(capsys, *words, code=0):
    capsys.readouterr()
    assert run(list(words)) == code
    return capsys.readouterr()


def test_a_life_of_two_versions(ill, capsys):
    assert "ill" in told(capsys, "models").out
    listed = told(capsys, "versions", "ill").out
    assert "0.9 [0.85, 0.95]" in listed
    assert "f1" in listed
    assert "nothing happened to ill yet" in told(capsys, "history", "ill").out
    out = told(capsys, "promote", "ill", "1", "--to", "production", "--reason", "first").out
    assert "ill 1: no stage → production\nmodels:/ill@production is version 1 now\n" in out
    told(capsys, "promote", "ill", "latest", "--to", "production", "-r", "better", "--as", "bob")
    out = told(capsys, "rollback", "ill", "-r", "worse on Mondays").out
    assert "models:/ill@production is version 1 now" in out
    out = told(capsys, "history", "ill").out
    for words in ("worse on Mondays", "bob", "archived → production", "version 1 took its place"):
        assert words in out
    out = told(capsys, "history", "ill", "--at", "2999-01-01").out
    assert [line.split()[:2] for line in out.splitlines()[2:]] == [
        ["staging", "–"],
        ["production", "1"],
        ["archived", "2"],
    ]
    assert "all 5 rows are as they were written" in told(capsys, "history", "ill", "--verify").out
    assert "ill 1: production → archived" in told(capsys, "archive", "ill", "production", "-r", "old").out


def test_programs_read_json(ill, capsys):
    (model,) = json.loads(told(capsys, "models", "--json").out)
    assert (model["name"], model["newest"]) == ("ill", 2)
    rows = json.loads(told(capsys, "promote", "ill", "2", "--to", "staging", "-r", "x", "--json").out)
    assert [(row["kind"], row["to_stage"], row["actor"]) for row in rows] == [("promote", "staging", "ann")]
    versions = json.loads(told(capsys, "versions", "ill", "--json").out)
    assert [(v["number"], v["stage"], v["aliases"]) for v in versions] == [
        (2, "staging", ["staging"]),
        (1, None, []),
    ]
    assert versions[0]["metrics"]["test_f1"]["value"] == 0.9
    assert json.loads(told(capsys, "history", "ill", "--json").out)[0]["reason"] == "x"
    assert (
        json.loads(told(capsys, "history", "ill", "--at", "2999-01-01", "--json").out)["staging"][0][
            "version"
        ]
        == 2
    )
    assert json.loads(told(capsys, "history", "ill", "--verify", "--json").out)["whole"] is True
    assert json.loads(told(capsys, "webhooks", "--json").out)["waiting"] == 0


def test_a_gate_that_fails_is_shown_and_ends_with_three(ill, capsys):
    Path("tabstudio.toml").write_text("[registry.stages.production.gates]\nmetrics = { f1 = 0.8 }\n")
    found = told(capsys, "promote", "ill", "1", "--to", "production", "-r", "please", code=3)
    assert "FAILED" in found.out
    assert (
        "error: ill 1 does not go to production: 1 of 1 gates did not pass, nothing was changed" in found.err
    )
    found = told(capsys, "promote", "ill", "1", "--to", "production", "-r", "please", "--json", code=3)
    assert [gate["passed"] for gate in json.loads(found.out)["gates"]] == [False]
    assert "FAILED" not in told(capsys, "promote", "ill", "2", "--to", "production", "-r", "good").out
    out = told(capsys, "promote", "ill", "1", "--to", "production", "-r", "urgent", "--force").out
    assert "overruled" in out
    assert "promote, FORCED" in told(capsys, "history", "ill").out


def test_people_agree(ill, capsys):
    Path("tabstudio.toml").write_text("[registry.stages.production]\napprovals = 1\n")
    assert (
        "tabstudio approve ill 2"
        in told(capsys, "request", "ill", "2", "--to", "production", "-r", "better").out
    )
    assert "ann asked for this" in told(capsys, "approve", "ill", "2", code=1).err
    assert "it may go there now" in told(capsys, "approve", "ill", "2", "--as", "bob").out
    told(capsys, "promote", "ill", "2", "--to", "production", "-r", "bob agrees")
    told(capsys, "request", "ill", "1", "--to", "production", "-r", "back")
    out = told(capsys, "reject", "ill", "1", "-r", "it was worse", "--as", "carol").out
    assert "carol turned the request for production down: it was worse" in out


def test_a_history_that_was_edited_ends_with_three(ill, capsys):
    import sqlite3

    told(capsys, "promote", "ill", "1", "--to", "production", "-r", "first")
    with sqlite3.connect("tabstudio.db") as database:
        database.execute("UPDATE tabstudio_history SET actor = 'somebody else'")
    database.close()
    out = told(capsys, "history", "ill", "--verify", code=3).out
    assert "row 1: it was edited after it was written" in out


def test_what_was_changed_in_mlflow_is_told_beside_the_answer(ill, capsys):
    from mlflow import MlflowClient

    here = f"sqlite:///{Path.cwd()}/mlflow.db"
    client = MlflowClient(here, here)
    client.set_registered_model_alias("ill", "production", "2")
    found = told(capsys, "models")
    assert "note: ill 2: the alias @production was moved in MLflow; it is in production now" in found.err
    assert "note" not in found.out


@pytest.mark.parametrize(
    ("words", "code", "parts"),
    [
        (["versions", "il"], 1, ["no registered model 'il'", "did you mean ill?"]),
        (["promote", "ill", "9", "--to", "production", "-r", "x"], 1, ["no version 9", "2, 1"]),
        (["promote", "ill", "1", "--to", "prod", "-r", "x"], 1, ["did you mean production?"]),
        (["promote", "ill", "1", "--to", "production", "-r", " "], 1, ["a reason was expected"]),
        (["promote", "ill", "1", "--to", "production"], 2, ["--reason"]),
        (["rollback", "ill", "-r", "x"], 1, ["no version was in production before"]),
        (["history", "ill", "--at", "yesterday"], 2, ["2026-03-01", "'yesterday'"]),
        (["history", "ill", "--export", "history.xlsx"], 2, [".json or .csv", "history.xlsx"]),
        (["approve", "ill", "1"], 1, ["no open request"]),
    ],
)
def test_what_cannot_be_done_is_told_on_one_screen(ill, capsys, words, code, parts):
    found = told(capsys, *words, code=code)
    for part in parts:
        assert part in found.err
    assert len(found.err.splitlines()) <= 6
    assert "Traceback" not in found.err


@pytest.mark.parametrize(
    "words", [["models"], ["versions", "ill"], ["promote", "ill", "1", "--to", "x", "-r", "y"]]
)
def test_without_a_registry_the_way_to_one_is_told(capsys, words):
    found = told(capsys, *words, code=1)
    assert "there is no registry yet" in found.err
    assert "tabstudio train" in found.err
    assert list(Path.cwd().iterdir()) == []


def test_an_empty_registry_is_told(empty_registry, capsys):
    assert "no model is registered yet" in told(capsys, "models").out


@pytest.fixture
def empty_registry():
    from mlflow import MlflowClient

    here = f"sqlite:///{Path.cwd()}/mlflow.db"
    MlflowClient(here, here).search_registered_models()
