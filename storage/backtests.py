"""What a backtest reads besides the facts: who is covered, and what really happened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from fleet.rules.rule import Rule
from storage.connection import Connection
from storage.queries import load_queries

_SQL: Final = load_queries("backtests.sql")


class PastTicket(NamedTuple):
    """A ticket that was really there. `solved_at`, `outcome` None: nobody has said."""

    ticket_no: int
    cause: str
    opened_at: datetime
    solved_at: datetime | None
    outcome: str | None


def covered_devices(conn: Connection, rule: Rule, tenant: str | None = None) -> list[int]:
    """The devices that a rule covers, of one tenant or of all."""
    parameters = {
        "classes": sorted(map(str, rule.device_classes)),
        "models": sorted(rule.models),
        "tenant": tenant,
    }
    return [row[0] for row in conn.execute(_SQL["covered_devices"], parameters)]


def past_tickets(
    conn: Connection, device_nos: Sequence[int], to_at: datetime
) -> dict[int, list[PastTicket]]:
    """The tickets that these devices had before `to_at`, by device, the oldest first."""
    found: dict[int, list[PastTicket]] = defaultdict(list)
    parameters = {"devices": list(device_nos), "to_at": to_at}
    for device_no, *fields in conn.execute(_SQL["past_tickets"], parameters):
        found[device_no].append(PastTicket(*fields))
    return found


def suspicious_hours(
    conn: Connection, rule: Rule, device_nos: Sequence[int], from_at: datetime, to_at: datetime
) -> int:
    """How many hours of raw samples a rule would have to read."""
    bounds = rule.condition.needs.bounds
    row = conn.execute(
        _SQL["suspicious_hours"],
        {
            "metrics": [bound[0] for bound in bounds],
            "lows": [bound[1] for bound in bounds],
            "highs": [bound[2] for bound in bounds],
            "devices": list(device_nos),
            "from_at": from_at,
            "to_at": to_at,
        },
    ).fetchone()
    assert row is not None
    return int(row[0])
