"""Page: one device, and its charts by themselves for those who move along the time axis."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from api.access.gate import Errand, InErrand
from api.access.policy import shipped_policy
from api.asking import DeviceId
from api.device_view import charts, view, whole
from api.rooms import InRooms, Rooms
from api.telling import Say, Voice, page
from api.windows import RANGES
from storage.lending import BasicNeed, Place

router = APIRouter(include_in_schema=False)


@router.get("/devices/{device_id}", operation_id="device_page")
def device_page(rooms: InRooms, errand: InErrand, say: Voice, device_id: DeviceId) -> HTMLResponse:
    return device_shown(rooms, errand, say, device_id)


def device_shown(
    rooms: Rooms, errand: Errand, say: Say, device_id: str, refusal: str | None = None
) -> HTMLResponse:
    """The page; with `refusal` it says why what was asked was not done, and is a 409."""
    with rooms.read(errand) as conn:
        seen = view(conn, device_id, say)
        values = {**charts(conn, seen, say), **whole(conn, seen, say)}
    policy = shipped_policy()
    role = errand.caller.role
    return page(
        "device.html",
        say,
        200 if refusal is None else 409,
        **values,
        refusal=refusal,
        ranges=list(RANGES),
        needs=list(BasicNeed),
        places=[place for place in Place if place is not values["place_now"]],
        may_lend=policy["start_loan_page"].allows(role),
        may_place=policy["place_page"].allows(role),
        may_open=policy["new_ticket_page"].allows(role),
        may_queue=policy["queue_page"].allows(role),
        is_staff=errand.caller.is_staff,
    )


@router.get("/devices/{device_id}/charts", operation_id="device_charts_part")
def device_charts_part(
    rooms: InRooms, errand: InErrand, say: Voice, device_id: DeviceId
) -> HTMLResponse:
    """The drawings of a stretch of time, as the page holds them."""
    with rooms.read(errand) as conn:
        values = charts(conn, view(conn, device_id, say), say)
    return page("device_charts.html", say, ranges=list(RANGES), **values)
