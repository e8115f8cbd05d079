"""How soon each page of a studio stands there, with 10,000 runs and 200 versions; what 20 idle browsers cost.

    python -m benchmarks.studio [--rounds 7] [--runs 10000] [--idle 30]

MLflow's tables are filled with runs in its own schema: 8 metrics with 20 points each, 15 parameters, 5 tags,
a quarter of them trials of sweeps. One model has 200 versions and a hundred promotions. A page is opened in a
new context of a real Chromium: first paint is its own `first-contentful-paint`, and the content is there when
the element that readers come for is. What 20 idle pages cost is the processor time that /proc counts.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tabstudio.recipes.demo import write_cancer_table
from tabstudio.registry import Registry

MODEL, VERSIONS = "cancer", 200
EXPERIMENTS = ("cancer", "houses", "fraud", "plain")
METRICS = (
    "train_loss",
    "val_loss",
    "test_roc_auc",
    "test_accuracy",
    "test_f1",
    "test_log_loss",
    "lr",
    "seconds",
)
POINTS, PARAMS, TRIALS = 20, 15, 25
BROWSERS = 20
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
NOW = "performance.now()"


def main() -> None:
    """Print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--idle", type=float, default=30.0)
    options = parser.parse_args()
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "TABSTUDIO_"))]:
        del os.environ[name]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        run_id = _trained()
        _fill_runs(options.runs)
        _fill_versions()
        with _studio() as (url, process), _browser() as browser:
            _paint(browser, url, _pages(run_id), options.rounds)
            _idle(browser, url, _pages(run_id), process, options.idle)
        os.chdir("/")


def _pages(run_id: str) -> dict[str, tuple[str, str]]:
    """Address of each page, and the text or selector of what readers come for."""
    return {
        "Home": ("/", "main section"),
        "Data": ("/data", "main section"),
        "Runs": ("/runs", "tbody a[href^='/runs/']"),
        "a run": (f"/runs/{run_id}", "figure.chart svg path"),
        "Monitor": ("/monitor", f"a[href='/monitor/{MODEL}']"),
        "a model": (f"/monitor/{MODEL}", "table a[href*='/monitor/']"),
        "Deployments": ("/deployments", "main section"),
    }


def _trained() -> str:
    """One real training, whose run page has everything; returns its run."""
    write_cancer_table(Path("cancer_classification.csv"))
    words = ["train", "cancer_classification.csv", "-t", "diagnosis", "--name", MODEL, "--no-references"]
    subprocess.run([sys.executable, "-m", "tabstudio", *words], check=True, capture_output=True)
    with Registry(actor="ann") as registry:
        return registry.version(MODEL, 1).run_id


# MLflow's tables


def _fill_runs(runs: int) -> None:
    from mlflow import MlflowClient

    client = MlflowClient("sqlite:///mlflow.db", "sqlite:///mlflow.db")
    known = {e.name: e.experiment_id for e in client.search_experiments()}
    numbers = [int(known.get(name) or client.create_experiment(name)) for name in EXPERIMENTS]
    rng = random.Random(0)
    now = int(time.time() * 1000)
    parent = ""
    with closing(sqlite3.connect("mlflow.db")) as database, database:
        for number in range(runs):
            run_id = uuid.UUID(int=rng.getrandbits(128)).hex
            if number % (4 * TRIALS) == 0:
                parent = run_id
            below = parent if number % 4 == 0 and run_id != parent else ""
            _run(database, rng, run_id, numbers[number % 4], now - 60_000 * (number + 1), number, below)


