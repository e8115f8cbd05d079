"""What tracking costs: a metric point, and an optimizer's step that is watched.

    python -m benchmarks.tracking [--points 1000000]

A point is measured on the thread that records it, and as CPU time of both processes until it stands in
MLflow's SQLite store. Steps are measured with and without watching, in turn, in CPU time of the thread that
trains. Of each kind the fastest epoch counts: what else the machine does makes epochs slower, by more than
watching does. They are those of one linear layer with one loss, and of the loop of `benchmarks.throughput` by
hand.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

from benchmarks.throughput import RATE, Table, made, module
from tabstudio.autologging.launch.session import AutologOptions
from tabstudio.autologging.launch.start import start_session
from tabstudio.tracking import Recorder

AIMS = {"point": 5.0, "cpu": 60.0, "step": 40.0, "loop": 1.0}
STEPS = 300
EPOCHS = 5


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=100_000, help="a tenth: epochs ten times as short")
    parser.add_argument("--rounds", type=int, default=8)
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
    plain, seen = _interleaved(_tiny, rounds)
    print(f"watching adds {(seen - plain) / STEPS * 1e6:.0f} us to a step (aim: {AIMS['step']:.0f})")


def loop(table: Table, rounds: int) -> None:
    """Compare epochs of the million-row loop at batch 1024, watched and not."""
    plain, seen = _interleaved(lambda: _epochs(table, 1024), rounds)
    added = 100 * (seen / plain - 1)
    print(f"watching adds {added:.2f} % to an epoch's CPU time (aim: {AIMS['loop']:.0f})")


def _interleaved(measure: Callable[[], list[float]], rounds: int) -> tuple[float, float]:
    """Return the seconds of the fastest epoch without watching, and with it."""
    plain: list[float] = []
    seen: list[float] = []
    measure()  # what PyTorch itself does only once belongs to neither
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        Recorder(folder, f"sqlite:///{folder}/mlflow.db") as recorder,
    ):
        for _ in range(rounds):
            with _watched(recorder):
                seen += measure()
            recorder.wait(60)
            plain += measure()
    return min(plain), min(seen)


@contextlib.contextmanager
def _watched(recorder: Recorder) -> Iterator[None]:
    session = start_session(AutologOptions(silent=True), recorder=recorder, watch_end=False)
    try:
        yield
    finally:
        session.end()


def _tiny() -> list[float]:
    """CPU seconds of each epoch after the first."""
    model, criterion = nn.Linear(4, 1), nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    x, y = torch.randn(16, 4), torch.randn(16, 1)
    times = [time.thread_time()]
    for _epoch in range(10):
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
        times.append(time.thread_time())
    return [after - before for before, after in itertools.pairwise(times)][1:]


def _epochs(table: Table, batch: int) -> list[float]:
    """CPU seconds of each epoch after the first: the loop of `throughput.by_hand`."""
    model = module()
    random = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    criterion = nn.BCEWithLogitsLoss()
    times = [time.thread_time()]
    for _epoch in range(EPOCHS):
        order = torch.randperm(len(table.x), generator=random)
        for at in range(0, len(order), batch):
            rows = order[at : at + batch]
            optimizer.zero_grad()
            loss = criterion(model(table.x[rows])[:, 0], table.y[rows])
            loss.backward()
            optimizer.step()
        times.append(time.thread_time())
    return [after - before for before, after in itertools.pairwise(times)][1:]


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
