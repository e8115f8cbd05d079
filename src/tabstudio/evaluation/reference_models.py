"""The simple models that every model is held against, fitted in a process of their own.

`python -m tabstudio.evaluation.reference_models FOLDER` imports scikit-learn at once, then waits for
one line of JSON on its input: what to fit, as arrays that the folder holds. It answers with one line of JSON
per reference and ends. The other end, and the description of the arrays, is
`tabstudio.evaluation.reference_process`.

The references are what a careful person tries first: always the most frequent class or the mean; a logistic
or ridge regression on imputed, standardised and one-hot columns; scikit-learn's gradient-boosted trees.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tabstudio.evaluation.evaluate import evaluate
from tabstudio.evaluation.metrics import Bools, Floats, Ints
from tabstudio.table.schema import Target

if TYPE_CHECKING:
    from tabstudio.table.table import Labels

ONE_HOT_LEVELS = 32
"""Levels of a category with a column of their own in the linear model, the most frequent ones."""
LINEAR_ITERATIONS = 300
FOLDER_PREFIX = "tabstudio-references-"
"""How the folder must be named that this process removes when its parent is gone."""


@dataclass(frozen=True, slots=True)
class ReferenceProblem:
    """Rows as arrays: `train` marks (n,) those to fit, the others are predicted.

    `numbers` (n, d) has nan for missing; `codes` (n, c) are levels by falling frequency, -1 for missing.
    """

    target: Target
    numbers: Floats
    codes: Ints
    labels: Labels
    train: Bools
    seed: int


Answer = tuple[npt.NDArray[np.float64], str]
"""A prediction of the rows that are not for training, and a note or nothing."""


def simplest(problem: ReferenceProblem) -> Answer:
    """The mean, or the frequencies of the classes, of the training rows for every row."""
    rows = int((~problem.train).sum())
    labels = problem.labels[problem.train]
    if problem.target.task == "regression":
        return np.full(rows, labels.mean()), ""
    counts = np.bincount(labels, minlength=len(problem.target.classes))
    return np.tile(counts / counts.sum(), (rows, 1)), ""


def linear(problem: ReferenceProblem) -> Answer:
    """Logistic or ridge regression (penalty 1) on standardised columns."""
    from sklearn.linear_model import LogisticRegression, Ridge

    columns = linear_columns(problem)
    if problem.target.task == "regression":
        return _fit_predict(Ridge(), columns, problem), ""
    model = LogisticRegression(max_iter=LINEAR_ITERATIONS)
    prediction = _fit_predict(model, columns, problem)
    unfinished = bool(max(model.n_iter_) >= LINEAR_ITERATIONS)
    return prediction, f"not converged after {LINEAR_ITERATIONS} iterations" if unfinished else ""


def boosted(problem: ReferenceProblem) -> Answer:
    """scikit-learn's HistGradientBoosting with its own defaults; categories and gaps as they are."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    codes = np.where(problem.codes < 0, np.nan, problem.codes)
    columns = np.concatenate((problem.numbers, codes), axis=1)
    common: dict[str, Any] = {
        "categorical_features": np.arange(columns.shape[1]) >= problem.numbers.shape[1],
        "random_state": problem.seed,
    }
    if problem.target.task == "regression":
        return _fit_predict(HistGradientBoostingRegressor(**common), columns, problem), ""
    if np.bincount(problem.labels[problem.train])[np.unique(problem.labels[problem.train])].min() < 2:
        # Its early stopping holds out rows class by class, which a class of one row does not allow.
        common["early_stopping"] = False
    return _fit_predict(HistGradientBoostingClassifier(**common), columns, problem), ""


def methods(target: Target) -> dict[str, Callable[[ReferenceProblem], Answer]]:
    """The references of a task, by name, the quickest first."""
    if target.task == "regression":
        return {"mean": simplest, "ridge regression": linear, "HistGradientBoosting": boosted}
    return {"class frequencies": simplest, "logistic regression": linear, "HistGradientBoosting": boosted}


