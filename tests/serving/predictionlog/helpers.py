"""A small model's schema, records of it, and a log in the working folder."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tabstudio.serving.predictionlog import compaction
from tabstudio.serving.predictionlog.log_options import LogOptions
from tabstudio.serving.predictionlog.reader import prediction_log
from tabstudio.serving.predictionlog.writer import PredictionLog
from tabstudio.serving.request_hooks import PredictionRecord
from tabstudio.table.schema import Column, Schema, Target

SCHEMA = Schema(
    (
        Column("age", "number", dtype="Int64"),
        Column("weight", "number", dtype="Float64", format="decimal comma"),
        Column("city", "category"),
        Column("born", "date", dtype="Date", format="%Y-%m-%d"),
        Column("ill", "category", "target"),
    ),
    Target("ill", "binary", ("no", "yes"), "yes"),
    missing_words=("NA",),
)
COLUMNS = tuple(column.name for column in SCHEMA.features)
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC).timestamp()


def record(number=0, rows=((30, 70.5, "Rome", "1996-01-02"),), **changes):
    fields = {
        "request_id": f"r{number}", "model": "cancer", "version": "1", "role": "live", "protocol": "predict",
        "caller": "me", "at": NOW + number, "columns": COLUMNS, "rows": [tuple(r) for r in rows],
        "labels": ["yes"] * len(rows), "probabilities": [[0.25, 0.75]] * len(rows), "classes": ("no", "yes"),
        "warnings": {},
    }  # fmt: skip
    return PredictionRecord(**(fields | changes))


def opened(folder="log", **options):
    log = PredictionLog(LogOptions(folder=str(folder), **options))
    log.opened("cancer", "1", SCHEMA)
    return log


def written(*records, **options):
    log = opened(**options)
    for one in records:
        log(one)
    log.close()


def kept(model="cancer", folder="log"):
    return prediction_log(model, folder).collect()


def compacted(days=1e6, gigabytes=10.0):
    compaction.compact(Path("log").absolute(), days, gigabytes)
