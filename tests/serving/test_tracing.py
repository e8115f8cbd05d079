"""Spans of real requests, as a collector on the loopback receives them."""

from __future__ import annotations

import gzip
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tabstudio.errors import ConfigError
from tabstudio.model.predictor import Model

from .conftest import server

Rows = list[dict[str, Any]]
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Collector:
    """An OTLP receiver: the spans it was sent, each with what its sender says of itself."""

    def __init__(self) -> None:
        self.spans: list[tuple[Span, dict[str, Any]]] = []
        self.status = 200
        self.asked = 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.asked += 1
                if collector.status == 200:
                    assert self.path == "/v1/traces"
                    assert self.headers["content-type"] == "application/x-protobuf"
                    zipped = self.headers.get("content-encoding") == "gzip"
                    collector.take(gzip.decompress(body) if zipped else body)
                self.send_response(collector.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            sender = told(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [(span, sender) for span in scope.spans]

    def wait(self, count: int) -> list[tuple[Span, dict[str, Any]]]:
        end = time.monotonic() + 20
        while len(self.spans) < count and time.monotonic() < end:
            time.sleep(0.02)
        assert len(self.spans) >= count
        return self.spans


def told(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    made = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    return model.save(tmp_path / "ills")


def test_a_request_is_one_span_below_its_callers(
    folder: Path, rows: Rows, tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "ward-3")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    with server(str(folder), "--trace", log=tmp_path / "log") as (url, _):
        before = time.time_ns()
        headers = {"traceparent": CALLER, "tracestate": "a=b", "x-request-id": "r-1"}
        headers["user-agent"] = "x" * 5000
        asked = f"{url}/v1/models/ills/predict"
        answer = httpx.post(asked, json={"rows": rows[:3]}, headers=headers).raise_for_status().json()
        ((span, sender),) = collector.wait(1)
        after = time.time_ns()
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == tuple(CALLER.split("-")[1:3])
    assert (span.name, span.kind) == ("POST /v1/models/NAME/predict", Span.SPAN_KIND_SERVER)
    assert span.trace_state == "a=b"
    assert before <= span.start_time_unix_nano < span.end_time_unix_nano <= after
    assert span.status.code == Status.STATUS_CODE_UNSET
    facts = told(span.attributes)
    assert facts.pop("client.port") > 0
    assert len(facts.pop("user_agent.original")) == 1024
    assert facts == {
        "http.request.method": "POST",
        "http.route": "/v1/models/NAME/predict",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/v1/models/ills/predict",
        "network.protocol.version": "1.1",
        "client.address": "127.0.0.1",
        "server.address": "127.0.0.1",
        "server.port": int(url.rpartition(":")[2]),
        "tabstudio.model": "ills",
        "tabstudio.version": answer["version"],
        "tabstudio.role": "live",
        "tabstudio.rows": 3,
        "tabstudio.request_id": "r-1",
    }
    assert (sender["service.name"], sender["tabstudio.worker"]) == ("ward-3", 0)
    assert sender["telemetry.sdk.name"] == "opentelemetry"


def test_pages_and_refusals_have_spans_and_callers_choose_what_is_kept(
    folder: Path, rows: Rows, tmp_path: Path, collector: Collector
) -> None:
    with server(str(folder), "--trace", log=tmp_path / "log") as (url, _):
        left_out = {"traceparent": CALLER[:-2] + "00"}
        httpx.get(f"{url}/health", headers=left_out).raise_for_status()
        httpx.get(f"{url}/v1/models/ills", headers={"traceparent": "00-nonsense"}).raise_for_status()
        assert httpx.post(f"{url}/v1/models/ills/predict", json={"rows": [{}]}).status_code == 422
        assert httpx.get(f"{url}/nothing").status_code == 404
        assert httpx.request("BREW", f"{url}/nothing").status_code in (400, 404)
    # the server ended within its interval, and has sent the last ones
    spans = {span.name: told(span.attributes) for span, _ in collector.spans}
    assert "GET /health" not in spans
    assert spans["GET /v1/models/{model}"]["http.response.status_code"] == 200
    refused = spans["POST /v1/models/NAME/predict"]
    assert (refused["http.response.status_code"], refused["tabstudio.rows"]) == (422, 0)
    assert refused["tabstudio.model"] == "ills"
    assert spans["GET"]["url.path"] == "/nothing"
    assert "http.route" not in spans["GET"]
    assert not any(span.parent_span_id for span, _ in collector.spans)
    assert {sender["service.name"] for _, sender in collector.spans} == {"tabstudio"}


def test_a_failure_of_ours_is_an_error_of_the_version_that_was_asked(
    folder: Path, make_model: Callable[..., Model], rows: Rows, tmp_path: Path, collector: Collector
) -> None:
    canary = f"{make_model(seed=4).save(tmp_path / 'new')}=100%"
    words = (f"ills={folder}", "--canary", f"ills={canary}", "--deadline", "1e-9", "--trace")
    with server(*words, log=tmp_path / "log") as (url, _):
        assert httpx.post(f"{url}/v1/models/ills/predict", json={"rows": rows[:1]}).status_code == 503
        ((span, _),) = collector.wait(1)
    facts = told(span.attributes)
    assert (span.status.code, facts["error.type"]) == (Status.STATUS_CODE_ERROR, "503")
    assert facts["tabstudio.role"] == "canary"


def test_every_worker_sends_its_own(folder: Path, tmp_path: Path, collector: Collector) -> None:
    def workers() -> dict[int, str]:
        return {sender["tabstudio.worker"]: sender["service.instance.id"] for _, sender in collector.spans}

    with server(str(folder), "--trace", "--workers", "2", log=tmp_path / "log") as (url, _):
        end = time.monotonic() + 20
        while set(workers()) != {0, 1} and time.monotonic() < end:
            httpx.get(f"{url}/health").raise_for_status()
    assert len(set(workers().values())) == 2


def test_a_collector_that_is_down_holds_nobody_up_and_is_told_once(
    folder: Path, rows: Rows, tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16")
    collector.status = 400
    log = tmp_path / "log"
    with server(str(folder), "--trace", log=log) as (url, _), httpx.Client() as client:
        for _ in range(300):
            client.post(f"{url}/v1/models/ills/predict", json={"rows": rows[:1]}).raise_for_status()
        end = time.monotonic() + 20
        while collector.asked < 3 and time.monotonic() < end:
            time.sleep(0.02)
        assert log.read_text().count("traces do not arrive") == 1
        collector.status = 200
        client.get(f"{url}/health").raise_for_status()
        assert collector.wait(1)
        time.sleep(0.1)
    assert log.read_text().count("traces do not arrive") == 1
    assert log.read_text().count("traces arrive again") == 1


def test_a_silent_collector_does_not_keep_the_server_from_ending(
    folder: Path, tmp_path: Path, collector: Collector
) -> None:
    collector.server.shutdown()  # connections are taken, and never answered
    with server(str(folder), "--trace", log=tmp_path / "log") as (url, pid):
        for _ in range(20):
            assert httpx.get(f"{url}/health").elapsed.total_seconds() < 1
        time.sleep(0.3)
        started = time.monotonic()
        os.kill(pid, signal.SIGTERM)
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.05)
        assert time.monotonic() - started < 8


def test_nothing_of_it_is_imported_without_the_option() -> None:
    code = (
        "import sys, tabstudio.serving.worker as w\n"
        "from tabstudio.serving.serve_options import LogOptions, ServedModel, ServeOptions\n"
        "options = ServeOptions((ServedModel('m', '.'),), log=LogOptions(enabled=False))\n"
        "assert w.build_hooks(options, 0).observer.tracing is None\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_missing_extra_and_another_protocol_are_told_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys; sys.modules['opentelemetry.exporter.otlp.proto.http.trace_exporter'] = None\n"
        "from tabstudio.cli import main; sys.argv = ['tabstudio', 'serve', 'nowhere', '--trace']; main()"
    )
    run: Callable[[], Any] = lambda: subprocess.run(  # noqa: E731
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    done = run()
    assert done.returncode != 0
    assert "pip install 'tabstudio[otel]'" in done.stderr
    assert "Traceback" not in done.stderr

    from tabstudio.serving import tracing

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(ConfigError, match=re.escape("OTEL_EXPORTER_OTLP_PROTOCOL")):
        tracing.check_environment()
