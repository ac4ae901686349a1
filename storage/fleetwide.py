"""The fleet as a whole: faults by group, batteries to replace, silence, and unexplained rises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Literal, NamedTuple

from storage.connection import Connection
from storage.queries import load_queries
from storage.rows import Row, all_rows

By = Literal["model", "firmware", "centre"]
Shown = Literal["all", "faulted", "silent", "batteries"]
LISTED_MAX: Final = 500
BEYOND_D: Final = 400.0
"""Days ahead that nobody can see: as far off as a battery's end is told."""

_SQL: Final = load_queries("fleetwide.sql")


@dataclass(frozen=True, slots=True)
class Watched:
    """What is looked at: a time, the codes that are no faults, and the rules about batteries."""

    low: datetime
    high: datetime
    quiet: Sequence[tuple[str, str]]
    battery_rules: Sequence[str]

    def parameters(self) -> dict[str, Any]:
        return {
            "low": self.low,
            "high": self.high,
            "systems": [system for system, _ in self.quiet],
            "codes": [code for _, code in self.quiet],
            "batteries": list(self.battery_rules),
        }


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One group of devices. `device_days` are of those `heard_n` that ever reported.

    What the fleet is not grouped by is None; firmware that was never told is "", a device without
    a centre has centre 0.
    """

    model_id: str | None
    fw: str | None
    centre_no: int | None
    device_n: int
    heard_n: int
    device_days: float
    faulted_n: int
    episode_n: int
    silent_n: int
    battery_n: int


@dataclass(frozen=True, slots=True)
class Group:
    """Which devices; None lets every one through."""

    model_id: str | None = None
    fw: str | None = None
    centre_no: int | None = None


@dataclass(frozen=True, slots=True)
class FleetMember:
    """One device behind a number; `finding_no` is the open finding that counts it.

    `last_contact_at` None: never heard of.
    """

    device_no: int
    device_id: str
    individual_no: str | None
    model_id: str
    fw: str | None
    centre_no: int | None
    last_contact_at: datetime | None
    episode_n: int
    finding_no: int | None


@dataclass(frozen=True, slots=True)
class BatteryRow:
    """A battery that is expected to end between two dates; `latest_on` None: beyond our sight."""

    finding_no: int
    device_id: str
    individual_no: str | None
    model_id: str
    centre_id: str | None
    centre_name: str | None
    confidence: float
    earliest_on: date
    best_on: date
    latest_on: date | None
    ticket_no: int | None


class BatteryKey(NamedTuple):
    """Where a reader of the batteries has come to."""

    best_on: date
    finding_no: int


@dataclass(frozen=True, slots=True)
class BatteryMonth:
    """How many batteries are likeliest to end in the month that begins on `month`."""

    month: date
    battery_n: int


@dataclass(frozen=True, slots=True)
class RiseRow:
    """A group that faults more than its peers. `title`, `happened`: Swedish, then English."""

    finding_no: int
    rule_id: str
    subject: str
    component: str
    started_at: datetime
    last_at: datetime
    confidence: float
    title: Sequence[str] | None
    happened: Sequence[str] | None
    ticket_no: int | None


def groups(conn: Connection, by: By, watched: Watched) -> list[GroupRow]:
    """The fleet by what was chosen, in no order."""
    return _all(conn, GroupRow, "fleet_groups", by_what=by, **watched.parameters())


def members(
    conn: Connection, watched: Watched, group: Group, shown: Shown, limit: int
) -> list[FleetMember]:
    """The devices behind a number: most fault episodes first, or silent the longest."""
    values = {"model_id": group.model_id, "fw": group.fw, "centre_no": group.centre_no}
    return _all(
        conn, FleetMember, "fleet_members", shown=shown, limit=limit, **values,
        **watched.parameters(),
    )  # fmt: skip


def batteries(
    conn: Connection,
    rules: Sequence[str],
    limit: int,
    month: date | None = None,
    after: BatteryKey | None = None,
) -> list[BatteryRow]:
    """Batteries to replace, the soonest first; of one month, by its first day, if one is named."""
    on, number = after or (None, None)
    values = {"rules": list(rules), "beyond_d": BEYOND_D, "month": month}
    return _all(
        conn, BatteryRow, "batteries", after_on=on, after_no=number, limit=limit, **values
    )  # fmt: skip


def battery_months(conn: Connection, rules: Sequence[str]) -> list[BatteryMonth]:
    """How many batteries to replace each month has; every one is in one month."""
    return _all(conn, BatteryMonth, "battery_months", rules=list(rules), beyond_d=BEYOND_D)


def rises(conn: Connection, rules: Sequence[str]) -> list[RiseRow]:
    """Groups that fault beyond chance now."""
    return _all(conn, RiseRow, "rises", rules=list(rules), limit=LISTED_MAX)


def _all(conn: Connection, kind: type[Row], name: str, **values: object) -> list[Row]:
    return all_rows(conn, kind, _SQL[name], values)
