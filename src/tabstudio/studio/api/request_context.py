"""The context of a request: who asks, and the studio that answers."""

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

_Item = TypeVar("_Item")
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at once.")]


@dataclass(frozen=True, slots=True)
class ApiContext:
    """The studio and, as the guard has found, who asks."""

    studio: Studio
    who: Actor

    @property
    def registry(self) -> Registry:
        """The registry, with who asks as who acts."""
        return self.studio.registry(self.who)

    def table(self, name: str | None) -> str | None:
        """Return the path of one of the studio's tables, by its name there."""
        return None if name is None else str(find_or_404(self.studio.tables.find, name))


def find_or_404(find: Callable[[str], _Item], name: str) -> _Item:
    """Return what `find` knows by a name. Raises `NotFoundError` where there is nothing."""
    try:
        return find(name)
    except (ConfigError, DataError) as error:
        raise NotFoundError(str(error)) from error


def _context(request: Request) -> ApiContext:
    return ApiContext(request.app.state.studio, request.scope["state"]["who"])


Context = Annotated[ApiContext, Depends(_context)]
