"""Does the loss equation hold? What devices were told is settled, against what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fleet.ranges import SeqSet
from storage import accounts
from storage.connection import Connection

AckedUpTo = Mapping[tuple[str, str], int]
"""(device, epoch) → every record up to here was acknowledged to the device."""


@dataclass(frozen=True, slots=True)
class Balance:
    """The account of everything that came in. `is_right` is the promise kept."""

    received: int
    stored: int
    duplicate: int
    quarantined: int
    quarantined_by_reason: dict[str, int]
    lost: dict[str, int]
    faults: int
    episodes: int
    tickets: int
    problems: list[str] = field(default_factory=list)

    @property
    def equation_holds(self) -> bool:
        return self.received == self.stored + self.duplicate + self.quarantined

    @property
    def is_right(self) -> bool:
        return self.equation_holds and not self.problems

    def as_dict(self) -> dict[str, Any]:
        return {
            "received": self.received,
            "stored": self.stored,
            "duplicate": self.duplicate,
            "quarantined": self.quarantined,
            "quarantined_by_reason": self.quarantined_by_reason,
            "lost": self.lost,
            "faults": self.faults,
            "episodes": self.episodes,
            "tickets": self.tickets,
            "equation_holds": self.equation_holds,
            "problems": self.problems,
        }


def draw_up(conn: Connection, acked: AckedUpTo) -> Balance:
    """Draw up the account, and check every acknowledged record against the ledger and the rows."""
    totals = accounts.totals(conn)
    ledger = accounts.ledger(conn)
    problems: list[str] = []
    absent = 0
    for (device, epoch), hi in acked.items():
        if hi:
            missing = _missing(ledger.get((device, epoch)), hi)
            absent += missing
            if missing:
                problems.append(f"{device}/{epoch}: {missing} acknowledged records are absent")
    return Balance(
        totals.received,
        totals.stored,
        totals.duplicate,
        totals.quarantined,
        totals.quarantined_by_reason,
        {
            "lost_on_device": sum(row.lost.size() for row in ledger.values()),
            "open_gaps": sum(_open(row.received) for row in ledger.values()),
            "acknowledged_but_absent": absent,
        },
        totals.faults,
        totals.episodes,
        totals.tickets,
        problems[:20],
    )


def _missing(row: accounts.LedgerRow | None, hi: int) -> int:
    gaps = SeqSet().missing_below(hi + 1) if row is None else row.received.missing_below(hi + 1)
    return sum(high - low + 1 for low, high in gaps)


def _open(received: SeqSet) -> int:
    return sum(high - low + 1 for low, high in received.gaps())
