"""Logging in, and the page of the people, in a real browser; and everybody logged in after a crash."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from .conftest import start_studio
from .people import PASSWORD, people, program


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    people(folder)
    return folder


@pytest.fixture(scope="module")
def running(folder):
    started = start_studio(folder)
    yield started
    if started.process.poll() is None:
        started.stop()


def log_in(page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_one_logs_in_and_out(running, browse):
    page = browse(f"{running.url}/people")
    log_in(page, "vera", "wrong password")
    expect(page.get_by_role("alert")).to_contain_text("do not belong together")
    log_in(page, "vera")
    expect(page).to_have_url(f"{running.url}/people")
    expect(page.locator("header")).to_contain_text("vera · viewer")
    expect(page.get_by_role("heading", name="Everybody")).to_have_count(0)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_an_admin_adds_somebody_whose_role_follows_at_once(running, browse):
    ann, dora = browse(f"{running.url}/people"), browse(running.url)
    log_in(ann, "ann")
    ann.get_by_role("button", name="Add somebody").click()
    ann.get_by_label("Name").fill("dora <b>")
    ann.get_by_label("Password, or nothing").fill(PASSWORD)
    ann.get_by_role("button", name="Add", exact=True).click()
    group = ann.get_by_role("group", name="dora <b>")
    expect(group).to_be_visible()
    log_in(dora, "dora <b>")
    expect(dora.locator("header")).to_contain_text("dora <b> · viewer")
    group.get_by_label("Role").click()
    ann.get_by_role("option", name="editor").click()
    expect(dora.locator("header")).to_contain_text("dora <b> · editor")
    group.get_by_role("button", name="Remove").click()
    ann.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    expect(group).to_have_count(0)
    expect(dora.get_by_role("button", name="Log in")).to_be_visible()


def test_one_makes_a_token_and_revokes_it(running, browse):
    page = browse(f"{running.url}/people")
    log_in(page, "ed")
    page.get_by_role("button", name="New token").click()
    page.get_by_label("What it is for").fill("notebook")
    page.get_by_role("button", name="Make it").click()
    shown = page.get_by_text(re.compile("^tabstudio_"))
    with program(running.url, shown.inner_text()) as client:
        assert client.get("/").json()["name"] == "ed"
        page.get_by_role("button", name="I have it").click()
        page.get_by_role("button", name="Revoke the token for notebook").click()
        page.get_by_role("button", name="Revoke", exact=True).click()
        expect(page.get_by_text("token for notebook", exact=True)).to_have_count(0)
        assert client.get("/").status_code == 401


def test_who_changes_their_password_is_asked_for_it_everywhere(running, browse):
    page = browse(f"{running.url}/people")
    log_in(page, "carol")
    page.get_by_role("button", name="Change the password").click()
    page.get_by_label("Old password").fill("something else")
    page.get_by_label("New password").fill(f"new {PASSWORD}")
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_text("the old password is another one")).to_be_visible()
    page.get_by_label("Old password").fill(PASSWORD)
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    log_in(page, "carol", f"new {PASSWORD}")
    expect(page.locator("header")).to_contain_text("carol · approver")


def test_a_killed_studio_comes_back_with_everybody_logged_in(running, folder, browse):
    page = browse(f"{running.url}/people")
    log_in(page, "vera")
    expect(page.locator("header")).to_contain_text("vera · viewer")
    running.kill()
    port = running.url.rpartition(":")[2]
    again = start_studio(folder, "--port", port)
    try:
        expect(page.get_by_role("heading", name="You")).to_be_visible(timeout=30_000)
        page.reload()
        expect(page.locator("header")).to_contain_text("vera · viewer")
    finally:
        again.stop()
