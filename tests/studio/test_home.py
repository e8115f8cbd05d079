"""Home tells what goes on, what is in production and how it fares, what happened; and where to begin."""

from __future__ import annotations

import re
import threading
import time

import pytest
from playwright.sync_api import expect

from tabstudio.studio.services.system_metrics import SystemMetrics, cpu_percent, parse_gpus

from .conftest import start_studio
from .content import copied, terminal

expect.set_options(timeout=20_000)


def test_an_empty_folder_is_told_where_to_begin(studio, browse):
    page = browse(studio.url)
    expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
    expect(page.locator("ol.ways > li")).to_have_count(3)
    expect(page.get_by_text("Nothing is being trained.")).to_be_visible()
    expect(page.get_by_text("No version is in production yet")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^\d+ %$"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"GiB of .* GiB$")).first).to_be_visible()
    page.get_by_role("link", name="Start a service").click()
    expect(page.get_by_role("dialog", name="New service")).to_be_visible()
    page.goto(studio.url)
    page.get_by_role("link", name="Train on a table").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Data")


@pytest.mark.delivers
def test_home_follows_promotions_and_runs_of_others(tmp_path, trained, browse):
    from tabstudio.tracking import Recorder

    running = start_studio(copied(trained, tmp_path))
    try:
        page = browse(running.url)
        expect(page.get_by_role("heading", name="Welcome")).to_have_count(0)
        lately = page.get_by_role("region", name="What happened lately")
        expect(lately.get_by_role("link", name="cancer in cancer")).to_have_count(2)
        terminal(
            tmp_path, "promote", "cancer", "2", "--to", "production", "--reason", "<b>better</b> & faster"
        )
        expect(lately).to_contain_text("to production: <b>better</b> & faster")
        production = page.get_by_role("region", name="Models in production")
        expect(production).to_contain_text("version 2")
        expect(production).to_contain_text("by carol")
        expect(production).to_contain_text("by no service")
        expect(production).to_contain_text("whole")

        uri = f"sqlite:///{tmp_path}/mlflow.db"
        with Recorder(tmp_path / "spool", uri, uri) as recorder, recorder.start("theirs", "a loop") as run:
            run.metrics({"train/loss": 1.0, "acc": 0.5}, step=1)
            card = page.get_by_role("article").filter(has_text="a loop")
            expect(card).to_contain_text("in theirs, for", timeout=60_000)
            for step in range(2, 6):
                run.metrics({"train/loss": 1.0 / step}, step=step)
            card.get_by_text("Numbers").click()
            expect(card.get_by_role("row")).to_have_count(6)
        expect(page.get_by_text("Nothing is being trained.")).to_be_visible()
        expect(lately).to_contain_text("a loop in theirs")
    finally:
        running.stop()


def test_a_broken_history_shows_on_home(tmp_path, trained, browse):
    import sqlite3
    from contextlib import closing

    terminal(copied(trained, tmp_path), "promote", "cancer", "2", "--to", "production", "--reason", "better")
    with closing(sqlite3.connect(tmp_path / "tabstudio.db")) as connection, connection:
        connection.execute("UPDATE tabstudio_history SET reason = 'worse'")
    running = start_studio(tmp_path)
    try:
        expect(browse(running.url).get_by_text("broken: see its page")).to_be_visible()
    finally:
        running.stop()


def test_a_process_is_measured_with_its_children():
    import os

    metrics = SystemMetrics()
    assert metrics.sample(str(os.getpid()))
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            sum(range(1000))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        time.sleep(1.1)
        metrics.sample(str(os.getpid()))
    finally:
        ended.set()
        thread.join()
    load = metrics.load(os.getpid())
    assert load is not None
    assert 5 < load.cpu < 400
    assert load.memory > 1e7
    assert metrics.sample(str(2**22 + 1)) is None
    assert metrics.load(2**22 + 1) is None


def test_the_machine_is_measured_between_two_looks():
    metrics = SystemMetrics()
    first = metrics.sample()
    time.sleep(0.3)
    assert metrics.sample() != first
    readings = metrics.machine()
    assert len(readings) == 2
    assert 0 <= readings[1].cpu <= 100
    assert 0 < readings[1].used < readings[1].total


def test_work_counts_and_waiting_does_not():
    from collections import namedtuple

    Times = namedtuple("Times", ["user", "system", "idle", "iowait", "guest"])
    assert cpu_percent(Times(0, 0, 0, 0, 0), Times(2, 1, 6, 1, 1)) == pytest.approx(30)
    assert cpu_percent(Times(1, 1, 1, 1, 0), Times(1, 1, 1, 1, 0)) == 0.0


def test_gpus_are_read_as_their_driver_tells_them():
    told = "NVIDIA H100 80GB, HBM3, 37, 1024, 81920\nOld one, [N/A], 10, 20\n"
    first, second = parse_gpus(told)
    assert (first.name, first.busy, first.used) == ("NVIDIA H100 80GB, HBM3", 37.0, 1024 * 2**20)
    assert (second.busy, second.total) == (0.0, 20 * 2**20)
    assert parse_gpus("") == ()