def linear_columns(problem: ReferenceProblem) -> Floats:
    """Numbers imputed by the median and standardised, a flag for gaps, frequent levels one-hot: (n, columns).

    Medians, means, deviations come from the training rows alone.
    """
    gaps = np.isnan(problem.numbers)
    known = problem.numbers[problem.train]
    empty = gaps[problem.train].all(axis=0)
    medians = np.zeros(known.shape[1])
    medians[~empty] = np.nanmedian(known[:, ~empty], axis=0)
    filled = np.where(gaps, medians, problem.numbers)
    spread = filled[problem.train].std(axis=0)
    scaled = (filled - filled[problem.train].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    parts = [scaled, gaps[:, gaps[problem.train].any(axis=0)].astype(np.float64)]
    for codes in problem.codes.T:
        levels = np.unique(codes[problem.train])
        parts.append((codes[:, None] == levels[levels < ONE_HOT_LEVELS]).astype(np.float64))
    return np.concatenate(parts, axis=1)


def _fit_predict(model: Any, columns: Floats, problem: ReferenceProblem) -> Floats:
    train = problem.train
    model.fit(columns[train], problem.labels[train])
    if problem.target.task == "regression":
        return np.asarray(model.predict(columns[~train]), dtype=np.float64)
    # Classes without a training row get probability 0.
    prediction = np.zeros((int((~train).sum()), len(problem.target.classes)))
    prediction[:, model.classes_] = model.predict_proba(columns[~train])
    return prediction


def answers(problem: ReferenceProblem, folder: Path, resamples: int) -> Iterator[dict[str, object]]:
    """Fit the references one after the other: what is to be told of each, its prediction in the folder."""
    learnable = problem.numbers.shape[1] + problem.codes.shape[1] > 0
    varied = len(np.unique(problem.labels[problem.train])) > 1
    for index, (name, method) in enumerate(methods(problem.target).items()):
        if index and not (learnable and varied):
            continue
        started = time.perf_counter()
        try:
            prediction, note = method(problem)
        except (ValueError, ArithmeticError, MemoryError) as error:
            yield {"name": name, "error": f"{type(error).__name__}: {error}".splitlines()[0]}
            continue
        seconds = time.perf_counter() - started
        held_out = problem.labels[~problem.train]
        evaluation = evaluate(problem.target, held_out, prediction, resamples=resamples, seed=problem.seed)
        np.save(folder / f"prediction-{index}.npy", prediction)
        yield {
            "name": name,
            "seconds": seconds,
            "note": note,
            "prediction": f"prediction-{index}.npy",
            "evaluation": evaluation.to_json(),
        }


def read_problem(request: dict[str, Any], folder: Path) -> ReferenceProblem:
    """The arrays that the parent wrote; their file is removed."""
    file = folder / "rows.npz"
    with np.load(file, allow_pickle=False) as arrays:
        rows = {name: arrays[name] for name in ("numbers", "codes", "labels", "train")}
    file.unlink()
    target = {**request["target"], "classes": tuple(request["target"]["classes"])}
    return ReferenceProblem(target=Target(**target), seed=request["seed"], **rows)


def _leave_with_parent(folder: Path) -> None:
    """End at once when the parent's end of the pipe closes, however the parent ended."""
    while os.read(0, 1):
        pass
    if folder.name.startswith(FOLDER_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def main() -> None:
    """Answer one request, see the module's docstring."""
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(10)
    warnings.simplefilter("ignore")
    import sklearn.ensemble  # noqa: F401 - imported while the parent prepares its request

    folder = Path(sys.argv[1])
    line = sys.stdin.buffer.readline()
    if not line:
        _leave_with_parent(folder)
    threading.Thread(target=_leave_with_parent, args=(folder,), daemon=True).start()
    request = json.loads(line)
    for answer in answers(read_problem(request, folder), folder, request["resamples"]):
        sys.stdout.write(json.dumps(answer, allow_nan=False) + "\n")
        sys.stdout.flush()
    # Taking the interpreter apart would cost a second and no one waits for it.
    os._exit(0)


if __name__ == "__main__":
    main()
