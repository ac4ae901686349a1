"""One tick over the clocks of tickets: notices before a deadline, and what was missed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fleet.sla.policies import Clock
from storage import deadlines
from storage.connection import Connection

LIMIT: Final = 500


@dataclass(frozen=True, slots=True)
class TickResult:
    """What a tick did, by ticket and clock. `is_full`: there may be more to do at once."""

    noticed: tuple[tuple[int, Clock], ...] = ()
    breached: tuple[tuple[int, Clock], ...] = ()
    is_full: bool = False


def tick(conn: Connection, now: datetime, limit: int = LIMIT) -> TickResult:
    """Draft the notices that are due and record the deadlines that have passed.

    Everything is in the caller's transaction, who commits; several processes may tick at once.
    At most `limit` of each are taken.
    """
    to_notify = deadlines.take_to_notify(conn, now, limit)
    deadlines.record_notices(conn, to_notify, now)
    to_breach = deadlines.take_to_breach(conn, now, limit)
    breached = deadlines.record_breaches(conn, to_breach, now)
    return TickResult(
        noticed=tuple((clock.ticket_no, clock.clock) for clock in to_notify),
        breached=tuple(breached),
        is_full=limit in (len(to_notify), len(to_breach)),
    )
