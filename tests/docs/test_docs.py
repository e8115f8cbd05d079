"""The README and the pages of docs/ hold what is true: their code runs, and nothing is left out of them."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tabstudio.recipes.demo import write_cancer_table

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.delivers
@pytest.mark.parametrize(
    "page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: str(p.relative_to(ROOT))
)
def test_python_blocks_run_in_their_order(page):
    write_cancer_table(Path("cancer_classification.csv"))
    names = {}
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
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
    from tabstudio.cli.app import COMMANDS

    for page in PAGES:
        for block in blocks(page, "sh"):
            for name in re.findall(r"^tabstudio (\w+)", block, re.MULTILINE):
                assert name in COMMANDS, f"{page.name} names tabstudio {name}"


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize(
    "name",
    [
        "reference/command-line.md",
        "reference/options.md",
        "reference/settings.md",
        "pictures/architecture.svg",
    ],
)
def test_pages_made_from_the_code_are_up_to_date(name):
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == generate.PAGES[name](), "run `make docs`"


def test_files_named_in_the_architecture_exist():
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py|/))`", text)
    assert named
    assert [
        name for name in named if not (ROOT / "src" / "tabstudio" / name).exists() and "tests" not in name
    ] == []


def test_every_page_stands_in_the_navigation_of_the_site():
    import tomllib

    def addresses(entries):
        for entry in entries:
            for value in entry.values():
                yield from addresses(value) if isinstance(value, list) else [value]

    project = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    pages = {str(page.relative_to(ROOT / "docs")) for page in PAGES[1:]} - {"screenshots/README.md"}
    assert set(addresses(project["nav"])) == pages


def test_the_site_is_built_without_a_warning(tmp_path):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / "src").symlink_to(ROOT / "src")
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", "zensical.toml"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    reference = (tmp_path / "site" / "reference" / "api" / "training" / "index.html").read_text(
        encoding="utf-8"
    )
    assert 'id="tabstudio.train"' in reference
    for page in (tmp_path / "site").rglob("*.html"):
        asked = re.findall(r'(?:src|<link[^>]* href)="(https?:[^"]+)"', page.read_text(encoding="utf-8"))
        assert asked == [], page
