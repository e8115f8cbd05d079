"""What tracking costs: a metric point, and an optimizer's step that is watched.

    python -m benchmarks.tracking [--points 1000000]

A point is measured on the thread that records it, and as CPU time of both processes until it stands in
MLflow's SQLite store. Steps are measured with and without watching, interleaved: one linear layer, one loss;
and the loop of `benchmarks.throughput` written by hand.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

from benchmarks.throughput import Table, by_hand, made
from tabstudio.autologging.session import Options
from tabstudio.autologging.starting import start
from tabstudio.tracking import Recorder

AIMS = {"point": 5.0, "cpu": 60.0, "step": 40.0, "loop": 1.0}
STEPS = 3000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    points(options.points)
    step(options.rounds)
    loop(made(options.rows), options.rounds)


def points(count: int) -> None:
    """Record so many points in one run and wait until MLflow has them."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Recorder(folder, f"sqlite:///{folder}/mlflow.db") as recorder,
    ):
        run = recorder.start("points")
        before = _cpu()
        began = time.perf_counter()
        for number in range(count):
            run.metrics({"loss": 0.5}, number)
        took = time.perf_counter() - began
        run.finish()
        delivery = recorder.wait(600, run)
        cpu = _cpu() - before + _cpu_of(recorder._process._popen.pid)
        arrived = _count(Path(folder) / "mlflow.db") if delivery.complete else 0
    print(f"a point costs the training thread {took / count * 1e6:.1f} us (aim: {AIMS['point']:.0f})")
    in_all = cpu / count * 1e6
    print(f"a point costs {in_all:.0f} us of CPU in all (aim: {AIMS['cpu']:.0f}); {arrived:,} arrived")


def step(rounds: int) -> None:
    """Compare a tiny model's steps, watched and not."""
    plain, _, seen = _interleaved(_tiny, rounds)
    print(f"watching adds {(seen - plain) / STEPS * 1e6:.0f} us to a step (aim: {AIMS['step']:.0f})")


def loop(table: Table, rounds: int) -> None:
    """Compare an epoch of the million-row loop at batch 1024, watched and not."""
    plain, first, seen = _interleaved(lambda: by_hand(table, 1024, 1)[0], rounds)
    print(f"watching adds {100 * (seen / plain - 1):.1f} % to an epoch (aim: {AIMS['loop']:.0f})")
    print(f"and {100 * (first / plain - 1):.1f} % to the first one, beside which the deliverer starts")


def _interleaved(measure: Callable[[], float], rounds: int) -> tuple[float, float, float]:
    """Return seconds: the median without watching, the first and the median of the others with it.

    The delivering process starts once in a process, whatever is trained there, and so it does here.
    """
    plain, seen = [], []
    measure()  # what PyTorch itself does only once belongs to neither
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        Recorder(folder, f"sqlite:///{folder}/mlflow.db") as recorder,
    ):
        for _ in range(rounds + 1):
            with _watched(recorder):
                seen.append(measure())
            recorder.wait(60)
            plain.append(measure())
    return statistics.median(plain), seen[0], statistics.median(seen[1:])


@contextlib.contextmanager
def _watched(recorder: Recorder) -> Iterator[None]:
    session = start(Options(silent=True), recorder=recorder, watch_end=False)
    try:
        yield
    finally:
        session.end()


def _tiny() -> float:
    model, criterion = nn.Linear(4, 1), nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    x, y = torch.randn(16, 4), torch.randn(16, 1)
    began = time.perf_counter()
    for _epoch in range(STEPS // 100):
        for _ in range(100):
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
    return time.perf_counter() - began


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _cpu_of(pid: int) -> float:
    import psutil

    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _count(database: Path) -> int:
    import sqlite3

    with contextlib.closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM metrics WHERE key = 'loss'").fetchone()[0])


if __name__ == "__main__":
    main()
