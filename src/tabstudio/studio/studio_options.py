"""Options that a studio is started with."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from tabstudio.errors import ConfigError

UPLOAD_BYTES = 1 << 30
_USUAL_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class StudioOptions:
    """Addresses, folders and access rules of a studio.

    `hosts` are further addresses by which browsers reach it, behind a proxy say: `https://studio.example.org`,
    or the name alone for https. `data` is the folder whose tables can be picked and into which uploads go.
    `login` says whether people must log in; None: where others can reach it, or there are users.
    `user_header` is the header in which a reverse proxy at one of the addresses `proxies` says who asks.
    `mlflow` starts an MLflow server beside the studio.
    """

    host: str = "127.0.0.1"
    port: int = 8600
    hosts: tuple[str, ...] = ()
    data: Path = Path("data")
    upload_bytes: int = UPLOAD_BYTES
    login: bool | None = None
    user_header: str = ""
    proxies: tuple[str, ...] = ()
    mlflow: bool = False

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def reached_by_others(self) -> bool:
        """Whether people of other machines may come, by the network or through a proxy."""
        return not self.loopback or bool(self.hosts)

    @property
    def url(self) -> str:
        """Where it listens."""
        name = socket.gethostname() if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104
        return _origin(f"http://{_bracketed(name)}:{self.port}")

    @property
    def public(self) -> tuple[str, ...]:
        """Where browsers reach it through a proxy."""
        return tuple(map(_origin, self.hosts))

    def origins(self) -> frozenset[str]:
        """Return every address by which a browser may reach it, as browsers write them.

        A studio that listens everywhere answers to this machine's name and numbers.
        """
        names = {self.host}
        if self.loopback:
            names |= {"localhost", "127.0.0.1", "::1"}
        elif self.host in ("0.0.0.0", "::"):  # noqa: S104
            names = {"localhost", socket.gethostname(), *_interface_addresses()}
        own = {f"http://{_bracketed(name)}:{self.port}" for name in names}
        return frozenset((*map(_origin, own), *self.public))

    def check(self) -> None:
        """Raise `ConfigError` for addresses that are none, and what would let in people whom nobody knows."""
        self.origins()
        if self.login is False and self.reached_by_others:
            raise ConfigError(
                "--no-login: only a studio on 127.0.0.1 that no proxy leads to may do without a login"
            )
        if self.user_header and not self.proxies:
            raise ConfigError(
                f"--user-header {self.user_header}: name the proxy that sends it, such as "
                "--trusted-proxy 127.0.0.1; from anybody else it is refused"
            )
        for address in self.proxies:
            _check_ip_address(address)


def _check_ip_address(address: str) -> None:
    try:
        ip_address(address)
    except ValueError:
        raise ConfigError(
            f"--trusted-proxy: an address such as 10.0.0.7 was expected, got {address!r}"
        ) from None


def _origin(address: str) -> str:
    """Write an address as browsers do: https where no scheme stands, without the usual port."""
    scheme, separator, rest = address.lower().rstrip("/").rpartition("://")
    scheme = scheme if separator else "https"
    if scheme not in _USUAL_PORTS or not rest or "/" in rest or "@" in rest:
        raise ConfigError(
            f"--allow-host: an address such as https://studio.example.org was expected, got {address!r}"
        )
    return f"{scheme}://{rest.removesuffix(_USUAL_PORTS[scheme])}"


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def _interface_addresses() -> set[str]:
    """Return the addresses of this machine's network interfaces."""
    import psutil

    internet = (socket.AF_INET, socket.AF_INET6)
    addresses = psutil.net_if_addrs().values()
    return {one.address.partition("%")[0] for many in addresses for one in many if one.family in internet}
