"""Sessions of people who have signed in: the database knows the digest of a token, never it.

Functions take a connection and never commit.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from psycopg.types.json import Jsonb

from fleet.access.callers import Caller, Role
from storage.connection import Connection
from storage.queries import load_queries

NOTE_EVERY: Final = timedelta(minutes=1)
"""How exactly the last use is known; a page with ten parts writes once, not ten times."""
SESSIONS_MAX: Final = 20
"""Open sessions of one subject; the oldest end when there are more."""
KEPT_FOR: Final = timedelta(days=1)
FORGET_MAX: Final = 500
_SQL: Final = load_queries("sessions.sql")


def open_session(
    conn: Connection, token: str, caller: Caller, now: datetime, lasts: timedelta
) -> None:
    """Open a session for `caller`, and clear away a bounded number of old ones."""
    whose = {"tenant": caller.tenant, "subject": caller.subject, "now": now}
    conn.execute(_SQL["end_oldest"], {**whose, "keep": SESSIONS_MAX - 1})
    conn.execute(
        _SQL["open_session"],
        {
            **whose,
            "digest": _digest(token),
            "caller": Jsonb(asdict(caller)),
            "expires_at": now + lasts,
        },
    )
    conn.execute(_SQL["forget_sessions"], {"before": now - KEPT_FOR, "limit": FORGET_MAX})


def find_session(
    conn: Connection, token: str, now: datetime, idle: timedelta, *, is_use: bool = True
) -> Caller | None:
    """Whose session it is; None when it has ended, run out, or lain unused for `idle`.

    Without `is_use` the session lies as unused as before.
    """
    at = {"digest": _digest(token), "now": now, "note_before": now - NOTE_EVERY}
    row = conn.execute(_SQL["find_session"], {**at, "idle_since": now - idle}).fetchone()
    if row is None:
        return None
    caller, is_time_to_note = row
    if is_time_to_note and is_use:
        conn.execute(_SQL["note_use"], at)
    return _caller(caller)


def end_session(conn: Connection, token: str, now: datetime) -> bool:
    """End a session; False when there was no open one."""
    return conn.execute(_SQL["end_session"], {"digest": _digest(token), "now": now}).rowcount == 1


def _digest(token: str) -> bytes:
    """The token is 256 random bits, so a plain digest cannot be guessed back."""
    return sha256(token.encode()).digest()


def _caller(stored: dict[str, Any]) -> Caller:
    return Caller(**{**stored, "role": Role(stored["role"])})
