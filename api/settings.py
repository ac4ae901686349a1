"""What the API process needs to know, as values; nothing here reads the environment."""

from __future__ import annotations

from dataclasses import dataclass, field

from api.access.settings import AccessSettings, is_loopback
from api.limits import Limits

__all__ = ["AccessSettings", "ApiRefusedError", "ApiSettings", "is_loopback"]


class ApiRefusedError(RuntimeError):
    """The API will not start like this; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """One API process.

    Attributes:
        access: how people and programs sign in; there is no API without it.
        host: a loopback address or `localhost`; https is the work of a proxy before it.
        port: 0 takes a free one.
        pool_size: connections that serve requests: so many queries compete with ingest's, and the
            others wait. Sums over the fleet have one of their own.
        intake_pool_size: connections that store what arrives over HTTP.
        baseline_minutes: minutes a ticket took before, for the key figures; None: the mean of the
            first tickets that were solved here.
        database_wait_s: how long a request waits for a connection before it gets 503.
        limits: how much one caller may ask for.
    """

    database_url: str
    access: AccessSettings
    host: str = "127.0.0.1"
    port: int = 8460
    pool_size: int = 2
    intake_pool_size: int = 2
    database_wait_s: float = 3.0
    max_body_bytes: int = 1024 * 1024
    max_connections: int = 200
    shutdown_grace_s: int = 5
    baseline_minutes: float | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Refuse an address that others could reach."""
        if not is_loopback(self.host):
            raise ApiRefusedError(
                f"refuses to listen on {self.host!r}: it speaks plain HTTP, so others on the way"
                " could read sessions and tokens. Use 127.0.0.1, ::1 or localhost, with a proxy"
                " before it that speaks https; FJARRKOLL_PUBLIC_URL is the proxy's address."
            )
