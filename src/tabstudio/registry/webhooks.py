"""Webhooks: an event is written in the transaction that it tells of, and sent until it was taken.

The form is that of Standard Webhooks (standardwebhooks.com): headers `webhook-id`, `webhook-timestamp` and
`webhook-signature`, the latter `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. An event may
come twice, with the same id. Its `text` is what chat programs show.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select, update

from tabstudio._util.clock import utc_now, utc_stamp
from tabstudio._util.error_summary import summarize_error
from tabstudio._util.http_client import open_request
from tabstudio._version import __version__
from tabstudio.database.tables import deliveries
from tabstudio.errors import ConfigError
from tabstudio.registry.hash_chain import canonical
from tabstudio.registry.records import Transition
from tabstudio.registry.stage_rules import StageRules, Webhook, receiver
from tabstudio.settings import secret

if TYPE_CHECKING:
    from tabstudio.database import Database

ATTEMPTS = 20
"""After so many an event is given up and stays in the table: with the pauses, after eleven days."""
TOLERANCE = 300
"""Seconds that a timestamp may be old: what a receiver should refuse beyond."""
_TIMEOUT = 5
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=30), timedelta(days=1)
_CLAIM = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """What a delivery did: events taken, events that wait for another attempt, events given up."""

    delivered: int
    waiting: int
    given_up: int
    problems: tuple[str, ...] = ()


def enqueue(connection: Connection, rules: StageRules, rows: Iterable[Transition]) -> None:
    """Write down whom each row is to be told to, in the transaction that wrote the row."""
    for row in rows:
        for hook in rules.webhooks:
            if not hook.kinds or row.kind in hook.kinds:
                connection.execute(deliveries.insert().values(_delivery_row(row, hook.url)))


def deliver(database: Database, rules: StageRules, *, limit: int = 20) -> DeliveryResult:
    """Send what is due, up to `limit` events, a few seconds each at most.

    What is not taken waits 30 seconds, then a minute, two, and so on up to a day.
    """
    hooks = {hook.url: hook for hook in rules.webhooks}
    claimed = _claim(database, limit)
    problems = []
    for event in claimed:
        problem = _send(event, hooks.get(event.url))
        _note(database, event, problem)
        if problem:
            problems.append(f"{receiver(event.url)}: {problem}")
    is_due = deliveries.c.due.is_not(None)
    unsent = select(is_due, func.count()).where(deliveries.c.delivered.is_(None)).group_by(is_due)
    with database.reading() as connection:
        counts = dict(connection.execute(unsent).tuples().all())
    delivered, waiting, given_up = len(claimed) - len(problems), counts.get(True, 0), counts.get(False, 0)
    return DeliveryResult(delivered, waiting, given_up, tuple(dict.fromkeys(problems)))


def signature(secret_text: str, event_id: str, timestamp: int, body: str) -> str:
    """Return the header that proves who sent a body, as Standard Webhooks defines it.

    >>> signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
    ...           '{"test": 2432232314}')
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    plain = secret_text.removeprefix("whsec_")
    key = base64.b64decode(plain) if plain != secret_text else secret_text.encode()
    signed = hmac.new(key, f"{event_id}.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def is_genuine(secret_text: str, headers: Mapping[str, str], body: str) -> bool:
    """Tell whether a request came from us within the last five minutes: for receivers in Python.

    `headers` are those of the request, by lower-case names.
    """
    event_id, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not sent.isdigit() or abs(time.time() - int(sent)) > TOLERANCE:
        return False
    expected = signature(secret_text, event_id, int(sent), body)
    return any(
        hmac.compare_digest(expected, received) for received in headers.get("webhook-signature", "").split()
    )


@dataclass(frozen=True, slots=True)
class _Event:
    """What is to be sent, as the table holds it."""

    id: str
    url: str
    body: str
    attempts: int


def _delivery_row(event: Transition, url: str) -> dict[str, object]:
    """Return the row of the table for one event and one receiver."""
    event_id, created = str(uuid.uuid4()), utc_now()
    body = {
        "id": event_id,
        "type": f"registry.{event.kind}",
        "timestamp": event.time,
        "text": f"{event}: {event.reason}" if event.reason else str(event),
        "data": event.to_json(),
    }
    return {
        "id": event_id,
        "url": url,
        "body": canonical(body),
        "created": created,
        "attempts": 0,
        "due": created,
        "delivered": None,
        "error": "",
    }


def _claim(database: Database, limit: int) -> list[_Event]:
    """Take what is due for a minute: another process does not send it meanwhile."""
    table = deliveries.c
    due = select(table.id, table.url, table.body, table.attempts).where(table.due <= utc_now())
    due = due.order_by(table.due).limit(limit).with_for_update(skip_locked=True)
    with database.writing() as connection:
        events = [_Event(*row) for row in connection.execute(due)]
        until = utc_stamp(datetime.now(UTC) + _CLAIM + timedelta(seconds=_TIMEOUT * limit))
        claimed = update(deliveries).where(table.id.in_([event.id for event in events]))
        connection.execute(claimed.values(due=until))
    return events


def _note(database: Database, event: _Event, problem: str) -> None:
    attempts = event.attempts + 1
    values: dict[str, object] = {"delivered": utc_now(), "due": None, "error": ""}
    if problem:
        pause = min(_FIRST_PAUSE * 2 ** (attempts - 1), _LONGEST_PAUSE)
        due = None if attempts >= ATTEMPTS else utc_stamp(datetime.now(UTC) + pause)
        values = {"due": due, "error": problem}
    with database.writing() as connection:
        query = update(deliveries).where(deliveries.c.id == event.id)
        connection.execute(query.values(attempts=attempts, **values))


def _send(event: _Event, hook: Webhook | None) -> str:
    """Send one event; say what stood in the way, nothing where it was taken."""
    if hook is None:
        return "it is not among the webhooks of the configuration any more"
    try:
        headers, body = _headers(event, hook), event.body.encode()
        with open_request("POST", event.url, seconds=_TIMEOUT, body=body, headers=headers) as answer:
            return "" if answer.is_success else f"it answered {answer.status_code} {answer.reason_phrase}"
    except (OSError, ValueError, ConfigError) as error:
        return summarize_error(error)


def _headers(event: _Event, hook: Webhook) -> dict[str, str]:
    sent = int(time.time())
    headers = {
        "content-type": "application/json",
        "user-agent": f"tabstudio/{__version__}",
        "webhook-id": event.id,
        "webhook-timestamp": str(sent),
    }
    if hook.secret_env:
        headers["webhook-signature"] = signature(secret(hook.secret_env), event.id, sent, event.body)
    return headers
