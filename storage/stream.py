"""What changed, as it happens: the database's notifications, and the rows behind them.

A notification says only which ticket or device; whoever listens reads the row within its reach.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Final, Self

import psycopg

from storage.connection import Connection, connect, translated
from storage.pool import ROLE
from storage.queries import load_queries
from storage.rows import all_rows

_SQL: Final = load_queries("stream.sql")
_BATCH_MAX: Final = 5_000


@dataclass(frozen=True, slots=True)
class Changes:
    """Numbers of tickets and devices that changed."""

    ticket_nos: frozenset[int] = frozenset()
    device_nos: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.ticket_nos) + len(self.device_nos)


@dataclass(frozen=True, slots=True)
class TicketNow:
    ticket_no: int
    state: str
    version: int
    severity: str


@dataclass(frozen=True, slots=True)
class DeviceNow:
    """`changed_at` is when it came online or went offline."""

    device_id: str
    is_online: bool
    changed_at: datetime


def parse_changes(payloads: Iterable[str]) -> Changes:
    """What the payloads of 0003_stream.sql name; others are left out. Pure."""
    known = [text for text in payloads if text[1:].isdecimal()]
    tickets = frozenset(int(text[1:]) for text in known if text[0] == "t")
    return Changes(tickets, frozenset(int(text[1:]) for text in known if text[0] == "d"))


class Listener:
    """One connection that hears every change of the installation. Used by one thread.

    Raises:
        DatabaseDownError: on entry and while collecting; what was said meanwhile is lost.
    """

    def __init__(self, url: str) -> None:
        self._conn = connect(url, role=ROLE, name="fjarrkoll-api stream")

    def __enter__(self) -> Self:
        try:
            self._conn.autocommit = True
            self._conn.execute("LISTEN fjarrkoll_change")
        except psycopg.Error as exc:
            self._conn.close()
            raise translated(exc) from exc
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._conn.close()

    def collect(self, seconds: float) -> Changes:
        """What changed within so many seconds from now."""
        try:
            found = self._conn.notifies(timeout=seconds, stop_after=_BATCH_MAX)
            return parse_changes([notify.payload for notify in found])
        except psycopg.Error as exc:
            raise translated(exc) from exc


def horizon(conn: Connection) -> int:
    """The number to ask `tickets_since` for, to miss nothing that this view does not hold."""
    row = conn.execute(_SQL["horizon"]).fetchone()
    assert row is not None
    return int(row[0])


def tickets_now(conn: Connection, numbers: Collection[int]) -> list[TicketNow]:
    return all_rows(conn, TicketNow, _SQL["tickets_now"], {"numbers": list(numbers)})


def tickets_since(conn: Connection, since: int, limit: int) -> list[TicketNow]:
    """Tickets that changed since; one that is told of twice has the same version."""
    return all_rows(conn, TicketNow, _SQL["tickets_since"], {"since": since, "limit": limit})


def devices_now(conn: Connection, numbers: Collection[int]) -> list[DeviceNow]:
    return all_rows(conn, DeviceNow, _SQL["devices_now"], {"numbers": list(numbers)})