def _run(
    database: sqlite3.Connection,
    rng: random.Random,
    run_id: str,
    experiment: int,
    start: int,
    number: int,
    parent: str,
) -> None:
    """One run as MLflow's client would have written it."""
    name = f"run {number}"
    _insert(
        database,
        "runs",
        {
            "run_uuid": run_id,
            "name": name,
            "source_type": "UNKNOWN",
            "source_name": "",
            "entry_point_name": "",
            "user_id": "ann",
            "status": "FINISHED",
            "start_time": start,
            "end_time": start + 45_000,
            "source_version": "",
            "lifecycle_stage": "active",
            "artifact_uri": f"{Path.cwd()}/mlruns/{experiment}/{run_id}/artifacts",
            "experiment_id": experiment,
        },
    )
    tags = {
        "mlflow.runName": name,
        "mlflow.user": "ann",
        "mlflow.source.name": "tabstudio train table.csv --target label",
        "mlflow.source.type": "LOCAL",
        "tabstudio.version": "0.1.0",
    } | ({"mlflow.parentRunId": parent} if parent else {})
    for key, value in tags.items():
        _insert(database, "tags", {"run_uuid": run_id, "key": key, "value": value})
    for place in range(PARAMS):
        value = rng.choice(("mlp", "tabm", "128", "0.001", "0.1", "True"))
        _insert(database, "params", {"run_uuid": run_id, "key": f"param_{place}", "value": value})
    for key in METRICS:
        for step in range(POINTS):
            point = {"run_uuid": run_id, "key": key, "value": rng.random(), "is_nan": 0}
            point |= {"timestamp": start + 1000 * step, "step": step}
            _insert(database, "metrics", point)
        _insert(database, "latest_metrics", point)


def _insert(database: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" * len(row))
    database.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))


def _fill_versions() -> None:
    """199 more versions of the model, and promotions through the registry itself."""
    with closing(sqlite3.connect("mlflow.db")) as database, database:
        names = [row[1] for row in database.execute("PRAGMA table_info(model_versions)")]
        row = database.execute("SELECT * FROM model_versions WHERE name = ?", (MODEL,)).fetchone()
        first = dict(zip(names, row, strict=True))
        runs = [run for (run,) in database.execute("SELECT run_uuid FROM runs LIMIT ?", (VERSIONS,))]
        for number, run in zip(range(2, VERSIONS + 1), runs, strict=False):
            _insert(database, "model_versions", first | {"version": number, "run_id": run})
            tag = {"name": MODEL, "version": number, "key": "tabstudio.version", "value": "0.1.0"}
            _insert(database, "model_version_tags", tag)
    with Registry(actor="ann") as registry:
        for number in range(1, VERSIONS + 1, 4):
            for stage in ("staging", "production"):
                registry.promote(MODEL, number, stage, reason=f"benchmark {number}", force=True)


# the studio and its readers


@contextmanager
def _studio() -> Iterator[tuple[str, int]]:
    """A studio of its own process: its address and process id."""
    log = Path("studio.log")
    command = [sys.executable, "-m", "tabstudio", "studio", "--port", "0"]
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield _address(log, process), process.pid
        finally:
            process.terminate()


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        found = re.search(r"the studio is at (http://\S+);", log.read_text())
        if found:
            return found[1]
        time.sleep(0.1)
    raise SystemExit(f"the studio did not start: {log.read_text()}")


@contextmanager
def _browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise SystemExit("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


def _paint(browser: Any, url: str, pages: dict[str, tuple[str, str]], rounds: int) -> None:
    """Every page in turn, so that the machine's moods hit all; the first round warms the studio up."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in pages}
    for round_ in range(-1, rounds):
        for name, (address, content) in pages.items():
            paint = _opened(browser, url + address, content)
            if round_ >= 0:
                taken[name].append(paint)
    print("page                first paint   content   (median seconds; aim: first paint below 1)")
    for name, times in taken.items():
        first, there = (statistics.median(column) / 1000 for column in zip(*times, strict=True))
        print(f"{name:18}  {first:11.2f}  {there:8.2f}", flush=True)


def _opened(browser: Any, address: str, content: str) -> tuple[float, float]:
    """Milliseconds from the request to the first paint, and to the content."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.goto(address)
    page.locator(content).first.wait_for(state="attached")
    there = page.evaluate(NOW)
    page.wait_for_function(f"() => {PAINTED}")
    painted = page.evaluate(PAINTED)
    context.close()
    return painted, there


def _idle(browser: Any, url: str, pages: dict[str, tuple[str, str]], process: int, seconds: float) -> None:
    """Processor time of the studio while 20 pages are open and nothing happens."""
    contexts = [browser.new_context() for _ in range(BROWSERS)]
    for place, context in enumerate(contexts):
        address, content = list(pages.values())[place % len(pages)]
        page = context.new_page()
        page.goto(url + address)
        page.locator(content).first.wait_for(state="attached")
    time.sleep(5)
    before = _cpu(process)
    time.sleep(seconds)
    used = (_cpu(process) - before) / seconds
    print(f"{BROWSERS} open pages, idle: {used:.2f} processors (aim: below 0.5)")
    for context in contexts:
        context.close()


def _cpu(process: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
