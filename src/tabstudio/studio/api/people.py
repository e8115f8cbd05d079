"""The people who may use the studio, and the tokens of their programs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from tabstudio.remote import paths
from tabstudio.remote.shapes import Gone, JsonShape, named, shape
from tabstudio.studio.access.roles import Role
from tabstudio.studio.access.users import StudioUser, UserStore
from tabstudio.studio.api.errors import NotFoundError
from tabstudio.studio.api.request_context import Context

router = APIRouter(tags=["people"])


PersonShape = shape(StudioUser)
PeoplePage = named("People", "Everybody, by name.", items=list[PersonShape])  # type: ignore[valid-type]


class NewPersonBody(BaseModel):
    """Somebody new."""

    name: str
    role: Role
    password: str | None = Field(None, description="Without one they come by token or through a proxy.")


class PersonChangeBody(BaseModel):
    """What changes for somebody."""

    role: Role | None = None
    password: str | None = Field(None, description="A new password ends their sessions.")


class NewTokenBody(BaseModel):
    """What a token is made for."""

    label: str = "REST API"
    days: int | None = Field(None, ge=1, description="How long it counts; null for ever.")


class IssuedToken(JsonShape):
    """A token, shown this once."""

    token: str


@router.get(paths.PEOPLE, summary="Who may use the studio", response_model=PeoplePage)
def people(context: Context) -> object:
    """Role: admin."""
    return {"items": context.studio.people(context.who).list()}


@router.post(paths.PEOPLE, summary="Let somebody in", status_code=201, response_model=PersonShape)
def add(context: Context, body: NewPersonBody) -> object:
    """Role: admin."""
    people = context.studio.people(context.who)
    people.add(body.name, body.role, body.password)
    return _person(people, body.name.strip())


@router.patch(paths.PERSON, summary="Change somebody's role or password", response_model=PersonShape)
def change(context: Context, name: str, body: PersonChangeBody) -> object:
    """Role: admin. It counts at once, also for pages that are open."""
    people = context.studio.people(context.who)
    _person(people, name)
    if body.role is not None:
        people.set_role(name, body.role)
    if body.password is not None:
        people.set_password(name, body.password)
    context.studio.feed.touch("people")
    return _person(people, name)


@router.delete(paths.PERSON, summary="Let somebody in no more: their sessions and tokens end")
def remove(context: Context, name: str) -> Gone:
    """Role: admin."""
    people = context.studio.people(context.who)
    _person(people, name)
    people.remove(name)
    context.studio.feed.touch("people")
    return Gone()


@router.post(paths.PERSON_TOKENS, summary="Make a token for a program of somebody's", status_code=201)
def token(context: Context, name: str, body: NewTokenBody) -> IssuedToken:
    """Role: admin; viewer for one's own."""
    people = context.studio.people(context.who, about=name)
    _person(people, name)
    return IssuedToken(token=people.token(name, body.label, body.days))


@router.delete(paths.PERSON_TOKENS, summary="Let a token count no more")
def revoke(context: Context, name: str, label: Annotated[str, Query(description="What it is for.")]) -> Gone:
    """Role: admin; viewer for one's own."""
    people = context.studio.people(context.who, about=name)
    _person(people, name)
    people.revoke(name, label)
    return Gone()


def _person(users: UserStore, name: str) -> StudioUser:
    user = next((user for user in users.list() if user.name == name), None)
    if user is None:
        raise NotFoundError(f"user {name[:100]}: there is nobody of that name")
    return user
