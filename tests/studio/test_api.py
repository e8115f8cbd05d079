"""The REST API: each operation with its role, each refusal in one shape, each shape documented."""

from __future__ import annotations

import json
import time
from dataclasses import fields

import httpx
import pytest

from tabstudio.registry.stage_rules import StageRules
from tabstudio.remote import shapes
from tabstudio.serving.deployments import Deployment
from tabstudio.studio.access.users import StudioUser
from tabstudio.studio.api import deployments, people, runs
from tabstudio.studio.services.runs.run_details import RunDetails
from tabstudio.studio.services.runs.run_records import RunRow
from tabstudio.studio.services.traffic import ModelTraffic

from .conftest import start_studio
from .content import ODD, copied
from .people import PASSWORD, browser, program
from .people import people as add_people


@pytest.fixture(scope="module")
def place(trained, tmp_path_factory, cancer_csv):
    """A studio over two trained versions, with one person of each role."""
    folder = copied(trained, tmp_path_factory.mktemp("api"))
    (folder / "data").mkdir()
    (folder / "data" / "cancer.csv").write_bytes(cancer_csv.read_bytes())
    tokens = add_people(folder)
    running = start_studio(folder)
    yield running, tokens
    running.stop()


@pytest.fixture
def api(place):
    """Make clients of the API by name."""
    running, tokens = place
    opened = {name: program(running.url, token) for name, token in tokens.items()}
    yield opened
    for client in opened.values():
        client.close()


@pytest.fixture(scope="module")
def document(place):
    running, tokens = place
    with program(running.url, tokens["vera"]) as vera:
        return vera.get("/openapi.json").json()


def operations(document):
    for path, ways in document["paths"].items():
        for method, operation in ways.items():
            yield method, path, operation


def said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize(
    ("shape", "record", "more"),
    [
        (shapes.Rules, StageRules, {-1}),
        (shapes.Service, Deployment, {-1}),
        (runs.RunShape, RunRow, {"seconds"}),
        (runs.RunDetailsShape, RunDetails, {"command", "reproduce"}),
        (deployments.TrafficShape, ModelTraffic, set()),
        (people.PersonShape, StudioUser, set()),
    ],
)
def test_every_fact_of_a_record_is_told(shape, record, more):
    names = {field.name for field in fields(record)}
    secret = {"webhooks", "log"} if -1 in more else set()  # receivers' addresses, paths of the machine
    assert set(shape.model_fields) == names - secret | more - {-1}


def test_every_operation_says_what_it_does_and_which_role_it_takes(document):
    found = list(operations(document))
    assert len(found) >= 40
    for method, path, operation in found:
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["tags"], where
        if path != "/":
            assert operation["description"].startswith("Role: "), where
        for status in ("401", "403", "404", "409", "422"):
            schema = operation["responses"][status]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Refusal"}, where


