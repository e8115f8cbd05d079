"""Push: each source is polled once for all browsers, and its followers are called when it has changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

log = logging.getLogger("tabstudio.studio")
Follower = Callable[[], Awaitable[None] | None]
Token = Callable[[str], Hashable]


@dataclass(frozen=True, slots=True)
class FeedSource:
    """`token(rest)` returns, in a thread, what differs after a change; it is called every `seconds`.

    `rest` is what follows the colon in the name of a topic: `1234` for `run:1234`.
    """

    token: Token
    seconds: float = 1.0


@dataclass(slots=True, eq=False)
class _Followed:
    """One follower. While it still works on a change, further ones wait, and become one call.

    `at_least` are the seconds after which it is called without a change, too.
    """

    call: Follower
    at_least: float | None = None
    called: float = field(default_factory=monotonic)
    busy: bool = False
    again: bool = False

    def overdue(self, now: float) -> bool:
        return self.at_least is not None and now - self.called >= self.at_least

    async def notify(self) -> None:
        self.again = True
        self.called = monotonic()
        if self.busy:
            return
        self.busy = True
        try:
            while self.again:
                self.again = False
                await _call(self.call)
        finally:
            self.busy = False


@dataclass(slots=True)
class _Topic:
    source: FeedSource
    rest: str
    followers: list[_Followed] = field(default_factory=list)
    last: Hashable = None
    due: float = 0.0
    polling: bool = False
    broken: bool = False


class Feed:
    """Followers by topic. A topic without followers costs nothing."""

    def __init__(self, sources: dict[str, FeedSource]) -> None:
        self._sources = sources
        self._topics: dict[str, _Topic] = {}
        self._task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, topic: str, follower: Follower, *, at_least: float | None = None) -> Callable[[], None]:
        """Call `follower` after each change, until what is returned is called.

        What comes and goes between two polls leaves no change to see: with `at_least`, `follower` is called
        when so many seconds have passed without a call, too. Raises `KeyError` for an unknown topic.
        """
        name, _, rest = topic.partition(":")
        entry = self._topics.setdefault(topic, _Topic(self._sources[name], rest))
        followed = _Followed(follower, at_least)
        entry.followers.append(followed)

        def leave() -> None:
            with suppress(ValueError):
                entry.followers.remove(followed)
            if not entry.followers and self._topics.get(topic) is entry:
                del self._topics[topic]

        return leave

    def touch(self, topic: str) -> None:
        """Poll a topic at once: this process has just changed it."""
        if topic in self._topics:
            self._topics[topic].due = 0.0

    def start(self) -> None:
        """Begin to poll, on the running event loop."""
        self._task = asyncio.create_task(self._run(), name="feed")

    async def stop(self) -> None:
        """End, and wait for the end."""
        tasks = [task for task in (self._task, *self._tasks) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            now = monotonic()
            for topic in list(self._topics.values()):
                if topic.due <= now and not topic.polling:
                    topic.polling = True  # a slow source keeps no other topic waiting
                    self._spawn(self._poll(topic))
            await asyncio.sleep(0.25)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _poll(self, topic: _Topic) -> None:
        topic.due = monotonic() + topic.source.seconds
        try:
            token = await asyncio.to_thread(topic.source.token, topic.rest)
        except Exception as error:  # noqa: BLE001 - a server that is down comes back: pages stay open meanwhile
            if not topic.broken:
                log.warning("cannot look for changes: %s", error)
            topic.broken, topic.due = True, monotonic() + 5 * topic.source.seconds
            return
        finally:
            topic.polling = False
        topic.broken = False
        changed = topic.last is not None and token != topic.last
        topic.last = token
        for follower in topic.followers:
            if changed or follower.overdue(monotonic()):
                self._spawn(follower.notify())


async def _call(follower: Follower) -> None:
    try:
        answer = follower()
        if answer is not None:
            await answer
    except Exception:  # one page that cannot draw must not hold up the others
        log.exception("a page could not be brought up to date")
