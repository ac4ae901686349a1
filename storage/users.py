"""Who has signed in lately, of the tenant that the transaction is for.

The table of sessions is read before anybody is known, so these queries name the tenant themselves.
Functions take a connection and never commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from storage.connection import Connection
from storage.queries import load_queries
from storage.rows import all_rows

_SQL: Final = load_queries("users.sql")


@dataclass(frozen=True, slots=True)
class UserRow:
    """One subject over all their sessions that are still kept; name and role of the newest."""

    subject: str
    name: str
    role: str
    centre: str | None
    session_n: int
    first_seen_at: datetime
    last_seen_at: datetime


def lately(
    conn: Connection, now: datetime, idle_since: datetime, after: str, limit: int
) -> list[UserRow]:
    """The next subjects; a session that nobody has used since `idle_since` is not open."""
    values = {"now": now, "idle_since": idle_since, "after": after, "limit": limit}
    return all_rows(conn, UserRow, _SQL["lately"], values)


def end_sessions(conn: Connection, subject: str, now: datetime) -> int | None:
    """How many sessions ended; None for a subject that nobody knows."""
    row = conn.execute(_SQL["is_known"], {"subject": subject}).fetchone()
    if row is None or not row[0]:
        return None
    return conn.execute(_SQL["end_sessions"], {"subject": subject, "now": now}).rowcount