def test_nobody_does_what_their_role_does_not_allow(document, api):
    """Every operation is asked by the role below the one that it says it takes."""
    ranks = ["vera", "ed", "carol", "ann"]
    roles = ["viewer", "editor", "approver", "admin"]
    samples = {"reason": "x", "to": "production", "name": "x", "role": "viewer", "table": "cancer.csv"}
    samples |= {"target": "diagnosis", "words": []}
    asked = 0
    for method, path, operation in operations(document):
        role = operation.get("description", "").removeprefix("Role: ").split(".")[0].split(";")[0]
        if role not in roles[1:]:
            continue
        address = path.replace("{name}", "cancer").replace("{which}", "1").replace("{job_id}", "x")
        if path.startswith(("/jobs/{", "/deployments/{")):
            continue  # there is none: told as such to everybody
        below = api[ranks[roles.index(role) - 1]]
        query = {"label": "x"} if method == "delete" else {}
        body = {"json": samples} if method in ("post", "patch") else {}
        answer = below.request(method.upper(), address, params=query, **body)
        assert said(answer) == (403, "forbidden"), (method, path, answer.text)
        assert f"that takes the role {role}" in answer.json()["error"]["message"]
        asked += 1
    assert asked >= 15


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nothing", None, 404, "not_found"),
        ("DELETE", "/models", None, 405, "method_not_allowed"),
        ("GET", "/models/canser/versions", None, 404, "not_found"),
        ("GET", "/models/cancer/versions/99", None, 404, "not_found"),
        ("GET", "/models/cancer/versions?limit=0", None, 422, "bad_request"),
        ("GET", "/models/cancer/at?time=yesterday", None, 422, "bad_option"),
        ("GET", "/runs/0123", None, 404, "not_found"),
        ("GET", "/runs?filter=nonsense", None, 422, "bad_option"),
        ("GET", "/runs?order=nonsense", None, 422, "bad_option"),
        ("GET", "/jobs/0123", None, 404, "not_found"),
        ("GET", "/deployments/none", None, 404, "not_found"),
        ("DELETE", "/deployments/none", None, 404, "not_found"),
        ("PATCH", "/people/nobody", {"role": "viewer"}, 404, "not_found"),
        ("POST", "/people", {"name": "ann", "role": "viewer"}, 422, "bad_option"),
        ("POST", "/people", {"name": "x", "role": "owner"}, 422, "bad_request"),
        ("DELETE", "/people/ann", None, 422, "bad_option"),
        ("GET", "/card?model=/etc", None, 422, "bad_option"),
        ("GET", "/compare?first=models:/cancer/1&second=../x", None, 422, "bad_option"),
        ("GET", "/compare?first=models:/cancer/1&second=models:/cancer/9", None, 404, "not_found"),
        (
            "GET",
            "/compare?first=models:/cancer/1&second=models:/cancer/2&data=../mlflow.db",
            None,
            404,
            "not_found",
        ),
        ("GET", "/tables/none.csv/schema", None, 404, "not_found"),
        ("GET", "/tables/..%2Fmlflow.db/schema", None, 404, "not_found"),
        ("GET", "/tables/cancer.csv/schema?options=nonsense", None, 422, "bad_option"),
        ("GET", "/tables/cancer.csv/schema?target=none", None, 422, "bad_option"),
        ("POST", "/models/cancer/versions/1/promote", {"to": "nowhere", "reason": "x"}, 409, "not_allowed"),
        (
            "POST",
            "/models/cancer/versions/1/promote",
            {"to": "production", "reason": " "},
            409,
            "not_allowed",
        ),
        ("POST", "/models/cancer/versions/1/approve", {}, 409, "not_allowed"),
        ("POST", "/models/cancer/rollback", {"reason": "x"}, 409, "not_allowed"),
        ("POST", "/deployments", {"name": "x", "words": ["/etc"]}, 422, "bad_option"),
        (
            "POST",
            "/deployments",
            {"name": "x", "words": ["m=models:/cancer/1", "--host", "0.0.0.0"]},
            422,
            "bad_option",
        ),
        (
            "POST",
            "/deployments",
            {"name": "x", "words": ["models:/cancer/1", "--log-folder=/tmp"]},
            422,
            "bad_option",
        ),
        (
            "POST",
            "/deployments",
            {"name": "x", "words": ["models:/cancer/1", "--shadow", "folder"]},
            422,
            "bad_option",
        ),
        ("POST", "/jobs", {"table": "none.csv", "target": "x"}, 422, "bad_data"),
        ("POST", "/jobs", {"table": "cancer.csv", "target": "x", "options": {"epoch": 3}}, 422, "bad_option"),
    ],
)
def test_refusals_have_one_shape(api, method, path, body, status, code):
    answer = api["ann"].request(method, path, json=body)
    assert said(answer) == (status, code), answer.text
    assert set(answer.json()) == {"error"}
    assert answer.json()["error"]["message"]
    assert "Traceback" not in answer.text


def test_what_is_no_json_is_told(api):
    answer = api["ann"].post(
        "/models/cancer/versions/1/archive", content=b"{", headers={"content-type": "application/json"}
    )
    assert said(answer) == (422, "bad_request")


def test_a_browser_that_is_logged_in_needs_no_token_and_another_page_gains_nothing(place):
    with browser(place[0].url, "vera") as vera:
        assert vera.get("/api/v1/").json()["role"] == "viewer"
        foreign = {"origin": "https://evil.example"}
        assert said(vera.get("/api/v1/", headers=foreign)) == (403, "foreign_origin")


def test_the_documentation_needs_no_internet(api):
    page = api["vera"].get("/docs").text
    assert "http://" not in page
    assert "https://" not in page
    for name in ("swagger-ui.css", "swagger-ui-bundle.js"):
        assert f"swagger/{name}" in page
        assert api["vera"].get(f"/swagger/{name}").status_code == 200


