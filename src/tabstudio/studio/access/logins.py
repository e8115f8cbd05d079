"""Logins by password: guesses are slowed down, and every refusal reads the same."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

from tabstudio.studio.access import passwords
from tabstudio.studio.access.failure_counter import FailureCounter

if TYPE_CHECKING:
    from tabstudio.studio.access.authentication import Authentication

log = logging.getLogger("tabstudio.studio")
BY_NAME = 10, 60.0
"""Failures of one name that pass, and the seconds until another may: 1,450 guesses a day."""
BY_ADDRESS = 30, 10.0
"""The same of one address, where many people may sit behind one."""


class SlowDownError(Exception):
    """Too many failed logins: the next one is accepted in `seconds`."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many failed logins: try again in {seconds} s")
        self.seconds = seconds


class PasswordLogins:
    """Turns names and passwords into sessions."""

    def __init__(self, access: Authentication) -> None:
        self.access = access
        self._threads = ThreadPoolExecutor(passwords.AT_ONCE, thread_name_prefix="password")
        self.names, self.addresses = FailureCounter(*BY_NAME), FailureCounter(*BY_ADDRESS)

    async def attempt(self, name: str, password: str, address: str) -> str | None:
        """Call `login` in a thread of its own pool: guesses wait for each other, and hold up nobody else."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self.login, name, password, address)

    def login(self, name: str, password: str, address: str) -> str | None:
        """Return the secret of a new session, None where name and password do not fit.

        Raises `SlowDownError`, before the password is looked at.
        """
        counted, network = name.strip().casefold(), _network(address)
        wait = max(self.names.wait(counted), self.addresses.wait(network))
        if wait:
            raise SlowDownError(wait)
        # Counted before the check: many guesses at a time must not all pass while the first is checked.
        self.names.note(counted)
        self.addresses.note(network)
        who = self.access.people.login(name, password)
        if who is None:
            log.warning("a login as %r from %s failed", name[:100], address)
            return None
        self.names.take_back(counted)
        self.addresses.take_back(network)
        return self.access.begin(who)


def _network(address: str) -> str:
    """Return the network of one client: the address, or for IPv6 its /64."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(ip_network(f"{parsed}/64", strict=False)) if isinstance(parsed, IPv6Address) else address
