"""The four roles: each may also do what the roles before it may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from tabstudio.errors import AccessError

Role = Literal["viewer", "editor", "approver", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
MEANING: dict[Role, str] = {
    "viewer": "look at everything",
    "editor": "upload, train, promote within the rules, serve",
    "approver": "approve and reject requests",
    "admin": "add people, change roles, revoke access",
}


class ForbiddenError(AccessError):
    """The role of the user does not allow an action."""


@dataclass(frozen=True, slots=True)
class Actor:
    """The user, or program, that acts; `name` is written into histories."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Whether this user has that role or a higher one."""
        return ROLES.index(self.role) >= ROLES.index(role)

    def check(self, role: Role, doing: str) -> None:
        """Raise `ForbiddenError` where the role does not allow the action `doing`."""
        if not self.may(role):
            raise ForbiddenError(
                f"{self.name} is {self.role} here, and cannot {doing}: "
                f"that takes the role {role}; ask an admin"
            )
