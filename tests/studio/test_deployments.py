"""Services started, tried, watched and ended from the page."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import urllib.request

import pytest
from playwright.sync_api import expect

from tabstudio.database import Database
from tabstudio.serving.deployments import Deployments

from .conftest import start_studio
from .content import ODD, copied, terminal

expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def place(tmp_path_factory, trained):
    """A studio over a model in production; its services end with it."""
    folder = copied(trained, tmp_path_factory.mktemp("deployments"))
    terminal(folder, "promote", "cancer", "2", "--to", "production", "--reason", "good")
    running = start_studio(folder)
    yield running
    running.stop()
    for line in terminal(folder, "deployments", "list").splitlines():
        terminal(folder, "deployments", "remove", line.split()[0])


@pytest.fixture(scope="module")
def served(place):
    """The address of `cancer`, started from the terminal."""
    said = terminal(
        place.folder, "deployments", "start", "cancer", "models:/cancer@production", "--port", "0"
    )
    return said.split()[-1]


def test_a_service_is_started_from_the_page_tried_and_removed(place, browse):
    page = browse(f"{place.url}/deployments")
    expect(page.get_by_text("No service was started yet.").or_(page.get_by_role("table"))).to_be_visible()
    page.get_by_role("button", name="New service…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Model").click()
    page.get_by_role("option", name=ODD).click()
    expect(dialog.get_by_label("Name of the service")).to_have_value("odd-b-x-100")
    expect(dialog.get_by_label("Stage or version")).to_have_value(re.compile("version 1, for good"))
    dialog.get_by_label("Name of the service").fill("odd one")
    dialog.get_by_role("button", name="Start", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text(
        "a name of letters, digits, dots, - and _ was expected"
    )
    dialog.get_by_label("Name of the service").fill("odd-one")
    dialog.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_text(re.compile("odd-one answers at http"))).to_be_visible(timeout=90_000)
    page.get_by_role("link", name="odd-one").click()
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("status")).to_contain_text(re.compile(r"Prediction\s*(benign|malignant)"))
    page.get_by_role("button", name="Remove odd-one").click()
    dialog.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_text("odd-one is forgotten")).to_be_visible()
    page.goto(f"{place.url}/deployments")
    expect(page.get_by_role("link", name="odd-one")).to_have_count(0)


def test_the_form_knows_the_contract_and_names_what_does_not_fit(place, served, browse):
    page = browse(f"{place.url}/deployments/cancer")
    field = page.get_by_label("mean radius")
    expect(field).to_have_value(re.compile(r"^\d+"))
    expect(page.get_by_text(re.compile(r"[\d.]+ to [\d.]+ in training")).first).to_be_visible()
    answer = page.get_by_role("status")
    field.fill("wide")
    page.get_by_role("button", name="Predict").click()
    expect(answer).to_contain_text("mean radius: a number was expected, got 'wide'")
    field.fill("")  # a missing value is answered
    page.get_by_label("worst area").fill("99999")
    page.get_by_role("button", name="Predict").click()
    expect(answer).to_contain_text("benign")
    expect(answer).to_contain_text("malignant")
    expect(answer).to_contain_text(re.compile(r"\d+\.\d%"))
    expect(answer).to_contain_text("worst area")  # beyond what training had: the warning of the service


def test_load_and_traffic_are_seen_as_they_come(place, served, browse):
    page = browse(f"{place.url}/deployments/cancer")
    model = browse(f"{place.url}/monitor/cancer")
    expect(model.get_by_role("region", name="Services")).to_contain_text("cancer")
    total = figure(page, "Requests in all")
    expect(total).to_have_text(re.compile(r"\d"))
    before = int(total.inner_text())
    ask(served, 40)
    expect(total).to_have_text(str(before + 40))
    expect(figure(page, "Median latency")).to_have_text(re.compile(r"[\d.]+ ms"))
    traffic = model.get_by_role("region", name="Traffic by version")
    expect(traffic).to_contain_text(re.compile(rf"version 2\s*{before + 40}"))
    model.get_by_text("Numbers").first.click()
    expect(model.get_by_role("img", name="Requests per minute")).to_be_visible()
    expect(page.get_by_role("log")).to_contain_text("serving at http")


def test_a_service_that_died_says_so_and_starts_again(place, served, browse):
    page = browse(f"{place.url}/deployments/cancer")
    other = browse(f"{place.url}/deployments")
    expect(page.get_by_text("running", exact=True)).to_be_visible()
    service = Deployments(Database(f"sqlite:///{place.folder}/tabstudio.db")).find("cancer")
    os.kill(service.pid, signal.SIGKILL)
    expect(page.get_by_text("Its process ended without being asked to")).to_be_visible()
    expect(other.get_by_text("died", exact=True)).to_be_visible()
    page.get_by_role("button", name="Start cancer").click()
    page.get_by_role("dialog").get_by_role("button", name="Start", exact=True).click()
    expect(other.get_by_text("running", exact=True)).to_be_visible(timeout=90_000)
    expect(page.get_by_role("button", name="Predict")).to_be_visible()
    page.get_by_role("button", name="Stop cancer").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop", exact=True).click()
    expect(other.get_by_text("stopped", exact=True)).to_be_visible()


def test_a_service_that_cannot_start_says_why_with_its_last_lines(place, browse):
    page = browse(f"{place.url}/deployments?model=cancer&which=1")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Stage or version")).to_have_value(re.compile("version 1"))
    dialog.get_by_label("Name of the service").fill("second")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        dialog.get_by_label("Port, 0 takes a free one").fill(str(port))
        dialog.get_by_role("button", name="Start", exact=True).click()
        expect(dialog.get_by_role("alert")).to_contain_text(
            "the service ended before it answered", timeout=90_000
        )
        expect(dialog.get_by_role("alert")).to_contain_text(str(port))
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def figure(page, name: str):
    return page.locator("dl > div").filter(has_text=name).locator("dd")


def ask(url: str, times: int) -> None:
    document = json.loads(urllib.request.urlopen(f"{url}/openapi.json").read())
    row = document["components"]["schemas"]["cancerRow"]["examples"][0]
    body = json.dumps({"rows": [row]}).encode()
    for _ in range(times):
        request = urllib.request.Request(
            f"{url}/v1/models/cancer/predict", body, {"content-type": "application/json"}
        )
        urllib.request.urlopen(request).read()
