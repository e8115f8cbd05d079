"""The registry's commands against a studio: the same words as at home, and clear ones where it fails."""

from __future__ import annotations

import http.server
import json
import re
import threading
from contextlib import contextmanager

import pytest

from tabstudio.cli.app import run
from tabstudio.remote import paths
from tabstudio.remote.connection import Connection

from .conftest import start_studio
from .content import copied
from .people import people

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def place(trained, tmp_path_factory):
    """A studio over two trained versions, with one person of each role."""
    folder = copied(trained, tmp_path_factory.mktemp("remote"))
    tokens = people(folder)
    running = start_studio(folder)
    yield running, tokens
    running.stop()


@pytest.fixture
def told(capsys, monkeypatch, tmp_path, place):
    """Run a command as somebody, in an empty folder far away; with `at_home` in the studio's own folder."""
    running, tokens = place

    def command(*words: str, who: str = "ann", code: int = 0, at_home: bool = False):
        if at_home:
            monkeypatch.delenv("TABSTUDIO_URL", raising=False)
            monkeypatch.chdir(running.folder)
        else:
            monkeypatch.setenv("TABSTUDIO_URL", running.url)
            monkeypatch.setenv("TABSTUDIO_TOKEN", tokens[who])
            monkeypatch.chdir(tmp_path)
        capsys.readouterr()
        assert run([*words]) == code, capsys.readouterr().err
        return capsys.readouterr()

    return command


