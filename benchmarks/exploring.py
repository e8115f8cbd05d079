"""Exploring a table, whole, against `polars.read_csv` of the same file alone.

    python benchmarks/exploring.py --rows 1000000 --repeats 3

Each measurement is a process of its own, and the two take turns, so that the machine's moods hit both. Time
runs from before the read to after the last byte written, without the imports. Peak memory is what the process
had at most, less what it had after its imports, over the size of the frame in memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

_READ = """
import json, resource, sys, time
import polars as pl
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
frame = pl.read_csv(sys.argv[1])
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps({"seconds": seconds, "peak": peak * 1024, "frame": frame.estimated_size()}))
"""

_EXPLORE = """
import json, resource, sys, time
import tabstudio.exploration.page, tabstudio.exploration.charts
from tabstudio.exploration import explore
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
marks = [time.perf_counter()]
exploration = explore(sys.argv[1], target="label")
marks.append(time.perf_counter())
exploration.summary
marks.append(time.perf_counter())
exploration.findings
marks.append(time.perf_counter())
exploration.save(sys.argv[2])
marks.append(time.perf_counter())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
names = ("read", "numbers", "findings", "pictures and report")
steps = dict(zip(names, (b - a for a, b in zip(marks, marks[1:]))))
print(json.dumps({"seconds": marks[-1] - marks[0], "peak": peak * 1024, "steps": steps}))
"""


def write_table(path: Path, rows: int, columns: int) -> None:
    """A binary label, four columns of categories, a few gaps, and numbers for the rest."""
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {f"number_{i}": rng.normal(size=rows).astype(np.float32) for i in range(columns - 5)}
    )
    words = np.array([f"level {i}" for i in range(12)])
    frame = frame.with_columns(
        *(pl.Series(f"category_{i}", words[rng.integers(0, 3 * (i + 1), rows)]) for i in range(4)),
        pl.Series("label", rng.integers(0, 2, rows)),
        pl.when(pl.Series(rng.random(rows) > 0.02)).then(pl.col("number_0")).alias("number_0"),
    )
    frame.write_csv(path)


def run(program: str, *arguments: str) -> dict[str, float]:
    """What the program printed as JSON."""
    command = [sys.executable, "-c", program, *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Write the table, measure in turns, print ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_table(path, options.rows, options.columns)
        reads, explorations = [], []
        for _ in range(options.repeats):
            reads.append(run(_READ, str(path)))
            explorations.append(run(_EXPLORE, str(path), str(folder + "/report")))
    ratio = statistics.median(e["seconds"] / r["seconds"] for r, e in zip(reads, explorations, strict=True))
    memory = max(e["peak"] for e in explorations) / reads[0]["frame"]
    read, exploration = (statistics.median(m["seconds"] for m in times) for times in (reads, explorations))
    print(f"{options.rows:,} x {options.columns}, median of {options.repeats}")
    plain = max(r["peak"] for r in reads) / reads[0]["frame"]
    print(f"polars.read_csv   {read:8.2f} s   peak {plain:.2f} frames")
    print(f"explore           {exploration:8.2f} s   peak {memory:.2f} frames")
    print(f"ratio             {ratio:8.2f}")
    for step, seconds in explorations[-1]["steps"].items():
        print(f"  {step:20s} {seconds:6.2f} s")


if __name__ == "__main__":
    main()
