"""`tabstudio run` on a hand-written script until everything stands in MLflow, against `python` on it.

    python -m benchmarks.watched [--rounds 5]

The script is the well-known tutorial's, where its text lies beside the checkout (`../shared/tutorial`); it
calls `mlflow.pytorch.autolog()`, which logs nothing. Else it is `examples/by_hand.py` with that call.
Each round runs both in an empty folder, one after the other. The ratio is of medians.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.processes import timed
from tabstudio.recipes.demo import write_cancer_table

ROOT = Path(__file__).resolve().parents[1]
TUTORIAL = ROOT.parent / "shared" / "tutorial"
AIM = 1.0


def main() -> None:
    """Print the seconds of each round and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    name, code = _script()
    commands = {
        "python": [sys.executable, "train.py"],
        "tabstudio run": [sys.executable, "-m", "tabstudio", "run", "train.py"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for round_ in range(-1, rounds):  # round -1 warms the caches of the disk
        for way, command in commands.items():
            took = _run(command, code)
            if round_ >= 0:
                seconds[way].append(took)
                print(f"round {round_ + 1}  {way:14} {took:6.2f} s", flush=True)
    ratio = statistics.median(seconds["tabstudio run"]) / statistics.median(seconds["python"])
    print(f"tabstudio run on {name}: {ratio:.2f} of python with mlflow.pytorch.autolog() (aim: {AIM})")


def _script() -> tuple[str, str]:
    texts = sorted(TUTORIAL.glob("*.txt"))
    if texts:
        blocks = re.findall(r"```python\n(.*?)```", texts[0].read_text(encoding="utf-8"), re.DOTALL)
        return "the tutorial's script", "\n".join(blocks)
    example = (ROOT / "examples" / "by_hand.py").read_text(encoding="utf-8")
    return "examples/by_hand.py", f"import mlflow.pytorch\n\nmlflow.pytorch.autolog()\n{example}"


def _run(command: list[str], code: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "work"
        work.mkdir()
        (Path(folder) / "data").mkdir()
        write_cancer_table(Path(folder) / "data" / "cancer_classification.csv")
        write_cancer_table(work / "cancer_classification.csv")
        (work / "train.py").write_text(code, encoding="utf-8")
        return timed(command, work)


if __name__ == "__main__":
    main()
