"""Time to a registered model, whole processes, against the hand-written script that logs nothing.

    python -m benchmarks.first_model [--rounds 5]

Each round runs the hand-written script, `tabstudio train --recipe tutorial` and `tabstudio train`, each in an
empty folder of its own, one after the other. Ratios are of medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.processes import timed
from tabstudio.recipes.demo import write_cancer_table

HERE = Path(__file__).parent
TABSTUDIO = [sys.executable, "-m", "tabstudio"]
AIMS = {"train --recipe tutorial": 0.45, "train": 0.8}


def main() -> None:
    """Print the seconds of each round and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    commands = {
        "hand-written": [sys.executable, str(HERE / "handwritten.py"), "cancer_classification.csv"],
        "train --recipe tutorial": [
            *TABSTUDIO,
            "train",
            "cancer_classification.csv",
            "-t",
            "diagnosis",
            "--recipe",
            "tutorial",
        ],
        "train": [*TABSTUDIO, "train", "cancer_classification.csv", "-t", "diagnosis"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for round_ in range(-1, rounds):  # round -1 warms the caches of the disk
        for name, command in commands.items():
            took = _run(command)
            if round_ >= 0:
                seconds[name].append(took)
                print(f"round {round_ + 1}  {name:26} {took:6.2f} s", flush=True)
    base = statistics.median(seconds["hand-written"])
    for name, aim in AIMS.items():
        print(
            f"{name:26} {statistics.median(seconds[name]) / base:.2f} of the hand-written script (aim: {aim})"
        )
    _light_commands()


def _light_commands(rounds: int = 10) -> None:
    for word in ("--version", "--help"):
        took = statistics.median(_run([*TABSTUDIO, word]) for _ in range(rounds))
        print(f"tabstudio {word:16} {took:.3f} s (aim: 0.15)")


def _run(command: list[str]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        write_cancer_table(Path(folder) / "cancer_classification.csv")
        return timed(command, folder)


if __name__ == "__main__":
    main()
