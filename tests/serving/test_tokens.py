"""Access tokens: hashed, named, revocable while a server runs; nothing but the right one opens."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import pytest

from tabstudio.cli.app import run
from tabstudio.errors import ConfigError
from tabstudio.serving import tokens
from tabstudio.serving.request_hooks import HttpError
from tabstudio.serving.tokens import TokenGate, create, is_loopback, read_tokens, revoke, token_gate

FILE = Path("serve-tokens")


def bearer(token):
    return [(b"host", b"x"), (b"authorization", f"Bearer {token}".encode())]


def opened(monkeypatch):
    """A gate that looks at its file at every request."""
    monkeypatch.setattr(tokens, "_LOOK_SECONDS", 0.0)
    return TokenGate(FILE)


def test_a_token_names_its_caller_and_only_its_hash_is_kept():
    secrets = {name: create(name, FILE) for name in ("ward-3", "lab")}
    assert len(set(secrets.values())) == 2
    for name, secret in secrets.items():
        assert len(secret) > 40
        assert TokenGate(FILE)(bearer(secret)) == name
        assert secret not in FILE.read_text()
    assert FILE.stat().st_mode & 0o777 == 0o600


def test_a_browser_may_send_it_as_a_password():
    secret = create("me", FILE)
    basic = base64.b64encode(f"anybody:{secret}".encode())
    assert TokenGate(FILE)([(b"authorization", b"Basic " + basic)]) == "me"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", b"Bearer wrong")],
        [(b"authorization", b"Basic \xff")],
        [(b"authorization", b"Basic bm9jb2xvbg==")],
        [(b"authorization", b"Digest x")],
        [(b"authorization", "Bearer é".encode())],
    ],
)
def test_anything_else_is_refused(headers):
    create("me", FILE)
    with pytest.raises(HttpError) as refused:
        TokenGate(FILE)(headers)
    assert refused.value.status == 401


def test_two_authorization_headers_and_the_hash_itself_are_refused():
    secret = create("me", FILE)
    with pytest.raises(HttpError):
        TokenGate(FILE)(bearer(secret) + bearer(secret))
    with pytest.raises(HttpError):
        TokenGate(FILE)(bearer(read_tokens(FILE)[0].digest))


def test_a_running_server_follows_new_and_revoked_tokens(monkeypatch):
    first = create("first", FILE)
    running = opened(monkeypatch)
    second = create("second", FILE)
    assert running(bearer(second)) == "second"
    revoke("first", FILE)
    with pytest.raises(HttpError):
        running(bearer(first))
    assert running(bearer(second)) == "second"


@pytest.mark.parametrize("harm", [lambda: FILE.unlink(), lambda: FILE.write_text("nonsense\n")])
def test_a_file_that_is_gone_or_damaged_lets_nobody_in(monkeypatch, harm):
    secret = create("me", FILE)
    running = opened(monkeypatch)
    harm()
    for _ in range(2):
        with pytest.raises(HttpError):
            running(bearer(secret))


def test_off_the_loopback_a_token_is_demanded(monkeypatch):
    monkeypatch.delenv("TABSTUDIO_SERVE_TOKENS", raising=False)
    assert token_gate("127.0.0.1") is None
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0 needs a token.*tokens create"):
        token_gate("0.0.0.0")
    secret = create("me", tokens.tokens_file())
    assert token_gate("0.0.0.0")(bearer(secret)) == "me"
    monkeypatch.setenv("TABSTUDIO_SERVE_TOKENS", str(tokens.tokens_file()))
    assert token_gate("127.0.0.1")(bearer(secret)) == "me"


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.3.2.1", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("example.org", False),
        ("127.0.0.1.example.org", False),
    ],
)
def test_the_loopback_is_told_from_everything_else(host, here):
    assert is_loopback(host) is here


def test_tokens_made_at_once_all_stand():
    code = "import sys; from pathlib import Path; from tabstudio.serving.tokens import create\n"
    code += "for n in range(5): create(f'{sys.argv[1]}-{n}', Path('serve-tokens'))"
    several = [subprocess.Popen([sys.executable, "-c", code, str(n)]) for n in range(3)]
    assert [process.wait() for process in several] == [0, 0, 0]
    assert len({token.digest for token in read_tokens(FILE)}) == 15


def test_the_command_makes_lists_and_revokes(capsys):
    assert run(["tokens", "create", "ward-3"]) == 0
    told = capsys.readouterr()
    secret = told.out.strip()
    assert TokenGate(tokens.tokens_file())(bearer(secret)) == "ward-3"
    assert "Bearer" in told.err
    assert run(["tokens", "list"]) == 0
    assert capsys.readouterr().out.startswith("ward-3  made 20")
    assert run(["tokens", "revoke", "ward-3"]) == 0
    assert read_tokens(tokens.tokens_file()) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["create"], "tokens create NAME"),
        (["create", "a b"], "letters"),
        (["revoke", "nobody"], "'nobody'"),
        (["create", "me"], "already"),
        (["create", "x", "--file", "folder"], "folder"),
    ],
)
def test_wrong_words_are_told_in_a_line(words, says, capsys):
    create("me", tokens.tokens_file())
    Path("folder").mkdir()
    assert run(["tokens", *words]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert says in told
    assert len(told.splitlines()) == 1
    assert not list(Path("folder").iterdir())
