"""What the API process needs to know, as values; nothing here reads the environment."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address


class ApiRefusedError(RuntimeError):
    """The API will not start like this; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """One API process.

    Attributes:
        host: a loopback address or `localhost`; nothing else before there is access control.
        port: 0 takes a free one.
        reading_pool_size: connections that read.
        intake_pool_size: connections that store what arrives over HTTP.
        database_wait_s: how long a request waits for a connection before it gets 503.
    """

    database_url: str
    host: str = "127.0.0.1"
    port: int = 8460
    reading_pool_size: int = 8
    intake_pool_size: int = 2
    database_wait_s: float = 3.0
    max_body_bytes: int = 1024 * 1024
    max_connections: int = 200
    shutdown_grace_s: int = 5

    def __post_init__(self) -> None:
        """Refuse an address that others could reach."""
        if not is_loopback(self.host):
            raise ApiRefusedError(
                f"refuses to listen on {self.host!r}: there is no access control yet, and anyone"
                " who can reach the address could read every device. Use 127.0.0.1, ::1 or"
                " localhost, and a tunnel to reach it from elsewhere."
            )


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
