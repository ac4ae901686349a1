"""What key figures are computed from: the tickets of a time, minutes before it, and counters."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from fleet.figures import BASELINE_LEAST, BASELINE_TICKETS, TicketFact
from fleet.wear import COUNTED, DRIVEN, Counter
from storage.connection import Connection
from storage.queries import load_queries

FACTS_MAX: Final = 200_000
_SQL: Final = load_queries("figures.sql")


class CentreName(NamedTuple):
    centre_no: int
    id: str
    name: str


def ticket_facts(conn: Connection, low: datetime, high: datetime) -> list[TicketFact]:
    """Every ticket within reach that the figures of a half-open time may count, and some more."""
    values = {"low": low, "high": high, "limit": FACTS_MAX}
    return [TicketFact(*row) for row in conn.execute(_SQL["ticket_facts"], values)]


def first_minutes(conn: Connection, before: datetime) -> float | None:
    """Mean minutes of the first tickets solved here; None while they are too few to compare by."""
    values = {"before": before, "tickets": BASELINE_TICKETS}
    row = conn.execute(_SQL["first_minutes"], values).fetchone()
    return None if row is None or row[0] < BASELINE_LEAST else float(row[1])


def counters(conn: Connection) -> list[Counter]:
    """What signs of abnormal use are read from."""
    rows = conn.execute(_SQL["counters"], {"metrics": [DRIVEN, *COUNTED]})
    return [Counter(*row) for row in rows]


def centres(conn: Connection) -> list[CentreName]:
    """The centres of the caller's tenant, by name."""
    return [CentreName(*row) for row in conn.execute(_SQL["centres"])]
