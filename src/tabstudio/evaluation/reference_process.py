"""The parent's end of the process that fits the references.

The process is started before its rows are known, so that it imports scikit-learn while this one reads the
table, imports torch and trains. It ends when its work is done, when it is closed, and when this process ends,
however that happens: its input is a pipe that closes with us.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from tabstudio.evaluation.evaluation_result import Evaluation
from tabstudio.evaluation.reference_comparison import Reference

if TYPE_CHECKING:
    import polars as pl

    from tabstudio.table.schema import Column, Schema

MOST_TRAINING_ROWS = 50_000
"""More rows are sampled down: references must not cost more than the model."""
MOST_LEVELS = 254
"""Levels of a category told apart; rarer ones share one, as the trees take 255."""


class ReferenceJob:
    """Fits references in a process of its own; a context manager that leaves nothing behind.

    with ReferenceJob() as job:  # starts at once
        job.send(table.frame, table.schema, labels, split.train, split.test)
        items, notes = job.result(timeout=60)
    """

    def __init__(self, *, threads: int = 1) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tabstudio-references-"))
        self._notes: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._started = time.perf_counter()
        with (self._folder / "errors.txt").open("wb") as errors:
            self._process = subprocess.Popen(
                # -P: a file of the user's named like a module must not be imported in its place.
                [sys.executable, "-P", "-m", "tabstudio.evaluation.reference_models", str(self._folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                env={**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)},
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def send(
        self,
        frame: pl.DataFrame,
        schema: Schema,
        labels: np.ndarray,
        train: np.ndarray,
        test: np.ndarray,
        *,
        resamples: int = 1000,
        seed: int = 0,
    ) -> None:
        """Hand over rows and start fitting; returns at once.

        `frame` holds the schema's features, `labels` (n,) class numbers or values as `Table.labels` gives
        them, `train` and `test` row numbers. References predict the rows of `test` in that order.
        """
        if len(train) > MOST_TRAINING_ROWS:
            drawn = np.random.default_rng(seed).choice(len(train), MOST_TRAINING_ROWS, replace=False)
            self._notes.append(f"references were fitted on {MOST_TRAINING_ROWS:,} of {len(train):,} rows")
            train = train[np.sort(drawn)]
        rows = np.concatenate((train, test))
        numbers, codes = arrays(frame[rows], schema, len(train))
        request = {
            "target": asdict(schema.target) if schema.target else None,
            "resamples": resamples,
            "seed": seed,
        }
        try:
            np.savez(
                self._folder / "rows.npz",
                numbers=numbers,
                codes=codes,
                labels=labels[rows],
                train=np.arange(len(rows)) < len(train),
            )
            stream = self._input()
            stream.write(json.dumps(request) + "\n")
            stream.flush()
        except OSError as error:
            # A full disk or a process that died on its own must not end a training; `result` tells of it.
            self._notes.append(f"references could not be computed: {error.strerror or error}")

    def result(self, timeout: float) -> tuple[list[Reference], list[str]]:
        """Wait at most `timeout` seconds: the references that are ready, and notes on what is not."""
        deadline = time.monotonic() + timeout
        references: list[Reference] = []
        notes = list(self._notes)
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return references, [*notes, f"not every reference was ready after {timeout:g} more seconds"]
            if line is None:
                break
            self._take(json.loads(line), references, notes)
        if self._process.wait() != 0 and not any("could not be computed" in note for note in notes):
            notes.append(f"references could not be computed: {self._last_words()}")
        return references, notes

    def close(self) -> None:
        """End the process, finished or not, and remove its folder. May be called twice."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        # What a process that died on its own never read is still in the buffer and cannot be flushed.
        with suppress(BrokenPipeError):
            self._input().close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> ReferenceJob:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _take(self, answer: dict[str, Any], references: list[Reference], notes: list[str]) -> None:
        name = answer["name"]
        if "error" in answer:
            notes.append(f"reference {name} could not be computed: {answer['error']}")
            return
        if answer["note"]:
            notes.append(f"reference {name}: {answer['note']}")
        prediction = np.load(self._folder / answer["prediction"], allow_pickle=False)
        evaluation = Evaluation.from_json(answer["evaluation"])
        references.append(Reference(name, evaluation, answer["seconds"], prediction))

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._lines.put(line)
        self._lines.put(None)

    def _input(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _last_words(self) -> str:
        words = (self._folder / "errors.txt").read_text(encoding="utf-8", errors="replace").strip()
        return words.splitlines()[-1] if words else f"the process ended with {self._process.returncode}"


def arrays(frame: pl.DataFrame, schema: Schema, train: int) -> tuple[np.ndarray, np.ndarray]:
    """The features of a frame as numbers (n, d), nan for missing, and codes (n, c), -1 for missing.

    Levels are numbered by falling frequency in the first `train` rows; levels that these do not hold, and all
    beyond `MOST_LEVELS`, share one number.
    """
    named = [column for column in schema.features if column.kind in ("category", "text")]
    measured = [column for column in schema.features if column not in named]
    numbers = [_column_numbers(frame, column) for column in measured]
    codes = [_column_codes(frame, column, train) for column in named]
    empty = np.empty((len(frame), 0))
    return (
        np.stack(numbers, axis=1) if numbers else empty,
        np.stack(codes, axis=1) if codes else empty.astype(np.int64),
    )


def _column_numbers(frame: pl.DataFrame, column: Column) -> np.ndarray:
    import polars as pl

    values = frame[column.name]
    whole = values.to_physical() if values.dtype.is_temporal() else values
    numbers = whole.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _column_codes(frame: pl.DataFrame, column: Column, train: int) -> np.ndarray:
    import polars as pl

    levels = frame[column.name].cast(pl.String).alias("level")
    known = (
        levels.head(train)
        .drop_nulls()
        .value_counts()
        .sort("count", "level", descending=[True, False])["level"]
        .head(MOST_LEVELS)
    )
    codes = levels.replace_strict(known, np.arange(len(known)), default=len(known), return_dtype=pl.Int64)
    return np.where(levels.is_null(), -1, codes.to_numpy())
