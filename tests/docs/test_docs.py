"""The README and the pages of docs/ hold what is true: their code runs, and nothing is left out of them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from tabstudio.recipes.demo import write_cancer_table

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: p.name)
def test_python_blocks_run_in_their_order(page):
    write_cancer_table(Path("cancer_classification.csv"))
    names = {}
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_toml_blocks_are_options_that_exist(page):
    import tomllib

    from tabstudio import configure
    from tabstudio.registry.stage_rules import make_rules

    for block in blocks(page, "toml"):
        told = tomllib.loads(block)
        told = told.get("tool", {}).get("tabstudio", told)
        if "registry" in told:
            make_rules(told.pop("registry"), page.name)
        configure(**told)


def test_commands_named_in_the_pages_exist():
    from tabstudio.cli.app import app

    known = {command.name for command in app.registered_commands}
    for page in PAGES:
        for block in blocks(page, "sh"):
            for name in re.findall(r"^tabstudio (\w+)", block, re.MULTILINE):
                assert name in known, f"{page.name} names tabstudio {name}"


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("name", ["command-line.md", "settings.md"])
def test_pages_made_from_the_code_are_up_to_date(name):
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == generate.PAGES[name](), "run `make docs`"


def test_every_page_is_named_in_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [p.name for p in PAGES[1:] if f"docs/{p.name}" not in text] == []
