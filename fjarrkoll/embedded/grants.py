"""What the built-in issuer gives for what: codes for people, tokens for codes and for programs.

No HTTP here. `clock` returns seconds since 1970.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64encode

from fjarrkoll.embedded.cast import Cast, Player

CLIENT_ID: Final = "fjarrkoll-pages"
AUDIENCE: Final = "fjarrkoll-api"
CODE_LASTS_S: Final = 60
ACCESS_LASTS_S: Final = 600
ID_LASTS_S: Final = 300
CODES_MAX: Final = 1000


class GrantError(Exception):
    """Nothing is given. `error` is OAuth's word for it."""

    def __init__(self, error: str, reason: str) -> None:
        super().__init__(reason)
        self.error = error


@dataclass(frozen=True, slots=True)
class Asked:
    """What a code is bound to."""

    redirect_uri: str
    nonce: str
    challenge: str


@dataclass(frozen=True, slots=True)
class _Code:
    player: Player
    asked: Asked
    until_s: float


class Grants:
    """The issuer's memory: its key, the codes that wait, the secrets of programs."""

    def __init__(self, cast: Cast, clock: Callable[[], float] = time.time) -> None:
        self.cast: Final = cast
        self.secrets: Final = {one.subject: secrets.token_urlsafe(16) for one in cast.services}
        self._clock = clock
        self._lock = threading.Lock()
        self._codes: dict[str, _Code] = {}
        self.rotate()

    def rotate(self) -> None:
        """Sign with a fresh key from now on; the one before is withdrawn."""
        self._key = OKPKey.generate_key("Ed25519", parameters={"kid": secrets.token_hex(8)})

    def key_set(self) -> dict[str, Any]:
        public = self._key.as_dict(private=False)
        return {"keys": [{**public, "use": "sig", "alg": "Ed25519"}]}

    def code_for(self, subject: str, asked: Asked) -> str:
        """A code for a person, good for one exchange within a minute.

        Raises:
            GrantError: there is no such person.
        """
        player = next((one for one in self.cast.people if one.subject == subject), None)
        if player is None:
            raise GrantError("invalid_request", "there is no such user")
        code, now_s = secrets.token_urlsafe(24), self._clock()
        with self._lock:
            self._codes = {key: one for key, one in self._codes.items() if one.until_s > now_s}
            if len(self._codes) >= CODES_MAX:
                raise GrantError("temporarily_unavailable", "too many sign-ins at once")
            self._codes[code] = _Code(player, asked, now_s + CODE_LASTS_S)
        return code

    def exchanged(self, issuer: str, code: str, redirect_uri: str, verifier: str) -> dict[str, Any]:
        """Tokens for a code, which is used up by this, whether it succeeds or not.

        Raises:
            GrantError: unknown, used or too old; or not asked for by whoever brings it.
        """
        with self._lock:
            found = self._codes.pop(code, None)
        if found is None or found.until_s <= self._clock():
            raise GrantError("invalid_grant", "the code is unknown, used or too old")
        challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).decode()
        if not secrets.compare_digest(challenge, found.asked.challenge):
            raise GrantError("invalid_grant", "the code verifier does not fit")
        if redirect_uri != found.asked.redirect_uri:
            raise GrantError("invalid_grant", "the redirect address is another")
        said = {"nonce": found.asked.nonce, "aud": CLIENT_ID}
        id_token = self._signed(issuer, found.player, ID_LASTS_S, "JWT", said)
        return self._access(issuer, found.player) | {"id_token": id_token}

    def for_service(self, issuer: str, client_id: str, secret: str) -> dict[str, Any]:
        """An access token for a program.

        Raises:
            GrantError: no such program, or not its secret.
        """
        known = self.secrets.get(client_id, "")
        if not known or not secrets.compare_digest(known.encode(), secret.encode()):
            raise GrantError("invalid_client", "no such program, or not its secret")
        player = next(one for one in self.cast.services if one.subject == client_id)
        return self._access(issuer, player)

    def _access(self, issuer: str, player: Player) -> dict[str, Any]:
        token = self._signed(issuer, player, ACCESS_LASTS_S, "at+jwt", {"aud": AUDIENCE})
        return {"access_token": token, "token_type": "Bearer", "expires_in": ACCESS_LASTS_S}

    def _signed(
        self, issuer: str, player: Player, lasts_s: int, kind: str, more: Mapping[str, str]
    ) -> str:
        now_s = int(self._clock())
        claims = {
            "iss": issuer,
            "sub": player.subject,
            "name": player.name,
            "role": str(player.role),
            "tenant": self.cast.tenant,
            **player.claims,
            **more,
            "iat": now_s,
            "exp": now_s + lasts_s,
            "jti": secrets.token_hex(8),
        }
        header = {"alg": "Ed25519", "kid": self._key.kid, "typ": kind}
        return jwt.encode(header, claims, self._key, algorithms=["Ed25519"])
