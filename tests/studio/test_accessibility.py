"""Every page for everybody: axe finds no serious fault in light or dark, and the keyboard gets everywhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from .conftest import start_studio
from .content import ODD, copied, terminal

expect.set_options(timeout=60_000)

PAGES = {
    "/": "Home",
    "/data": "Data",
    "/data/table/cancer_classification.csv?target=diagnosis": "cancer_classification.csv",
    "/runs": "Runs",
    "/runs/{0}": "cancer",
    "/runs/compare?ids={0},{1}": "Runs beside each other",
    "/monitor": "Monitor",
    "/monitor/cancer": "cancer",
    f"/monitor/{quote(ODD, safe='')}": ODD,
    "/monitor/cancer/2": "cancer, version 2",
    "/monitor/cancer/compare?first=1&second=2": "cancer: version 1 against version 2",
    "/people": "People",
    "/deployments": "Deployments",
    "/deployments/cancer": "cancer",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, trained, cancer_csv):
    folder = copied(trained, tmp_path_factory.mktemp("accessible"))
    (folder / "data").mkdir()
    shutil.copy(cancer_csv, folder / "data")
    terminal(folder, "promote", "cancer", "1", "--to", "production", "--reason", "first")
    terminal(folder, "request", "cancer", "2", "--to", "champion", "--reason", "better")
    terminal(folder, "deployments", "start", "cancer", "models:/cancer@production", "--port", "0")
    running = start_studio(folder, TABSTUDIO_ACTOR="ann")
    yield running
    running.stop()
    terminal(folder, "deployments", "remove", "cancer")


@pytest.fixture(scope="module")
def runs(place) -> list[str]:
    """The ids of the runs."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{place.folder}/mlflow.db")
    return [version.run_id for version in client.search_model_versions("name = 'cancer'")]


@pytest.fixture(scope="module")
def axe() -> str:
    import axe_core_python

    return (Path(axe_core_python.__file__).parent / "axe.min.js").read_text()


def faults(page, axe: str) -> list[str]:
    """What axe calls serious or critical on the page as it is, with the elements."""
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [
        f"{one['id']} ({one['impact']}): {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def settled(page) -> None:
    """Wait until no part of the page is still to come."""
    expect(page.locator("h1")).to_be_visible()
    expect(page.locator("[aria-busy]")).to_have_count(0, timeout=60_000)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_no_serious_fault(place, runs, browse, axe, path, theme):
    page = browse(color_scheme=theme)
    page.goto(place.url + path.format(*runs))
    settled(page)
    expect(page.locator("h1")).to_have_text(PAGES[path])
    assert faults(page, axe) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_fault_in_a_dialog_or_an_open_list(place, browse, axe, theme):
    page = browse(f"{place.url}/monitor/cancer", color_scheme=theme)
    page.get_by_role("button", name="Promote version 2").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("table")).to_be_visible()
    page.wait_for_timeout(400)  # it has faded in
    assert faults(page, axe) == []
    dialog.get_by_label("To stage").click()
    expect(page.get_by_role("option", name="champion")).to_be_visible()
    page.wait_for_timeout(400)
    assert faults(page, axe) == []


def test_a_promotion_by_keyboard_alone(place, browse):
    page = browse(f"{place.url}/monitor/cancer")
    expect(page.get_by_role("button", name="Promote version 2")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    tab_to(page, page.get_by_role("button", name="Promote version 2"))
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Promote version 2")).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page, dialog.get_by_label("Reason"))
    page.keyboard.type("by keyboard")
    tab_to(page, dialog.get_by_role("button", name="Cancel"))
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)


def test_the_details_of_the_history_open_by_keyboard(place, browse):
    page = browse(f"{place.url}/monitor/cancer")
    entry = page.get_by_role("listitem").filter(has_text="first")
    expect(entry).to_be_visible()
    tab_to(page, entry.locator("summary"))
    page.keyboard.press("Enter")
    expect(entry.get_by_role("table", name="Gates")).to_be_visible()


def tab_to(page, wanted) -> None:
    """Press Tab until something has the focus."""
    for _ in range(80):
        if wanted.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {wanted}")
