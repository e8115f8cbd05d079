"""What is made of the counts that services keep of themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tabstudio.serving.deployments import Deployment
from tabstudio.serving.metrics import Metrics
from tabstudio.serving.request_hooks import CompletedRequest
from tabstudio.studio.services import deployments, service_metrics
from tabstudio.studio.services.deployments import ServiceError
from tabstudio.studio.services.service_metrics import (
    ServiceMetrics,
    histogram_quantile,
    parse_sample,
    rates_between,
)


def page(*requests: tuple[str, int, float]) -> str:
    """A service's own page for Prometheus after (model, status, seconds) each."""
    metrics = Metrics()
    for model, status, seconds in requests:
        answered = CompletedRequest(
            {}, "/v1/models/NAME/predict", model, "1", "live", status, seconds, 1, "r"
        )
        metrics.request_completed(answered)
    return metrics.text()[0].decode()


def service(name: str) -> Deployment:
    return Deployment(name, "running", "http://127.0.0.1:1", (), 1, "", Path("log"), "here")


def test_predictions_are_counted_by_status_and_other_pages_are_not():
    found = parse_sample(
        page(("ill", 200, 0.003), ("ill", 422, 0.001), ("other", 500, 0.1), ("", 200, 9.0)), 5.0
    )
    assert (found.asked, found.refused, found.failed) == (3, 1, 1)
    assert found.buckets[-1] == (float("inf"), 3.0)
    assert parse_sample(page(("ill", 200, 0.003), ("other", 500, 0.1)), 5.0, "ill").failed == 0


def test_rates_and_latencies_are_those_between_two_samples():
    before = parse_sample(page(*[("ill", 200, 4.0)] * 50), 100.0)
    after = parse_sample(
        page(*[("ill", 200, 4.0)] * 50, *[("ill", 200, 0.004)] * 19, ("ill", 500, 0.2)), 110.0
    )
    found = rates_between(before, after)
    assert (found.asked, found.refused, found.failed) == (2.0, 0.0, 0.1)
    assert 2.5 < found.p50 <= 5.0  # the slow ones were before
    assert rates_between(after, after._replace(at=112.0)).p50 is None


def test_a_quantile_of_a_histogram_is_near_that_of_the_values():
    values = np.random.default_rng(0).exponential(0.01, 20_000)
    bounds = [*np.linspace(0.001, 0.1, 100), float("inf")]
    buckets = [(bound, float((values <= bound).sum())) for bound in bounds]
    for share in (0.5, 0.95):
        assert histogram_quantile(buckets, share) == pytest.approx(
            1000 * np.quantile(values, share), rel=0.02
        )
    assert (
        histogram_quantile([(0.001, 0.0), (float("inf"), 5.0)], 0.5) == 1.0
    )  # beyond the last bound, that is told
    assert histogram_quantile([], 0.5) is None


def test_samples_are_kept_until_the_service_starts_anew(monkeypatch):
    pages = iter([page(*[("ill", 200, 0.001)] * n) for n in (1, 5, 2, 4)])
    monkeypatch.setattr(deployments, "request_bytes", lambda *_: next(pages).encode())
    ticks = iter(range(0, 100, 2))
    monkeypatch.setattr(service_metrics.time, "time", lambda: float(next(ticks)))
    watched = ServiceMetrics(service)
    assert len({watched.sample("one") for _ in range(2)}) == 2
    assert [r.asked for r in watched.readings("one")] == [2.0]
    watched.sample("one")
    assert watched.readings("one") == []  # it counts from 0 again
    watched.sample("one")
    assert [r.asked for r in watched.readings("one")] == [1.0]
    assert watched.readings("two") == []


def test_a_service_that_does_not_answer_is_told_and_leaves_no_sample():
    watched = ServiceMetrics(service)
    assert "does not answer" in str(watched.sample("gone"))
    assert watched.samples("gone") == []
    with pytest.raises(ServiceError, match="is stopped: start it first"):
        deployments.request_bytes(Deployment("x", "stopped", "", (), 0, "", Path("log"), "here"), "/metrics")


@pytest.mark.parametrize(
    ("model", "which", "first"),
    [
        ("cancer", "production", "models:/cancer@production"),
        ("cancer", "3", "models:/cancer/3"),
        ("a b", "3", "models:/a b/3"),
        ("odd <b> & 100%", "3", "odd-b-100=models:/odd <b> & 100%/3"),
        ("<>", "staging", "model=models:/<>@staging"),
    ],
)
def test_the_words_of_a_service_stand_for_the_model_whatever_its_name(model, which, first):
    from tabstudio.serving.version_lookup import served_models

    words = deployments.serve_arguments(model, which, port=8001, workers=2, watch=0.5)
    assert words == [first, "--port", "8001", "--workers", "2", "--watch", "0.5"]
    (told,) = served_models([first], [], [])
    assert told.name == deployments.served_name(model)
    made = Deployment("one", "running", "", tuple(words), 1, "", Path("log"), "here")
    assert deployments.registered_model(made, told.name) == model
    assert told.address == first.partition("=")[2] or first.startswith("models:")


def test_the_schema_of_a_row_is_found_by_its_references_whatever_they_are_called(monkeypatch):
    row = {"type": "object", "properties": {"age": {"type": ["number", "null"]}}}
    body = {"type": "object", "properties": {"rows": {"type": "array", "items": {"$ref": "#/x-rows/a~1b"}}}}
    schema = {"$ref": "#/components/schemas/Question"}
    operation = {"requestBody": {"content": {"application/json": {"schema": schema}}}}
    document = {
        "paths": {"/v1/models/ill/predict": {"post": operation}, "/v1/models/ill/reload": {"post": {}}},
        "components": {"schemas": {"Question": {"$ref": "#/components/schemas/Body"}, "Body": body}},
        "x-rows": {"a/b": row},
    }
    monkeypatch.setattr(deployments, "request_json", lambda *_: document)
    assert deployments.row_schemas(service("one")) == {"ill": row}
