"""A sweep of 64 trials of 5 folds each, 100 epochs of the tutorial's network, until all is in MLflow.

    python -m benchmarks.sweep [--rounds 3]

Whole processes in empty folders, on the breast-cancer table, with and without halving. Every trial's curves
are counted in MLflow's database afterwards.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.processes import timed
from tabstudio.recipes.demo import write_cancer_table

TRIALS, EPOCHS, AIM = 64, 100, 10.0
OPTIONS = (
    *("--network", "mlp", "--hidden", "30,15", "--activation", "relu", "--scaling", "minmax"),
    *("--batch-size", "0", "--epochs", str(EPOCHS), "--patience", "0", "--trials", str(TRIALS)),
)


def main() -> None:
    """Print the median seconds of both ways."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    for way in ("--no-halving", "--halving"):
        seconds = statistics.median(swept(way) for _ in range(rounds))
        print(f"{TRIALS} trials {way}: {seconds:.1f} s (aim: under {AIM:g} s)", flush=True)


def swept(way: str) -> float:
    """Seconds of one sweep. Ends where MLflow has not every trial with its curves."""
    with tempfile.TemporaryDirectory() as folder:
        table = write_cancer_table(Path(folder) / "cancer.csv")
        words = [sys.executable, "-m", "tabstudio", "sweep", str(table), "--target", "diagnosis"]
        seconds = timed([*words, *OPTIONS, way], folder)
        least = TRIALS * 2 * (EPOCHS if way == "--no-halving" else EPOCHS // 4)
        with sqlite3.connect(Path(folder) / "mlflow.db") as store:
            (points,) = store.execute("select count(*) from metrics where key like '%_loss'").fetchone()
        if points < least:
            raise SystemExit(f"MLflow has {points:,} points of curves, at least {least:,} were expected")
    return seconds


if __name__ == "__main__":
    main()
