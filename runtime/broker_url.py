"""Where the MQTT broker is: one reading of its URL, for every process that connects."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A parsed `mqtt://` or `mqtts://` URL."""

    host: str
    port: int
    user: str | None
    password: str | None
    is_tls: bool

    @classmethod
    def parse(cls, url: str) -> BrokerAddress:
        """Parse `mqtt://[user[:password]@]host[:port]` or `mqtts://…`.

        Raises:
            ValueError: another scheme, or no host.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise ValueError("a broker's URL reads mqtt://host:port or mqtts://host:port")
        is_tls = parts.scheme == "mqtts"
        return cls(
            parts.hostname,
            parts.port or (8883 if is_tls else 1883),
            None if parts.username is None else unquote(parts.username),
            None if parts.password is None else unquote(parts.password),
            is_tls,
        )
