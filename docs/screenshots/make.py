"""Take the pictures of the studio again: `python docs/screenshots/make.py`, with Chromium installed.

The content is real: `tabstudio demo`, two more trainings, promotions, a service, and predictions asked of it.
Pictures are reduced to 128 colours.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent
WIDTH, HEIGHT = 1280, 1000
COLOURS = 128
TABLE = "cancer_classification.csv"
PAGES = {
    "home": "/",
    "data": "/data",
    "table": f"/data/table/{TABLE}?target=diagnosis",
    "runs": "/runs",
    "run": "/runs/{run}",
    "monitor": "/monitor",
    "model": "/monitor/breast-cancer",
    "version": "/monitor/breast-cancer/2",
    "comparison": "/monitor/breast-cancer/compare?first=1&second=2",
    "deployments": "/deployments",
    "service": "/deployments/breast-cancer",
}


def tabstudio(folder: Path, *words: str, actor: str = "ann") -> str:
    """Run a command in the folder of the demo."""
    command = [sys.executable, "-m", "tabstudio", *words]
    settings = os.environ | {"TABSTUDIO_ACTOR": actor}
    return subprocess.run(
        command, cwd=folder, env=settings, capture_output=True, text=True, check=True
    ).stdout


def fill(folder: Path) -> str:
    """Make what the pages show, and return the address of the service."""
    tabstudio(folder, "demo", "--folder", ".")
    (folder / "data").mkdir()
    shutil.copy(folder / TABLE, folder / "data" / TABLE)
    train = ("train", f"data/{TABLE}", "--target", "diagnosis", "--name", "breast-cancer")
    tabstudio(folder, *train, "--network", "mlp", "--hidden", "30,15")
    tabstudio(folder, *train, "--network", "resnet", actor="bob")
    move = ("promote", "breast-cancer")
    tabstudio(folder, *move, "1", "--to", "production", "--reason", "the first that we trust")
    tabstudio(
        folder, *move, "2", "--to", "staging", "--reason", "a smaller network, to be tried", actor="bob"
    )
    tabstudio(folder, *move, "2", "--to", "production", "--reason", "as good, and smaller")
    tabstudio(
        folder, "rollback", "breast-cancer", "--reason", "the clinic wants to look at it first", actor="carol"
    )
    served = ("breast-cancer", "models:/breast-cancer@production", "--port", "0", "--watch", "1")
    return tabstudio(folder, "deployments", "start", *served).split()[-1]


def ask(url: str, table: Path, requests: int, pause: float) -> None:
    """Let the service answer rows of the table, as callers would."""
    names, *lines = [line.split(",") for line in table.read_text().splitlines()]
    chance = random.Random(0)  # noqa: S311 - which rows are asked is no secret
    for _ in range(requests):
        values = chance.choice(lines)[:-1]
        row = {name.strip('"'): float(value) for name, value in zip(names, values, strict=False)}
        body = json.dumps({"rows": [row]}).encode()
        headers = {"content-type": "application/json"}
        question = urllib.request.Request(f"{url}/v1/models/breast-cancer/predict", body, headers)  # noqa: S310
        urllib.request.urlopen(question).read()  # noqa: S310
        time.sleep(pause * chance.expovariate(1.0))


def studio(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a studio there; its process and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tabstudio", "studio", "--port", "0"],
        cwd=folder,
        env=os.environ | {"TABSTUDIO_ACTOR": "ann", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"the studio is at (http://[^;\s]+)", line):
            return process, found[1]
    raise SystemExit("the studio did not start")


def settled(page: Page) -> None:
    """Wait until no part of the page is still to come, and charts have been drawn."""
    page.wait_for_function("!document.querySelector('[aria-busy]')", timeout=60_000)
    page.wait_for_timeout(1500)


def picture(page: Page, path: Path) -> None:
    """Take the top of a page as a small PNG."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    image.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        path, optimize=True
    )


def take(browser: Browser, url: str, service: str, table: Path, theme: str) -> None:
    """Take all pages in one theme."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=theme)
    page = context.new_page()
    for name, path in PAGES.items():
        if "{run}" in path:
            page.goto(f"{url}/runs")
            page.get_by_role("link", name="breast-cancer").last.click()
        else:
            page.goto(url + path)
        settled(page)
        if name == "service":
            page.set_viewport_size({"width": WIDTH, "height": 1500})
            ask(service, table, 150, 0.2)
            page.get_by_role("button", name="Predict").click()
            page.wait_for_timeout(3000)
        if name == "model":
            page.set_viewport_size({"width": WIDTH, "height": 1500})
            page.wait_for_timeout(1500)
        page.evaluate("window.scrollTo(0, 0)")
        picture(page, HERE / f"{name}-{theme}.png")
        page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    context.close()


def index() -> str:
    """The page that shows them all."""
    head = [
        "# The studio in pictures\n",
        "Made by `python docs/screenshots/make.py` from `tabstudio demo`.\n",
    ]
    shown = (
        f"## {name.capitalize()}\n\n![{name}, light]({name}-light.png)\n\n![{name}, dark]({name}-dark.png)\n"
        for name in PAGES
    )
    return "\n".join([*head, *shown])


def main() -> None:
    """Fill a folder, open a studio there, take the pictures, end what was started."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory(prefix="tabstudio-pictures-") as place, sync_playwright() as playwright:
        folder = Path(place)
        service = fill(folder)
        ask(service, folder / TABLE, 200, 0.3)
        process, url = studio(folder)
        try:
            browser = playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
            )
            for theme in ("light", "dark"):
                take(browser, url, service, folder / TABLE, theme)
            browser.close()
        finally:
            process.terminate()
            process.wait(30)
            tabstudio(folder, "deployments", "remove", "breast-cancer")
    (HERE / "README.md").write_text(index(), encoding="utf-8")


if __name__ == "__main__":
    main()
