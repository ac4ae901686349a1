"""The fleet as a whole: faults by group, batteries to replace, silence, and unexplained rises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeVar

from psycopg.rows import class_row

from storage.connection import Connection
from storage.queries import load_queries

By = Literal["model", "firmware", "centre"]
Shown = Literal["all", "faulted", "silent", "batteries"]
LISTED_MAX: Final = 500
_SQL: Final = load_queries("fleetwide.sql")

Row = TypeVar("Row")


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
    """One device behind a number; `finding_no` is the open finding that counts it."""

    device_no: int
    device_id: str
    model_id: str
    fw: str | None
    centre_no: int | None
    episode_n: int
    finding_no: int | None


@dataclass(frozen=True, slots=True)
class BatteryRow:
    """A battery that is expected to end so many days after `last_at`."""

    finding_no: int
    device_id: str
    model_id: str
    last_at: datetime
    confidence: float
    earliest_d: float | None
    best_d: float | None
    latest_d: float | None
    ticket_no: int | None


@dataclass(frozen=True, slots=True)
class RiseRow:
    """A group that faults more than its peers. `title`, `happened`: Swedish, then English."""

    finding_no: int
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
    """The devices behind a number, those with most fault episodes first."""
    values = {"model_id": group.model_id, "fw": group.fw, "centre_no": group.centre_no}
    return _all(
        conn, FleetMember, "fleet_members", shown=shown, limit=limit, **values,
        **watched.parameters(),
    )  # fmt: skip


def batteries(conn: Connection, rules: Sequence[str]) -> list[BatteryRow]:
    """Batteries to replace, the soonest first."""
    return _all(conn, BatteryRow, "batteries", rules=list(rules), limit=LISTED_MAX)


def rises(conn: Connection, rules: Sequence[str]) -> list[RiseRow]:
    """Groups that fault beyond chance now."""
    return _all(conn, RiseRow, "rises", rules=list(rules), limit=LISTED_MAX)


def _all(conn: Connection, kind: type[Row], name: str, **values: object) -> list[Row]:
    with conn.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(_SQL[name], values).fetchall()
