"""The rules of a project, read from its files, with every fault named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabstudio.errors import ConfigError, RegistryError
from tabstudio.registry.stage_rules import find_rules, make_rules


def test_without_a_file_there_are_three_stages():
    rules = find_rules()
    assert [(s.name, s.exclusive, s.displaced_to, s.approvals) for s in rules.stages] == [
        ("staging", True, "archived", 0),
        ("production", True, "archived", 0),
        ("archived", False, None, 0),
    ]
    assert rules.exclusive == ("staging", "production")
    assert rules.source == "the defaults"


@pytest.mark.parametrize(
    ("name", "head"), [("tabstudio.toml", "registry"), ("pyproject.toml", "tool.tabstudio.registry")]
)
def test_the_nearest_file_that_speaks_of_the_registry_counts(tmp_path, monkeypatch, name, head):
    (tmp_path / name).write_text(f"[{head}]\nin_order = true\n[{head}.stages.production]\napprovals = 2\n")
    (tmp_path / ".git").mkdir()
    inner = tmp_path / "project" / "src"
    inner.mkdir(parents=True)
    (tmp_path / "project" / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    monkeypatch.chdir(inner)
    rules = find_rules()
    assert (rules.in_order, rules.stage("production").approvals) == (True, 2)
    assert rules.stage("staging").approvals == 0
    assert rules.source == str(tmp_path / name)


@pytest.mark.parametrize("mark", ["", "pyproject.toml", ".git"])
def test_files_beyond_the_project_do_not_count(tmp_path, monkeypatch, mark):
    (tmp_path / "tabstudio.toml").write_text("[registry]\nin_order = true\n")
    project = tmp_path / "project"
    project.mkdir()
    if mark:
        (project / mark).touch()
    monkeypatch.chdir(project)
    assert find_rules().source == "the defaults"


def test_every_fault_is_named_at_once():
    table = {
        "in_order": "often",
        "order": ["staging", "Production!", "latest"],
        "stages": {"prod": {}},
        "webhooks": [{"url": "ftp://x"}, {"address": "http://x"}],
    }
    with pytest.raises(ConfigError) as caught:
        make_rules({k: v for k, v in table.items() if k != "in_order"}, "tabstudio.toml")
    message = str(caught.value)
    for words in (
        "tabstudio.toml: registry: order: 'Production!' is no name of a stage",
        "'latest' is no name of a stage",
        "stages.prod: the order is staging, Production!, latest",
        "webhooks[0].url: an address with http:// or https:// was expected",
        "webhooks[1].address: there is no such setting",
    ):
        assert words in message
    with pytest.raises(ConfigError, match=r"in_order: Input should be a valid boolean.*got 'often'"):
        make_rules(table)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ({"aprovals": 1}, r"stages.production.aprovals: there is no such setting; did you mean approvals\?"),
        ({"approvals": "many"}, "approvals: Input should be a valid integer.*got 'many'"),
        ({"approvals": 2, "approvers": ["bob"]}, "there are 1 approvers, got 2"),
        ({"approvals": -1}, "approvals: "),
        ({"displaced_to": "attic"}, "another stage of staging, production, archived was expected"),
        ({"displaced_to": "production"}, "another stage of"),
        ({"gates": {"metrix": {}}}, "metrix"),
    ],
)
def test_a_fault_of_a_stage_says_where_it_stands(stage, words):
    with pytest.raises(ConfigError, match=words):
        make_rules({"stages": {"production": stage}})


def test_a_file_that_is_no_toml_is_told():
    Path("tabstudio.toml").write_text("[registry\n")
    with pytest.raises(ConfigError, match=r"tabstudio\.toml: this is not a TOML file"):
        find_rules()


def test_a_stage_that_is_misspelt_is_suggested():
    with pytest.raises(RegistryError, match=r"did you mean production\? The stages are staging, production"):
        make_rules({}).stage("prodction")
    assert make_rules({}).stage("Production").name == "production"
