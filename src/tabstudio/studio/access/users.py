"""The users of a studio with their roles and passwords, in tabstudio's own tables."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, cast

from sqlalchemy import Connection, delete, func, insert, select, update

from tabstudio._util.clock import utc_now, utc_stamp
from tabstudio.database import Database
from tabstudio.database.tables import access_tokens, sessions, users
from tabstudio.errors import ConfigError
from tabstudio.studio.access import passwords
from tabstudio.studio.access import tokens as secrets
from tabstudio.studio.access.roles import ROLES, Actor, Role

LONGEST_NAME = 128


@dataclass(frozen=True, slots=True)
class StudioUser:
    """Somebody who may use the studio.

    Without a password there is a way in by token and by a proxy's word only.
    """

    name: str
    role: Role
    created: Annotated[str, "UTC, ISO 8601."]
    password: Annotated[bool, "Whether they can log in by a password."]
    tokens: Annotated[tuple[str, ...], "What their programs' tokens are for."] = ()


class UserStore:
    """The users in `database`. Changes count at once, also for pages that are open."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def list(self) -> list[StudioUser]:
        """Return all users by name."""
        with self.database.reading() as connection:
            rows = connection.execute(select(users).order_by(users.c.name)).mappings().all()
            named = connection.execute(select(access_tokens.c.user, access_tokens.c.name)).all()
        tokens: dict[str, list[str]] = {}
        for user, token in sorted(tuple(row) for row in named):
            tokens.setdefault(user, []).append(token)
        return [
            StudioUser(
                row["name"],
                cast("Role", row["role"]),
                row["created"],
                bool(row["password"]),
                tuple(tokens.get(row["name"], ())),
            )
            for row in rows
        ]

    def any(self) -> bool:
        """Whether there is any user."""
        with self.database.reading() as connection:
            return connection.execute(select(users.c.name).limit(1)).first() is not None

    def who(self, name: str) -> Actor | None:
        """Return the user of that name and their role, None where there is none."""
        with self.database.reading() as connection:
            role = connection.execute(select(users.c.role).where(users.c.name == name)).scalar()
        return Actor(name, cast("Role", role)) if role else None

    def add(self, name: str, role: str, password: str | None = None) -> None:
        """Add a user. Without a password they come by token or through a proxy.

        Raises `ConfigError` for a name that is taken or cannot be one, a role that there is not, and a
        password that is too short.
        """
        name, role = _checked_name(name), _checked_role(role)
        hashed = passwords.hash_password(password) if password is not None else ""
        with self.database.writing() as connection:
            names = connection.execute(select(users.c.name)).scalars().all()
            clash = next((one for one in names if one.casefold() == name.casefold()), None)
            if clash is not None:
                raise ConfigError(f"user {name}: there is {clash} already")
            values = {"name": name, "role": role, "password": hashed, "created": utc_now()}
            connection.execute(insert(users).values(**values))

    def set_role(self, name: str, role: str) -> None:
        """Change the role of a user. Raises `ConfigError` where it would leave no admin."""
        role = _checked_role(role)
        with self.database.writing() as connection:
            _known(connection, name)
            if role != "admin":
                _check_admin_left(connection, name)
            connection.execute(update(users).where(users.c.name == name).values(role=role))

    def set_password(self, name: str, password: str) -> None:
        """Change the password of a user and end their sessions; their tokens stay.

        Raises `ConfigError` where there is nobody of that name, or the password is too short.
        """
        hashed = passwords.hash_password(password)
        with self.database.writing() as connection:
            _known(connection, name)
            connection.execute(update(users).where(users.c.name == name).values(password=hashed))
            connection.execute(delete(sessions).where(sessions.c.user == name))

    def remove(self, name: str) -> None:
        """Remove a user with their sessions and tokens.

        Raises `ConfigError` where there is nobody of that name, or the others would have no admin.
        """
        with self.database.writing() as connection:
            _known(connection, name)
            if connection.execute(select(func.count()).select_from(users)).scalar_one() > 1:
                _check_admin_left(connection, name)
            for table, column in (
                (sessions, sessions.c.user),
                (access_tokens, access_tokens.c.user),
                (users, users.c.name),
            ):
                connection.execute(delete(table).where(column == name))

    def login(self, name: str, password: str) -> Actor | None:
        """Return the user, None for a wrong password as for a name that nobody has."""
        name = _normal(name)
        with self.database.reading() as connection:
            row = connection.execute(select(users).where(users.c.name == name)).mappings().one_or_none()
        stored = row["password"] if row else ""
        if not passwords.verify_password(stored, password) or row is None:
            return None
        if passwords.needs_rehash(stored):
            with self.database.writing() as connection:
                unchanged = (users.c.name == name) & (users.c.password == stored)
                fresh = passwords.hash_password(password)
                connection.execute(update(users).where(unchanged).values(password=fresh))
        return Actor(name, cast("Role", row["role"]))

    def token(self, user: str, name: str, days: int | None = None) -> str:
        """Create an access token of a user and return it: it is shown this once.

        `days` bounds its life. Raises `ConfigError` where there is no such user, or they have a token of
        that name.
        """
        secret = secrets.new_token()
        name = _checked_name(name)
        expires = None if days is None else utc_stamp(datetime.now(UTC) + timedelta(days=days))
        with self.database.writing() as connection:
            _known(connection, user)
            mine = (access_tokens.c.user == user) & (access_tokens.c.name == name)
            if connection.execute(select(access_tokens.c.name).where(mine)).first() is not None:
                raise ConfigError(f"user {user}: there is a token {name!r} already; revoke it first")
            values = {"hash": secrets.secret_digest(secret), "name": name, "user": user}
            connection.execute(insert(access_tokens).values(**values, created=utc_now(), expires=expires))
        return secret

    def revoke(self, user: str, name: str) -> None:
        """Revoke a token. Raises `ConfigError` where there is none of that name."""
        with self.database.writing() as connection:
            _known(connection, user)
            theirs = select(access_tokens.c.name).where(access_tokens.c.user == user)
            names = sorted(connection.execute(theirs).scalars())
            if name not in names:
                raise ConfigError(
                    f"user {user}: there is no token {name!r}; there is {', '.join(names) or 'none'}"
                )
            mine = (access_tokens.c.user == user) & (access_tokens.c.name == name)
            connection.execute(delete(access_tokens).where(mine))


def _known(connection: Connection, name: str) -> None:
    names = sorted(connection.execute(select(users.c.name)).scalars())
    if name not in names:
        raise ConfigError(
            f"user {name}: there is nobody of that name; there is {', '.join(names) or 'nobody'}"
        )


def _check_admin_left(connection: Connection, name: str) -> None:
    admins = connection.execute(select(users.c.name).where(users.c.role == "admin").with_for_update())
    if set(admins.scalars()) == {name}:
        raise ConfigError(f"user {name}: this is the last admin: make somebody else admin first")


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip())


def _checked_name(name: str) -> str:
    name = _normal(name)
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ConfigError(
            f"a name of 1 to {LONGEST_NAME} printable characters was expected, got {name[:LONGEST_NAME]!r}"
        )
    return name


def _checked_role(role: str) -> str:
    if role not in ROLES:
        raise ConfigError(f"role {role!r}: the roles are {', '.join(ROLES)}")
    return role
