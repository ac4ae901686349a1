"""Who is asking: an access token or a session's cookie turned into a caller."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import structlog
from fastapi import Request

from api.access.attempts import Attempts
from api.access.keys import FixedKeys, KeySource, ProviderDownError
from api.access.provider import Provider
from api.access.refusals import origin_needed, provider_down, session_over, token_refused
from api.access.sessions import Sessions
from api.access.settings import AccessSettings
from api.access.tokens import TokenRefusedError, Verifier
from fleet.access.callers import Caller
from fleet.access.claims import ClaimsRefusedError
from storage.pool import ApiPool

log = structlog.get_logger(__name__)

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Access:
    """Held by the application for as long as it runs. Safe to use from many threads."""

    def __init__(self, settings: AccessSettings, pool: ApiPool) -> None:
        self.settings: Final = settings
        self.provider: Final = Provider(settings.issuer_url)
        self.verifier: Final = Verifier(settings, self._keys())
        self.sessions: Final = Sessions(settings, pool)
        self.attempts: Final = Attempts(settings)

    def _keys(self) -> KeySource:
        given = self.settings.key_set
        return self.provider.keys if given is None else FixedKeys(given)

    def close(self) -> None:
        self.provider.close()

    def caller(
        self,
        request: Request,
        *,
        is_use: bool = True,
        before_asking: Callable[[], None] = lambda: None,
    ) -> Caller | None:
        """Whoever is asking; None when the request says nothing about it.

        A token that is not accepted is not made good by a cookie. Without `is_use` the question
        does not keep a session from lying unused. `before_asking` is called where the issuer has
        to be asked before a token can be checked.

        Raises:
            ProblemError: 401 for a token or session that is not accepted, 403 for a change by
                cookie that does not say which page sent it, 503 when the keys cannot be had.
        """
        header = request.headers.get("authorization")
        if header is not None:
            return self._bearer(header, before_asking)
        token = self.sessions.token_in(request)
        if token is None:
            return None
        refuse_unknown_origin(request)
        caller = self.sessions.find(token, is_use=is_use)
        if caller is None:
            raise session_over()
        return caller

    def _bearer(self, header: str, before_asking: Callable[[], None]) -> Caller:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise token_refused()
        try:
            return self.verifier.bearer(token.strip(), datetime.now(UTC), before_asking)
        except (TokenRefusedError, ClaimsRefusedError) as exc:
            log.info("token_refused", reason=str(exc)[:200])
            raise token_refused() from exc
        except ProviderDownError as exc:
            log.warning("token_not_checked", reason=str(exc))
            raise provider_down() from exc


def refuse_unknown_origin(request: Request) -> None:
    """Refuse a change by cookie from who knows where; that it is foreign is refused before.

    Raises:
        ProblemError: 403.
    """
    says = request.headers.get("origin") or request.headers.get("sec-fetch-site")
    if request.method not in _SAFE and says is None:
        raise origin_needed()
