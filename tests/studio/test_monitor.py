"""The Monitor tab in a real browser: models, versions, moves by people here and elsewhere, comparisons."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from mlflow import MlflowClient
from playwright.sync_api import expect

from tabstudio.registry import Registry

from .conftest import start_studio
from .content import ODD, copied, terminal

expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def place(tmp_path_factory, trained):
    """A studio of ann's, over `cancer` in two versions and a model with an odd name."""
    running = start_studio(copied(trained, tmp_path_factory.mktemp("monitor")), TABSTUDIO_ACTOR="ann")
    yield running
    running.stop()


def promote(page, version: int, stage: str, reason: str) -> None:
    page.get_by_role("button", name=f"Promote version {version}").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("To stage").click()
    page.get_by_role("option", name=stage).click()
    dialog.get_by_label("Reason").fill(reason)
    dialog.get_by_role("button", name="Promote", exact=True).click()


def stage(page, name: str):
    return page.locator(".stage", has=page.get_by_role("heading", name=name))


def test_models_are_listed_and_searched_and_lead_to_their_pages(place, browse):
    page = browse(f"{place.url}/monitor")
    models = page.get_by_role("region", name="Registered models")
    expect(models.get_by_role("link", name="cancer")).to_be_visible()
    page.get_by_label("Search by name").fill("ODD <B")
    expect(models.get_by_role("link", name="cancer")).to_have_count(0)
    models.get_by_role("link", name=ODD).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(ODD)
    assert page.url == f"{place.url}/monitor/{quote(ODD, safe='')}"
    expect(page.get_by_role("button", name="Promote version 1")).to_be_visible()
    page.goto(f"{place.url}/monitor")
    page.get_by_label("Search by name").fill("nothing like it")
    expect(page.get_by_text("No model has “nothing like it” in its name.")).to_be_visible()


def test_a_promotion_shows_in_the_other_browser_and_in_the_history(place, browse):
    one, other = (browse(f"{place.url}/monitor/cancer") for _ in range(2))
    overview = browse(f"{place.url}/monitor")
    expect(stage(other, "Production")).to_contain_text("nothing")
    expect(overview.get_by_role("link", name="cancer")).to_be_visible()
    reason = "first <i>honest</i> one"
    promote(one, 1, "production", reason)
    expect(one.get_by_text("cancer 1 is in production now")).to_be_visible()
    for page in (one, other):
        expect(stage(page, "Production")).to_contain_text(
            re.compile(r"Version 1.*by ann.*first <i>honest</i> one")
        )
        entry = page.get_by_role("list").get_by_role("listitem").filter(has_text=reason)
        expect(entry).to_contain_text("no stage → production")
    expect(overview.get_by_role("region", name="Registered models")).to_contain_text("1 to production")
    entry = other.get_by_role("listitem").filter(has_text=reason)
    entry.get_by_text("Evidence").click()
    expect(entry.get_by_role("table", name="Gates")).to_contain_text("passed")


def test_a_promotion_from_the_terminal_and_a_rollback_with_a_reason(place, browse):
    page = browse(f"{place.url}/monitor/cancer")
    expect(stage(page, "Production")).to_contain_text("Version 1")
    opened = page.get_by_role("listitem").filter(has_text="first <i>honest</i> one")
    opened.get_by_text("Evidence").click()
    terminal(place.folder, "promote", "cancer", "2", "--to", "production", "--reason", "twice as large")
    expect(stage(page, "Production")).to_contain_text(re.compile("Version 2.*by carol.*twice as large"))
    expect(opened.get_by_role("table", name="Gates")).to_be_visible()  # what was open stayed open
    page.get_by_role("button", name="Roll production back").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Roll back", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("A reason is needed")
    dialog.get_by_label("Reason").fill("wrong on Mondays")
    dialog.get_by_role("button", name="Roll back", exact=True).click()
    expect(page.get_by_text("cancer 1 is back in production")).to_be_visible()
    expect(stage(page, "Production")).to_contain_text(re.compile("Version 1.*wrong on Mondays"))
    page.get_by_role("button", name="Check the history").click()
    expect(page.get_by_text("history intact")).to_be_visible()