def test_a_model_goes_through_its_stages(api):
    path = "/models/cancer/versions"
    assert [item["number"] for item in api["vera"].get(path).json()["items"]] == [2, 1]
    judged = api["vera"].post(f"{path}/2/gates", json={"to": "staging"}).json()
    assert judged["passed"] is False
    assert [gate["name"] for gate in judged["gates"] if not gate["passed"]] == ["metrics.accuracy"]
    refused = api["ed"].post(f"{path}/2/promote", json={"to": "staging", "reason": "try"})
    assert said(refused) == (409, "gates_failed")
    assert refused.json()["error"]["gates"] == judged["gates"]
    forced = {"to": "staging", "reason": "in spite", "force": True}
    assert said(api["ed"].post(f"{path}/2/promote", json=forced)) == (403, "forbidden")
    assert api["carol"].post(f"{path}/2/promote", json=forced).json()["rows"][0]["forced"] is True
    for which, reason in (("1", "first"), ("latest", "better")):
        moved = api["ed"].post(f"{path}/{which}/promote", json={"to": "production", "reason": reason}).json()
        assert moved["rows"][0]["actor"] == "ed"
    assert api["vera"].get(f"{path}/production").json()["number"] == 2
    assert api["vera"].get("/models?search=canc").json()["items"][0]["stages"] == {"production": 2}
    back = api["ed"].post("/models/cancer/rollback", json={"reason": "slower"}).json()
    assert [(row["kind"], row["version"]) for row in back["rows"]] == [("rollback", 1), ("displaced", 2)]
    history = api["vera"].get("/models/cancer/history?limit=2").json()["items"]
    assert [row["kind"] for row in history] == ["displaced", "rollback"]
    lines = api["vera"].get("/models/cancer/history/export").text.splitlines()
    assert [json.loads(line)["number"] for line in lines] == list(range(1, len(lines) + 1))
    then = api["vera"].get("/models/cancer/at", params={"time": "2999-01-01"}).json()["stages"]
    assert [row["version"] for row in then["production"]] == [1]
    assert api["vera"].get("/models/cancer/verify").json()["whole"] is True
    assert (
        api["ed"].post(f"{path}/1/archive", json={"reason": "old"}).json()["rows"][0]["to_stage"]
        == "archived"
    )


def test_people_agree(api):
    path, goal = "/models/cancer/versions/1", {"to": "champion", "reason": "the best"}
    assert said(api["ed"].post(f"{path}/promote", json=goal)) == (409, "not_allowed")
    api["ed"].post(f"{path}/request", json=goal)
    assert said(api["ed"].post(f"{path}/approve", json={})) == (403, "forbidden")
    assert api["ed"].post(f"{path}/reject", json={"reason": "mine"}).json()["rows"][0]["kind"] == "reject"
    api["carol"].post(f"{path}/request", json=goal)
    assert said(api["carol"].post(f"{path}/approve", json={})) == (409, "not_allowed")
    assert api["ann"].post(f"{path}/approve", json={"reason": "yes"}).json()["rows"][0]["kind"] == "approve"
    (asked, _) = api["vera"].get(f"{path}/requests").json()["items"]
    assert [row["actor"] for row in asked["approvals"]] == ["ann"]
    assert api["ed"].post(f"{path}/promote", json=goal).json()["rows"][0]["to_stage"] == "champion"


def test_names_with_any_signs_are_found(api):
    from urllib.parse import quote

    assert api["vera"].get(f"/models/{quote(ODD, safe='')}/versions").json()["items"][0]["model"] == ODD


def test_runs_are_found_read_and_drawn(api):
    vera = api["vera"]
    page = vera.get("/runs", params={"limit": 1, "order": "metrics.test_accuracy"}).json()
    assert page["total"] >= 2
    (run,) = page["runs"]
    answer = vera.get(f"/runs/{run['id']}")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["row"]["metrics"] == run["metrics"]
    curve = vera.get(f"/runs/{run['id']}/metrics/val_loss", params={"points": 3}).json()
    assert 1 <= len(curve["points"]) <= 3
    assert "test_accuracy" in vera.get("/runs/columns").json()["metrics"]
    assert "cancer" in vera.get("/experiments").json().values()


