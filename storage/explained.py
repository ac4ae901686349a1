"""Faults that got no ticket, since another fault explains them."""

from __future__ import annotations

from typing import Final

from psycopg.rows import class_row

from storage.connection import Connection
from storage.queries import load_queries
from storage.reading import EpisodeRow

_SQL: Final = load_queries("explained.sql")


def explained_episodes(conn: Connection, ticket_no: int, limit: int) -> list[EpisodeRow]:
    """Those of the ticket's device around its own episodes, the oldest first."""
    with conn.cursor(row_factory=class_row(EpisodeRow)) as cursor:
        values = {"ticket_no": ticket_no, "limit": limit}
        return cursor.execute(_SQL["explained_episodes"], values).fetchall()
