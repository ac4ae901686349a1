"""Who looked: the access log as the person it concerns reads it. The log itself stays whole."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from api.access.gate import REFUSED
from api.access.policy import Log, shipped_policy
from api.texts import TEXTS
from fleet.access.audit import Row
from fleet.access.callers import Role
from storage import audit
from storage.audit import AuditFilter
from storage.connection import Connection

LOG_PAGE: Final = 100
ONE_LOOK: Final = timedelta(minutes=30)
"""Readings by one person that follow within this time are one look, however often they clicked."""
ROWS_MAX: Final = 500
"""Entries that one page of looks is made of."""
_READ: Final = {Log.READ, Log.SHOWN}


@dataclass(slots=True)
class Look:
    """Somebody read or changed something about a person: role, unit and time, and no name.

    `count` entries from `from_at` to `at`; `what` holds the keys of their words, the newest first.
    """

    at: datetime
    role: str
    care_unit: str | None
    device_id: str | None
    from_at: datetime
    count: int = 0
    what: list[str] = field(default_factory=list)

    def add(self, row: Row) -> None:
        self.from_at = row.entry.at
        self.count += 1
        word = what_was_done(row.entry.action)
        if word not in self.what:
            self.what.append(word)


def looks(
    conn: Connection, tenant: str, person: str, limit: int, before_no: int | None = None
) -> tuple[list[Look], int | None]:
    """Who looked, the newest first, and where to go on. The person's own visits are left out."""
    rows = audit.page(conn, AuditFilter(tenant, person=person), ROWS_MAX, before_no)
    found, used_n = grouped(rows, limit)
    is_more = used_n < len(rows) or len(rows) == ROWS_MAX
    return found, rows[used_n - 1].no if is_more and used_n else None


def grouped(rows: Iterable[Row], limit: int) -> tuple[list[Look], int]:
    """At most `limit` looks of entries, the newest first, and how many entries they took. Pure."""
    found: list[Look] = []
    running: dict[Hashable, Look] = {}
    used_n = 0
    for row in rows:
        if row.entry.role != Role.PATIENT:
            key = _who(row)
            look = running.get(key)
            if look is None or look.from_at - row.entry.at > ONE_LOOK:
                if len(found) == limit:
                    break
                look = running[key] = _begun(row)
                found.append(look)
            look.add(row)
        used_n += 1
    return found, used_n


def _who(row: Row) -> Hashable:
    """What makes entries one look: who, on whose behalf, and of what. A change stands alone."""
    entry = row.entry
    rule = shipped_policy().get(entry.action)
    alone = None if rule is not None and rule.log in _READ else row.no
    return entry.subject, entry.role, entry.care_unit, entry.commission, entry.device_id, alone


def _begun(row: Row) -> Look:
    entry = row.entry
    return Look(entry.at, entry.role, entry.care_unit, entry.device_id, entry.at)


def what_was_done(action: str) -> str:
    """The key of the words for an action; whether it was read or changed where it has none."""
    if action.endswith(REFUSED):
        return "log.refused"
    if f"action.{action}" in TEXTS:
        return f"action.{action}"
    rule = shipped_policy().get(action)
    return "log.read" if rule is not None and rule.log in _READ else "log.changed"
