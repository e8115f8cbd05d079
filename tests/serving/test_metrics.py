"""Metrics: what Prometheus reads, exact over several workers, at a cost that no request notices."""

from __future__ import annotations

import os
import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from tabstudio.serving.metrics import Metrics
from tabstudio.serving.request_hooks import CompletedRequest, PredictionRecord


def record(labels=("yes",), classes=("no", "yes"), **changes):
    count = len(labels)
    fields = {
        "request_id": "r", "model": "cancer", "version": "1", "role": "live", "protocol": "predict",
        "caller": "", "at": 0.0, "columns": ("a",), "rows": [(1.0,)] * count, "labels": list(labels),
        "probabilities": None, "classes": classes, "warnings": {},
    }  # fmt: skip
    return PredictionRecord(**(fields | changes))


def completed(route, model, status, seconds, rows):
    return CompletedRequest({}, route, model, "1", "live", status, seconds, rows, "r")


def samples(metrics):
    text = metrics.text()[0].decode()
    return {(s.name, *sorted(s.labels.items())): s.value for family in parse(text) for s in family.samples}


def value(metrics, name, **labels):
    return samples(metrics)[name, *sorted(labels.items())]


def test_requests_latency_and_rows_are_counted():
    metrics = Metrics()
    metrics.request_completed(completed("/v1/models/NAME/predict", "cancer", 200, 0.0007, 3))
    metrics.request_completed(completed("/v1/models/NAME/predict", "cancer", 200, 0.3, 1))
    metrics.request_completed(completed("/v1/models/NAME/predict", "cancer", 422, 99.0, 0))
    where = {"route": "/v1/models/NAME/predict", "model": "cancer"}
    assert value(metrics, "tabstudio_requests_total", status="200", **where) == 2
    assert value(metrics, "tabstudio_requests_total", status="422", **where) == 1
    assert value(metrics, "tabstudio_rows_total", **where) == 4
    assert value(metrics, "tabstudio_request_seconds_count", **where) == 3
    assert value(metrics, "tabstudio_request_seconds_sum", **where) == pytest.approx(99.3007)
    for bound, count in (("0.0005", 0), ("0.001", 1), ("0.25", 1), ("0.5", 2), ("10.0", 2), ("+Inf", 3)):
        assert value(metrics, "tabstudio_request_seconds_bucket", le=bound, **where) == count


def test_predictions_are_counted_by_class_and_values_summed():
    metrics = Metrics()
    metrics.predicted(record(["yes", "no", "yes"]))
    metrics.predicted(record([True], (False, True), model="b"))
    metrics.predicted(record([1.5, 2.0], (), model="houses"))
    one = {"version": "1", "role": "live"}
    assert value(metrics, "tabstudio_predictions_total", model="cancer", label="yes", **one) == 2
    assert value(metrics, "tabstudio_predictions_total", model="b", label="True", **one) == 1
    assert value(metrics, "tabstudio_predicted_value_sum", model="houses", **one) == 3.5
    assert value(metrics, "tabstudio_predicted_value_count", model="houses", **one) == 2


def test_warnings_versions_and_shadows_are_counted():
    metrics = Metrics()
    metrics.predicted(record(warnings={0: [{"column": "city", "code": "unseen", "message": "'X' is new"}]}))
    metrics.version_installed("cancer", "live", "1")
    metrics.version_installed("cancer", "live", "2")
    metrics.shadow_compared("cancer", "3", 10, 2)
    assert value(metrics, "tabstudio_warnings_total", model="cancer", column="city", code="unseen") == 1
    assert value(metrics, "tabstudio_model_version", model="cancer", role="live", version="2") == 1
    assert (
        "tabstudio_model_version",
        ("model", "cancer"),
        ("role", "live"),
        ("version", "1"),
    ) not in samples(metrics)
    assert value(metrics, "tabstudio_shadow_rows_total", model="cancer", version="3", same="false") == 2
    assert value(metrics, "tabstudio_shadow_rows_total", model="cancer", version="3", same="true") == 8


def test_gauges_and_lost_predictions_are_asked_at_the_scrape():
    metrics = Metrics()
    metrics.gauges["in_flight"] = lambda: 7
    metrics.lost = lambda: 5
    assert value(metrics, "tabstudio_in_flight", worker="0") == 7
    assert value(metrics, "tabstudio_prediction_log_lost_total") == 5


def test_workers_are_summed_and_totals_never_fall(tmp_path):
    first, second = Metrics(str(tmp_path), 0), Metrics(str(tmp_path), 1)
    second._numbers.pid += 1  # as if it were another process
    where = {"route": "/r", "model": "m", "status": "200"}
    seen = []
    for _ in range(5):
        for worker in (first, second):
            worker.request_completed(completed("/r", "m", 200, 0.1, 1))
            seen.append(value(worker, "tabstudio_requests_total", **where))
    assert seen == sorted(seen)
    first.snapshot()
    assert value(second, "tabstudio_requests_total", **where) == 10


def test_a_dead_workers_counts_stay_and_its_gauges_go(tmp_path):
    dead, live = Metrics(str(tmp_path), 0), Metrics(str(tmp_path), 0)
    dead._numbers.pid = 2**22 + 1  # no process has it
    for worker in (dead, live):
        worker.gauges["in_flight"] = lambda: 3
        worker.request_completed(completed("/r", "m", 200, 0.1, 1))
        worker.snapshot()
    assert value(live, "tabstudio_requests_total", route="/r", model="m", status="200") == 2
    assert value(live, "tabstudio_in_flight", worker="0") == 3


def test_openmetrics_is_given_where_it_is_asked_for():
    metrics = Metrics()
    metrics.request_completed(completed("/r", 'a"b\n\\', 200, 0.1, 1))
    text, kind = metrics.text("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    families = {family.name: family for family in parse_openmetrics(text.decode())}
    assert families["tabstudio_requests"].samples[0].labels["model"] == 'a"b\n\\'


def test_counting_a_request_costs_microseconds_at_most():
    metrics = Metrics()
    one = record()
    start = time.process_time()
    for _ in range(20_000):
        metrics.request_completed(completed("/r", "m", 200, 0.001, 1))
        metrics.predicted(one)
    assert (time.process_time() - start) / 20_000 < 20e-6  # about 1 on an idle machine
    assert os.getpid() == metrics._numbers.pid
