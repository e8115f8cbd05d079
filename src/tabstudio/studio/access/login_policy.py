"""Whether people must log in: always where others can reach the studio, and where there are users."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tabstudio.errors import ConfigError

if TYPE_CHECKING:
    from tabstudio.studio.access.users import UserStore
    from tabstudio.studio.studio_options import StudioOptions


def decide_login(options: StudioOptions, people: UserStore) -> StudioOptions:
    """Return the options with `login` decided. Raises `ConfigError` where it needs users and has none."""
    options.check()
    if options.login is False:
        return options
    users_exist = people.any()
    required = users_exist or bool(options.login or options.user_header) or options.reached_by_others
    if required and not users_exist:
        raise ConfigError(
            f"a studio at {options.url} asks who comes, and there is nobody yet: add a first admin, "
            "`tabstudio users add NAME --role admin`"
        )
    return replace(options, login=required)
