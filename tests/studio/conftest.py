"""A real studio in a process of its own, and a real Chromium that looks at it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.forked import Forked
from tests.once import shared_once

from .content import fill

START_SECONDS = 60


@dataclass
class Running:
    """A studio that answers: its address, its process, the folder in which it works."""

    url: str
    process: Forked | subprocess.Popen[bytes]
    folder: Path
    log: Path

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """End it as Ctrl-C does, and return its exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=30)


def start_studio(folder: Path, *options: str, fresh: bool = False, **environment: str) -> Running:
    """Start a studio on a free port, wait until it tells its address.

    It is forked off a process that has imported what it needs, or a `fresh` one, as in a terminal.
    """
    log = folder / "studio.log"
    log.touch()
    began = log.stat().st_size
    quiet = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    settings = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "TABSTUDIO_", "PYTEST"))}
    start = _fresh if fresh else _forked
    process = start(folder, log, settings | quiet | environment, ["studio", "--port", "0", *options])
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        found = re.search(r"the studio is at (http://\S+);", log.read_bytes()[began:].decode())
        if found:
            return Running(found[1], process, folder, log)
        time.sleep(0.05)
    process.kill()
    process.wait()
    raise AssertionError(f"the studio did not start: {log.read_bytes()[began:].decode()}")


def _forked(folder: Path, log: Path, environment: dict[str, str], words: list[str]) -> Forked:
    code = "import sys; from tabstudio.cli import main; main(sys.argv[1:])"
    return Forked(code, *words, output=log, folder=folder, environment=environment)


def _fresh(folder: Path, log: Path, environment: dict[str, str], words: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-u", "-m", "tabstudio", *words]
    with log.open("ab") as output:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)


@pytest.fixture
def studio(tmp_path) -> Iterator[Running]:
    """A studio in an empty folder."""
    running = start_studio(tmp_path)
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture(scope="session")
def trained(cancer_csv) -> Path:
    """A folder with trained models, to be copied: see `content.fill`."""
    return shared_once("trained", lambda folder: fill(folder, cancer_csv))[0]


@pytest.fixture(scope="package")
def chromium() -> Iterator[object]:
    """A browser for all tests of the room; its event loop must not outlive them."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def browse(chromium) -> Iterator[object]:
    """Make pages, each in a browser context of its own; a fault in a page's script fails the test."""
    contexts, faults = [], []

    def open_page(url: str = "about:blank", **context: object):
        made = chromium.new_context(viewport={"width": 1400, "height": 900}, **context)
        contexts.append(made)
        page = made.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []
