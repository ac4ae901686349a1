"""The issuer's public keys: fetched when needed, kept, and never fetched on a stranger's order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, OKPKey, RSAKey

log = structlog.get_logger(__name__)

FRESH_FOR_S: Final = 600.0
"""How long keys are used without asking whether they have changed."""
STALE_FOR_S: Final = 3600.0
"""How long they are used when the issuer does not answer."""
UNKNOWN_EVERY_S: Final = 30.0
"""How often an unknown key id may make us ask: rotation works, hammering does not."""
RETRY_EVERY_S: Final = 5.0
"""How often an issuer that did not answer is asked again."""
KEYS_MAX: Final = 50
_RSA_BITS_MIN: Final = 2048


class ProviderDownError(Exception):
    """The sign-in service does not answer, or what it answers cannot be used."""


class KeySource(Protocol):
    """Where a token's key is found."""

    def key(self, kid: str) -> Key | None:
        """The key of that id; None when the issuer has none.

        Raises:
            ProviderDownError: that cannot be found out.
        """
        ...

    def must_ask(self, kid: str) -> bool:
        """Whether the issuer has to be asked for a key of that id, which may take seconds."""
        ...


class FixedKeys:
    """Keys that are given, such as those of an issuer without an address."""

    def __init__(self, key_set: Mapping[str, Any]) -> None:
        self._keys = read_keys(key_set)

    def key(self, kid: str) -> Key | None:
        return self._keys.get(kid)

    def must_ask(self, _kid: str) -> bool:
        return False


class FetchedKeys:
    """Keys behind an address. `fetch` returns the JWK Set; `clock` returns seconds that only grow.

    One thread fetches at a time, and the others wait for what it brings; those whose key is known
    and not too old go on with it instead.
    """

    def __init__(
        self,
        fetch: Callable[[], Mapping[str, Any]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: Mapping[str, Key] = {}
        self._fetched_s: float | None = None
        self._next_s = float("-inf")

    def key(self, kid: str) -> Key | None:
        """The key of that id; None when the issuer has none.

        Raises:
            ProviderDownError: there are no keys that are new enough.
        """
        is_fresh = kid in self._keys and self._age_s() <= FRESH_FOR_S
        if not is_fresh and self._lock.acquire(blocking=self.must_ask(kid)):
            try:
                self._renew(kid)
            finally:
                self._lock.release()
        if self._age_s() > STALE_FOR_S:
            raise ProviderDownError("the issuer's keys could not be fetched")
        return self._keys.get(kid)

    def must_ask(self, kid: str) -> bool:
        """Whether there is no key of that id that will do until the issuer has answered."""
        return kid not in self._keys or self._age_s() > STALE_FOR_S

    def _age_s(self) -> float:
        return float("inf") if self._fetched_s is None else self._clock() - self._fetched_s

    def _renew(self, kid: str) -> None:
        """Fetch, unless another thread just did, or the last try was a moment ago."""
        if kid in self._keys and self._age_s() <= FRESH_FOR_S:
            return
        now_s = self._clock()
        if now_s < self._next_s:
            return
        self._next_s = now_s + RETRY_EVERY_S
        try:
            self._keys = read_keys(self._fetch())
        except ProviderDownError as exc:
            # From now on: whoever waited meanwhile must not wait as long again.
            self._next_s = self._clock() + RETRY_EVERY_S
            log.warning("keys_not_fetched", reason=str(exc))
        else:
            self._fetched_s = now_s
            self._next_s = now_s + UNKNOWN_EVERY_S


def read_keys(key_set: Mapping[str, Any]) -> dict[str, Key]:
    """Public signature keys by their id. Others are passed over, as RFC 7517 says.

    Raises:
        ProviderDownError: it is no JWK Set, or one too long.
    """
    listed = key_set.get("keys")
    if not isinstance(listed, list) or len(listed) > KEYS_MAX:
        raise ProviderDownError(f"no JWK Set of at most {KEYS_MAX} keys")
    keys = [_public_key(item) for item in listed]
    return {key.kid: key for key in keys if key is not None and key.kid is not None}


def _public_key(item: object) -> Key | None:
    if not isinstance(item, dict) or not isinstance(item.get("kid"), str):
        return None
    if item.get("use", "sig") != "sig" or item.get("kty") not in {"RSA", "EC", "OKP"}:
        return None
    try:
        key = JWKRegistry.import_key(item)
    except (JoseError, ValueError):
        return None
    return key if _is_strong(key) else None


def _is_strong(key: Key) -> bool:
    if isinstance(key, RSAKey):
        return key.raw_value.key_size >= _RSA_BITS_MIN
    return isinstance(key, ECKey | OKPKey)
