"""Authentication of claims: a changed role, an ended session or a revoked token counts at once."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, cast

from sqlalchemy import delete, insert, select

from tabstudio._util.clock import utc_now, utc_stamp
from tabstudio.database import Database
from tabstudio.database.tables import access_tokens, sessions, users
from tabstudio.errors import AccessError
from tabstudio.settings import actor
from tabstudio.studio.access import tokens
from tabstudio.studio.access.roles import Actor, Role
from tabstudio.studio.access.users import UserStore

if TYPE_CHECKING:
    from sqlalchemy import Table

SESSION_DAYS = 7
THREADS = 4


@dataclass(frozen=True, slots=True)
class Claim:
    """An unverified identity: `key` is the hash of a secret, or the name that a proxy sends.

    An `owner` is the user of this machine, where no login is needed.
    """

    kind: Literal["owner", "session", "token", "proxy"]
    key: str = ""


class Authentication:
    """Verifies claims against the database, each time anew."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.people = UserStore(database)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="authentication")

    async def authenticate(self, claim: Claim) -> Actor | None:
        """Return what `who` does, from a thread pool that no slow MLflow holds up."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.who, claim)

    def who(self, claim: Claim) -> Actor | None:
        """Return who makes a claim, None where it does not hold, or holds no longer."""
        if claim.kind == "owner":
            return Actor(actor(), "admin")
        if claim.kind == "proxy":
            return self.people.who(claim.key)
        return self._by_hash(sessions if claim.kind == "session" else access_tokens, claim.key)

    def checked(self, claim: Claim) -> Actor:
        """Return who makes a claim. Raises `AccessError` where it holds no longer."""
        who = self.who(claim)
        if who is None:
            raise AccessError("your session has ended: log in again")
        return who

    def begin(self, who: Actor) -> str:
        """Start a session and return its secret, for the browser alone; sessions that are over go."""
        secret = tokens.new_session_secret()
        with self.database.writing() as connection:
            connection.execute(delete(sessions).where(sessions.c.expires < utc_now()))
            expires = utc_stamp(datetime.now(UTC) + timedelta(days=SESSION_DAYS))
            values = {"hash": tokens.secret_digest(secret), "user": who.name, "expires": expires}
            connection.execute(insert(sessions).values(**values))
        return secret

    def end(self, claim: Claim) -> None:
        """End a session, wherever it is open."""
        with self.database.writing() as connection:
            connection.execute(delete(sessions).where(sessions.c.hash == claim.key))

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)

    def _by_hash(self, table: Table, key: str) -> Actor | None:
        alive = table.c.expires.is_(None) | (table.c.expires > utc_now())
        query = (
            select(users.c.name, users.c.role)
            .join(table, table.c.user == users.c.name)
            .where(table.c.hash == key, alive)
        )
        with self.database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return Actor(row[0], cast("Role", row[1])) if row else None
