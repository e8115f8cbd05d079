"""The people who may use the studio, and the tokens of their programs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from tabstudio.studio.access.roles import Role
from tabstudio.studio.access.users import UserStore
from tabstudio.studio.api.asking import Asking
from tabstudio.studio.api.errors import NotFoundError
from tabstudio.studio.api.shapes import Gone, Shape

router = APIRouter(tags=["people"])


class Person(Shape):
    """Somebody who may use the studio."""

    name: str
    role: Role
    created: str = Field(description="UTC, ISO 8601.")
    password: bool = Field(description="Whether they can log in by a password.")
    tokens: list[str] = Field(description="What their programs' tokens are for.")


class Persons(Shape):
    """Everybody, by name."""

    items: list[Person]


class Newcomer(BaseModel):
    """Somebody new."""

    name: str
    role: Role
    password: str | None = Field(None, description="Without one they come by token or through a proxy.")


class Change(BaseModel):
    """What changes for somebody."""

    role: Role | None = None
    password: str | None = Field(None, description="A new password ends their sessions.")


class NewToken(BaseModel):
    """What a token is made for."""

    label: str = "REST API"
    days: int | None = Field(None, ge=1, description="How long it counts; null for ever.")


class Token(Shape):
    """A token, shown this once."""

    token: str


@router.get("/people", summary="Who may use the studio")
def people(asking: Asking) -> Persons:
    """Role: admin."""
    return Persons.model_validate({"items": asking.studio.people(asking.who).list()})


@router.post("/people", summary="Let somebody in", status_code=201)
def add(asking: Asking, asked: Newcomer) -> Person:
    """Role: admin."""
    people = asking.studio.people(asking.who)
    people.add(asked.name, asked.role, asked.password)
    return _person(people, asked.name.strip())


@router.patch("/people/{name}", summary="Change somebody's role or password")
def change(asking: Asking, name: str, asked: Change) -> Person:
    """Role: admin. It counts at once, also for pages that are open."""
    people = asking.studio.people(asking.who)
    _person(people, name)
    if asked.role is not None:
        people.set_role(name, asked.role)
    if asked.password is not None:
        people.set_password(name, asked.password)
    asking.studio.feed.touch("people")
    return _person(people, name)


@router.delete("/people/{name}", summary="Let somebody in no more: their sessions and tokens end")
def remove(asking: Asking, name: str) -> Gone:
    """Role: admin."""
    people = asking.studio.people(asking.who)
    _person(people, name)
    people.remove(name)
    asking.studio.feed.touch("people")
    return Gone()


@router.post("/people/{name}/tokens", summary="Make a token for a program of somebody's", status_code=201)
def token(asking: Asking, name: str, asked: NewToken) -> Token:
    """Role: admin; viewer for one's own."""
    people = asking.studio.people(asking.who, about=name)
    _person(people, name)
    return Token(token=people.token(name, asked.label, asked.days))


@router.delete("/people/{name}/tokens", summary="Let a token count no more")
def revoke(asking: Asking, name: str, label: Annotated[str, Query(description="What it is for.")]) -> Gone:
    """Role: admin; viewer for one's own."""
    people = asking.studio.people(asking.who, about=name)
    _person(people, name)
    people.revoke(name, label)
    return Gone()


def _person(people: UserStore, name: str) -> Person:
    found = next((one for one in people.list() if one.name == name), None)
    if found is None:
        raise NotFoundError(f"user {name[:100]}: there is nobody of that name")
    return Person.model_validate(found)
