"""Tokens: whose signature, for whom, until when. What is in them counts only after that."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry
from joserfc.jwt import ClaimsOption, JWTClaimsRegistry

from api.access.keys import KeySource
from api.access.settings import LEEWAY_S, AccessSettings
from fleet.access.callers import Caller

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "Ed25519", "EdDSA")
TOKEN_MAX_BYTES: Final = 16 * 1024
_ACCESS_TYPES: Final = frozenset({"at+jwt", "application/at+jwt", "jwt", ""})
_ID_TYPES: Final = frozenset({"jwt", ""})
_ESSENTIAL: Final = ClaimsOption(essential=True)

# RFC 9864 prefers the name Ed25519 to EdDSA; issuers still write the latter.
warnings.filterwarnings("ignore", category=SecurityWarning, module="joserfc")


class TokenRefusedError(Exception):
    """The token is not accepted. The reason is for our log, not for whoever sent it."""


def _ask_freely() -> None:
    """Where nobody counts how often the issuer is asked."""


class Verifier:
    """Checks the tokens of one issuer."""

    def __init__(self, settings: AccessSettings, keys: KeySource) -> None:
        self._settings = settings
        self._keys = keys
        self._registry = JWSRegistry(algorithms=ALGORITHMS)

    def bearer(
        self, token: str, now: datetime, before_asking: Callable[[], None] = _ask_freely
    ) -> Caller:
        """Whoever an access token speaks for.

        `before_asking` is called where the issuer has to be asked for the key; what it raises ends
        the attempt.

        Raises:
            TokenRefusedError: the token is not accepted.
            ClaimsRefusedError: it is genuine, and nobody of ours.
            ProviderDownError: the issuer's keys cannot be had.
        """
        audience = self._settings.audience
        claims = self._verified(token, _ACCESS_TYPES, now, audience, before_asking)
        return self._settings.claims.caller(claims)

    def id_token(self, token: str, nonce: str, now: datetime) -> Mapping[str, Any]:
        """The claims of an ID token that answers the sign-in with that nonce.

        Raises:
            TokenRefusedError: the token is not accepted.
            ProviderDownError: the issuer's keys cannot be had.
        """
        client = self._settings.client_id
        claims = self._verified(token, _ID_TYPES, now, client)
        said = claims.get("nonce")
        if not isinstance(said, str) or not secrets.compare_digest(said.encode(), nonce.encode()):
            raise TokenRefusedError("the nonce is not the one of this sign-in")
        party = claims.get("azp", client if claims["aud"] in (client, [client]) else None)
        if party != client:
            raise TokenRefusedError("it is made out to several, and not asked for by us")
        return claims

    def _verified(
        self,
        token: str,
        types: frozenset[str],
        now: datetime,
        audience: str,
        before_asking: Callable[[], None] = _ask_freely,
    ) -> dict[str, Any]:
        if len(token) > TOKEN_MAX_BYTES:
            raise TokenRefusedError("too long")
        try:
            key = partial(self._key_for, before_asking)
            found = jwt.decode(token, key, ALGORITHMS, self._registry)
            _check_header(found.header, types)
            self._required(audience, now).validate(found.claims)
        # The library reads a header of any shape, before anything is signed.
        except (JoseError, ValueError, TypeError, RecursionError) as exc:
            raise TokenRefusedError(f"{type(exc).__name__}: {exc}") from exc
        return found.claims

    def _key_for(self, before_asking: Callable[[], None], token: Any) -> Key:
        """The key that the header names. The algorithm is known to be allowed before it is used."""
        header = token.headers()
        kid = header.get("kid")
        if not isinstance(kid, str) or header.get("alg") not in ALGORITHMS:
            raise TokenRefusedError("no key id, or an algorithm that is not allowed")
        if self._keys.must_ask(kid):
            before_asking()
        key = self._keys.key(kid)
        if key is None:
            raise TokenRefusedError("no such key")
        return key

    def _required(self, audience: str, now: datetime) -> JWTClaimsRegistry:
        return JWTClaimsRegistry(
            int(now.timestamp()),
            LEEWAY_S,
            iss={"essential": True, "value": self._settings.issuer_url},
            aud={"essential": True, "value": audience},
            sub=_ESSENTIAL,
            exp=_ESSENTIAL,
            iat=_ESSENTIAL,
        )


def _check_header(header: Mapping[str, Any], types: frozenset[str]) -> None:
    """Refuse tokens of another kind, and extensions that nobody here understands."""
    kind = header.get("typ", "")
    if not isinstance(kind, str) or kind.lower() not in types:
        raise TokenRefusedError("a token of another kind")
    if "crit" in header:
        raise TokenRefusedError("a critical header that nobody here understands")
