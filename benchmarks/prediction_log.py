"""What keeping a prediction costs: our log beside SQLite, whose commits of 64 rows are as good as its own.

`python -m benchmarks.prediction_log`: one process writes requests of one row of 30 numbers, and of 1,000.
"""

from __future__ import annotations

import json
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tabstudio.serving.metrics import Metrics
from tabstudio.serving.predictionlog.log_options import LogOptions
from tabstudio.serving.predictionlog.writer import PredictionLog
from tabstudio.serving.request_hooks import CompletedRequest, PredictionRecord
from tabstudio.table.schema import Column, Schema, Target

COLUMNS = tuple(f"feature {number}" for number in range(30))
SCHEMA = Schema(
    (*(Column(name, "number", dtype="Float64") for name in COLUMNS), Column("ill", "category", "target")),
    Target("ill", "binary", ("no", "yes"), "yes"),
)
REQUESTS, PACE = 100_000, 14_000


def main() -> None:
    """Measure and print."""
    one, thousand = record(1), record(1000)
    with tempfile.TemporaryDirectory() as folder:
        log = PredictionLog(LogOptions(folder=folder))
        log.opened("model", "1", SCHEMA)
        print(f"prediction log, one row        {each(lambda: log(one), REQUESTS):8.2f} µs")
        print(f"prediction log, 1,000 rows     {each(lambda: log(thousand), 100):8.2f} µs")
        slowest = paced(lambda: log(one))
        shown = ", ".join(f"{slowest[int(len(slowest) * share)] * 1e6:.0f}" for share in (0.5, 0.99, 0.999))
        print(f"at {PACE:,} requests/s: p50, p99, p99.9 {shown} µs, longest {slowest[-1] * 1e3:.1f} ms")
        log.close()
    with tempfile.TemporaryDirectory() as folder:
        print(f"SQLite, commits of 64 rows     {sqlite(Path(folder), one):8.2f} µs")
    metrics = Metrics()
    print(f"metrics, one request           {each(lambda: counted(metrics, one), REQUESTS):8.2f} µs")


def record(rows: int) -> PredictionRecord:
    """A request of so many rows."""
    cells = [tuple(random.random() * 100 for _ in COLUMNS) for _ in range(rows)]
    shares = [[0.123456789012, 0.876543210988]] * rows
    facts = ("5c1e-1", "model", "1", "live", "predict", "", time.time())
    return PredictionRecord(*facts, COLUMNS, cells, ["yes"] * rows, shares, ("no", "yes"), {})


def each(do: Callable[[], None], times: int) -> float:
    """Microseconds that one call takes."""
    start = time.perf_counter()
    for _ in range(times):
        do()
    return (time.perf_counter() - start) / times * 1e6


def paced(do: Callable[[], None], seconds: float = 5.0) -> list[float]:
    """Seconds of each call at `PACE` calls a second, the quickest first."""
    took: list[float] = []
    start = time.perf_counter()
    while (now := time.perf_counter()) < start + seconds:
        if len(took) <= (now - start) * PACE:
            do()
            took.append(time.perf_counter() - now)
    return sorted(took)


def sqlite(folder: Path, one: PredictionRecord) -> float:
    """The same in a table of SQLite, write-ahead, 64 rows a commit."""
    database = sqlite3.connect(folder / "log.db", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(
        "CREATE TABLE log (at REAL, id TEXT, caller TEXT, version TEXT, inputs TEXT, answer TEXT)"
    )

    inputs, answer = json.dumps(one.rows), json.dumps((one.labels, one.probabilities))

    def batch() -> None:
        database.execute("BEGIN")
        for _ in range(64):
            values = (one.at, one.request_id, one.caller, one.version, inputs, answer)
            database.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)", values)
        database.execute("COMMIT")

    took = each(batch, 200) / 64
    database.close()
    return took


def counted(metrics: Metrics, one: PredictionRecord) -> None:
    """All that a request costs the metrics."""
    request = CompletedRequest({}, "/v1/models/NAME/predict", "model", "1", "live", 200, 0.0003, 1, "r")
    metrics.request_completed(request)
    metrics.predicted(one)


if __name__ == "__main__":
    main()
