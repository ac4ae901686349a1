"""The ticket queue: which tickets, in which order, and how many of each. Never commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from storage.connection import Connection
from storage.queries import load_queries
from storage.rows import all_rows

_SQL: Final = load_queries("queue.sql")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which tickets; None lets everything through.

    Attributes:
        assignee: the name of whoever has it; empty: nobody has.
        standing: `overdue`, a deadline has passed; `at_risk`, one is near enough for a notice.
    """

    state: str | None = None
    severity: str | None = None
    component: str | None = None
    order_kind: str | None = None
    centre: str | None = None
    assignee: str | None = None
    standing: str | None = None
    device_no: int | None = None

    def values(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


class OpenKey(NamedTuple):
    """Where an open ticket stands. `first_at` is the same for all when severity comes first."""

    first_at: datetime
    rank: int
    known_at: datetime
    ticket_no: int


class EndedKey(NamedTuple):
    known_at: datetime
    ticket_no: int


def open_tickets(  # noqa: PLR0913 - which, how many, when, in which order and from where on
    conn: Connection,
    wanted: Wanted,
    limit: int,
    now: datetime,
    *,
    by_due: bool,
    after: OpenKey | None = None,
) -> list[OpenKey]:
    """Open tickets after a given one: by the deadline that binds, or the worst and oldest first.

    A deadline that stands still while its ticket waits comes after those that run.
    """
    first_at, rank, known_at, ticket_no = after or (None, 0, now, 0)
    parameters = {
        **wanted.values(),
        "now": now,
        "by_due": by_due,
        "after_first": first_at,
        "after_rank": rank,
        "after_at": known_at,
        "after_no": ticket_no,
        "limit": limit,
    }
    rows = conn.execute(_SQL["queued_open"], parameters)
    return [OpenKey(*row) for row in rows]


def ended_tickets(
    conn: Connection, wanted: Wanted, limit: int, after: EndedKey | None = None
) -> list[EndedKey]:
    """Tickets that are over, the newest first. Of these `overdue` means that one was missed."""
    known_at, ticket_no = after or (None, 0)
    parameters = {
        **wanted.values(),
        "after_at": known_at,
        "after_no": ticket_no,
        "limit": limit,
    }
    rows = conn.execute(_SQL["queued_ended"], parameters)
    return [EndedKey(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tickets are open, whatever the filter."""

    by_severity: dict[str, int]
    overdue_n: int
    at_risk_n: int
    unassigned_n: int
    mine_n: int

    @property
    def open_n(self) -> int:
        return sum(self.by_severity.values())


def counts(conn: Connection, who: str, now: datetime) -> Counts:
    """What is open; `who` is whose tickets count as mine."""
    rows = conn.execute(_SQL["queue_counts"], {"who": who, "now": now}).fetchall()
    totals = [sum(row[place] for row in rows) for place in range(2, 6)]
    return Counts({row[0]: row[1] for row in rows}, *totals)


class Centre(NamedTuple):
    id: str
    name: str


def centres(conn: Connection) -> list[Centre]:
    return [Centre(*row) for row in conn.execute(_SQL["centres"])]


def assignees(conn: Connection, limit: int = 50) -> list[str]:
    """Those who have open tickets, by name."""
    return [row[0] for row in conn.execute(_SQL["assignees"], {"limit": limit})]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells whether a ticket is still as somebody saw it."""

    ticket_no: int
    state: str
    version: int
    last_kind: str | None
    last_who: str | None
    last_at: datetime | None


def stamps(conn: Connection, ticket_nos: Sequence[int]) -> list[Stamp]:
    """The state of tickets and what happened to each last, by number."""
    return all_rows(conn, Stamp, _SQL["stamps"], {"tickets": list(ticket_nos)})
