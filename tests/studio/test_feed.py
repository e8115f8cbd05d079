"""Followers hear of changes, of nothing else, and a source that fails comes back."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tabstudio.studio.services.feed import Feed, FeedSource

from .loops import run


class Changing:
    """A source whose state the test sets."""

    def __init__(self) -> None:
        self.state: object = 0
        self.asked: list[str] = []

    def __call__(self, rest: str) -> object:
        self.asked.append(rest)
        if isinstance(self.state, Exception):
            raise self.state
        return self.state


async def until(condition, seconds: float = 5.0) -> bool:
    """Wait until a condition holds; False when it does not in time."""
    for _ in range(int(seconds / 0.01)):
        if condition():
            return True
        await asyncio.sleep(0.01)
    return False


def with_feed(story, **more):
    """Run a story over a feed that looks as often as it can."""

    async def told() -> None:
        source = Changing()
        feed = Feed({"run": FeedSource(source, 0.0), **more})
        feed.start()
        try:
            await story(feed, source)
        finally:
            await feed.stop()

    run(told())


def test_followers_are_told_of_a_change_and_of_nothing_before_it():
    async def story(feed, source):
        heard = []
        feed.follow("run:7", lambda: heard.append("plain"))

        async def later():
            heard.append("awaited")

        feed.follow("run:7", later)
        assert await until(lambda: len(source.asked) >= 2)
        assert heard == []
        source.state = 1
        assert await until(lambda: len(heard) == 2)
        assert heard == ["plain", "awaited"]
        assert set(source.asked) == {"7"}

    with_feed(story)


def test_nobody_asks_a_source_that_nobody_follows():
    async def story(feed, source):
        leave = feed.follow("run:7", lambda: None)
        assert await until(lambda: source.asked)
        leave()
        leave()  # a page may be closed twice
        await asyncio.sleep(0.3)
        asked = len(source.asked)
        await asyncio.sleep(0.6)
        assert len(source.asked) == asked

    with_feed(story)


def test_one_look_serves_all_followers():
    async def story(feed, source):
        heard = []
        for place in range(20):
            feed.follow("run:7", lambda place=place: heard.append(place))
        assert await until(lambda: len(source.asked) == 2)
        source.state = 1
        assert await until(lambda: len(heard) == 20)
        assert len(source.asked) <= 4

    with_feed(story)


def test_a_follower_that_fails_does_not_keep_the_others_from_hearing(caplog):
    async def story(feed, source):
        heard = []

        def broken():
            raise RuntimeError("no such element")

        feed.follow("run:7", broken)
        feed.follow("run:7", lambda: heard.append(1))
        assert await until(lambda: len(source.asked) >= 2)
        source.state = 1
        assert await until(lambda: heard)

    with_feed(story)
    assert "could not be brought up to date" in caplog.text


def test_a_source_that_is_down_is_told_once_and_heard_again(caplog):
    async def story(feed, source):
        heard = []
        feed.follow("run:7", lambda: heard.append(1))
        assert await until(lambda: len(source.asked) >= 2)
        source.state = OSError("connection refused")
        before = len(source.asked)
        assert await until(lambda: len(source.asked) >= before + 3)
        source.state = 2
        assert await until(lambda: heard)

    with_feed(story)
    assert caplog.text.count("connection refused") == 1


def test_a_slow_follower_keeps_nobody_waiting_and_hears_of_what_came_meanwhile_once():
    async def story(feed, source):
        gate, slow, quick = asyncio.Event(), [], []

        async def wait():
            slow.append(source.state)
            await gate.wait()

        feed.follow("run:7", wait)
        feed.follow("run:7", lambda: quick.append(source.state))
        assert await until(lambda: len(source.asked) >= 2)
        for state in (1, 2, 3):
            source.state = state
            assert await until(lambda state=state: quick[-1:] == [state])
        assert slow == [1]
        gate.set()
        assert await until(lambda: len(slow) == 2)
        await asyncio.sleep(0.1)
        assert slow == [1, 3]

    with_feed(story)


def test_a_slow_source_keeps_no_other_topic_waiting():
    held = threading.Event()

    async def story(feed, source):
        feed.follow("slow", lambda: None)
        feed.follow("run:7", lambda: None)
        assert await until(lambda: len(source.asked) >= 3, 3)
        held.set()

    with_feed(story, slow=FeedSource(lambda _: held.wait(5), 0.0))


def test_a_topic_that_is_not_there_is_an_error_at_once():
    with pytest.raises(KeyError):
        Feed({}).follow("weather", lambda: None)


def test_who_asks_for_it_is_told_after_some_seconds_without_a_change_too():
    async def story(feed, source):
        often, seldom = [], []
        feed.follow("run:7", lambda: often.append(1), at_least=0.3)
        feed.follow("run:7", lambda: seldom.append(1), at_least=60)
        assert await until(lambda: len(often) >= 2)
        assert seldom == []

    with_feed(story)
