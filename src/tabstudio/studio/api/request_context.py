"""Who asks, and the studio that is asked: what every operation gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Query, Request

from tabstudio.errors import ConfigError, DataError
from tabstudio.registry import Registry
from tabstudio.studio.access.roles import Actor
from tabstudio.studio.api.errors import NotFoundError
from tabstudio.studio.studio import Studio

_Found = TypeVar("_Found")
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at once.")]


@dataclass(frozen=True, slots=True)
class ApiContext:
    """One question: `who` was found out by the guard, for this request."""

    studio: Studio
    who: Actor

    @property
    def registry(self) -> Registry:
        """The registry, with who asks as who acts."""
        return self.studio.registry(self.who)

    def table(self, name: str | None) -> str | None:
        """The path of one of the studio's tables, by its name there."""
        return None if name is None else str(found(self.studio.tables.find, name))


def found(find: Callable[[str], _Found], name: str) -> _Found:
    """Look something up by name; that there is nothing is told as such."""
    try:
        return find(name)
    except (ConfigError, DataError) as error:
        raise NotFoundError(str(error)) from error


def _asked(request: Request) -> ApiContext:
    return ApiContext(request.app.state.studio, request.scope["state"]["who"])


Context = Annotated[ApiContext, Depends(_asked)]
