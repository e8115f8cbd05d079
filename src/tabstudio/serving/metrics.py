"""Prometheus metrics of all workers: requests, latency, rows, predictions by class, versions.

Counting costs well under a microsecond: plain numbers in lists, turned into Prometheus' families by a scrape
only. Several workers share a folder, where each writes a snapshot of its numbers every second and before it
answers a scrape itself; only snapshots are summed, so a total never goes down from one scrape to the next,
whichever worker answers. The snapshot of a worker that died stays and still counts.
"""

from __future__ import annotations

import logging
import os
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec

from tabstudio._util.atomic_files import write_atomic
from tabstudio._version import __version__
from tabstudio.serving.request_hooks import CompletedRequest, PredictionRecord

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

BOUNDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the latency histogram, in seconds."""
SNAPSHOT_SECONDS = 1.0

_BUCKETS = len(BOUNDS) + 1
_SECONDS, _ROWS = _BUCKETS, _BUCKETS + 1

Key = tuple[str, ...]

logger = logging.getLogger("tabstudio.serving")


class WorkerMetrics(msgspec.Struct):
    """The numbers of one worker, keyed by label values.

    `requests` (route, model, status) hold counts per latency bucket, then the sum of seconds and of rows.
    """

    worker: int
    pid: int
    requests: dict[Key, list[float]] = msgspec.field(default_factory=dict)
    predictions: dict[Key, int] = msgspec.field(default_factory=dict)
    values: dict[Key, list[float]] = msgspec.field(default_factory=dict)
    warnings: dict[Key, int] = msgspec.field(default_factory=dict)
    shadows: dict[Key, list[int]] = msgspec.field(default_factory=dict)
    versions: dict[Key, str] = msgspec.field(default_factory=dict)
    gauges: dict[str, float] = msgspec.field(default_factory=dict)
    lost: int = 0


class Metrics:
    """Counts for one worker, and answers scrapes for all that share `folder`; "" is for a single worker.

    `gauges` are read whenever a snapshot is taken; `lost` gives the predictions that the log could not keep.
    """

    def __init__(self, folder: str = "", worker: int = 0) -> None:
        self.folder = Path(folder) if folder else None
        self.gauges: dict[str, Callable[[], float]] = {}
        self.lost: Callable[[], int] = int
        self._numbers = WorkerMetrics(worker, os.getpid())
        self._labels: defaultdict[tuple[str, str, str], Counter[object]] = defaultdict(Counter)
        self._requests: dict[tuple[str, str, int], list[float]] = {}
        self._lock = Lock()
        self._failing = False

    def request_completed(self, request: CompletedRequest) -> None:
        """Count one HTTP request."""
        key = request.route, request.model, request.status
        counts = self._requests.get(key)
        if counts is None:
            counts = self._requests[key] = [0.0] * (_BUCKETS + 2)
        counts[bisect_left(BOUNDS, request.seconds)] += 1
        counts[_SECONDS] += request.seconds
        counts[_ROWS] += request.rows

    def predicted(self, record: PredictionRecord) -> None:
        """Count the labels, or sum the values, of one answered request. Called from any thread."""
        key = record.model, record.version, record.role
        with self._lock:
            if record.classes:
                self._count(self._labels[key], record.labels)
            else:
                sums = self._numbers.values.setdefault(key, [0.0, 0.0])
                sums[0] += len(record.labels)
                sums[1] += sum(record.labels)
            for warnings in record.warnings.values() if record.warnings else ():
                for warning in warnings:
                    key = record.model, warning["column"], warning["code"]
                    self._numbers.warnings[key] = self._numbers.warnings.get(key, 0) + 1

    def version_installed(self, model: str, role: str, version: str) -> None:
        """Note which version answers in a role from now on."""
        self._numbers.versions[model, role] = version

    def shadow_compared(self, model: str, version: str, rows: int, different: int) -> None:
        """Count how often a shadow disagreed with the version that answered."""
        counts = self._numbers.shadows.setdefault((model, version), [0, 0])
        counts[0] += rows
        counts[1] += different

    def snapshot(self) -> None:
        """Write this worker's numbers where the others find them; a full disk is logged once."""
        if self.folder is None:
            return
        path = self.folder / f"metrics-{self._numbers.worker}-{self._numbers.pid}"
        try:
            write_atomic(path, msgspec.msgpack.encode(self._now()), durable=False)
        except OSError as error:
            if not self._failing:
                logger.warning("%s: the metrics cannot be written: %s", path, error.strerror or error)
            self._failing = True
        else:
            self._failing = False

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """The page that Prometheus reads, and its content type: OpenMetrics where `accept` asks for it."""
        return self.exposition()(accept)

    def exposition(self) -> Callable[[str], tuple[bytes, str]]:
        """Take the numbers as they are now; the function returned writes the page, in any thread."""
        self.snapshot()
        own = () if self.folder else (msgspec.msgpack.encode(self._now()),)
        return partial(_exposition, self.folder, own)

    def _count(self, counts: Counter[Any], labels: list[Any]) -> None:
        if len(labels) == 1:  # `update` takes three times as long for one
            counts[labels[0]] += 1
        else:
            counts.update(labels)

    def _now(self) -> WorkerMetrics:
        numbers = self._numbers
        numbers.requests = {(r, m, str(s)): list(c) for (r, m, s), c in self._requests.items()}
        with self._lock:
            numbers.predictions = {
                (*key, str(label)): count
                for key, labels in self._labels.items()
                for label, count in labels.items()
            }
        numbers.gauges = {name: float(read()) for name, read in self.gauges.items()} | _memory()
        numbers.lost = self.lost()
        return numbers


