"""The fleet as a whole, as JSON and the page tell it: rates by group, silence, rises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated, Final, Literal

from fastapi import Query
from pydantic import Field

from api.access.gate import Errand, InErrand
from api.asking import _Asked
from api.problems import READING
from api.rooms import InRooms, Rooms
from api.routes import Router
from api.rulebook import ids_of_kind
from api.schemas import COUNTED_AT, BothOut, Instant, Out
from fleet.faults import load_catalogue
from fleet.models import load_models
from fleet.rates import Rate, rate
from fleet.words import Component, Severity
from storage import figures, fleetwide
from storage.connection import Connection
from storage.fleetwide import (
    By,
    FleetMember,
    Group,
    GroupRow,
    RiseRow,
    Shown,
    Watched,
)

router = Router(prefix="/api/v1/fleet", tags=["fleet"], responses=READING)

GROUPS_MAX: Final = 500
Days = Literal[30, 90]
_NO_FAULTS: Final = frozenset({Component.MEASUREMENT, Component.USER_ACTION, Component.SERVICE})


@dataclass(frozen=True, slots=True)
class FleetGroup:
    """One group with its names and its rate of fault episodes for each 100 device-days."""

    row: GroupRow
    name: str
    rate: Rate


@cache
def quiet_codes() -> tuple[tuple[str, str], ...]:
    """Codes that say nothing of the device's health: information, and what people do."""
    return tuple(
        (fault.system, fault.code)
        for fault in load_catalogue()
        if fault.severity is Severity.INFO or fault.component in _NO_FAULTS
    )


def watched(conn: Connection, now: datetime, days: int) -> Watched:
    rules = ids_of_kind(conn, "battery_end_of_life")
    return Watched(now - timedelta(days=days), now, quiet_codes(), rules)


@dataclass(frozen=True, slots=True)
class Overview:
    """The fleet by one thing, as it was at `seen.high`."""

    seen: Watched
    groups: Sequence[FleetGroup]


def overview(rooms: Rooms, errand: Errand, asked: FleetAsked, now: datetime) -> Overview:
    """The groups of the fleet, as they were not long ago."""

    def count() -> Overview:
        with rooms.count(errand) as conn:
            seen = watched(conn, now, asked.days)
            return Overview(seen, fleet_groups(conn, asked.by, seen))

    return rooms.kept.get(errand.scope, ("fleet", asked.by, asked.days), now, count)


@dataclass(frozen=True, slots=True)
class Members:
    """The devices behind one number, as they were at `counted_at`; one more than are listed."""

    counted_at: datetime
    rows: Sequence[FleetMember]


def members(rooms: Rooms, errand: Errand, asked: MembersAsked, now: datetime) -> Members:
    """The devices behind a number, as they were not long ago."""

    def count() -> Members:
        with rooms.count(errand) as conn:
            seen = watched(conn, now, asked.days)
            limit = fleetwide.LISTED_MAX + 1
            return Members(now, fleetwide.members(conn, seen, asked.group(), asked.show, limit))

    key = ("members", asked.show, asked.days, asked.group())
    return rooms.kept.get(errand.scope, key, now, count)


def fleet_groups(conn: Connection, by: By, seen: Watched) -> list[FleetGroup]:
    """The groups, those with most fault episodes first."""
    names = {centre.centre_no: centre.name for centre in figures.centres(conn)}
    found = [
        FleetGroup(row, name_of(row, names), rate(row.episode_n, row.device_days))
        for row in fleetwide.groups(conn, by, seen)
    ]
    return sorted(found, key=lambda group: (-group.row.episode_n, group.name))


def name_of(row: GroupRow, centres: dict[int, str]) -> str:
    """What people call a group; empty for devices without a centre."""
    if row.centre_no is not None:
        return centres.get(row.centre_no, "")
    name = model_name(row.model_id or "")
    return name if row.fw is None else f"{name}, {row.fw or '?'}"


def model_name(model_id: str) -> str:
    model = load_models().get(model_id)
    return model_id if model is None else f"{model.maker} {model.name}"


class RateOut(Out):
    """Fault episodes for each 100 device-days, with the exact 95 % interval (Garwood)."""

    value: float | None
    low: float | None
    high: float | None


class FleetGroupOut(Out):
    model_id: str | None
    fw: str | None
    centre: str | None
    device_n: int
    heard_n: int = Field(description="Devices that have ever reported.")
    device_days: float = Field(description="Of the devices that have reported.")
    faulted_n: int
    episode_n: int
    rate: RateOut
    silent_n: int
    battery_n: int


