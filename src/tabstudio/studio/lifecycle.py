"""Moves of versions from stage to stage by people of the studio, for the pages and the REST API.

Whether somebody's role allows it is checked first, then the registry decides as it does for the command line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tabstudio.registry.approvals import same_person
from tabstudio.registry.records import GateResult, Noticed, Transition

if TYPE_CHECKING:
    from tabstudio.registry import Registry
    from tabstudio.studio.access.roles import Actor, Role
    from tabstudio.studio.studio import Studio


@dataclass(frozen=True, slots=True)
class Done:
    """The rows of the history that an action wrote, and what the registry noticed meanwhile."""

    rows: tuple[Transition, ...]
    notices: tuple[str, ...] = ()

    def __str__(self) -> str:
        done = [_SENTENCES[self.rows[0].kind](self.rows[0]), *map(_displaced, self.rows[1:])]
        return "; ".join(done) + "".join(f"\nNote: {notice}" for notice in self.notices)


def judge(studio: Studio, who: Actor, name: str, version: int, to: str) -> list[GateResult]:
    """Hold a version against the gates of a stage; nothing is moved. Raises as `Registry.judge` does."""
    return studio.registry(who).judge(name, version, to)[1]


def promote(
    studio: Studio,
    who: Actor,
    name: str,
    version: int,
    to: str,
    *,
    reason: str,
    force: bool = False,
    data: str | None = None,
) -> Done:
    """Put a version into a stage. To overrule gates takes the role approver, and is marked.

    `data` is the path of a table that gates judge on.

    Raises `ForbiddenError`, else as `Registry.promote` does.
    """
    who.check("editor", f"promote {name} {version}")
    if force:
        who.check("approver", "overrule gates")
    options = {"data": data} if data else {}
    return _act(
        studio,
        who,
        lambda registry: registry.promote(name, version, to, reason=reason, force=force, options=options),
    )


def archive(studio: Studio, who: Actor, name: str, version: int, *, reason: str) -> Done:
    """Take a version out of its stage. Raises `ForbiddenError`, else as `Registry.archive` does."""
    who.check("editor", f"archive {name} {version}")
    return _act(studio, who, lambda registry: registry.archive(name, version, reason=reason))


def rollback(
    studio: Studio, who: Actor, name: str, *, reason: str, stage: str, to_version: int | None = None
) -> Done:
    """Put the version back that was in a stage before. Raises `ForbiddenError`, else as the registry does."""
    who.check("editor", f"roll {name} back")
    return _act(
        studio,
        who,
        lambda registry: registry.rollback(name, reason=reason, stage=stage, to_version=to_version),
    )


def request(studio: Studio, who: Actor, name: str, version: int, to: str, *, reason: str) -> Done:
    """Ask that a version go to a stage that needs approval. Raises as `Registry.request` does."""
    who.check("editor", f"ask for {name} {version}")
    return _act(studio, who, _noting(name, lambda r: r.request(name, version, to, reason=reason)))


def approve(
    studio: Studio, who: Actor, name: str, version: int, *, to: str | None = None, reason: str = ""
) -> Done:
    """Agree to the open request for a version. Raises as `Registry.approve` does."""
    who.check("approver", f"agree to {name} {version}")
    return _act(studio, who, _noting(name, lambda r: r.approve(name, version, to=to, reason=reason)))


def reject(
    studio: Studio, who: Actor, name: str, version: int, *, reason: str, to: str | None = None
) -> Done:
    """Close the open request for a version; one's own with the role editor. Raises as the registry does."""
    role: Role = "editor" if _has_asked(studio, who, name, version) else "approver"
    who.check(role, f"turn the request for {name} {version} down")
    return _act(studio, who, _noting(name, lambda r: r.reject(name, version, to=to, reason=reason)))


def _noting(name: str, answer: Callable[[Registry], Transition]) -> Callable[[Registry], Noticed[Transition]]:
    """Look at the model first, so that what was found changed can be told with the one row."""

    def act(registry: Registry) -> Noticed[Transition]:
        notices = registry.look(name)
        return Noticed([answer(registry)], notices)

    return act


def _act(studio: Studio, who: Actor, move: Callable[[Registry], Noticed[Transition]]) -> Done:
    registry = studio.registry(who)
    try:
        rows = move(registry)
        problems = registry.deliver().problems if registry.rules.webhooks else ()
    finally:
        studio.feed.touch("registry")
    waiting = [f"a webhook waits for another attempt: {problem}" for problem in problems]
    return Done(tuple(rows), (*rows.notices, *waiting))


def _has_asked(studio: Studio, who: Actor, name: str, version: int) -> bool:
    requests = studio.registry(who).requests(name, version)
    return any(r.closed is None and same_person(r.asked.actor, who.name) for r in requests)


def _moved(row: Transition) -> str:
    return f"{row.model} {row.version} is in {row.to_stage or 'no stage'} now"


_SENTENCES: dict[str, Callable[[Transition], str]] = {
    "promote": _moved,
    "archive": _moved,
    "rollback": lambda row: f"{row.model} {row.version} is back in {row.to_stage}",
    "request": lambda row: f"{row.actor} asks that {row.model} {row.version} go to {row.to_stage}",
    "approve": lambda row: f"{row.actor} agrees that {row.model} {row.version} go to {row.to_stage}",
    "reject": lambda row: f"the request for {row.model} {row.version} is turned down",
}


def _displaced(row: Transition) -> str:
    return f"version {row.version} made room and went to {row.to_stage or 'no stage'}"
