"""Faults that got no ticket, since another fault explains them."""

from __future__ import annotations

from typing import Final

from storage.connection import Connection
from storage.queries import load_queries
from storage.reading import EpisodeRow
from storage.rows import all_rows

_SQL: Final = load_queries("explained.sql")


def explained_episodes(conn: Connection, ticket_no: int, limit: int) -> list[EpisodeRow]:
    """Those of the ticket's device around its own episodes, the oldest first."""
    values = {"ticket_no": ticket_no, "limit": limit}
    return all_rows(conn, EpisodeRow, _SQL["explained_episodes"], values)