def test_gates_that_fail_are_shown_and_overruled_with_a_mark(place, browse):
    page = browse(f"{place.url}/monitor/cancer")
    page.get_by_role("button", name="Promote version 2").click()
    dialog = page.get_by_role("dialog")
    gates = dialog.get_by_role("table")
    expect(gates).to_contain_text("metrics.accuracy")
    expect(gates).to_contain_text("not passed")
    dialog.get_by_label("Reason").fill("we know")
    dialog.get_by_role("button", name="Promote", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("1 of 2 gates did not pass, nothing was changed")
    dialog.get_by_role("checkbox", name="Overrule the gates").click()
    dialog.get_by_role("button", name="Promote", exact=True).click()
    expect(stage(page, "Staging")).to_contain_text(re.compile("Version 2.*gates overruled"))
    entry = page.get_by_role("listitem").filter(has_text="we know")
    expect(entry.get_by_text("gates overruled")).to_be_visible()


def test_a_stage_that_needs_approval_is_asked_for_and_waits(place, browse):
    page = browse(f"{place.url}/monitor/cancer")
    page.get_by_role("button", name="Promote version 2").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("To stage").click()
    page.get_by_role("option", name="champion").click()
    expect(dialog.get_by_text("1 must agree first")).to_be_visible()
    dialog.get_by_label("Reason").fill("the best we have")
    dialog.get_by_role("button", name="Ask for approval").click()
    waiting = page.locator(".section", has=page.get_by_role("heading", name="Waiting for approval"))
    expect(waiting).to_contain_text("1 more to agree")
    expect(waiting.get_by_role("button", name="Approve…")).to_have_count(0)  # nobody approves their own
    terminal(place.folder, "approve", "cancer", "2", "--reason", "looked at it")
    expect(waiting).to_contain_text("may go there now")
    waiting.get_by_role("button", name="Promote…").click()
    dialog.get_by_label("Reason").fill("agreed with carol")
    dialog.get_by_role("button", name="Promote", exact=True).click()
    expect(stage(page, "Champion")).to_contain_text("Version 2")
    expect(waiting).to_have_count(0)
    terminal(place.folder, "request", "cancer", "1", "--to", "champion", "--reason", "try this one")
    waiting.get_by_role("button", name="Reject…").click()
    dialog.get_by_label("Reason").fill("not now")
    dialog.get_by_role("button", name="Reject", exact=True).click()
    expect(waiting).to_have_count(0)
    expect(page.get_by_role("listitem").filter(has_text="not now")).to_contain_text("rejected")


def test_figures_stand_beside_each_other_and_the_best_is_said_in_words(place, browse):
    page = browse(f"{place.url}/monitor/cancer")
    table = page.get_by_role("region", name="Versions").get_by_role("table")
    expect(table.get_by_role("columnheader", name="ROC AUC")).to_be_visible()
    expect(table.get_by_role("row").nth(1)).to_contain_text(re.compile(r"\d\.\d+ \[\d\.\d+, [\d.]+\]"))
    expect(table.get_by_text("best", exact=True).first).to_be_visible()
    page.get_by_label("Figures").click()
    page.get_by_role("option", name="log loss").click()
    page.keyboard.press("Escape")
    expect(table.get_by_role("columnheader", name="log loss")).to_be_visible()


def test_two_versions_are_compared_on_the_same_rows(place, browse):
    page = browse(f"{place.url}/monitor/cancer")
    compare = page.get_by_role("button", name="Compare two versions")
    expect(compare).to_be_disabled()
    for version in (1, 2):
        page.get_by_role("checkbox", name=f"Compare version {version}").click()
    compare.click()
    expect(page.get_by_text("the same 142 test rows of both")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("table", name="By paired bootstrap")).to_contain_text("ROC AUC")
    expect(page.get_by_role("img", name="ROC curves")).to_be_visible()
    expect(page.get_by_text("rows are answered differently")).to_be_visible()


def test_a_version_shows_its_card_and_what_a_stage_would_ask(place, browse):
    page = browse(f"{place.url}/monitor/cancer/2")
    expect(page.get_by_role("heading", name="How good it is")).to_be_visible()
    page.get_by_role("button", name="Judge").click()
    expect(page.get_by_role("table", name="Before staging")).to_contain_text("not passed")
    expect(page.get_by_role("table", name="All figures of its run")).to_contain_text("accuracy")
    page = browse(f"{place.url}/monitor/cancer/77")
    expect(page.get_by_role("alert")).to_contain_text(
        "cancer has no version 77; its newest versions are 2, 1"
    )
    page = browse(f"{place.url}/monitor/cancre")
    expect(page.get_by_role("alert")).to_contain_text("did you mean cancer?")


def test_long_lists_of_versions_and_of_history_come_page_by_page(place, browse, monkeypatch):
    client = MlflowClient(f"sqlite:///{place.folder}/mlflow.db")
    made = client.get_model_version("cancer", "2")
    client.create_registered_model("many")
    for _ in range(25):
        client.create_model_version("many", client.get_model_version(ODD, "1").source, made.run_id)
    monkeypatch.chdir(place.folder)
    with Registry(actor="bob") as registry:
        for turn in range(12):
            registry.promote("many", 24 + turn % 2, "production", reason=f"turn {turn}")
    page = browse(f"{place.url}/monitor/many")
    versions = page.get_by_role("region", name="Versions")
    expect(versions.get_by_role("row")).to_have_count(21)
    page.get_by_role("button", name="Older versions").click()
    expect(versions.get_by_role("row")).to_have_count(26)
    expect(versions.get_by_role("button", name="Promote version 1", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Older versions")).to_have_count(0)
    entries = page.locator(".timeline > li")
    expect(entries).to_have_count(20)
    page.get_by_role("button", name="Older entries").click()
    expect(entries).to_have_count(23)
    expect(entries.last).to_contain_text("turn 0")
    promote(page, 3, "production", "the newest on top")
    expect(entries.nth(1)).to_contain_text("the newest on top")  # above it the version that made room
