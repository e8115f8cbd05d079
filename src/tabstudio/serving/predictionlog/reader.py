"""The prediction log as a lazy frame, with the labels that came later."""

from __future__ import annotations

import difflib
import json
from pathlib import Path

import polars as pl

from tabstudio.errors import DataError
from tabstudio.serving.predictionlog.catalog import NAME, LogCatalog, LogFile
from tabstudio.serving.predictionlog.log_options import log_folder
from tabstudio.serving.predictionlog.privacy import cell_text
from tabstudio.serving.predictionlog.record_frames import RecordFrames, utc_times
from tabstudio.serving.predictionlog.segment import SEGMENTS, SegmentHeader, list_segments, read_segment


def prediction_log(model: str, folder: str | Path | None = None) -> pl.LazyFrame:
    """Return every prediction that was served for a model, one row per row asked about, the oldest first.

    Parameters
    ----------
    model : str
        The served name.
    folder : path, optional
        The log's folder, by default `predictions` in `TABSTUDIO_HOME`. It may be read while it is written.

    Returns
    -------
    polars.LazyFrame
        Columns: `time` (UTC), `request_id`, `row` (its place in the request, from 0), `version`, `role`
        (live, canary, shadow), `protocol`, `caller`, `warnings`, `prediction`, `probability_<class>` for each
        class, `input_<name>` for each feature, typed as the model saw it, and `label`, `label_time`,
        `label_caller` where feedback came.

    Raises
    ------
    DataError
        There is no log, or none of that model.

    Examples
    --------
    >>> tabstudio.prediction_log("breast-cancer").tail(3).collect()  # doctest: +SKIP
    """
    path = _existing(folder)
    with LogCatalog(path) as catalog:
        frames, files = _consistent(catalog, model)
        if not frames and not files:
            raise DataError(_unknown_model(catalog, model))
        parts = [pl.scan_parquet(path / file.path) for file in files] + [f.lazy() for f in frames]
        whole = pl.concat(parts, how="diagonal_relaxed")
        labels = latest_labels(catalog, model, whole.collect_schema()["prediction"])
    return whole.join(labels.lazy(), on=["request_id", "row"], how="left").sort("time", "request_id", "row")


def logged_models(folder: str | Path | None = None) -> list[str]:
    """Names of the models that have predictions. Raises `DataError` where there is no log."""
    with LogCatalog(_existing(folder)) as catalog:
        return catalog_models(catalog)


def catalog_models(catalog: LogCatalog) -> list[str]:
    """Names of the models that have predictions."""
    paths, files = _snapshot(catalog)
    records = (record for path in paths for record in read_segment(path))
    return sorted({file.model for file in files} | {r.model for r in records if isinstance(r, SegmentHeader)})


def latest_labels(catalog: LogCatalog, model: str, dtype: pl.DataType) -> pl.DataFrame:
    """The latest label of each row: `request_id`, `row`, `label` (of `dtype`), time and caller."""
    feedback = catalog.database.execute(
        "SELECT request_id, row, label, at, caller FROM feedback WHERE id IN (SELECT MAX(id) FROM feedback "
        "WHERE model IN ('', ?) GROUP BY request_id, row)",
        [model],
    ).fetchall()
    ids, rows, labels, times, callers = zip(*feedback, strict=True) if feedback else ([],) * 5
    words = [cell_text(json.loads(label)) for label in labels]
    return pl.DataFrame(
        {
            "request_id": pl.Series(ids, dtype=pl.String),
            "row": pl.Series(rows, dtype=pl.UInt32),
            "label": pl.Series(words, dtype=pl.String).cast(dtype, strict=False),
            "label_time": utc_times(times),
            "label_caller": pl.Series(callers, dtype=pl.String),
        }
    )


def _existing(folder: str | Path | None) -> Path:
    path = log_folder(folder)
    if not (path / SEGMENTS).is_dir() and not (path / NAME).exists():
        raise DataError(f"{path}: there is no prediction log; `tabstudio serve` writes one")
    return path


def _consistent(catalog: LogCatalog, model: str) -> tuple[list[pl.DataFrame], list[LogFile]]:
    """Segments as frames and the Parquet files beside them, each prediction in one of the two."""
    while True:
        paths, files = _snapshot(catalog)
        collected = RecordFrames(model)
        try:
            frames = [frame for path in paths for _, frame in collected.take(read_segment(path))]
        except FileNotFoundError:  # it became Parquet meanwhile
            continue
        frames += [frame for _, frame in collected.rest()]
        return frames, [file for file in files if file.model == model]


def _snapshot(catalog: LogCatalog) -> tuple[list[Path], list[LogFile]]:
    """Segments that are not consumed, and the files that count beside them.

    The folder is listed first: a segment that is consumed and removed in between is missing when opened.
    """
    paths = list_segments(catalog.folder)
    catalog.database.execute("BEGIN")
    try:
        consumed, files = catalog.consumed(), catalog.files()
    finally:
        catalog.database.execute("COMMIT")
    return [path for path in paths if path.name not in consumed], files


def _unknown_model(catalog: LogCatalog, model: str) -> str:
    names = catalog_models(catalog)
    near = difflib.get_close_matches(model, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; it knows {', '.join(names) or 'no model'}"
    return f"{catalog.folder}: no prediction of {model!r} stands there{hint}"
