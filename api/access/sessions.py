"""Sessions as browsers hold them: one cookie with a random token."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Final

from fastapi import Request, Response

from api.access.settings import AccessSettings
from fleet.access.callers import Caller
from storage.pool import ApiPool
from storage.sessions import end_session, find_session, open_session

TOKEN_BYTES: Final = 32
_TOKEN_CHARACTERS: Final = 43


class Sessions:
    """Opens, finds and ends sessions."""

    def __init__(self, settings: AccessSettings, pool: ApiPool) -> None:
        self._settings = settings
        self._pool = pool
        self.cookie: Final = cookie_name("fjarrkoll_session", settings)

    def token_in(self, request: Request) -> str | None:
        """The token that the browser sent; None without one that could be ours."""
        token = request.cookies.get(self.cookie)
        return token if token is not None and len(token) == _TOKEN_CHARACTERS else None

    def find(self, token: str, *, is_use: bool = True) -> Caller | None:
        """Whose session it is; None when it has ended."""
        with self._pool.glance() as conn:
            now, idle = datetime.now(UTC), self._settings.idle_for
            return find_session(conn, token, now, idle, is_use=is_use)

    def open(self, caller: Caller, before: str | None) -> str:
        """Open a session with a token of its own and return that; the one before ends."""
        token, now = secrets.token_urlsafe(TOKEN_BYTES), datetime.now(UTC)
        with self._pool.outside() as conn:
            if before is not None:
                end_session(conn, before, now)
            open_session(conn, token, caller, now, self._settings.session_for)
        return token

    def end(self, token: str) -> None:
        with self._pool.outside() as conn:
            end_session(conn, token, datetime.now(UTC))

    def put(self, response: Response, token: str) -> None:
        """Give the browser the token. It goes when the browser closes, and sooner by our clock."""
        set_cookie(response, self.cookie, token, self._settings)

    def remove(self, response: Response) -> None:
        remove_cookie(response, self.cookie, self._settings)


def cookie_name(name: str, settings: AccessSettings) -> str:
    """Over https the prefix makes browsers refuse a cookie that another host has set."""
    return f"__Host-{name}" if settings.is_secure else name


def set_cookie(
    response: Response,
    name: str,
    value: str,
    settings: AccessSettings,
    max_age_s: int | None = None,
) -> None:
    response.set_cookie(
        name, value, max_age_s, path="/", secure=settings.is_secure, httponly=True, samesite="lax"
    )


def remove_cookie(response: Response, name: str, settings: AccessSettings) -> None:
    response.delete_cookie(name, path="/", secure=settings.is_secure, httponly=True, samesite="lax")
