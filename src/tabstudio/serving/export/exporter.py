"""`tabstudio.export`: a model as a file for another runtime, or as a plain folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args

from tabstudio._util.atomic_files import draft_path
from tabstudio.errors import ConfigError, TabstudioError
from tabstudio.model.predictor import Model, load
from tabstudio.report.text_format import format_size
from tabstudio.serving.export.verification import (
    TOLERANCE,
    FileAnswer,
    Rows,
    VerificationResult,
    sample_rows,
    verify_answers,
)

Format = Literal["onnx", "pt2", "folder"]
FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True, slots=True)
class ExportResult:
    """A written file, and the result of its verification."""

    path: Path
    format: Format
    bytes: int
    checked: VerificationResult

    def __str__(self) -> str:
        difference = f"largest difference {self.checked.difference:.1e}, allowed {TOLERANCE:.0e}"
        return (
            f"{self.path}: {self.format}, {format_size(self.bytes)}\n"
            f"checked: its answers to {self.checked.rows:,} rows are the model's ({difference})"
        )


def export(model: Model, path: str | Path, to: Format) -> ExportResult:
    """Write a model as a file for another runtime, with its preparation of raw columns inside.

    Before the file gets its name it answers rows like those of training, with gaps and strange values, and
    must agree with `model.predict` within `TOLERANCE`.

    Parameters
    ----------
    model : Model
        A model as `load` returns it.
    path : path
        The file, or for `folder` the folder, which must not exist.
    to : {"onnx", "pt2", "folder"}
        `onnx` runs in ONNX Runtime: an input (rows, 1) per column, float64 for numbers and truth (NaN is
        missing), strings for categories ("" is missing); outputs `label` and `probabilities`, or `value`.
        `pt2` is a program for `torch.export.load`. `folder` is the bundle itself.

    Returns
    -------
    ExportResult
        Where the file lies, and how far its answers differ.

    Raises
    ------
    ConfigError
        The path exists, or columns cannot go inside (dates, texts); they are named.
    MissingExtraError
        The extra `onnx` is not installed.
    ModelError
        The answers differ.

    Examples
    --------
    >>> tabstudio.export(model, "cancer.onnx", "onnx")  # doctest: +SKIP
    """
    path = Path(path)
    if to not in FORMATS:
        raise ConfigError(f"option to: one of {', '.join(FORMATS)} was expected, got {to!r}")
    if path.exists():
        raise ConfigError(f"{path}: this exists: choose another path, or delete it")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: the folder {path.parent} does not exist: make it first")
    try:
        with draft_path(path, durable=False) as draft:
            checked = _write(model, draft, to)
    except OSError as error:
        raise TabstudioError(f"{path}: the model cannot be written: {error.strerror or error}") from error
    return ExportResult(path, to, _bytes(path), checked)


def _write(model: Model, path: Path, to: Format) -> VerificationResult:
    predict: Callable[[Rows], FileAnswer]
    if to == "folder":
        copy = load(model.save(path), getattr(model.pack, "factory", None))
        regression = model.target.task == "regression"

        def predict(rows: Rows) -> FileAnswer:
            return (
                (None, copy.predict(rows)) if regression else (copy.predict(rows), copy.predict_proba(rows))
            )

    else:
        module = _module(to)
        module.write(model, path)
        predict = module.open_for(model, path)
    return verify_answers(model, sample_rows(model), predict, to)


def _module(to: Format) -> ModuleType:
    from tabstudio.serving.export import onnx_file, pt2_file

    return onnx_file if to == "onnx" else pt2_file


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)
