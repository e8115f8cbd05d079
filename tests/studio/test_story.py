"""The whole story by clicking: from a file on a desk to predictions in production, and back."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from .conftest import start_studio
from .content import terminal

expect.set_options(timeout=60_000)
LONG = 120_000
"""Milliseconds that a training or the start of a service may take on a busy machine."""


class Browser:
    """Pages of one person; every request that they make is remembered."""

    def __init__(self, browse) -> None:
        self.page = browse()
        self.asked: list[str] = []
        self.page.context.on("request", lambda request: self.asked.append(request.url))

    @property
    def hosts(self) -> set[str]:
        return {urlsplit(url).netloc for url in self.asked if not url.startswith(("data:", "blob:"))}


@pytest.fixture
def start(tmp_path):
    """Start ann's studio in a folder of its own; what is left of it, and its services, end with the test."""
    started = []

    def begin(*options: str):
        started.append(start_studio(tmp_path, *options, TABSTUDIO_ACTOR="ann"))
        return started[-1]

    yield begin
    for studio in started:
        if studio.process.poll() is None:
            studio.kill()
    for line in terminal(tmp_path, "deployments", "list").splitlines():
        terminal(tmp_path, "deployments", "remove", line.split()[0])


def test_from_upload_to_production_and_back_with_a_power_cut_between(start, cancer_csv, browse):
    studio = start()
    browser = Browser(browse)
    page = browser.page
    upload(page, studio, cancer_csv)
    look(page)
    train(page, "mlp")
    see_the_run(page)

    page.goto(f"{studio.url}/data/table/{cancer_csv.name}")
    choose_target(page)
    start_training(page, "tabular")
    expect(page.get_by_role("heading", level=1)).to_have_text("Training of story")
    studio = killed_and_started_again(studio, start, page)
    page.goto(f"{studio.url}/monitor")
    page.get_by_role("link", name="story", exact=True).click()
    expect(page.get_by_role("button", name="Promote version 1")).to_be_visible()
    expect(page.get_by_role("button", name="Promote version 2")).to_be_visible(
        timeout=LONG
    )  # it went on alone

    promote(page, 1, "the first we trust")
    serve(page)
    predict(page, 1)
    page.goto(f"{studio.url}/monitor/story")
    promote(page, 2, "better on every slice")
    page.goto(f"{studio.url}/deployments/story")
    predict(page, 2)
    page.goto(f"{studio.url}/monitor/story")
    roll_back(page, "wrong on Mondays")

    studio = killed_and_started_again(studio, start, page)
    page.goto(f"{studio.url}/monitor/story")
    expect(production(page)).to_contain_text(re.compile("Version 1.*by ann.*wrong on Mondays"))
    expect(page.get_by_role("listitem").filter(has_text="better on every slice")).to_contain_text("promoted")
    page.get_by_role("button", name="Check the history").click()
    expect(page.get_by_text("history intact")).to_be_visible()
    expect(page.get_by_role("region", name="Services")).to_contain_text("story")
    expect(page.get_by_role("region", name="Traffic by version")).to_contain_text("version 2")
    page.goto(f"{studio.url}/deployments/story")
    predict(page, 1)
    page.goto(f"{studio.url}/runs")
    expect(page.get_by_role("link", name="story")).to_have_count(2)
    assert browser.hosts == {urlsplit(studio.url).netloc}  # nothing was asked of anybody else
    studio.stop()


def test_a_page_may_ask_its_own_studio_only(studio, browse):
    page = browse(f"{studio.url}/monitor")
    blocked = page.evaluate(
        """new Promise((tell) => {
            document.addEventListener("securitypolicyviolation", (event) => tell(event.violatedDirective));
            fetch("http://127.0.0.1:9/x").then(() => tell("it went out"), () => {});
        })"""
    )
    assert blocked == "connect-src"
    policy = page.request.get(f"{studio.url}/monitor").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy


def killed_and_started_again(studio, start, page):
    """The same studio after a power cut, at the same address; an open page would come back by itself."""
    page.goto("about:blank")
    studio.kill()
    return start("--port", str(urlsplit(studio.url).port))


def upload(page, studio, table) -> None:
    page.goto(studio.url)
    page.get_by_role("link", name="Data", exact=True).click()
    page.locator("input[type=file]").set_input_files(table)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(table.name)


def look(page) -> None:
    choose_target(page)
    expect(page.get_by_role("img", name=re.compile("diagnosis")).first).to_be_visible(timeout=LONG)
    expect(page.get_by_text("569 rows")).to_be_visible()


def choose_target(page) -> None:
    page.get_by_label("Column to predict").click()
    page.get_by_role("option", name="diagnosis", exact=True).click()
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_enabled()


def start_training(page, network: str) -> None:
    page.get_by_label("Name of the model").fill("story")
    page.get_by_label("Network", exact=True).click()
    page.get_by_role("option", name=re.compile(f"^{network}")).click()
    page.get_by_text("More options").click()
    page.get_by_label("Epochs, at most").fill("12")
    page.get_by_role("button", name="Train", exact=True).click()


def train(page, network: str) -> None:
    start_training(page, network)
    expect(page.get_by_role("heading", level=1)).to_have_text("Training of story")
    expect(page.get_by_role("heading", name="Result")).to_be_visible(timeout=LONG)


def see_the_run(page) -> None:
    page.get_by_role("link", name=re.compile("run", re.IGNORECASE)).filter(visible=True).last.click()
    expect(page.get_by_role("heading", name="Curves")).to_be_visible()


def production(page):
    return page.locator(".stage", has=page.get_by_role("heading", name="Production"))


def promote(page, version: int, reason: str) -> None:
    page.get_by_role("button", name=f"Promote version {version}").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("To stage").click()
    page.get_by_role("option", name="production").click()
    dialog.get_by_label("Reason").fill(reason)
    dialog.get_by_role("button", name="Promote", exact=True).click()
    expect(production(page)).to_contain_text(re.compile(f"Version {version}.*{reason}"))


def serve(page) -> None:
    page.get_by_role("button", name="Start a service with story").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Stage or version")).to_have_value(re.compile("production"))
    dialog.get_by_label("Seconds between looks").fill("0.5")
    dialog.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_text(re.compile("story answers at http"))).to_be_visible(timeout=LONG)
    page.get_by_role("region", name="Services").get_by_role("link", name="story").click()


def predict(page, version: int) -> None:
    """Ask until this version answers: the service looks by itself for what has moved."""
    expect(page.get_by_role("table", name="It answers with")).to_contain_text(f"version {version}")
    page.get_by_role("button", name="Predict").click()
    answer = page.get_by_role("status")
    expect(answer).to_contain_text(re.compile(r"(benign|malignant)"))
    expect(answer).to_contain_text(f"version {version},")


def roll_back(page, reason: str) -> None:
    page.get_by_role("button", name="Roll production back").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill(reason)
    dialog.get_by_role("button", name="Roll back", exact=True).click()
    expect(production(page)).to_contain_text(re.compile(f"Version 1.*{reason}"))
