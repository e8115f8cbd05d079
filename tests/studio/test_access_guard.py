"""The door of a studio with a login: who is turned away, in which way, and what the others find."""

from __future__ import annotations

import asyncio
import re
import socket as sockets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import SimpleNamespace
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.responses import PlainTextResponse
from websockets.exceptions import InvalidStatus

from tabstudio.database import Database
from tabstudio.studio.access.authentication import Authentication
from tabstudio.studio.access_guard import BODY_BYTES, AccessGuard
from tabstudio.studio.server import BOUNDS
from tabstudio.studio.studio_options import StudioOptions

from .conftest import start_studio
from .people import PASSWORD, browser, heard, page_of, people, program, say, socket, tabstudio

UPLOAD_BYTES = 200_000
PUBLIC = "https://studio.example.org"
UPGRADE = (
    "connection: upgrade\r\nupgrade: websocket\r\n"
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A studio with one person of each role, and their tokens."""
    folder = tmp_path_factory.mktemp("guarded")
    tokens = people(folder)
    outside = ("--allow-host", PUBLIC, "--trusted-proxy", "127.0.0.1")
    running = start_studio(folder, "--max-upload", str(UPLOAD_BYTES), *outside)
    yield running, tokens
    running.stop()


@pytest.fixture
def url(place):
    return place[0].url


@pytest.fixture
def ann(url):
    with browser(url, "ann") as client:
        yield client


def cookie_of(client: httpx.Client) -> str:
    return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


def raw(url: str, request: bytes, seconds: float = 20) -> bytes:
    """Send bytes, and return everything that comes until the connection is closed."""
    parts = urlsplit(url)
    with sockets.create_connection((parts.hostname, parts.port), timeout=seconds) as connection:
        connection.sendall(request)
        said = b""
        while piece := connection.recv(65536):
            said += piece
    return said


@pytest.mark.parametrize("path", ["/", "/monitor", "/people", "/jobs/1", "/_nicegui/client/x/upload/1"])
def test_strangers_are_shown_the_login(url, path):
    answer = httpx.get(url + path, headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={path}")
    assert httpx.get(url + path).status_code == 401


def test_programs_without_a_token_are_told_so_in_json(url):
    for headers in ({}, {"authorization": "Bearer tabstudio_wrong"}, {"authorization": "Basic YTpi"}):
        answer = httpx.get(f"{url}/api/v1/models", headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "unauthenticated"
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_the_login_itself_its_looks_and_the_health_are_open(url):
    assert 'name="password" type="password"' in httpx.get(f"{url}/login").text
    assert httpx.get(f"{url}/static/studio.css").status_code == 200
    assert httpx.get(f"{url}/health").text == "ok\n"


def test_a_login_gives_a_cookie_that_no_script_and_no_other_site_gets(url):
    answer = httpx.post(f"{url}/login", data={"name": "ann", "password": PASSWORD, "next": "/monitor?page=2"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/monitor?page=2")
    words = answer.headers["set-cookie"].lower().split("; ")
    assert {"httponly", "samesite=strict", "path=/"} <= set(words)
    assert "secure" not in words  # http on loopback
    assert httpx.post(f"{url}/login", data={"name": "ann", "password": "wrong"}).status_code == 401


def test_behind_a_proxy_with_tls_the_cookie_is_for_https_alone(url):
    outside = {"host": "studio.example.org", "origin": PUBLIC}
    answer = httpx.post(f"{url}/login", data={"name": "ann", "password": PASSWORD}, headers=outside)
    assert answer.status_code == 303
    assert "secure" in answer.headers["set-cookie"].lower().split("; ")
    insecure = outside | {"origin": "http://studio.example.org"}
    assert httpx.post(f"{url}/login", data={}, headers=insecure).status_code == 403


def test_guesses_through_a_proxy_are_counted_by_where_they_come_from(url):
    def guess(number: int, seen: str) -> int:
        told = {"name": f"guess {number}", "password": "wrong password"}
        return httpx.post(f"{url}/login", data=told, headers={"x-forwarded-for": seen}).status_code

    answers = [guess(number, "203.0.113.9, 198.51.100.9") for number in range(40)]
    assert answers[:30] == [401] * 30
    assert 429 in answers[30:]
    assert guess(41, "203.0.113.10") == 401


@pytest.mark.parametrize("next_", ["https://evil.example", "//evil.example", "/\\evil.example", "/a\r\nx: y"])
def test_a_login_leads_to_pages_of_the_studio_only(url, next_):
    answer = httpx.post(f"{url}/login", data={"name": "ann", "password": PASSWORD, "next": next_})
    assert answer.headers["location"] == "/"


def test_markup_in_a_name_is_shown_as_text(url):
    answer = httpx.post(f"{url}/login", data={"name": '"><script>x</script>', "password": "wrong"})
    assert "<script>x" not in answer.text
    assert "&#34;&gt;&lt;script&gt;" in answer.text


def test_wrong_passwords_and_wrong_names_read_the_same_and_are_slowed_down(url):
    def tell(name: str) -> httpx.Response:
        return httpx.post(f"{url}/login", data={"name": name, "password": "wrong password"})

    said = {re.sub('value="[^"]*"', "", tell(name).text) for name in ("vera", "nobody")}
    assert len(said) == 1
    answers = [tell("eve") for _ in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60


def test_logging_out_ends_the_session_everywhere(url):
    with browser(url, "vera") as one, httpx.Client(base_url=url, cookies=one.cookies) as same:
        assert same.get("/").status_code == 200
        assert one.post("/logout").status_code == 303
        assert same.get("/").status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "", "localhost.evil.example:80"]
)
def test_another_host_is_refused_before_anything_else(url, host):
    answer = httpx.get(f"{url}/login", headers={"host": host})
    assert answer.status_code == 400
    assert "--allow-host" in answer.text


def test_two_hosts_are_one_too_many(url):
    netloc = urlsplit(url).netloc.encode()
    said = raw(
        url, b"GET /login HTTP/1.1\r\nhost: " + netloc + b"\r\nhost: evil\r\nconnection: close\r\n\r\n"
    )
    assert said.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_of_other_sites_can_do_nothing(ann, headers):
    for ask in (lambda: ann.post("/logout", headers=headers), lambda: ann.post("/login", headers=headers)):
        answer = ask()
        assert answer.status_code == 403
    assert ann.get("/health").status_code == 200
    assert (
        ann.get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200
    )  # somebody follows a link


def test_another_name_of_the_same_studio_is_another_origin(place):
    url = place[0].url
    other = url.replace("127.0.0.1", "localhost")
    assert httpx.post(f"{url}/login", data={}, headers={"origin": other}).status_code == 403
    assert httpx.post(f"{other}/login", data={}, headers={"origin": other}).status_code == 422


@pytest.mark.parametrize("missing", ["its origin", "its host", "a session"])
def test_websockets_of_strangers_are_refused(ann, url, missing):
    page, cookie = page_of(ann), cookie_of(ann)
    if missing == "its host":
        head = f"GET /_nicegui_ws/socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: evil\r\n{UPGRADE}"
        assert raw(url, f"{head}cookie: {cookie}\r\n\r\n".encode()).startswith(b"HTTP/1.1 403")
        return
    headers = {"origin": "https://evil.example"} if missing == "its origin" else {}
    with (
        pytest.raises(InvalidStatus) as told,
        socket(url, page, "" if missing == "a session" else cookie, **headers),
    ):
        pass
    assert told.value.response.status_code == 403


def test_a_websocket_speaks_for_the_page_that_it_was_opened_for(ann, url, place):
    mine, my_other = page_of(ann), page_of(ann)
    with socket(url, mine, cookie_of(ann)) as opened:
        assert next(heard(opened)).startswith("40")
        say(opened, "log", client_id=my_other, level="error", message="forged words")
        say(opened, "event", client_id=my_other, id=1, listener_id="x", args=[])
        say(opened, "log", client_id=mine, level="error", message="own words")
        until = time.monotonic() + 10
        while "own words" not in place[0].log.read_text() and time.monotonic() < until:
            time.sleep(0.05)
    assert "own words" in place[0].log.read_text()
    assert "forged words" not in place[0].log.read_text()


@pytest.mark.parametrize("whose", ["vera's session", "another session of ann"])
def test_the_page_of_somebody_else_cannot_be_taken_over(ann, url, whose):
    page = page_of(ann)
    with browser(url, "vera" if "vera" in whose else "ann") as other:
        with socket(url, page, cookie_of(other)) as opened:
            assert next(heard(opened)).startswith("44")  # refused, with the word that reloads a page
        answer = other.post(f"/_nicegui/client/{page}/upload/5", files={"f": ("a.csv", b"a,b\n1,2\n")})
        assert answer.status_code == 403
    with socket(url, page, cookie_of(ann)) as opened:
        assert next(heard(opened)).startswith("40")


@pytest.mark.parametrize("end", ["logout", "removal"])
def test_open_pages_go_to_the_login_when_their_session_ends(place, end):
    running, _ = place
    add = ("users", "add", f"temp {end}", "--role", "viewer")
    assert tabstudio(running.folder, *add, TABSTUDIO_PASSWORD=PASSWORD).returncode == 0
    with browser(running.url, f"temp {end}") as temp:
        page = page_of(temp)
        with socket(running.url, page, cookie_of(temp)) as opened:
            assert next(heard(opened)).startswith("40")
            if end == "logout":
                assert temp.post("/logout").status_code == 303
            else:
                assert tabstudio(running.folder, "users", "remove", f"temp {end}").returncode == 0
            assert any("window.location.reload()" in said for said in heard(opened))
            say(opened, "log", client_id=page, level="error", message="words of a ghost")
        assert temp.get("/").status_code == 401
    assert "words of a ghost" not in running.log.read_text()


def test_bodies_are_bounded(ann, url, place):
    tokens = place[1]
    long = b"x" * (BODY_BYTES + 1)
    assert ann.post("/logout", content=long).status_code == 413
    form = {"content-type": "application/x-www-form-urlencoded"}
    pieces = iter([long[:600_000], long[600_000:]])
    assert ann.post("/login", content=pieces, headers=form).status_code == 413
    with program(url, tokens["ed"]) as ed:
        for content in (long, iter([long[:600_000], long[600_000:]])):
            answer = ed.post("/models/x/versions/1/archive", content=content)
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_an_upload_is_bounded_while_it_comes(url, place):
    _, tokens = place
    with program(url, tokens["ed"]) as ed:
        pieces = (b"1,2\n" * 10_000 for _ in range(10))  # nobody says in advance how long it will be
        answer = ed.put("/tables/long.csv", content=pieces)
        assert answer.status_code == 413
        assert ed.get("/tables").json() == {"items": []}


def test_answers_carry_the_headers_that_keep_browsers_careful(ann):
    page, style = ann.get("/"), ann.get("/static/studio.css")
    for answer in (page, style):
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "server" not in answer.headers
    assert page.headers["cache-control"] == "no-store"
    assert ann.get("/api/v1/models").headers["cache-control"] == "no-store"
    assert "no-store" not in style.headers.get("cache-control", "")


def test_a_head_that_does_not_come_ends_the_connection(url):
    began = time.monotonic()
    said = raw(url, b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ")
    assert said.startswith(b"HTTP/1.1 408")
    assert b'"code": "head_too_slow"' in said
    assert time.monotonic() - began < BOUNDS.header_seconds + 3


def test_a_head_without_end_ends_the_connection(url):
    said = raw(url, b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: " + b"y" * (70 << 10))
    assert said.startswith(b"HTTP/1.1 431")


def test_connections_beyond_the_bound_are_refused_and_the_others_go_on(ann, url):
    where = urlsplit(url).hostname, urlsplit(url).port
    with ExitStack() as opened:
        for _ in range(BOUNDS.connections):
            opened.enter_context(sockets.create_connection(where, timeout=10))
        with sockets.create_connection(where, timeout=10) as one_more:
            assert one_more.recv(100).startswith(b"HTTP/1.1 503")
    ends = time.monotonic() + 10
    while ann.get("/health").status_code != 200:  # it has to see first that they are closed
        assert time.monotonic() < ends


def test_a_proxy_says_who_asks_and_nobody_else(tmp_path):
    assert (
        tabstudio(tmp_path, "users", "add", "ann@example.org", "--role", "admin", "--no-password").returncode
        == 0
    )
    running = start_studio(tmp_path, "--user-header", "X-User", "--trusted-proxy", "127.0.0.1")
    try:
        ann = {"X-User": "ann@example.org"}
        assert "ann@example.org · admin" in httpx.get(running.url, headers=ann).text
        assert httpx.get(f"{running.url}/api/v1/", headers=ann).json()["role"] == "admin"
        unknown = httpx.get(running.url, headers={"X-User": "eve@example.org", "accept": "text/html"})
        assert unknown.status_code == 401
        assert "tabstudio users add" in unknown.text
        assert httpx.get(running.url).status_code == 401
        assert httpx.get(running.url, headers=[("X-User", "a"), ("X-User", "b")]).status_code == 403
        elsewhere = httpx.HTTPTransport(local_address="127.0.0.2")
        with httpx.Client(transport=elsewhere) as stranger:
            refused = stranger.get(running.url, headers=ann)
            assert (refused.status_code, "not the proxy" in refused.text) == (403, True)
    finally:
        running.stop()


def test_who_asks_is_found_out_while_every_other_thread_waits_for_mlflow(tmp_path):
    async def page(scope, receive, send):
        await PlainTextResponse(scope["state"]["who"].name)(scope, receive, send)

    async def story() -> str:
        stuck = threading.Event()
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        waiting = loop.run_in_executor(None, stuck.wait)
        guard = AccessGuard(page, SimpleNamespace(options=StudioOptions(login=True), access=access))
        try:
            transport = httpx.ASGITransport(guard)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8600") as client:
                answering = client.get("/", headers={"authorization": f"Bearer {token}"})
                return (await asyncio.wait_for(answering, 10)).text
        finally:
            stuck.set()
            await waiting

    with Database(f"sqlite:///{tmp_path}/ours.db") as database:
        access = Authentication(database)
        access.people.add("ann", "viewer", PASSWORD)
        token = access.people.token("ann", "program")
        assert asyncio.run(story()) == "ann"
