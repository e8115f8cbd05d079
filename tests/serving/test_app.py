"""The application: what it answers, in which protocol, and what it refuses."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tabstudio.model.predictor import Model
from tabstudio.serving import runtime
from tabstudio.serving.batching import BatchQueue, routing_point
from tabstudio.serving.http_messages import BodyReader
from tabstudio.serving.serve_options import Bounds

from .conftest import Asking, in_process

PREDICT = "/v1/models/ills/predict"
JSON = {"content-type": "application/json"}
Rows = list[dict[str, Any]]


def test_a_prediction_says_all_that_there_is_to_say(asking: Asking, model: Model, rows: Rows) -> None:
    odd = {**rows[4], "city": "Mars"}
    answer = asking.post(PREDICT, {"rows": [rows[3], odd]}, headers={"x-request-id": "my-id-1"})
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] == "my-id-1"
    said = answer.json()
    assert {name: said[name] for name in ("model", "version", "request_id", "threshold")} == {
        "model": "ills",
        "version": "1",
        "request_id": "my-id-1",
        "threshold": 0.4,
    }
    expected = model.predict_proba([rows[3], odd])
    for one, label, probabilities in zip(
        said["predictions"], model.predict([rows[3], odd]), expected, strict=True
    ):
        assert one["label"] == label
        assert list(one["probabilities"]) == ["no", "yes"]
        np.testing.assert_allclose(list(one["probabilities"].values()), probabilities, atol=1e-6)
    assert "warnings" not in said["predictions"][0]
    assert [w["code"] for w in said["predictions"][1]["warnings"]] == ["unseen_category"]
    record = asking.records[-1]
    assert (record.request_id, record.model, record.role, record.protocol) == (
        "my-id-1",
        "ills",
        "live",
        "predict",
    )
    assert record.labels == [one["label"] for one in said["predictions"]]
    assert dict(zip(record.columns, record.rows[1], strict=True))["city"] == "Mars"


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_every_task_is_answered(
    make_model: Callable[..., Model], frame: Any, task: str, tmp_path: Path
) -> None:
    model = make_model(task)
    row = frame.select([column.name for column in model.schema.features]).to_dicts()[1]
    with in_process({"m": model}, tmp_path) as asking:
        said = asking.post("/v1/models/m/predict", {"rows": [row]}).json()
        one = said["predictions"][0]
        assert said["threshold"] is None
        if task == "regression":
            assert one == {"value": pytest.approx(model.predict([row])[0], rel=1e-6)}
        else:
            assert one["label"] == model.predict([row])[0]
            assert sum(one["probabilities"].values()) == pytest.approx(1)
        column = asking.post("/invocations", {"dataframe_records": [row]}).json()["predictions"][0]
        assert column["prediction"] == one.get("value", one.get("label"))
        tensors = asking.post("/v2/models/m/infer", v2([row])).json()["outputs"]
        assert tensors[0]["data"] == [column["prediction"]]


def test_requests_that_come_together_get_their_own_answers(asking: Asking, rows: Rows) -> None:
    async def many() -> list[Any]:
        import httpx

        transport = httpx.ASGITransport(app=asking.app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await asyncio.gather(
                *(client.post(PREDICT, json={"rows": rows[i : i + 2]}) for i in range(60))
            )

    passes = []
    queue = asking.app.endpoints["ills"].live
    whole = queue.runtime.answer
    queue.runtime.answer = lambda some: passes.append(len(some.raw)) or whole(some)  # type: ignore[method-assign]
    together = [answer.json()["predictions"] for answer in asyncio.run(many())]
    assert sum(passes) == 120
    assert max(passes) > 2
    for start in (0, 11, 33, 59):
        alone = asking.post(PREDICT, {"rows": rows[start : start + 2]}).json()["predictions"]
        for one, other in zip(alone, together[start], strict=True):
            assert one["label"] == other["label"]
            assert one.get("warnings") == other.get("warnings")
            assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)


def test_a_large_request_is_answered_like_a_small_one(asking: Asking, rows: Rows) -> None:
    large = asking.post(PREDICT, {"rows": rows * 5}).json()["predictions"]
    small = asking.post(PREDICT, {"rows": rows[:3]}).json()["predictions"]
    assert len(large) == 5 * len(rows)
    assert [one["label"] for one in large[:3]] == [one["label"] for one in small]
    assert len(asking.records[0].rows) == 5 * len(rows)


@pytest.mark.parametrize(
    ("path", "options", "status", "code"),
    [
        (PREDICT, {"content": b"{", "headers": JSON}, 400, "MALFORMED_JSON"),
        (PREDICT, {"json": {"rows": [{"age": "x"}]}}, 422, "INVALID_ROWS"),
        (PREDICT, {"json": {"rows": 3}}, 422, "INVALID_REQUEST"),
        (PREDICT, {"json": {"rows": []}}, 422, "NO_ROWS"),
        (PREDICT, {"json": {"rows": [{}] * 201}}, 413, "TOO_MANY_ROWS"),
        (PREDICT, {"content": b"{}"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (
            PREDICT,
            {"content": b"{}", "headers": {"content-type": "text/plain"}},
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
        (PREDICT, {"content": b" " * 60_000, "headers": JSON}, 413, "BODY_TOO_LARGE"),
        (
            PREDICT,
            {"content": gzip.compress(b" " * 60_000), "headers": {**JSON, "content-encoding": "gzip"}},
            413,
            "BODY_TOO_LARGE",
        ),
        (
            PREDICT,
            {"content": b"no gzip", "headers": {**JSON, "content-encoding": "gzip"}},
            400,
            "MALFORMED_GZIP",
        ),
        (
            PREDICT,
            {"content": gzip.compress(b"{}")[:-3], "headers": {**JSON, "content-encoding": "gzip"}},
            400,
            "MALFORMED_GZIP",
        ),
        (
            PREDICT,
            {"content": b"{}", "headers": {**JSON, "content-encoding": "br"}},
            415,
            "UNSUPPORTED_ENCODING",
        ),
        (PREDICT, {"json": {}, "headers": {"host": "evil.example"}}, 400, "UNKNOWN_HOST"),
        ("/health", {"headers": {"host": "evil.example"}}, 400, "UNKNOWN_HOST"),
        ("/v1/models/other/predict", {"json": {}}, 404, "UNKNOWN_MODEL"),
        ("/v1/models/other/reload", {"json": {}}, 404, "UNKNOWN_MODEL"),
        ("/v2/models/ills/versions/7/infer", {"json": {}}, 404, "UNKNOWN_VERSION"),
        ("/nothing", {"json": {}}, 404, "NOT_FOUND"),
        ("/health", {}, 405, "METHOD_NOT_ALLOWED"),
        ("/invocations", {"json": {"rows": []}}, 400, "BAD_REQUEST"),
        ("/invocations", {"json": {"instances": [], "inputs": []}}, 400, "BAD_REQUEST"),
        (
            "/invocations",
            {"json": {"dataframe_split": {"columns": ["age"], "data": [[1, 2]]}}},
            422,
            "INVALID_ROWS",
        ),
        ("/invocations", {"json": {"dataframe_records": [{"age": 1}]}}, 422, "INVALID_ROWS"),
        ("/invocations", {"content": b"\xff", "headers": {"content-type": "text/csv"}}, 400, "BAD_REQUEST"),
        ("/v2/models/ills/infer", {"json": {"inputs": []}}, 422, "INVALID_ROWS"),
        ("/v2/models/ills/infer", {"json": {"inputs": "x"}}, 400, "BAD_REQUEST"),
    ],
)
def test_every_error_has_one_shape(
    model: Model, tmp_path: Path, path: str, options: Any, status: int, code: str
) -> None:
    with in_process({"ills": model}, tmp_path, body_bytes=50_000, rows=200) as asking:
        answer = asking.post(path, **options)
        assert (answer.status_code, answer.json()["error_code"]) == (status, code)
        assert set(answer.json()) == {"error", "error_code", "faults", "request_id"}
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
        assert not asking.records


def test_a_gzip_body_is_read(asking: Asking, rows: Rows) -> None:
    body = gzip.compress(json.dumps({"rows": rows[:2]}).encode())
    answer = asking.post(PREDICT, content=body, headers={**JSON, "content-encoding": "gzip"})
    assert len(answer.json()["predictions"]) == 2


def test_requests_beyond_the_bound_are_told_to_come_again(model: Model, tmp_path: Path, rows: Rows) -> None:
    with in_process({"ills": model}, tmp_path, in_flight=1) as asking:
        asking.app.in_flight = 1
        answer = asking.post(PREDICT, {"rows": rows[:1]})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        asking.app.in_flight = 0
        assert asking.post(PREDICT, {"rows": rows[:1]}).status_code == 200


def test_a_request_that_waited_too_long_is_refused(model: Model, tmp_path: Path, rows: Rows) -> None:
    with in_process({"ills": model}, tmp_path) as asking:
        queue = asking.app.endpoints["ills"].live

        async def late() -> None:
            await queue.submit(queue.runtime.contract.take(rows[:1], 1), time.monotonic() - 1)

        with pytest.raises(Exception, match="deadline passed") as caught:
            asyncio.run(late())
        assert caught.value.status == 503  # type: ignore[attr-defined]


def test_a_body_that_trickles_is_given_up() -> None:
    bodies = BodyReader(Bounds(body_seconds=0.05))

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    with pytest.raises(Exception, match="did not arrive within") as caught:
        asyncio.run(bodies.read(receive, {}))
    assert caught.value.status == 408  # type: ignore[attr-defined]
    assert bodies.buffered == 0


def test_bodies_together_are_bounded() -> None:
    bodies = BodyReader(Bounds(body_bytes=1000, buffered_bytes=1500))

    async def one() -> bytes:
        parts = [b"x" * 400, b"x" * 400]

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0.01)
            return {"type": "http.request", "body": parts.pop(), "more_body": bool(parts)}

        return await bodies.read(receive, {})

    async def three() -> list[Any]:
        return await asyncio.gather(one(), one(), one(), return_exceptions=True)

    found = asyncio.run(three())
    read = [one for one in found if isinstance(one, bytes)]
    assert [one.status for one in found if not isinstance(one, bytes)] == [503] * (3 - len(read))
    assert len(read) < 3
    assert bodies.buffered == 800 * len(read)
    for body in read:
        bodies.release(len(body))
    assert bodies.buffered == 0


def test_a_fault_of_ours_is_told_as_one(asking: Asking, rows: Rows, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("oops")

    asking.app.endpoints["ills"].live.runtime.answer = fail  # type: ignore[method-assign, assignment]
    answer = asking.post(PREDICT, {"rows": rows[:1]})
    assert (answer.status_code, answer.json()["error_code"]) == (500, "INTERNAL")
    assert "oops" not in answer.text
    assert "oops" in caplog.text


def test_a_canary_answers_its_share_and_keeps_to_keys(
    asking: Asking, make_model: Callable[..., Model], rows: Rows, tmp_path: Path
) -> None:
    other = runtime.load(make_model(seed=9).save(tmp_path / "other"), "ills", "2")
    asking.app.install("ills", other, "canary", 0.3)

    def version(key: str) -> str:
        answer = asking.post(PREDICT, {"rows": rows[:1]}, headers={"x-routing-key": key})
        return str(answer.json()["version"])

    found = {f"user-{i}": version(f"user-{i}") for i in range(60)}
    assert found == {key: "2" if routing_point("ills", key) < 0.3 else "1" for key in found}
    assert 5 < list(found.values()).count("2") < 35
    shares = [routing_point("ills", str(i)) for i in range(10_000)]
    assert np.histogram(shares, 10, (0, 1))[0] == pytest.approx(1000, abs=150)
    assert [served["role"] for served in asking.get("/v1/models/ills").json()["served"]] == ["live", "canary"]


def test_a_shadow_is_asked_but_never_answers(
    asking: Asking, make_model: Callable[..., Model], rows: Rows, tmp_path: Path
) -> None:
    other = runtime.load(make_model(seed=9).save(tmp_path / "other"), "ills", "2")
    asking.app.install("ills", other, "shadow", 1.0)

    async def ask() -> Any:
        answer = await asking._request("POST", PREDICT, {"json": {"rows": rows[:2]}})
        await asyncio.gather(*asking.app._shadow_tasks)
        return answer

    answer = asyncio.run(ask())
    assert answer.json()["version"] == "1"
    assert [(r.role, r.version) for r in asking.records] == [("live", "1"), ("shadow", "2")]
    assert asking.records[0].request_id == asking.records[1].request_id


def test_what_was_begun_by_a_version_is_ended_by_it(
    asking: Asking, make_model: Callable[..., Model], rows: Rows, tmp_path: Path
) -> None:
    other = runtime.load(make_model(seed=9).save(tmp_path / "other"), "ills", "2")

    async def swap() -> list[Any]:
        first = asyncio.ensure_future(asking._request("POST", PREDICT, {"json": {"rows": rows[:1]}}))
        while not asking.app.queue_length:
            await asyncio.sleep(0)
        asking.app.install("ills", other, "live", 1.0)
        second = await asking._request("POST", PREDICT, {"json": {"rows": rows[:1]}})
        return [await first, second]

    assert [answer.json()["version"] for answer in asyncio.run(swap())] == ["1", "2"]


def test_health_and_readiness(asking: Asking) -> None:
    for path in ("/health", "/ping", "/v2/health/live", "/v2/health/ready"):
        assert asking.get(path).status_code == 200
    asking.app.draining = True
    found = {
        p: asking.get(p).status_code for p in ("/health", "/ping", "/v2/health/live", "/v2/health/ready")
    }
    assert found == {"/health": 200, "/ping": 503, "/v2/health/live": 200, "/v2/health/ready": 503}


def test_swagger_needs_no_internet(asking: Asking) -> None:
    page = asking.get("/docs")
    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    for name in ("swagger-ui.css", "swagger-ui-bundle.js"):
        assert f"docs/{name}" in page.text
        assert len(asking.get(f"/docs/{name}").content) > 10_000


def test_a_form_asks_as_the_endpoint_does(asking: Asking, rows: Rows) -> None:
    said = asyncio.run(asking.app.predict("ills", rows[3], protocol="form", request_id="f1", caller="me"))
    assert said["predictions"] == asking.post(PREDICT, {"rows": [rows[3]]}).json()["predictions"]
    assert (asking.records[0].protocol, asking.records[0].caller) == ("form", "me")


def v2(rows: Rows, **more: Any) -> dict[str, Any]:
    """Rows as tensors, one per column."""
    kinds = {bool: "BOOL", str: "BYTES"}
    tensors = []
    for name in rows[0]:
        values = [row[name] for row in rows]
        kind = next((kinds.get(type(v), "FP64") for v in values if v is not None), "BYTES")
        tensors.append({"name": name, "shape": [len(rows)], "datatype": kind, "data": values})
    return {"inputs": tensors, **more}


def test_tensors_are_answered_with_tensors(asking: Asking, model: Model, rows: Rows) -> None:
    said = asking.post("/v2/models/ills/infer", v2(rows[:3], id="mine")).json()
    assert (said["model_name"], said["model_version"], said["id"]) == ("ills", "1", "mine")
    names = [(t["name"], t["datatype"], t["shape"]) for t in said["outputs"]]
    assert names == [
        ("prediction", "BYTES", [3]),
        ("probability_no", "FP64", [3]),
        ("probability_yes", "FP64", [3]),
    ]
    assert said["outputs"][0]["data"] == model.predict(rows[:3]).tolist()
    some = asking.post("/v2/models/ills/infer", v2(rows[:1], outputs=[{"name": "probability_yes"}])).json()
    assert [t["name"] for t in some["outputs"]] == ["probability_yes"]
    about = asking.get("/v2/models/ills").json()
    assert [t["name"] for t in about["inputs"]] == list(rows[0])
    assert asking.get("/v2/models/ills/versions/1/ready").json() == {"name": "ills", "ready": True}


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [2]},
        {"shape": [1, 2]},
        {"shape": [-1]},
        {"shape": []},
        {"datatype": "COMPLEX"},
        {"data": None},
        {"data": "x"},
        {"data": None, "parameters": {"binary_data_size": 8}},
        {"name": "other"},
    ],
)
def test_tensors_that_do_not_fit_are_refused(asking: Asking, rows: Rows, change: dict[str, Any]) -> None:
    body = v2(rows[:1])
    body["inputs"][0] |= change
    assert asking.post("/v2/models/ills/infer", body).status_code in (400, 422)


def test_several_models_have_their_own_paths(
    model: Model, make_model: Callable[..., Model], rows: Rows, tmp_path: Path
) -> None:
    with in_process({"first": model, "second one": make_model("regression")}, tmp_path) as asking:
        assert [m["name"] for m in asking.get("/v1/models").json()["models"]] == ["first", "second one"]
        assert "label" in asking.post("/v1/models/first/predict", {"rows": rows[:1]}).json()["predictions"][0]
        answer = asking.post("/v1/models/second%20one/predict", {"rows": rows[:1]})
        assert "value" in answer.json()["predictions"][0]
        assert "probability_no" in asking.post("/invocations", {"inputs": rows[:1]}).json()["predictions"][0]


def test_a_queue_without_waiting_requests_is_empty(asking: Asking) -> None:
    assert isinstance(asking.app.endpoints["ills"].live, BatchQueue)
    assert asking.app.queue_length == 0


def test_a_long_gzip_body_is_decompressed_in_a_thread() -> None:
    """Sixteen megabytes take tens of milliseconds, for which all other requests would wait."""
    threads: list[int] = []

    class Watched(BodyReader):
        def _decompress_rest(self, decompressor: Any, length: int) -> bytes:
            threads.append(threading.get_ident())
            return super()._decompress_rest(decompressor, length)

    def read(content: bytes) -> bytes:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": gzip.compress(content), "more_body": False}

        reader = Watched(Bounds())
        body = asyncio.run(reader.read(receive, {b"content-encoding": b"gzip"}))
        assert reader.buffered == len(body)
        return body

    short, long = b"x" * 60_000, b"y" * 1_000_000
    assert read(short) == short
    assert threads == []
    assert read(long) == long
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_a_shadow_that_fails_is_logged(
    asking: Asking, rows: Rows, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    folder = tmp_path / "shadow"
    shutil.copytree(tmp_path / "ills", folder)
    shadow = runtime.load(folder, "ills", "2")

    def fail(_: Any) -> Any:
        raise MemoryError("no room")

    shadow.answer = fail  # type: ignore[method-assign]
    asking.app.install("ills", shadow, "shadow", 1.0)

    async def ask() -> int:
        answer = await asking._request("POST", PREDICT, {"json": {"rows": rows[:1]}})
        await asyncio.gather(*asking.app._shadow_tasks)
        return answer.status_code

    assert asyncio.run(ask()) == 200
    assert "shadow 2 of ills failed" in caplog.text
