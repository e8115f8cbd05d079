"""The writing end of the log: one per worker process, on the way of every answer, so it must be quick.

What is promised: a prediction stands in a file before its answer is sent, and neither an exception nor
`kill -9` of the process takes it back. A second later it is on the disk, where it outlives the machine's
power, too. A disk that is full or gone costs records, never an answer: they are counted, and told once.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from threading import Event, Lock, Thread

from tabstudio.errors import TabstudioError
from tabstudio.serving.predictionlog.log_options import LogOptions, log_folder
from tabstudio.serving.predictionlog.privacy import PrivacyFilter, Row, cell_text
from tabstudio.serving.predictionlog.segment import SEGMENTS, SegmentEntry, SegmentHeader, SegmentWriter
from tabstudio.serving.request_hooks import PredictionRecord
from tabstudio.table.schema import Schema

SYNC_SECONDS = 1.0
COMPACT_SECONDS = 3600.0

logger = logging.getLogger("tabstudio.serving")


class PredictionLog:
    """Keeps every `PredictionRecord` that it is called with. Safe to use from several threads.

    Raises `TabstudioError` where the folder cannot be written at the start.
    """

    def __init__(self, options: LogOptions) -> None:
        self.options, self.folder = options, log_folder(options.folder)
        self.lost = 0
        """Predictions that could not be kept."""
        self._lock = Lock()
        self._versions: dict[tuple[str, str], _Version] = {}
        self._told: set[int] = set()
        self._failing = False
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # it holds what people are asked about
            self.privacy = PrivacyFilter(options, self.folder)
            self._segment = self._new_segment()
        except OSError as error:
            raise TabstudioError(
                f"the prediction log {self.folder} cannot be written ({error.strerror}): name another folder "
                "with --log-folder, or serve without it: --no-log"
            ) from error
        self._keeper = _Keeper(self)
        self._keeper.start()

    def opened(self, model: str, version: str, schema: Schema) -> None:
        """Learn what a version's columns are, before its first record comes."""
        columns = tuple(column.name for column in schema.features)
        with self._lock:
            about = SegmentHeader(
                len(self._versions),
                model,
                version,
                schema.to_json(),
                self.privacy.kept(columns),
                self.privacy.masked(columns),
            )
            self._versions.setdefault((model, version), _Version(about, self.privacy.reducer(columns)))

    def __call__(self, record: PredictionRecord) -> None:
        """Keep one answered request."""
        try:
            with self._lock:
                self._append(record)
        except OSError as error:
            self._missed(error, len(record.rows))
        else:
            if self._failing:
                self._failing = False
                logger.warning("%s: the prediction log is written again; %d are lost", self.folder, self.lost)

    def close(self) -> None:
        """Bring everything to the disk and let the file go. Nothing can be recorded after it."""
        self._keeper.stop()

    def _append(self, record: PredictionRecord) -> None:
        segment = self._segment
        if segment.size > self.options.segment_bytes or record.at >= segment.until:
            self._segment = self._new_segment()
            self._keeper.retire(segment)
            segment = self._segment
        version = self._versions[record.model, record.version]
        if version.about.number not in self._told:
            segment.append(version.about)
            self._told.add(version.about.number)
        try:
            segment.append(version.entry(record, record.rows))
        except OverflowError:  # JSON's integers have no end, a record's have 64 bits
            segment.append(version.entry(record, [_within_64_bits(row) for row in record.rows]))

    def _new_segment(self) -> SegmentWriter:
        self._told.clear()
        return SegmentWriter(self.folder / SEGMENTS)

    def _missed(self, error: OSError, rows: int) -> None:
        self.lost += rows
        if not self._failing:
            self._failing = True
            logger.warning(
                "%s: the prediction log cannot be written (%s): predictions go on and are not kept",
                self.folder,
                error.strerror or error,
            )


class _Version:
    """A served version as the log sees it."""

    def __init__(self, about: SegmentHeader, reduce: Callable[[list[Row]], list[Row]] | None) -> None:
        self.about, self._reduce = about, reduce

    def entry(self, record: PredictionRecord, rows: list[Row]) -> SegmentEntry:
        return SegmentEntry(
            self.about.number,
            record.role,
            record.protocol,
            record.request_id,
            record.caller,
            record.at,
            self._reduce(rows) if self._reduce else rows,
            record.labels,
            record.probabilities,
            _without_values(record.warnings) if record.warnings else {},
        )


class _Keeper(Thread):
    """Syncs the file once a second, lets finished ones go, and has them compacted in a process of its own."""

    def __init__(self, log: PredictionLog) -> None:
        super().__init__(name="prediction-log", daemon=True)
        self.log = log
        self._retired: list[SegmentWriter] = []
        self._ended = Event()
        self._synced = 0
        self._due = time.monotonic()
        self._process: subprocess.Popen[bytes] | None = None

    def retire(self, segment: SegmentWriter) -> None:
        self._retired.append(segment)

    def run(self) -> None:
        while not self._ended.wait(SYNC_SECONDS):
            self._tend()
            if time.monotonic() >= self._due:
                self._compact()

    def stop(self) -> None:
        self._ended.set()
        self.join()
        self._retired.append(self.log._segment)
        self._tend()

    def _tend(self) -> None:
        while self._retired:
            segment = self._retired.pop()
            self._sync(segment)
            segment.close()
            self._due = time.monotonic()
        segment = self.log._segment
        if segment.size != self._synced and not self._ended.is_set():
            self._synced = segment.size
            self._sync(segment)

    def _sync(self, segment: SegmentWriter) -> None:
        try:
            segment.sync()
        except OSError as error:
            logger.warning("%s: cannot be brought to the disk: %s", segment.path, error.strerror)

    def _compact(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self._due = time.monotonic() + COMPACT_SECONDS
        limits = [str(self.log.options.days), str(self.log.options.gigabytes)]
        command = [sys.executable, "-m", "tabstudio.serving.predictionlog.compaction", str(self.log.folder)]
        try:
            self._process = subprocess.Popen([*command, *limits], stdin=subprocess.DEVNULL)
        except OSError as error:
            logger.warning("%s: the log cannot be compacted: %s", self.log.folder, error.strerror)


def _within_64_bits(row: Row) -> Row:
    return tuple(cell_text(cell) if isinstance(cell, int) and abs(cell) >= 2**63 else cell for cell in row)


def _without_values(warnings: dict[int, list[dict[str, str]]]) -> dict[int, list[dict[str, str]]]:
    """Which column and what, without the words, which may quote a value that must not be kept."""
    short = ("column", "code")
    return {
        row: [{key: warning[key] for key in short if key in warning} for warning in several]
        for row, several in warnings.items()
    }
