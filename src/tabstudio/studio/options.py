"""What a studio is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

UPLOAD_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class StudioOptions:
    """Where the studio answers, and what it may touch.

    `hosts` are further names by which browsers reach it, behind a proxy say, with their port where it is not
    the usual one. `data` is the folder whose tables can be picked and into which uploads go. `user_header`
    names the header in which a reverse proxy says who asks; requests without it are turned away.
    """

    host: str = "127.0.0.1"
    port: int = 8600
    hosts: tuple[str, ...] = ()
    data: Path = Path("data")
    upload_bytes: int = UPLOAD_BYTES
    user_header: str = ""
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
