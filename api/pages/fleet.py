"""Pages: the fleet by model, firmware or centre, and the devices behind one of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import Response
from fastapi.responses import HTMLResponse
from pydantic import ValidationError

from api import typography
from api.access.gate import InErrand
from api.batteries import BatteriesAsked, batteries, battery_csv, by_month
from api.fleet import (
    FleetAsked,
    FleetGroup,
    MembersAsked,
    members,
    model_name,
    overview,
    rises,
)
from api.rooms import InRooms
from api.routes import Router
from api.telling import Say, Voice, page
from fleet.rates import Rate, rate
from storage import figures

router = Router(prefix="/fleet", include_in_schema=False)

GROUP_ROWS: Final = 60
SOONEST_ROWS: Final = 20
BATTERY_ROWS: Final = 150
DEVICE_ROWS: Final = 150


@router.get("", operation_id="fleet_page")
def fleet_page(rooms: InRooms, errand: InErrand, say: Voice) -> HTMLResponse:
    asked = asked_in(FleetAsked, say)
    counted = overview(rooms, errand, asked, say.now)
    groups = counted.groups
    with rooms.read(errand) as conn:
        found = batteries(conn, BatteriesAsked(), SOONEST_ROWS)
        standing_out = rises(conn)
    return page(
        "fleet.html",
        say,
        asked=asked,
        groups=groups[:GROUP_ROWS],
        group_n=len(groups),
        counted_at=counted.seen.high,
        sums=_sums(groups),
        months=by_month(found.rows),
        battery_n=found.n,
        battery_ns={one.month: one.battery_n for one in found.months},
        shown_n=len(found.rows),
        rises=standing_out,
        said=lambda value: rated(value, say),
        model_name=model_name,
        decimal=lambda value: typography.number(value, say.lang, 1),
    )


@router.get("/devices", operation_id="fleet_devices_page")
def fleet_devices_page(rooms: InRooms, errand: InErrand, say: Voice) -> HTMLResponse:
    asked = asked_in(MembersAsked, say)
    found = members(rooms, errand, asked, say.now)
    with rooms.read(errand) as conn:
        names = {centre.centre_no: centre.name for centre in figures.centres(conn)}
    return page(
        "fleet_devices.html",
        say,
        asked=asked,
        rows=found.rows[:DEVICE_ROWS],
        is_cut=len(found.rows) > DEVICE_ROWS,
        counted_at=found.counted_at,
        limit=DEVICE_ROWS,
        centres=names,
        model_name=model_name,
    )


@router.get("/batteries", operation_id="batteries_page")
def batteries_page(rooms: InRooms, errand: InErrand, say: Voice) -> HTMLResponse:
    asked = asked_in(BatteriesAsked, say)
    with rooms.read(errand) as conn:
        found = batteries(conn, asked, BATTERY_ROWS)
    return page(
        "batteries.html",
        say,
        asked=asked,
        found=found,
        listed=by_month(found.rows),
        battery_ns={one.month: one.battery_n for one in found.months},
        model_name=model_name,
    )


@router.get("/batteries.csv", operation_id="batteries_csv")
def batteries_csv(rooms: InRooms, errand: InErrand, say: Voice) -> Response:
    """All of them, or those of one month."""
    asked = asked_in(BatteriesAsked, say).model_copy(update={"cursor": None})
    return battery_csv(rooms, errand, asked, say.lang)


def _sums(groups: Sequence[FleetGroup]) -> dict[str, Any]:
    rows = [group.row for group in groups]
    episode_n = sum(row.episode_n for row in rows)
    return {
        "device_n": sum(row.device_n for row in rows),
        "heard_n": sum(row.heard_n for row in rows),
        "silent_n": sum(row.silent_n for row in rows),
        "battery_n": sum(row.battery_n for row in rows),
        "episode_n": episode_n,
        "rate": rate(episode_n, sum(row.device_days for row in rows)),
    }


def rated(found: Rate, say: Say, decimals: int = 2) -> tuple[str, str] | None:
    """A rate and its interval as people read them; None where nothing was watched."""
    if found.value is None or found.low is None or found.high is None:
        return None
    value, low, high = (
        typography.number(number, say.lang, decimals)
        for number in (found.value, found.low, found.high)
    )
    return value, f"{low}–{high}"


def asked_in(kind: Any, say: Say, **given: str) -> Any:
    """What the address asks for; what cannot be used counts as not said."""
    told = {key: value for key, value in say.query.items() if key in kind.model_fields}
    known: dict[str, Any] = {**given, **told}
    known = {key: value for key, value in known.items() if value}
    if str(known.get("days", "")).isdigit():
        known["days"] = int(known["days"])
    while True:
        try:
            return kind.model_validate(known)
        except ValidationError as exc:
            for error in exc.errors():
                known.pop(str(error["loc"][0]), None)
