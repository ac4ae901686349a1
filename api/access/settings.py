"""How people and programs sign in, as values; nothing here reads the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from fleet.access.claims import ClaimMap

LEEWAY_S: Final = 60
"""How far another machine's clock may be off."""


class AccessSettingsError(ValueError):
    """Nobody could sign in safely like this; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """One sign-in service and what we are to it.

    Attributes:
        issuer_url: its issuer identifier, exactly as its tokens say it.
        audience: what an access token must be made out to; never the client's own id.
        claims: how its claims become a caller.
        client_secret: None for a public client, which has PKCE alone.
        seal_key: what an attempt to sign in is sealed with, the same for all processes that serve
            one address; None means a key that this process makes and forgets.
        public_url: where people reach the pages, such as `https://fjarrkoll.example`; None
            means the loopback address that a request was sent to.
        session_for: how long a session lasts at most.
        idle_for: how long a session lasts without being used.
        key_set: the issuer's public keys (a JWK Set) where they are given instead of fetched.
        is_demo: the issuer is the built-in one, which asks for no password.
    """

    issuer_url: str
    client_id: str
    audience: str
    claims: ClaimMap
    client_secret: str | None = field(default=None, repr=False)
    seal_key: str | None = field(default=None, repr=False)
    public_url: str | None = None
    session_for: timedelta = timedelta(hours=12)
    idle_for: timedelta = timedelta(minutes=60)
    key_set: Mapping[str, Any] | None = None
    is_demo: bool = False

    def __post_init__(self) -> None:
        """Refuse what would make the checks of tokens worth nothing."""
        if self.audience == self.client_id:
            raise AccessSettingsError(
                f"the audience {self.audience!r} is the client's own id, so a token meant for"
                " signing in would open the API. Give the API an audience of its own."
            )
        if self.is_demo and (self.public_url is not None or not _is_local(self.issuer_url)):
            raise AccessSettingsError(
                "the built-in issuer asks for no password, so it is for this machine only. Unset"
                " FJARRKOLL_PUBLIC_URL, or name an issuer of your own in FJARRKOLL_OIDC_ISSUER_URL."
            )
        for name, url in (("issuer", self.issuer_url), ("public address", self.public_url)):
            if url is not None and not is_safe_url(url):
                raise AccessSettingsError(
                    f"the {name} {url!r} is no https address. Plain http is for loopback only."
                )

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the pages over https."""
        return self.public_url is not None and self.public_url.startswith("https://")


def is_safe_url(url: str) -> bool:
    """An https address, or http on this machine; with no user name in it."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    if not parts.hostname or parts.username is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))


def _is_local(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")


def is_loopback(host: str) -> bool:
    """A name or an address that only this machine has."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