class FleetOut(Out):
    by: By
    from_at: Instant
    to_at: Instant = Field(description=COUNTED_AT)
    items: list[FleetGroupOut]
    is_cut: bool


class FleetMemberOut(Out):
    device_id: str
    individual_no: str | None
    model_id: str
    fw: str | None
    last_contact_at: Instant | None
    episode_n: int
    finding_no: int | None


class FleetMemberList(Out):
    counted_at: Instant = Field(description=COUNTED_AT)
    items: list[FleetMemberOut]
    is_cut: bool


class FleetAsked(_Asked):
    by: By = "model"
    days: Days = 30


class MembersAsked(_Asked):
    show: Shown = "faulted"
    days: Days = 30
    model: str | None = Field(None, max_length=80, pattern=r"^[^\x00]*$")
    fw: str | None = Field(
        None, max_length=80, pattern=r"^[^\x00]*$", description="`-`: those that never said."
    )
    centre_no: int | None = Field(None, ge=0, lt=2**31)

    def group(self) -> Group:
        fw = "" if self.fw == "-" else self.fw
        return Group(self.model, fw, self.centre_no)


class RiseOut(Out):
    """A group of devices that faults more than its peers, beyond chance."""

    finding_no: int
    rule_id: str
    subject: str = Field(
        description="What the devices have in common.",
        examples=["model:otto-bock-b400/batch:2207"],
    )
    component: str
    started_at: Instant
    last_at: Instant
    confidence: float
    title: BothOut
    happened: BothOut
    ticket_no: int | None


class RiseList(Out):
    items: list[RiseOut]


@router.get("", operation_id="get_fleet")
def get_fleet(rooms: InRooms, errand: InErrand, asked: Annotated[FleetAsked, Query()]) -> FleetOut:
    """How often the fleet faults, by model, firmware or centre; those with most faults first."""
    found = overview(rooms, errand, asked, datetime.now(UTC))
    return FleetOut(
        by=asked.by,
        from_at=found.seen.low,
        to_at=found.seen.high,
        items=[_group_out(group, asked.by) for group in found.groups[:GROUPS_MAX]],
        is_cut=len(found.groups) > GROUPS_MAX,
    )


def _group_out(group: FleetGroup, by: By) -> FleetGroupOut:
    names = (
        "model_id", "fw", "device_n", "heard_n", "device_days", "faulted_n", "episode_n",
        "silent_n", "battery_n",
    )  # fmt: skip
    return FleetGroupOut.model_validate(
        {
            **{name: getattr(group.row, name) for name in names},
            "centre": group.name if by == "centre" else None,
            "rate": RateOut.model_validate(group.rate),
        }
    )


@router.get("/devices", operation_id="list_fleet_devices")
def list_fleet_devices(
    rooms: InRooms, errand: InErrand, asked: Annotated[MembersAsked, Query()]
) -> FleetMemberList:
    """The devices behind one number, those with most fault episodes first; at most 500.

    Of the silent ones those whose last contact is longest ago come first.
    """
    found = members(rooms, errand, asked, datetime.now(UTC))
    shown = found.rows[: fleetwide.LISTED_MAX]
    items = [FleetMemberOut.model_validate(row) for row in shown]
    is_cut = len(found.rows) > len(shown)
    return FleetMemberList(counted_at=found.counted_at, items=items, is_cut=is_cut)


@router.get("/rises", operation_id="list_rises")
def list_rises(rooms: InRooms, errand: InErrand) -> RiseList:
    """Groups that fault more than their peers now, the newest first; at most 500."""
    with rooms.read(errand) as conn:
        found = rises(conn)
    return RiseList(items=[_rise_out(row) for row in found])


def rises(conn: Connection) -> list[RiseRow]:
    """What no cause is known for yet: models, batches and firmware that stand out."""
    return fleetwide.rises(conn, ids_of_kind(conn, "fleet"))


def _rise_out(row: RiseRow) -> RiseOut:
    names = (
        "finding_no", "rule_id", "subject", "component", "started_at", "last_at", "confidence",
        "ticket_no",
    )  # fmt: skip
    told = {"title": row.title, "happened": row.happened}
    return RiseOut.model_validate(
        {
            **{name: getattr(row, name) for name in names},
            **{
                name: BothOut(sv=(t or ("", ""))[0], en=(t or ("", ""))[1])
                for name, t in told.items()
            },
        }
    )
