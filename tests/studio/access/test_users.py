"""People, their passwords, sessions and tokens, in our own tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from tabstudio._util.clock import utc_stamp
from tabstudio.database import Database
from tabstudio.database.tables import access_tokens, sessions, users
from tabstudio.errors import AccessError, ConfigError
from tabstudio.studio.access import passwords, tokens
from tabstudio.studio.access.authentication import Authentication, Claim
from tabstudio.studio.access.roles import ROLES, Actor, ForbiddenError

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def argon2_is_cheap():
    """Passwords hashed with one pass over little memory: what is tested here is not how long it takes."""
    from argon2 import PasswordHasher

    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    patch = pytest.MonkeyPatch()
    patch.setattr(passwords, "_hasher", lambda: cheap)
    passwords._dummy_hash.cache_clear()
    yield
    passwords._dummy_hash.cache_clear()
    patch.undo()


@pytest.fixture(params=["sqlite", "postgresql"])
def access(request, tmp_path, argon2_is_cheap):
    url = f"sqlite:///{tmp_path}/ours.db" if request.param == "sqlite" else _driven(request)
    with Database(url) as database:
        made = Authentication(database)
        made.people.add("ann", "admin", PASSWORD)
        yield made


def _driven(request) -> str:
    return request.getfixturevalue("postgres").replace("postgresql://", "postgresql+psycopg://", 1)


def browser(access: Authentication, name: str) -> Claim:
    return Claim("session", tokens.secret_digest(access.begin(access.people.who(name))))


def test_only_the_right_password_logs_in(access):
    assert access.people.login("ann", PASSWORD) == Actor("ann", "admin")
    assert access.people.login("ann", PASSWORD + " ") is None
    assert access.people.login("nobody", PASSWORD) is None
    access.people.add("machine", "viewer")
    assert access.people.login("machine", "") is None


def test_a_password_is_kept_as_an_argon2_hash_and_a_secret_as_its_own(access):
    secret = access.begin(Actor("ann", "admin"))
    token = access.people.token("ann", "laptop")
    with access.database.reading() as connection:
        kept = connection.execute(select(users.c.password)).scalar_one()
        hashes = [
            connection.execute(select(table.c.hash)).scalar_one() for table in (sessions, access_tokens)
        ]
    assert kept.startswith("$argon2id$")
    assert PASSWORD not in kept
    assert hashes == [tokens.secret_digest(secret), tokens.secret_digest(token)]


def test_letters_typed_on_another_keyboard_are_the_same_password(access):
    access.people.set_password("ann", "caf\u00e9 au lait noir")
    assert access.people.login("ann", "cafe\u0301 au lait noir")


def test_a_hash_of_older_parameters_is_made_anew_at_the_login(access):
    from argon2 import PasswordHasher

    old = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1).hash(PASSWORD)
    with access.database.writing() as connection:
        connection.execute(update(users).values(password=old))
    assert access.people.login("ann", PASSWORD)
    with access.database.reading() as connection:
        assert "t=1" in connection.execute(select(users.c.password)).scalar_one()
    assert access.people.login("ann", PASSWORD)


def test_a_changed_role_counts_for_a_session_that_is_open(access):
    access.people.add("bob", "viewer", PASSWORD)
    claim = browser(access, "bob")
    assert access.who(claim) == Actor("bob", "viewer")
    access.people.set_role("bob", "approver")
    assert access.checked(claim).role == "approver"


@pytest.mark.parametrize("change", ["password", "removal", "logout", "time"])
def test_a_session_ends_with(access, change):
    access.people.add("bob", "editor", PASSWORD)
    claim, other = browser(access, "bob"), browser(access, "ann")
    if change == "password":
        access.people.set_password("bob", PASSWORD + "!")
    elif change == "removal":
        access.people.remove("bob")
    elif change == "logout":
        access.end(claim)
    else:
        with access.database.writing() as connection:
            past = utc_stamp(datetime.now(UTC) - timedelta(seconds=1))
            connection.execute(update(sessions).where(sessions.c.user == "bob").values(expires=past))
    assert access.who(claim) is None
    with pytest.raises(AccessError, match="log in again"):
        access.checked(claim)
    assert access.who(other) == Actor("ann", "admin")


def test_sessions_that_are_over_are_not_kept(access):
    browser(access, "ann")
    with access.database.writing() as connection:
        connection.execute(update(sessions).values(expires=utc_stamp(datetime.now(UTC) - timedelta(days=1))))
    browser(access, "ann")
    with access.database.reading() as connection:
        assert len(connection.execute(select(sessions.c.hash)).all()) == 1


def test_a_token_acts_as_its_user_until_it_is_revoked_or_too_old(access):
    access.people.add("bob", "editor", PASSWORD)
    kept, brief = (
        Claim("token", tokens.secret_digest(access.people.token("bob", n, d)))
        for n, d in (("a", None), ("b", 1))
    )
    assert access.who(kept) == access.who(brief) == Actor("bob", "editor")
    with access.database.writing() as connection:
        past = utc_stamp(datetime.now(UTC) - timedelta(seconds=1))
        connection.execute(update(access_tokens).where(access_tokens.c.name == "b").values(expires=past))
    assert access.who(brief) is None
    access.people.revoke("bob", "a")
    assert access.who(kept) is None
    assert access.who(Claim("session", kept.key)) is None


def test_a_session_is_no_token(access):
    secret = access.begin(Actor("ann", "admin"))
    assert access.who(Claim("token", tokens.secret_digest(secret))) is None


def test_a_name_that_a_proxy_says_counts_where_it_is_known(access):
    assert access.who(Claim("proxy", "ann")) == Actor("ann", "admin")
    assert access.who(Claim("proxy", "eve")) is None


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda p: p.add("ann", "viewer"), "there is ann already"),
        (lambda p: p.add(" ANN ", "viewer"), "there is ann already"),
        (lambda p: p.add("", "viewer"), "1 to 128 printable characters"),
        (lambda p: p.add("a\nb", "viewer"), "1 to 128 printable characters"),
        (lambda p: p.add("bob", "owner"), "viewer, editor, approver, admin"),
        (lambda p: p.add("bob", "viewer", "short"), "10 to 1,024 characters"),
        (lambda p: p.add("bob", "viewer", "x" * 1025), "10 to 1,024 characters"),
        (lambda p: p.set_role("bob", "viewer"), "there is nobody of that name; there is ann"),
        (lambda p: p.set_role("ann", "viewer"), "last admin"),
        (lambda p: p.set_password("bob", PASSWORD), "there is nobody of that name"),
        (lambda p: p.remove("bob"), "there is nobody of that name"),
        (lambda p: p.revoke("ann", "laptop"), "no token 'laptop'; there is none"),
        (lambda p: p.token("bob", "laptop"), "there is nobody of that name"),
    ],
)
def test_what_cannot_be_is_told(access, act, said):
    before = access.people.list()
    with pytest.raises(ConfigError, match=said):
        act(access.people)
    assert access.people.list() == before


def test_the_last_admin_may_go_only_when_nobody_stays(access):
    access.people.add("bob", "viewer", PASSWORD)
    with pytest.raises(ConfigError, match="last admin"):
        access.people.remove("ann")
    access.people.remove("bob")
    access.people.remove("ann")
    assert access.people.list() == []


def test_each_role_may_what_those_before_it_may():
    allowed = [[Actor("x", mine).may(asked) for asked in ROLES] for mine in ROLES]
    assert allowed == [[place <= mine for place in range(4)] for mine in range(4)]
    with pytest.raises(
        ForbiddenError, match="bob is viewer here, and cannot train: that takes the role editor"
    ):
        Actor("bob", "viewer").check("editor", "train")
