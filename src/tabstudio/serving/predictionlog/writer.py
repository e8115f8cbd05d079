"""The prediction log's writer: one per worker process, on the way of every answer, so it must be quick.

A prediction is in a file before its answer is sent, and neither an exception nor `kill -9` of the process
takes it back. A second later it is on the disk, where it outlives a loss of power, too. A disk that is full
or gone costs records, never an answer: they are counted, and the failure is logged once.
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
    """Writes every `PredictionRecord` that it is called with. Safe to use from several threads.

    Raises `TabstudioError` where the folder cannot be written at the start.
    """

    def __init__(self, options: LogOptions) -> None:
        self.options, self.folder = options, log_folder(options.folder)
        self.lost = 0
        """Predictions that could not be written."""
        self._lock = Lock()
        self._versions: dict[tuple[str, str], _LoggedVersion] = {}
        self._written_headers: set[int] = set()
        self._failing = False
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # inputs may be personal data
            self.privacy = PrivacyFilter(options, self.folder)
            self._segment = self._new_segment()
        except OSError as error:
            raise TabstudioError(
                f"the prediction log {self.folder} cannot be written ({error.strerror}): name another folder "
                "with --log-folder, or serve without it: --no-log"
            ) from error
        self._maintenance = _Maintenance(self)
        self._maintenance.start()

    def opened(self, model: str, version: str, schema: Schema) -> None:
        """Register a version's columns before its first record."""
        columns = tuple(column.name for column in schema.features)
        with self._lock:
            header = SegmentHeader(
                len(self._versions),
                model,
                version,
                schema.to_json(),
                self.privacy.logged_columns(columns),
                self.privacy.masked(columns),
            )
            self._versions.setdefault((model, version), _LoggedVersion(header, self.privacy.reducer(columns)))

    def __call__(self, record: PredictionRecord) -> None:
        """Write one answered request."""
        try:
            with self._lock:
                self._append(record)
        except OSError as error:
            self._count_lost(error, len(record.rows))
        else:
            if self._failing:
                self._failing = False
                logger.warning("%s: the prediction log is written again; %d are lost", self.folder, self.lost)

    def close(self) -> None:
        """Bring everything to the disk and close the file. Nothing can be recorded after it."""
        self._maintenance.stop()

    def _append(self, record: PredictionRecord) -> None:
        segment = self._segment
        if segment.size > self.options.segment_bytes or record.at >= segment.until:
            self._segment = self._new_segment()
            self._maintenance.retire(segment)
            segment = self._segment
        version = self._versions[record.model, record.version]
        if version.header.number not in self._written_headers:
            segment.append(version.header)
            self._written_headers.add(version.header.number)
        try:
            segment.append(version.entry(record, record.rows))
        except OverflowError:  # JSON's integers have no end, a record's have 64 bits
            segment.append(version.entry(record, [_within_64_bits(row) for row in record.rows]))

    def _new_segment(self) -> SegmentWriter:
        self._written_headers.clear()
        return SegmentWriter(self.folder / SEGMENTS)

    def _count_lost(self, error: OSError, rows: int) -> None:
        self.lost += rows
        if not self._failing:
            self._failing = True
            logger.warning(
                "%s: the prediction log cannot be written (%s): predictions go on and are not kept",
                self.folder,
                error.strerror or error,
            )


class _LoggedVersion:
    """A served version: its header, and what of its rows may be kept."""

    def __init__(self, header: SegmentHeader, reduce: Callable[[list[Row]], list[Row]] | None) -> None:
        self.header, self._reduce = header, reduce

    def entry(self, record: PredictionRecord, rows: list[Row]) -> SegmentEntry:
        return SegmentEntry(
            self.header.number,
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


class _Maintenance(Thread):
    """Syncs the file once a second, closes full ones, and starts their compaction in a process of its own."""

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
            self._sync_and_close()
            if time.monotonic() >= self._due:
                self._compact()

    def stop(self) -> None:
        self._ended.set()
        self.join()
        self._retired.append(self.log._segment)
        self._sync_and_close()

    def _sync_and_close(self) -> None:
        while self._retired:
            segment = self._retired.pop()
            self._sync(segment)
            self._close(segment)
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

    def _close(self, segment: SegmentWriter) -> None:
        try:
            segment.close()
        except OSError as error:  # the descriptor is free all the same
            logger.warning("%s: cannot be closed: %s", segment.path, error.strerror)

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
    """Column and code of each warning; its message may quote a value that must not be kept."""
    fields = ("column", "code")
    return {
        row: [{key: warning[key] for key in fields if key in warning} for warning in of_row]
        for row, of_row in warnings.items()
    }
