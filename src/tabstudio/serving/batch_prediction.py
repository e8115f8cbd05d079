"""Score a file of any length in bounded memory: rows stream in, answers out, the output appears whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import polars as pl

from tabstudio._util.atomic_files import draft_path
from tabstudio.errors import ConfigError, InputError, TabstudioError
from tabstudio.model.predictor import Model
from tabstudio.options import ReadConfig
from tabstudio.table import scan


@dataclass(frozen=True, slots=True)
class ScoringResult:
    """The rows scored; `unseen` and `gaps` count new categories and new missing values per column."""

    output: Path
    rows: int
    seconds: float
    unseen: dict[str, int]
    gaps: dict[str, int]

    def __str__(self) -> str:
        lines = [f"{self.rows:,} rows scored in {self.seconds:.1f} s, written to {self.output}"]
        if self.unseen:
            lines.append(f"categories that training did not know: {_counts(self.unseen)}")
        if self.gaps:
            lines.append(f"missing values where training had none: {_counts(self.gaps)}")
        return "\n".join(lines)


def score(
    model: Model,
    source: str | Path,
    output: str | Path,
    *,
    config: ReadConfig | None = None,
    keep_columns: bool = False,
    overwrite: bool = False,
    rows: int = 65_536,
    on_rows: Callable[[int], None] | None = None,
) -> ScoringResult:
    """Predict every row of a file of any length, in bounded memory, and write the answers row for row.

    The output has its name only when it is whole: an error, a full disk or Ctrl-C leaves nothing behind.

    Parameters
    ----------
    model : Model
        A model as `load` returns it.
    source : path
        The table; see `read`.
    output : path
        A file that ends in .csv, .tsv, .parquet, .arrow or .feather.
    config : ReadConfig, optional
        How to read the table.
    keep_columns : bool
        Write the columns of the input before the answers, those of a text file as text.
    overwrite : bool
        Replace an output that exists.
    rows : int
        Rows that are read at a time.
    on_rows : callable, optional
        Is told how many rows are done so far.

    Returns
    -------
    ScoringResult
        How many rows were scored, and what was noticed.

    Raises
    ------
    InputError
        Rows do not fit the model's schema.
    ConfigError
        The output exists, or is of no known kind.
    TabstudioError
        The output cannot be written.

    Examples
    --------
    >>> tabstudio.score(model, "new.csv", "answers.parquet")  # doctest: +SKIP
    """
    source, output = Path(source), Path(output)
    _check(source, output, overwrite)
    start, unseen, gaps, done = time.perf_counter(), model.unseen.copy(), model.gaps.copy(), 0
    with _appearing(output) as file, closing(_SINKS[output.suffix.lower()](file)) as sink:
        for chunk in scan(source, model.schema, config or ReadConfig(), rows):
            answer = _predict(model, chunk, source, done)
            sink.write(_beside(chunk, answer, source) if keep_columns else answer)
            done += len(chunk)
            if on_rows:
                on_rows(done)
        if not done:
            sink.write(model.predict_frame({column.name: [] for column in model.schema.features}))
    seconds = time.perf_counter() - start
    return ScoringResult(output, done, seconds, dict(model.unseen - unseen), dict(model.gaps - gaps))


class _Text:
    """Comma- or tab-separated lines under one header."""

    def __init__(self, file: IO[bytes], separator: str) -> None:
        self.file, self.separator, self.header = file, separator, True

    def write(self, frame: pl.DataFrame) -> None:
        frame.write_csv(self.file, separator=self.separator, include_header=self.header)
        self.header = False

    def close(self) -> None:
        """A text file needs no end."""


class _Columns:
    """Parquet or Arrow: the first frame's types are the file's."""

    def __init__(self, file: IO[bytes], kind: str) -> None:
        self.file, self.kind = file, kind
        self.writer: Any = None
        self.schema: Any = None

    def write(self, frame: pl.DataFrame) -> None:
        table = frame.to_arrow()
        if self.writer is None:
            self.schema, self.writer = table.schema, self._opened(table.schema)
        self.writer.write_table(table.cast(self.schema))

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()

    def _opened(self, schema: object) -> Any:
        if self.kind == "parquet":
            from pyarrow.parquet import ParquetWriter

            return ParquetWriter(self.file, schema)
        from pyarrow.ipc import new_file

        return new_file(self.file, schema)


_Sink = _Text | _Columns
_SINKS: Mapping[str, Callable[[IO[bytes]], _Sink]] = {
    ".csv": lambda file: _Text(file, ","),
    ".tsv": lambda file: _Text(file, "\t"),
    ".parquet": lambda file: _Columns(file, "parquet"),
    ".arrow": lambda file: _Columns(file, "arrow"),
    ".feather": lambda file: _Columns(file, "arrow"),
}


def _check(source: Path, output: Path, overwrite: bool) -> None:
    if output.suffix.lower() not in _SINKS:
        raise ConfigError(
            f"{output}: the output must end in one of {', '.join(_SINKS)}, got {output.suffix!r}"
        )
    if not output.parent.is_dir():
        raise ConfigError(f"{output}: the folder {output.parent} does not exist: make it first")
    if output.exists():
        if source.exists() and output.samefile(source):
            raise ConfigError(f"{output}: this is the input itself: choose another output")
        if not overwrite or not output.is_file():
            raise ConfigError(f"{output}: the output exists: choose another, or replace it with --overwrite")


@contextmanager
def _appearing(output: Path) -> Iterator[IO[bytes]]:
    """A file beside `output` that takes its name when all went well and is deleted when not."""
    try:
        with draft_path(output) as draft, draft.open("xb") as file:
            yield file
    except OSError as error:
        raise TabstudioError(f"{output}: the output cannot be written: {error.strerror or error}") from error


def _predict(model: Model, chunk: pl.DataFrame, source: Path, done: int) -> pl.DataFrame:
    try:
        return model.predict_frame(chunk)
    except InputError as error:
        counted = f", in which row 1 is row {done + 1:,} of the table" if done else ""
        raise InputError(f"{source}{counted}: {error}") from error


def _beside(chunk: pl.DataFrame, answer: pl.DataFrame, source: Path) -> pl.DataFrame:
    doubles = [name for name in answer.columns if name in chunk.columns]
    if doubles:
        raise ConfigError(
            f"{source}: its columns cannot be kept, since {', '.join(doubles)} would stand there twice: "
            "rename them, or leave the columns out"
        )
    return pl.concat([chunk, answer], how="horizontal")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
