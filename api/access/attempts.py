"""One attempt to sign in, kept by the browser that makes it, sealed so that only we can read it."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from fastapi import Request, Response
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from joserfc.util import urlsafe_b64encode

from api.access.sessions import cookie_name, remove_cookie, set_cookie
from api.access.settings import AccessSettings

LASTS: Final = timedelta(minutes=10)
NEXT_MAX: Final = 500
_SEALED_MAX: Final = 3000
_PURPOSE: Final = b"fjarrkoll sign-in attempt\n"
"""Keeps what is made of the secret here from being the same anywhere else."""
_HEADER: Final = {"alg": "dir", "enc": "A256GCM"}
_LOCAL: Final = re.compile(r"/(?![/\\])[!-\[\]-~]*")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What must come back unchanged, and where to go then (None: to the role's first page)."""

    state: str
    nonce: str
    verifier: str
    next: str | None

    @property
    def challenge(self) -> str:
        """The PKCE challenge, S256."""
        return urlsafe_b64encode(sha256(self.verifier.encode()).digest()).decode()


def new_attempt(next_path: str | None) -> Attempt:
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    return Attempt(state, nonce, verifier, local_path(next_path))


def local_path(text: str | None) -> str | None:
    """A path of this server; None for anything that could lead elsewhere, or round in circles."""
    if text is None or len(text) > NEXT_MAX or not _LOCAL.fullmatch(text):
        return None
    return None if text.startswith(("/sign-in", "/sign-out")) else text


def _key_of(secret: str | None) -> OctKey:
    """A key of 256 bits from a secret that is long enough to be one, or one that nobody knows."""
    if secret is None:
        return OctKey.generate_key(256)
    return OctKey.import_key(sha256(_PURPOSE + secret.encode()).digest())


class Attempts:
    """Seals attempts into a cookie, and opens them again.

    Without a key in the settings only this process can: a sign-in that another one began fails.
    """

    def __init__(self, settings: AccessSettings) -> None:
        self._settings = settings
        self._key = _key_of(settings.seal_key)
        self._cookie = cookie_name("fjarrkoll_sign_in", settings)

    def put(self, response: Response, attempt: Attempt, now: datetime) -> None:
        """Give the browser the sealed attempt, for ten minutes."""
        value = self.sealed(attempt, now)
        set_cookie(response, self._cookie, value, self._settings, int(LASTS.total_seconds()))

    def sealed(self, attempt: Attempt, now: datetime) -> str:
        body = {**asdict(attempt), "until": (now + LASTS).timestamp()}
        return jwe.encrypt_compact(_HEADER, json.dumps(body), self._key)

    def taken(self, request: Request, now: datetime) -> Attempt | None:
        """The attempt that the browser sent; None when it is missing, not ours, or too old."""
        value = request.cookies.get(self._cookie, "")
        if not value or len(value) > _SEALED_MAX:
            return None
        try:
            opened = jwe.decrypt_compact(value, self._key, [*_HEADER.values()])
        except (JoseError, ValueError):
            return None
        body = json.loads(opened.plaintext or b"{}")
        return Attempt(**body) if body.pop("until") > now.timestamp() else None

    def remove(self, response: Response) -> None:
        remove_cookie(response, self._cookie, self._settings)
