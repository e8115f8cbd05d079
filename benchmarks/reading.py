"""How long a table takes to its schema, fingerprint and tensors, against polars reading the file alone.

Run: python benchmarks/reading.py [--rows 1000000] [--columns 30] [--repeats 5]

The table is made here: floats with six decimals, every third column integers, a label of two words. Both
sides run in turn, so that a busy machine slows both; the ratio is that of the medians. Peak memory is
measured in a process of its own for each side.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from tabstudio.model.encoder import Encoder
from tabstudio.table import check, read, split

LIMIT = 2.0


def make(folder: Path, rows: int, columns: int) -> dict[str, Path]:
    """The table as CSV and as Parquet."""
    rng = np.random.default_rng(0)
    data: dict[str, object] = {}
    for place in range(columns - 1):
        if place % 3 == 2:
            data[f"k{place}"] = rng.integers(0, 1000, rows)
        else:
            data[f"x{place}"] = rng.normal(size=rows).round(6)
    data["label"] = np.where(rng.random(rows) < 0.3, "good", "bad")
    frame = pl.DataFrame(data)
    frame.write_csv(folder / "table.csv")
    frame.write_parquet(folder / "table.parquet")
    return {"csv": folder / "table.csv", "parquet": folder / "table.parquet"}


def read_only(path: Path) -> None:
    """Read, guess, fingerprint."""
    assert read(path, target="label").fingerprint


def ours(path: Path) -> None:
    """Read, guess, fingerprint, and encode as a training does."""
    table = read(path, target="label")
    assert table.fingerprint
    Encoder.fit(table.frame, table.schema, "robust").encode(table.frame)


def alone(path: Path) -> None:
    """What polars needs for the frame only."""
    (pl.read_csv if path.suffix == ".csv" else pl.read_parquet)(path)


def seconds(work: Callable[[Path], None], path: Path) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    work(path)
    return time.perf_counter() - start


def peak_mib(side: str, path: Path) -> float:
    """Peak resident memory in MiB of a process that does one side once."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import reading, pathlib;"
        f"reading.{side}(pathlib.Path({str(path)!r}));"
        # The process's own high-water mark: ru_maxrss would be that of the parent that forked it.
        "print(pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout) / 1024


def report(name: str, path: Path, repeats: int) -> None:
    """Print one line: the medians, the ratios, the limit, the peak memory."""
    rounds = [[seconds(side, path) for side in (alone, read_only, ours)] for _ in range(repeats + 1)][1:]
    polars, table, tensors = (statistics.median(side) for side in zip(*rounds, strict=True))
    size = path.stat().st_size / 2**20
    memory = f"peak {peak_mib('alone', path):.0f} and {peak_mib('ours', path):.0f} MiB"
    print(
        f"{name:8} {size:6.0f} MiB  polars {polars:6.3f} s  to schema and fingerprint {table / polars:5.2f},"
        f" to tensors {tensors / polars:5.2f} of its time (aim {LIMIT:.1f})  {memory}",
        flush=True,
    )


def steps(path: Path) -> None:
    """Print what the single steps on a Parquet file take."""
    table = read(path, target="label")
    for name, work in (
        ("fingerprint", lambda: table.fingerprint),
        ("check", lambda: check(table)),
        ("split", lambda: split(table)),
    ):
        start = time.perf_counter()
        work()
        print(f"{name:12} {time.perf_counter() - start:6.3f} s")


def main() -> None:
    """Make the table and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = make(Path(folder), options.rows, options.columns)
        for name, path in paths.items():
            report(name, path, options.repeats)
        steps(paths["parquet"])


if __name__ == "__main__":
    main()
