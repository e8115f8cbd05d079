"""Errors, calibration and seconds of many systems on the tables of a folder, on the same splits.

    python -m benchmarks.quality --index TABLES/INDEX.csv --systems tabstudio,catboost --seeds 0,1,2
    python -m benchmarks.quality --report

Each line of the results file holds one system on one split of one table, with the date and the version; what
stands there of the same version is not run again. Errors: 1 - ROC AUC for two classes, log loss for more,
root mean squared error for numbers. The calibration error is the expected one over ten bins; its floor is
what it would be in the mean if labels were drawn from the very probabilities that were told, for even these
are off by chance on so few rows. Seconds are of training and predicting together, on the clock and, which
other work on the machine hardly changes, of the processor. A system that fails keeps its line, without an
error, and ranks last on that table.
The packages of the other systems are not tabstudio's own: `pip install skrub lightgbm xgboost catboost
pytabkit autogluon.tabular`.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
import warnings
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.metrics import log_loss, roc_auc_score

from benchmarks.quality.systems import SYSTEMS, Means
from benchmarks.quality.tables import Parts, Problem, parted, problems
from tabstudio.evaluation.metrics import calibration_gaps
from tabstudio.tracking.environment import commit

RESULTS = Path(__file__).parent / "results.csv"
FIELDS = (
    *("date", "system", "version", "dataset", "task", "rows", "seed"),
    *("error", "calibration_error", "calibration_floor", "seconds", "cpu_seconds", "threads"),
    *("beside", "note"),
)
MOST_ROWS = 15_000
DRAWS = 20
"""Sets of labels that the floor of the calibration error is a mean over."""


def main() -> None:
    """Run what was asked for, or report what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--index", type=Path, help="INDEX.csv of a folder of tables")
    parser.add_argument("--systems", default="tabstudio", help=f"of {', '.join(SYSTEMS)}")
    parser.add_argument("--datasets", default="", help="names of the index; all where none is given")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--minutes", type=float, help="time for tabstudio and AutoGluon, told in their names")
    parser.add_argument("--most-rows", type=int, default=MOST_ROWS, help="rows to train on")
    parser.add_argument("--beside", action="store_true", help="note that other work ran on the machine")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--report", action="store_true", help="write table and picture of the results")
    parser.add_argument("--reference", default="catboost", help="the system that a report compares with")
    options = parser.parse_args()
    if options.report:
        from benchmarks.quality.summary import report

        report(options.results, options.reference)
    elif options.index is None:
        parser.error("--index names the tables, or --report tells what was found")
    else:
        run(options)


def run(options: argparse.Namespace) -> None:
    """Every system on every split of every table, a line each."""
    warnings.filterwarnings("ignore")
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(options.threads))
    chosen = options.systems.split(",")
    if unknown := set(chosen) - set(SYSTEMS):
        raise SystemExit(f"no system {', '.join(sorted(unknown))}: there are {', '.join(SYSTEMS)}")
    done = _done(options.results)
    for problem in problems(options.index, [name for name in options.datasets.split(",") if name]):
        for seed in map(int, options.seeds.split(",")):
            parts = parted(problem, seed, options.most_rows)
            for name in chosen:
                told, number = _told(name, options.minutes), _version(SYSTEMS[name][1])
                if (told, number, problem.name, str(seed)) not in done:
                    line = measured(problem, parts, name, seed, Means(options.threads, options.minutes))
                    _append(options.results, line | {"system": told, "beside": int(options.beside)})


def measured(problem: Problem, parts: Parts, name: str, seed: int, means: Means) -> dict[str, object]:
    """One system on one split."""
    system, package = SYSTEMS[name]
    error, gap, floor, note = float("nan"), float("nan"), float("nan"), ""
    started, worked = time.perf_counter(), time.process_time()
    try:
        answer = system(parts, problem.task, seed, means)
        seconds, work = time.perf_counter() - started, time.process_time() - worked
        error, gap, floor = judged(problem, parts, answer)
    except ImportError:
        raise
    except Exception as failure:  # noqa: BLE001  # a system that cannot take a real table loses it
        seconds, work = time.perf_counter() - started, time.process_time() - worked
        note = f"{type(failure).__name__}: {failure}".replace("\n", " ")[:200]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": _version(package),
        "dataset": problem.name,
        "task": problem.task,
        "rows": len(parts.train),
        "seed": seed,
        "error": f"{error:.6g}",
        "calibration_error": f"{gap:.6g}",
        "calibration_floor": f"{floor:.6g}",
        "seconds": f"{seconds:.2f}",
        "cpu_seconds": f"{work:.2f}",
        "threads": means.threads,
        "note": note,
    }


def judged(problem: Problem, parts: Parts, answer: np.ndarray) -> tuple[float, float, float]:
    """Error, calibration error and its floor of an answer; nan where there is no such thing."""
    truth = parts.truth.to_numpy()
    if not problem.classify:
        return float(np.sqrt(np.mean((answer - truth) ** 2))), float("nan"), float("nan")
    labels = np.unique(parts.target)
    probabilities = np.clip(np.asarray(answer, dtype=np.float64), 1e-7, 1.0)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    binary = problem.task == "binary"
    gap = _gap(np.searchsorted(labels, truth), probabilities, binary)
    random, sums = np.random.default_rng(0), probabilities.cumsum(axis=1)
    drawn = ((random.random((len(truth), 1)) > sums).sum(axis=1) for _ in range(DRAWS))
    floor = np.mean([_gap(np.minimum(row, len(labels) - 1), probabilities, binary) for row in drawn])
    if binary:
        error = 1.0 - roc_auc_score(truth == labels[1], probabilities[:, 1])
    else:
        error = log_loss(truth, probabilities, labels=labels)
    return float(error), gap, float(floor)


def _gap(places: np.ndarray, probabilities: np.ndarray, binary: bool) -> float:
    gaps = calibration_gaps(places, probabilities, 1 if binary else None)
    return float(np.abs(gaps.sum(axis=0)).sum() / len(places))


def _told(name: str, minutes: float | None) -> str:
    """The name that results go by."""
    return f"{name} {minutes:g} min" if minutes and name in ("tabstudio", "autogluon") else name


def _version(package: str) -> str:
    number = version(package)
    return f"{number} at {commit(Path(__file__).parent)[:12]}" if package == "tabstudio" else number


def _done(file: Path) -> set[tuple[str, ...]]:
    if not file.exists():
        return set()
    with file.open(newline="", encoding="utf-8") as lines:
        return {
            tuple(row[name] for name in ("system", "version", "dataset", "seed"))
            for row in csv.DictReader(lines)
        }


def _append(file: Path, line: dict[str, object]) -> None:
    new = not file.exists()
    with file.open("a", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, FIELDS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(line)
    print(
        *(f"{line[name]!s:>12}" for name in ("dataset", "system", "seed", "error", "seconds")),
        line["note"],
        flush=True,
    )


if __name__ == "__main__":
    main()