def _exposition(folder: Path | None, own: Iterable[bytes], accept: str) -> tuple[bytes, str]:
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    snapshots = own if folder is None else (path.read_bytes() for path in sorted(folder.glob("metrics-*")))
    decode = msgspec.msgpack.Decoder(WorkerMetrics).decode
    registry = CollectorRegistry()
    registry.register(_WorkersCollector([decode(snapshot) for snapshot in snapshots]))
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type


def _memory() -> dict[str, float]:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # not Linux
        return {}
    return {"resident_bytes": float(pages * os.sysconf("SC_PAGE_SIZE"))}


def _alive(numbers: WorkerMetrics) -> bool:
    try:
        os.kill(numbers.pid, 0)
    except OSError:
        return False
    return True


_GAUGES = {
    "in_flight": "Requests that are being answered.",
    "queue_rows": "Rows that wait for the network.",
    "resident_bytes": "Memory of a worker process.",
}


class _WorkersCollector:
    """The workers' numbers as families of Prometheus."""

    def __init__(self, workers: list[WorkerMetrics]) -> None:
        self.workers = workers

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

        yield InfoMetricFamily("tabstudio", "The server.", value={"version": __version__})
        yield from self._requests()
        yield from self._predictions()
        versions = GaugeMetricFamily(
            "tabstudio_model_version", "Workers that serve a version.", labels=("model", "role", "version")
        )
        alive = [numbers for numbers in self.workers if _alive(numbers)]
        for key, count in Counter((*k, v) for n in alive for k, v in n.versions.items()).items():
            versions.add_metric(key, count)
        yield versions
        for name, description in _GAUGES.items():
            gauge = GaugeMetricFamily(f"tabstudio_{name}", description, labels=("worker",))
            for numbers in alive:
                if name in numbers.gauges:
                    gauge.add_metric((str(numbers.worker),), numbers.gauges[name])
            yield gauge
        lost = sum(numbers.lost for numbers in self.workers)
        yield CounterMetricFamily(
            "tabstudio_prediction_log_lost", "Predictions that the log could not keep.", value=lost
        )

    def _requests(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily

        requests = CounterMetricFamily(
            "tabstudio_requests", "HTTP requests answered.", labels=("route", "model", "status")
        )
        seconds = HistogramMetricFamily(
            "tabstudio_request_seconds",
            "From a request's first byte to its answer.",
            labels=("route", "model"),
        )
        rows = CounterMetricFamily("tabstudio_rows", "Rows of answered requests.", labels=("route", "model"))
        by_route: dict[Key, list[float]] = {}
        for key, counts in self._summed("requests").items():
            requests.add_metric(key, sum(counts[:_BUCKETS]))
            _add(by_route, key[:2], counts)
        for key, counts in by_route.items():
            seconds.add_metric(key, _cumulative(counts), counts[_SECONDS])
            rows.add_metric(key, counts[_ROWS])
        yield from (requests, seconds, rows)

    def _predictions(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import CounterMetricFamily, SummaryMetricFamily

        served = ("model", "version", "role")
        predictions = CounterMetricFamily(
            "tabstudio_predictions", "Rows predicted, by class.", labels=(*served, "label")
        )
        warnings = CounterMetricFamily(
            "tabstudio_warnings", "Cells that were told to be unusual.", labels=("model", "column", "code")
        )
        for family, name in ((predictions, "predictions"), (warnings, "warnings")):
            for key, (count,) in self._summed(name).items():
                family.add_metric(key, count)
        values = SummaryMetricFamily("tabstudio_predicted_value", "Values of a regression.", labels=served)
        for key, (count, total) in self._summed("values").items():
            values.add_metric(key, int(count), total)
        shadow = CounterMetricFamily(
            "tabstudio_shadow_rows",
            "Rows asked of a shadow, by whether it gave the label of the version that answered.",
            labels=("model", "version", "same"),
        )
        for key, (rows, different) in self._summed("shadows").items():
            shadow.add_metric((*key, "true"), rows - different)
            shadow.add_metric((*key, "false"), different)
        yield from (predictions, warnings, values, shadow)

    def _summed(self, name: str) -> dict[Key, list[float]]:
        sums: dict[Key, list[float]] = {}
        for numbers in self.workers:
            for key, counts in getattr(numbers, name).items():
                _add(sums, key, counts if isinstance(counts, list) else [counts])
        return sums


def _add(sums: dict[Key, list[float]], key: Key, counts: list[float]) -> None:
    before = sums.get(key)
    sums[key] = list(counts) if before is None else [a + b for a, b in zip(before, counts, strict=True)]


def _cumulative(counts: list[float]) -> list[tuple[str, float]]:
    bounds = [*(str(bound) for bound in BOUNDS), "+Inf"]
    return list(zip(bounds, accumulate(counts[:_BUCKETS]), strict=True))