def test_a_table_is_uploaded_looked_at_and_trained_on(api, cancer_csv):
    ed, vera = api["ed"], api["vera"]
    assert ed.put("/tables/new.csv", content=cancer_csv.read_bytes()).status_code == 201
    assert said(ed.put("/tables/new.csv", content=b"a,b\n1,2\n")) == (409, "taken")
    assert said(ed.put("/tables/x.csv", content=b"\x00\x01\x02")) == (422, "bad_data")
    assert said(vera.put("/tables/y.csv", content=b"a,b\n1,2\n")) == (403, "forbidden")
    assert "new.csv" in [item["name"] for item in vera.get("/tables").json()["items"]]
    schema = vera.get("/tables/new.csv/schema", params={"target": "diagnosis"}).json()
    assert schema["target"]["task"] == "binary"
    assert all(column["reason"] for column in schema["columns"])
    seen = vera.get("/tables/new.csv/exploration", params={"target": "diagnosis"}).json()
    assert {"classes", "associations", "panels"} <= set(seen["charts"])
    options = {"epochs": 2, "network": "mlp", "hidden": [4], "references": False, "resamples": 50}
    asked = {"table": "new.csv", "target": "diagnosis", "model": "by-api", "options": options}
    job = ed.post("/jobs", json=asked).json()
    until = time.monotonic() + 120
    while job["state"] == "running" and time.monotonic() < until:
        time.sleep(0.2)
        job = vera.get(f"/jobs/{job['id']}").json()
    assert (job["state"], job["actor"], job["share"]) == ("done", "ed", 1.0), job
    assert vera.get("/models/by-api/versions").json()["items"][0]["run_id"] == job["run_id"]
    assert vera.get(f"/jobs/{job['id']}/output").status_code == 200
    assert job["id"] in [one["id"] for one in vera.get("/jobs").json()["items"]]
    assert said(ed.post(f"/jobs/{job['id']}/stop")) == (422, "bad_option")


def test_two_models_are_compared_and_carded(api):
    asked = {"first": "models:/cancer/1", "second": "models:/cancer/2", "slice": "mean radius"}
    found = api["vera"].get("/compare", params=asked).json()
    assert found["text"].startswith("A  models:/cancer/1\nB  models:/cancer/2")
    assert {gap["metric"] for gap in found["comparison"]["metrics"]} >= {"roc_auc", "accuracy"}
    card = api["vera"].get("/card", params={"model": "models:/cancer/2"}).json()
    assert "## In the registry" in card["card"]


def test_a_service_is_started_asked_and_removed(api):
    words = ["cancer=models:/cancer/2", "--port", "0"]
    service = api["ed"].post("/deployments", json={"name": "live", "words": words}).json()
    try:
        assert (service["state"], service["words"]) == ("running", words)
        row = {"rows": [{}]}
        httpx.post(f"{service['url']}/v1/models/cancer/predict", json=row)
        assert any("serving at" in line for line in api["vera"].get("/deployments/live/log").json()["lines"])
        assert api["vera"].get("/predictions/cancer").json()["hours"] == 24
        assert api["ed"].post("/deployments/live/stop").json()["state"] == "stopped"
    finally:
        assert api["ed"].delete("/deployments/live").json() == {"status": "removed"}
    assert api["vera"].get("/deployments").json() == {"items": []}


def test_an_admin_lets_people_in_and_their_rights_follow_at_once(place, api):
    ann, url = api["ann"], place[0].url
    made = ann.post("/people", json={"name": "dora", "role": "viewer", "password": PASSWORD}).json()
    assert (made["role"], made["password"], made["tokens"]) == ("viewer", True, [])
    token = ann.post("/people/dora/tokens", json={"label": "ci", "days": 1}).json()["token"]
    with program(url, token) as dora:
        assert said(dora.post("/models/cancer/rollback", json={"reason": "x"})) == (403, "forbidden")
        ann.patch("/people/dora", json={"role": "editor"})
        assert said(dora.post("/models/cancer/rollback", json={"reason": " "})) == (409, "not_allowed")
        assert ann.delete("/people/dora/tokens", params={"label": "ci"}).status_code == 200
        assert said(dora.get("/models")) == (401, "unauthenticated")
    ann.patch("/people/dora", json={"password": f"new {PASSWORD}"})
    with browser(url, "dora", f"new {PASSWORD}") as dora:
        assert ann.delete("/people/dora").status_code == 200
        assert dora.get("/api/v1/").status_code == 401
    assert "dora" not in [person["name"] for person in ann.get("/people").json()["items"]]
