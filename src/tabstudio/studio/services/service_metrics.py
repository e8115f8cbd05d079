"""Request metrics of services, scraped once per process and only while somebody watches."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable
from itertools import pairwise
from threading import Lock
from typing import NamedTuple

from tabstudio.errors import TabstudioError
from tabstudio.serving.deployments import Deployment
from tabstudio.studio.services import deployments

SECONDS = 2.0
"""Between two samples of a service."""
KEPT_SAMPLES = 300
"""Samples of one service that are kept: ten minutes."""
WINDOW = 5
"""Samples back to which a rate is measured: ten seconds."""


class MetricSample(NamedTuple):
    """The counters of a service at a time: predictions asked for, refused (4xx), failed (5xx).

    `buckets` are pairs of an upper bound in seconds and how many requests took no longer. `lanes` holds the
    (model, role, version) that answered then.
    """

    at: float
    asked: float
    refused: float
    failed: float
    buckets: tuple[tuple[float, float], ...]
    lanes: frozenset[tuple[str, str, str]] = frozenset()


class ServiceRates(NamedTuple):
    """Rates over the seconds before `at`: per second, and quantiles of the latency in milliseconds."""

    at: float
    asked: float
    refused: float
    failed: float
    p50: float | None
    p95: float | None


class ServiceMetrics:
    """Samples of each service's counters. `find` returns a service by name."""

    def __init__(self, find: Callable[[str], Deployment]) -> None:
        self._find = find
        self._samples: dict[str, deque[MetricSample]] = {}
        self._lock = Lock()

    def sample(self, name: str) -> Hashable:
        """Take a sample, unless the service does not answer; return something that differs each time."""
        try:
            latest = parse_sample(
                deployments.request_bytes(self._find(name), "/metrics").decode(), time.time()
            )
        except TabstudioError as error:
            return str(error)
        with self._lock:
            samples = self._samples.setdefault(name, deque(maxlen=KEPT_SAMPLES))
            if samples and samples[-1].asked > latest.asked:
                samples.clear()  # it was restarted, and counts from 0
            samples.append(latest)
        return latest.at

    def totals(self, name: str, model: str) -> ServiceRates | None:
        """Return what a service has counted of a model since it started; None where it does not say.

        Requests are counts here, not rates.
        """
        try:
            latest = parse_sample(
                deployments.request_bytes(self._find(name), "/metrics").decode(), 1.0, model
            )
        except TabstudioError:
            return None
        return rates_between(MetricSample(0.0, 0.0, 0.0, 0.0, ()), latest)

    def samples(self, name: str) -> list[MetricSample]:
        """Return the samples of a service, the oldest first."""
        with self._lock:
            return list(self._samples.get(name, ()))

    def readings(self, name: str) -> list[ServiceRates]:
        """Return rates and latencies of a service, the oldest first."""
        samples = self.samples(name)
        return [
            rates_between(samples[max(0, index - WINDOW)], samples[index])
            for index in range(1, len(samples))
            if samples[index].at - samples[index - 1].at < 5 * SECONDS  # not across a pause in the sampling
        ]


def parse_sample(text: str, at: float, model: str | None = None) -> MetricSample:
    """Parse the counts in a Prometheus page, of one model or of all, over all prediction endpoints."""
    from prometheus_client.parser import text_string_to_metric_families

    by_status = {"2": 0.0, "4": 0.0, "5": 0.0}
    buckets: dict[float, float] = {}
    lanes = set()
    for family in text_string_to_metric_families(text):
        for name, labels, value in ((one.name, one.labels, one.value) for one in family.samples):
            if not labels.get("model") or model not in (None, labels["model"]):
                continue  # not a prediction
            if name == "tabstudio_requests_total":
                by_status[labels["status"][0]] = by_status.get(labels["status"][0], 0.0) + value
            elif name == "tabstudio_request_seconds_bucket":
                bound = float(labels["le"])
                buckets[bound] = buckets.get(bound, 0.0) + value
            elif name == "tabstudio_model_version":
                lanes.add((labels["model"], labels["role"], labels["version"]))
    requests, counted = sum(by_status.values()), tuple(sorted(buckets.items()))
    return MetricSample(at, requests, by_status["4"], by_status["5"], counted, frozenset(lanes))


def rates_between(first: MetricSample, last: MetricSample) -> ServiceRates:
    """Return the rates between two samples."""
    seconds = max(last.at - first.at, 1e-9)
    before = dict(first.buckets)
    fresh = [(bound, count - before.get(bound, 0.0)) for bound, count in last.buckets]
    return ServiceRates(
        last.at,
        (last.asked - first.asked) / seconds,
        (last.refused - first.refused) / seconds,
        (last.failed - first.failed) / seconds,
        histogram_quantile(fresh, 0.5),
        histogram_quantile(fresh, 0.95),
    )


def histogram_quantile(buckets: list[tuple[float, float]], share: float) -> float | None:
    """Return a quantile of a cumulative histogram in milliseconds, linear within a bucket; None if empty.

    As Prometheus' `histogram_quantile`: beyond the last bound, that bound is returned.

    >>> histogram_quantile([(0.001, 5.0), (0.002, 10.0), (float("inf"), 10.0)], 0.95)
    1.9
    """
    if not buckets or buckets[-1][1] <= 0:
        return None
    rank = share * buckets[-1][1]
    for (low, below), (high, count) in pairwise([(0.0, 0.0), *buckets]):
        if count >= rank:
            if high == float("inf"):
                return 1000 * low
            return round(1000 * (low + (high - low) * (rank - below) / (count - below)), 6)
    return None


def format_latency(value: float | None) -> str:
    """Return a latency as text.

    >>> format_latency(1.23456), format_latency(None)
    ('1.23 ms', '–')
    """
    return "–" if value is None else f"{value:,.3g} ms"
