"""Guesses are slowed down, by name and by address, in memory that does not grow."""

from __future__ import annotations

import statistics
import time

import pytest

from tabstudio.database import Database
from tabstudio.studio.access.authentication import Authentication
from tabstudio.studio.access.failure_counter import FailureCounter
from tabstudio.studio.access.logins import BY_ADDRESS, BY_NAME, PasswordLogins, SlowDownError

PASSWORD = "correct horse battery"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def logins(tmp_path):
    with Database(f"sqlite:///{tmp_path}/ours.db") as database:
        access = Authentication(database)
        access.people.add("ann", "admin", PASSWORD)
        yield PasswordLogins(access)


def test_failures_pass_in_a_burst_and_then_at_a_rate():
    clock = Clock()
    failures = FailureCounter(3, 60.0, clock)
    for _ in range(3):
        assert failures.wait("ann") == 0
        failures.note("ann")
    assert failures.wait("ann") == 60
    assert failures.wait("bob") == 0
    clock.now = 59.0
    assert failures.wait("ann") == 1
    clock.now = 60.0
    assert failures.wait("ann") == 0
    failures.note("ann")
    assert failures.wait("ann") == 60


def test_names_without_end_take_no_more_memory_and_block_few_others():
    failures = FailureCounter(3, 60.0, Clock())
    sizes = [len(row) for row in (*failures._counts, *failures._updated)]
    for number in range(2000):
        failures.note(f"guess {number}")
    assert [len(row) for row in (*failures._counts, *failures._updated)] == sizes
    assert sum(failures.wait(f"other {number}") > 0 for number in range(1000)) < 30


def test_a_success_does_not_count(logins):
    for _ in range(BY_NAME[0] + 1):
        assert logins.login("ann", PASSWORD, "192.0.2.1")


def test_one_name_is_slowed_down_wherever_guesses_come_from(logins, monkeypatch):
    monkeypatch.setattr(type(logins.access.people), "login", lambda *_: None)
    for number in range(BY_NAME[0]):
        assert logins.login("Ann " if number % 2 else "ann", "x", f"192.0.2.{number}") is None
    with pytest.raises(SlowDownError) as told:
        logins.login("ann", PASSWORD, "198.51.100.7")
    assert 0 < told.value.seconds <= BY_NAME[1]
    assert logins.login("bob", "x", "198.51.100.7") is None


@pytest.mark.parametrize(
    "addresses",
    [["192.0.2.1"], [f"2001:db8::{n:x}" for n in range(1, 60)]],
    ids=["one", "one network of IPv6"],
)
def test_one_address_is_slowed_down_whatever_names_it_guesses(logins, monkeypatch, addresses):
    monkeypatch.setattr(type(logins.access.people), "login", lambda *_: None)
    for number in range(BY_ADDRESS[0]):
        assert logins.login(f"name {number}", "x", addresses[number % len(addresses)]) is None
    with pytest.raises(SlowDownError):
        logins.login("another name", "x", addresses[0])
    assert logins.login("another name", "x", "2001:db9::1") is None


def test_nobody_learns_by_the_time_it_takes_who_exists(logins):
    def seconds(name: str) -> float:
        began = time.perf_counter()
        assert logins.access.people.login(name, "wrong password") is None
        return time.perf_counter() - began

    seconds("nobody")  # makes the hash that unknown names are held against
    known, unknown = (statistics.median(seconds(name) for _ in range(5)) for name in ("ann", "nobody"))
    assert 0.5 < known / unknown < 2
