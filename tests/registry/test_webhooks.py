"""Events are signed, sent until they are taken, and lost by nobody."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from sqlalchemy import select, update

from tabstudio._util.clock import utc_stamp
from tabstudio.database.tables import deliveries
from tabstudio.registry import webhooks
from tabstudio.registry.stage_rules import make_rules
from tabstudio.registry.webhooks import ATTEMPTS, is_genuine

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """A real server on a free port that keeps what it is sent, and answers with `status`."""

    def __init__(self):
        self.got, self.status, self.location = [], 200, None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                outer.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(outer.status)
                if outer.location:
                    self.send_header("Location", outer.location)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook/with-a-token"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver(monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    made = Receiver()
    yield made
    made.stop()


def rules(receiver, **more):
    return make_rules({"webhooks": [{"url": receiver.url, "secret_env": "HOOK_SECRET", **more}]})


def make_due(registry):
    with registry.database.writing() as connection:
        long_ago = utc_stamp(datetime.now(UTC) - timedelta(days=1))
        connection.execute(update(deliveries).where(deliveries.c.due.is_not(None)).values(due=long_ago))


def waiting(registry):
    with registry.database.reading() as connection:
        return list(connection.execute(select(deliveries).order_by(deliveries.c.created)).mappings())


def test_every_transition_is_told_and_signed(place, receiver):
    with place.open(rules=rules(receiver)) as registry:
        registry.promote("ill", 1, "production", reason="first")
        rows = registry.promote("ill", 2, "production", reason="second")
        sent = registry.deliver()
    assert (sent.delivered, sent.waiting, sent.given_up, sent.problems) == (3, 0, 0, ())
    events = [json.loads(body) for _, body in receiver.got]
    assert [(e["type"], e["data"]["version"]) for e in events] == [
        ("registry.promote", 1),
        ("registry.promote", 2),
        ("registry.displaced", 1),
    ]
    assert events[1]["data"] == rows[0].to_json()
    assert events[1]["text"].startswith("ill 2: no stage -> production (promote by ann")
    assert len({e["id"] for e in events}) == 3
    for headers, body in receiver.got:
        assert headers["webhook-id"] == json.loads(body)["id"]
        assert is_genuine(SECRET, headers, body)
        assert not is_genuine(SECRET, headers, body.replace("ann", "eve"))
        assert not is_genuine("another", headers, body)
        assert not is_genuine(SECRET, headers | {"webhook-timestamp": "1"}, body)


def test_only_the_kinds_that_are_asked_for_are_told(place, receiver):
    with place.open(rules=rules(receiver, kinds=["archive"])) as registry:
        registry.promote("ill", 1, "production", reason="first")
        registry.archive("ill", 1, reason="old")
        assert registry.deliver().delivered == 1


def test_an_event_waits_until_the_receiver_is_back(place, receiver):
    receiver.status = 503
    with place.open(rules=rules(receiver)) as registry:
        registry.promote("ill", 1, "production", reason="first")
        sent = registry.deliver()
        assert (sent.delivered, sent.waiting) == (0, 1)
        assert sent.problems[0].endswith("/...: it answered 503 Service Unavailable")
        assert "token" not in sent.problems[0]
        assert registry.deliver() == webhooks.DeliveryResult(0, 1, 0)  # not due again so soon
        receiver.status = 200
        make_due(registry)
    with place.open("bob", rules(receiver)) as registry:
        assert registry.deliver().delivered == 1
        assert registry.deliver() == webhooks.DeliveryResult(0, 0, 0)
    first, second = receiver.got
    assert first[0]["webhook-id"] == second[0]["webhook-id"]


def test_the_pauses_grow_and_end(place, receiver):
    receiver.status = 500
    with place.open(rules=rules(receiver)) as registry:
        registry.promote("ill", 1, "production", reason="first")
        pauses = []
        for _ in range(ATTEMPTS):
            before = datetime.now(UTC)
            sent = registry.deliver()
            (event,) = waiting(registry)
            if event["due"]:
                pauses.append((datetime.fromisoformat(event["due"]) - before).total_seconds())
            make_due(registry)
    assert [round(pause, -1) for pause in pauses[:4]] == [30, 60, 120, 240]
    assert max(pauses) < 86_401
    assert (sent.waiting, sent.given_up) == (0, 1)
    assert len(receiver.got) == ATTEMPTS


def test_a_receiver_that_is_down_keeps_no_promotion(place, receiver):
    receiver.stop()
    with place.open(rules=rules(receiver)) as registry:
        registry.promote("ill", 1, "production", reason="first")
        (problem,) = registry.deliver().problems
        assert "connection refused" in problem
    receiver.__init__()


def test_a_redirect_is_not_followed(place, receiver):
    receiver.status, receiver.location = 307, "http://127.0.0.1:1/elsewhere"
    with place.open(rules=rules(receiver)) as registry:
        registry.promote("ill", 1, "production", reason="first")
        assert "it answered 307" in registry.deliver().problems[0]
    assert len(receiver.got) == 1


def test_a_secret_that_is_not_set_keeps_the_event(place, receiver, monkeypatch):
    monkeypatch.delenv("HOOK_SECRET")
    with place.open(rules=rules(receiver)) as registry:
        registry.promote("ill", 1, "production", reason="first")
        assert "HOOK_SECRET: a secret was expected" in registry.deliver().problems[0]
    assert receiver.got == []


def test_an_event_is_not_written_where_the_transition_is_not(place, receiver, monkeypatch):
    from tabstudio.registry import mlflow_sync

    def fails(*_):
        raise ZeroDivisionError

    with place.open(rules=rules(receiver)) as registry:
        monkeypatch.setattr(mlflow_sync, "enqueue", fails)
        with pytest.raises(ZeroDivisionError):
            registry.promote("ill", 1, "production", reason="first")
        assert registry.history("ill") == []
        assert waiting(registry) == []


def test_two_deliveries_at_once_send_an_event_once(place, receiver):
    with place.open(rules=rules(receiver)) as one, place.open(rules=rules(receiver)) as two:
        for version in (1, 2, 3, 4):
            one.archive("ill", version, reason="old")
        threads = [threading.Thread(target=registry.deliver) for registry in (one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(event["delivered"] for event in waiting(one))
    assert len(receiver.got) == 4


def test_no_secret_and_no_token_is_shown():
    (hook,) = make_rules({"webhooks": [{"url": "https://u:key@hooks.example.org/T/token"}]}).webhooks
    assert repr(hook) == "Webhook('https://hooks.example.org/...', secret_env='', kinds=())"
