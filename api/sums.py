"""What has come in and what waits, as far as the caller may count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from api.access.gate import Errand
from api.rooms import Rooms
from storage import reading
from storage.connection import Connection
from storage.reading import BacklogRow, IntakeTotalRow, QuarantineTotalRow
from storage.scope import counts_all


@dataclass(frozen=True, slots=True)
class Sums:
    """As of `counted_at`. `is_shared`: only the caller's tenant, since others are here too."""

    counted_at: datetime
    is_shared: bool
    sources: Sequence[IntakeTotalRow]
    reasons: Sequence[QuarantineTotalRow]
    backlog: BacklogRow

    @property
    def reason_n(self) -> int:
        return sum(reason.message_n for reason in self.reasons)


def sums_of(rooms: Rooms, errand: Errand, now: datetime) -> Sums:
    """What came in. Among several tenants from every ledger of one, so kept."""
    with rooms.read(errand) as conn:
        if counts_all(conn):
            return _counted(conn, now, is_shared=False)

    def count() -> Sums:
        with rooms.count(errand) as conn:
            return _counted(conn, now, is_shared=True)

    return rooms.kept.get(errand.scope, "intake", now, count)


def _counted(conn: Connection, now: datetime, *, is_shared: bool) -> Sums:
    sources = reading.intake_totals(conn)
    reasons = reading.quarantine_totals(conn)
    return Sums(now, is_shared, sources, reasons, reading.backlog(conn))