@contextmanager
def web_server(status: int, headers: dict[str, str], body: bytes = b"{}"):
    """A server that is no studio of ours; gives its address and what it was asked with."""
    asked: list[dict[str, str]] = []

    class Answering(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(dict(self.headers))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def timeless(text: str) -> str:
    """A text without ages, which may turn from one command to the next, and without measured latencies."""
    return re.sub(r" +\d+ (s|min|h|d)\b", " AGE", text)


def test_looking_says_the_same_words_as_at_home(told):
    told("promote", "cancer", "1", "--to", "production", "-r", "first", at_home=True)
    for words in (
        ["models"],
        ["models", "--json"],
        ["models", "--page", "9"],
        ["versions", "cancer"],
        ["versions", "cancer", "--json"],
        ["versions", "cancer", "--before", "2"],
        ["history", "cancer"],
        ["history", "cancer", "--json"],
        ["history", "cancer", "--at", "2999-01-01"],
        ["history", "cancer", "--verify"],
        ["gates", "cancer", "2", "--to", "production"],
        ["gates", "cancer", "2", "--to", "production", "--json"],
        ["card", "models:/cancer/1"],
        ["card", "models:/cancer/1", "--json"],
        ["compare", "models:/cancer/1", "models:/cancer/2"],
        ["compare", "models:/cancer/1", "models:/cancer/2", "--slice", "mean radius", "--json"],
        ["deployments", "list"],
    ):
        near, far = told(*words, at_home=True), told(*words, who="vera")
        source = re.compile(r"(of \S+tabstudio.toml) at \S+")
        assert timeless(source.sub(r"\1", far.out)) == timeless(near.out), words
        assert far.err == near.err


def test_acting_says_the_same_words_and_the_studio_knows_who(told):
    out = told("promote", "cancer", "latest", "--to", "production", "-r", "better", who="ed").out
    assert "cancer 2: no stage → production\n" in out
    assert "models:/cancer@production is version 2 now\n" in out
    back = json.loads(told("rollback", "cancer", "-r", "slower", "--json", who="ed").out)
    assert [(row["kind"], row["actor"]) for row in back] == [("rollback", "ed"), ("displaced", "ed")]
    assert (
        "tabstudio approve cancer 2"
        in told("request", "cancer", "2", "--to", "champion", "-r", "x", who="ed").out
    )
    assert "it may go there now" in told("approve", "cancer", "2", who="carol").out
    assert "champion" in told("promote", "cancer", "2", "--to", "champion", "-r", "agreed", who="ed").out
    told("request", "cancer", "1", "--to", "champion", "-r", "x", who="ed")
    assert "carol turned the request" in told("reject", "cancer", "1", "-r", "no", who="carol").out
    assert "cancer 2: champion → archived" in told("archive", "cancer", "champion", "-r", "old", who="ed").out
    actors = [row["actor"] for row in json.loads(told("history", "cancer", "--json").out)]
    assert set(actors) >= {"ed", "carol"}


def test_a_gate_that_fails_ends_with_three_from_afar_too(told):
    near = told("promote", "cancer", "2", "--to", "staging", "-r", "try", code=3, at_home=True)
    far = told("promote", "cancer", "2", "--to", "staging", "-r", "try", who="ed", code=3)
    assert far == near
    assert "FAILED" in far.out
    assert told("gates", "cancer", "2", "--to", "staging", "--json", code=3).out


def test_a_history_and_a_report_are_fetched_whole(told, tmp_path):
    told("history", "cancer", "--export", "far.csv")
    (tmp_path / "near.csv").unlink(missing_ok=True)
    told("history", "cancer", "--export", str(tmp_path / "near.csv"), at_home=True)
    assert (tmp_path / "far.csv").read_text() == (tmp_path / "near.csv").read_text()
    asked = ("compare", "models:/cancer/1", "models:/cancer/2")
    told(*asked, "-o", "far")
    told(*asked, "-o", str(tmp_path / "near"), at_home=True)
    names = [sorted(path.name for path in (tmp_path / where).iterdir()) for where in ("far", "near")]
    assert names[0] == names[1]
    assert "report.html" in names[0]
    page = [(tmp_path / where / "comparison.json").read_text() for where in ("far", "near")]
    assert page[0] == page[1]


def test_services_are_started_and_stopped_from_afar(told):
    out = told("deployments", "start", "far", "models:/cancer/2", "--port", "0", who="ed").out
    assert re.fullmatch(r"far answers at http://127\.0\.0\.1:\d+\n", out)
    try:
        assert "running" in told("deployments", "list").out
        assert "serving at" in told("deployments", "logs", "far", "--lines", "20").out
        assert told("deployments", "stop", "far", who="ed").out == "far is stopped\n"
    finally:
        assert told("deployments", "remove", "far", who="ed").out == "far is forgotten\n"


@pytest.mark.parametrize(
    ("words", "who", "code", "parts"),
    [
        (
            ["promote", "cancer", "1", "--to", "production", "-r", "x"],
            "vera",
            1,
            ["vera is viewer", "role editor"],
        ),
        (["approve", "cancer", "1"], "ed", 1, ["ed is editor", "role approver"]),
        (["deployments", "start", "x", "models:/cancer/1"], "vera", 1, ["role editor"]),
        (["deployments", "start", "x", "some/folder"], "ed", 2, ["no folder", "models:/NAME@STAGE"]),
        (["deployments", "logs", "none"], "vera", 1, ["there is none of that name"]),
        (
            ["promote", "cancer", "1", "--to", "production", "-r", "x", "--as", "eve"],
            "ed",
            2,
            ["TABSTUDIO_TOKEN"],
        ),
        (["versions", "canser"], "vera", 1, ["no registered model 'canser'", "did you mean cancer?"]),
        (["versions", "no model?#"], "vera", 1, ["no registered model 'no model?#'"]),
        (["promote", "cancer", "9", "--to", "production", "-r", "x"], "ed", 1, ["no version 9"]),
        (["promote", "cancer", "1", "--to", "prod", "-r", "x"], "ed", 1, ["did you mean production?"]),
        (["rollback", "cancer", "-r", " "], "ed", 1, ["a reason was expected"]),
        (["history", "cancer", "--at", "yesterday"], "vera", 2, ["2026-03-01", "'yesterday'"]),
        (["card", "some/folder"], "vera", 2, ["unset it to look at a folder"]),
        (["compare", "models:/cancer/1", "some/folder"], "vera", 2, ["unset it to look at a folder"]),
        (["gates", "cancer", "1", "--to", "production", "--data", "x.csv"], "vera", 1, ["no such table"]),
    ],
)
def test_what_cannot_be_done_is_told_on_one_screen(told, words, who, code, parts):
    found = told(*words, who=who, code=code)
    for part in parts:
        assert part in found.err
    assert len(found.err.splitlines()) <= 4
    assert "Traceback" not in found.err


def far_from(url: str, token: str, monkeypatch, capsys) -> str:
    monkeypatch.setenv("TABSTUDIO_URL", url)
    monkeypatch.setenv("TABSTUDIO_TOKEN", token)
    assert run(["models"]) in (1, 2)
    return capsys.readouterr().err


def test_a_token_that_is_refused_or_missing_is_told(place, monkeypatch, capsys):
    said = far_from(place[0].url, "tabstudio_wrong", monkeypatch, capsys)
    assert "this token is unknown" in said
    assert "see TABSTUDIO_TOKEN" in said
    assert "tabstudio_wrong" not in said
    assert "set TABSTUDIO_TOKEN" in far_from(place[0].url, "", monkeypatch, capsys)


def test_a_studio_that_is_not_there_is_told(monkeypatch, capsys):
    assert "http://127.0.0.1:9 cannot be reached" in far_from("http://127.0.0.1:9", "x", monkeypatch, capsys)
    said = far_from("studio.example.org", "x", monkeypatch, capsys)
    assert "TABSTUDIO_URL: an address such as https://studio.example.org was expected" in said


@pytest.mark.parametrize(
    ("status", "headers", "body", "said"),
    [
        (200, {}, b"<html>", "it is no studio"),
        (404, {}, b"not here", "it is no studio"),
        (200, {"tabstudio-api": "1 0.1.0"}, b"<html>", "no JSON"),
        (500, {"tabstudio-api": "1 0.1.0"}, b"oh", "it answered 500"),
        (200, {"tabstudio-api": "2 9.9.9"}, b"{}", "is tabstudio 9.9.9, whose API is version 2"),
    ],
)
def test_what_is_no_studio_or_another_one_is_told(monkeypatch, capsys, status, headers, body, said):
    with web_server(status, headers, body) as (url, _):
        assert said in far_from(url, "x", monkeypatch, capsys)


def test_a_token_is_not_shown_to_where_an_answer_points(monkeypatch, capsys):
    with web_server(200, {}) as (thief, asked), web_server(302, {"location": f"{thief}/x"}) as (url, _):
        assert "it is no studio" in far_from(url, "tabstudio_secret", monkeypatch, capsys)
    assert asked == []


def test_addresses_are_put_together_whatever_their_parts_hold():
    address = paths.fill(paths.VERSION, name="a/b?c#d e", which=3)
    assert address == "/models/a%2Fb%3Fc%23d%20e/versions/3"


def test_passwords_and_tokens_stay_out_of_what_is_shown():
    made = Connection("https://ann:secret@studio.example.org/", "tabstudio_token")
    assert "secret" not in repr(made)
    assert "token" not in repr(made)
