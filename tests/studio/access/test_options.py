"""Where a studio answers, whom it asks to log in, and whose word on who asks it believes."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from tabstudio.database import Database
from tabstudio.errors import AccessError, ConfigError
from tabstudio.studio.access import tokens
from tabstudio.studio.access.authentication import Claim
from tabstudio.studio.access.login_policy import decide_login
from tabstudio.studio.access.request_claims import COOKIE, client_address, request_claim
from tabstudio.studio.access.users import UserStore
from tabstudio.studio.studio_options import StudioOptions

PROXY = "10.0.0.7"
BEHIND_A_PROXY = StudioOptions(user_header="X-User", proxies=(PROXY,), login=True)


@pytest.fixture
def people(tmp_path):
    with Database(f"sqlite:///{tmp_path}/ours.db") as database:
        yield UserStore(database)


def claim(options: StudioOptions, headers: list[tuple[str, str]], peer: str = "127.0.0.1") -> Claim | None:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    return request_claim(options, {"client": (peer, 1)}, Headers(raw=raw))


@pytest.mark.parametrize(
    ("options", "somebody", "asked"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"login": False}, True, False),
        ({"login": True}, True, True),
        ({"host": "0.0.0.0"}, True, True),
        ({"hosts": ("studio.example.org",)}, True, True),
        ({"user_header": "X-User", "proxies": (PROXY,)}, True, True),
    ],
)
def test_people_must_log_in_where_others_reach_it_and_where_there_are_people(
    people, options, somebody, asked
):
    if somebody:
        people.add("ann", "admin")
    assert decide_login(StudioOptions(**options), people).login is asked


@pytest.mark.parametrize(
    "options",
    [
        {"login": True},
        {"host": "192.0.2.1"},
        {"hosts": ("studio.example.org",)},
        {"user_header": "X", "proxies": (PROXY,)},
    ],
)
def test_a_studio_that_asks_who_comes_does_not_start_without_anybody(people, options):
    with pytest.raises(ConfigError, match="tabstudio users add NAME --role admin"):
        decide_login(StudioOptions(**options), people)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"host": "0.0.0.0", "login": False}, "--no-login"),
        ({"hosts": ("studio.example.org",), "login": False}, "--no-login"),
        ({"user_header": "X-User"}, "--trusted-proxy"),
        ({"user_header": "X-User", "proxies": ("proxy.example.org",)}, "an address such as 10.0.0.7"),
        ({"hosts": ("https://studio.example.org/path",)}, "--allow-host"),
        ({"hosts": ("ftp://studio.example.org",)}, "--allow-host"),
    ],
)
def test_options_that_would_let_strangers_in_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        StudioOptions(**options).check()


@pytest.mark.parametrize(
    ("options", "origins"),
    [
        ({}, {"http://127.0.0.1:8600", "http://localhost:8600", "http://[::1]:8600"}),
        ({"host": "::1", "port": 80}, {"http://127.0.0.1", "http://localhost", "http://[::1]"}),
        ({"host": "192.0.2.1"}, {"http://192.0.2.1:8600"}),
        (
            {"host": "192.0.2.1", "hosts": ("Studio.example.org", "http://intra:81/")},
            {"http://192.0.2.1:8600", "https://studio.example.org", "http://intra:81"},
        ),
    ],
)
def test_origins_are_written_as_browsers_write_them(options, origins):
    assert StudioOptions(**options).origins() == origins


def test_one_that_listens_everywhere_answers_to_this_machine_by_name_and_number():
    import socket

    origins = StudioOptions(host="0.0.0.0").origins()
    assert f"http://{socket.gethostname()}:8600".lower() in origins
    assert "http://127.0.0.1:8600" in origins
    assert "http://0.0.0.0:8600" not in origins


def test_without_a_login_the_user_of_the_machine_asks():
    assert claim(StudioOptions(login=False), []) == Claim("owner")
    assert claim(StudioOptions(login=False), [("authorization", "Bearer abc")]) == Claim(
        "token", tokens.secret_digest("abc")
    )


def test_with_a_login_the_cookie_counts():
    asked = StudioOptions(login=True)
    assert claim(asked, []) is None
    assert claim(asked, [("cookie", f"a=b; {COOKIE}=abc")]) == Claim("session", tokens.secret_digest("abc"))
    assert claim(asked, [("cookie", "\x00;=;=")]) is None
    assert claim(asked, [("x-user", "ann")]) is None


def test_a_proxy_is_believed_and_nobody_else():
    assert claim(BEHIND_A_PROXY, [("X-User", " ann ")], PROXY) == Claim("proxy", "ann")
    assert claim(BEHIND_A_PROXY, [], PROXY) is None
    assert claim(BEHIND_A_PROXY, [("cookie", f"{COOKIE}=abc")], PROXY) is None
    with pytest.raises(AccessError, match="not the proxy"):
        claim(BEHIND_A_PROXY, [("X-User", "ann")], "10.0.0.8")
    with pytest.raises(AccessError, match="one name was expected, got 2"):
        claim(BEHIND_A_PROXY, [("X-User", "ann"), ("X-User", "bob")], PROXY)


def test_the_address_behind_a_proxy_is_the_last_that_it_saw():
    seen = Headers({"x-forwarded-for": "203.0.113.9, 192.0.2.5"})
    assert client_address(BEHIND_A_PROXY, {"client": (PROXY, 1)}, seen) == "192.0.2.5"
    assert client_address(BEHIND_A_PROXY, {"client": ("10.0.0.8", 1)}, seen) == "10.0.0.8"
