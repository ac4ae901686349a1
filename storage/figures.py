"""What key figures are computed from: the tickets of a time, minutes before it, and signs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from fleet.figures import BASELINE_LEAST, BASELINE_TICKETS, Minutes, TicketFact
from fleet.wear import (
    COUNTED,
    DRIVEN,
    FENCE,
    LEAST_RATIO,
    MIN_COUNT,
    MIN_DRIVEN_H,
    MIN_PEERS,
    MonthOfUse,
    Sign,
)
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


def minutes_between(
    conn: Connection, low: datetime, high: datetime, centre_id: str | None
) -> Minutes:
    """Minutes of the tickets first solved in a half-open time, as `fleet.figures` counts them."""
    values = {"low": low, "high": high, "centre": centre_id}
    row = conn.execute(_SQL["minutes_between"], values).fetchone()
    assert row is not None
    noted_n, sum_min, mean, median = row
    return Minutes(noted_n, sum_min, mean, median, baseline=None)


class Signs(NamedTuple):
    """The farthest signs of abnormal use, and how many there are in all."""

    first: Sequence[Sign]
    n: int


def signs(conn: Connection, limit: int) -> Signs:
    """What `fleet.wear.signs` says of the fleet within reach, counted where the counters are."""
    values = {
        "driven": DRIVEN,
        "counted": list(COUNTED),
        "least_h": MIN_DRIVEN_H,
        "least_peers": MIN_PEERS,
        "least_count": MIN_COUNT,
        "fence": FENCE,
        "least_ratio": LEAST_RATIO,
        "limit": limit,
    }
    rows = conn.execute(_SQL["signs"], values).fetchall()
    return Signs([Sign(*row[:-1]) for row in rows], rows[0][-1] if rows else 0)


def sign_months(
    conn: Connection, signs: Sequence[Sign], as_of: datetime
) -> dict[tuple[str, str], list[MonthOfUse]]:
    """The last twelve months of each sign's time at most, by device id and metric."""
    values = {
        "devices": [sign.device_id for sign in signs],
        "metrics": [sign.metric for sign in signs],
        "from_ats": [sign.from_at for sign in signs],
        "until_ats": [sign.until_at for sign in signs],
        "driven": DRIVEN,
        "as_of": as_of,
    }
    found: defaultdict[tuple[str, str], list[MonthOfUse]] = defaultdict(list)
    for device_id, metric, *month in conn.execute(_SQL["sign_months"], values):
        found[device_id, metric].append(MonthOfUse(*month))
    return found


def centres(conn: Connection) -> list[CentreName]:
    """The centres of the caller's tenant, by name."""
    return [CentreName(*row) for row in conn.execute(_SQL["centres"])]
