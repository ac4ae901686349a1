"""Page: one device, and its charts by themselves for those who move along the time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi.responses import HTMLResponse

from api.access.gate import Errand, InErrand
from api.access.policy import shipped_policy
from api.asking import DeviceId
from api.device_view import charts, view, whole
from api.forms import Form
from api.rooms import InRooms, Rooms
from api.routes import Router
from api.telling import Say, Voice, page
from api.windows import RANGES
from storage.lending import BasicNeed, Place

router = Router(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """A form that was not done: why, which one it was, and what was typed in it."""

    why: str
    act: str
    form: Form

    def value(self, act: str, name: str) -> str:
        return self.form.one(name) if act == self.act else ""

    def chosen(self, act: str, name: str, otherwise: Sequence[str] = ()) -> Sequence[str]:
        return self.form.all(name) if act == self.act else otherwise


NOTHING_REFUSED: Final = Refused("", "", Form({}))


@router.get("/devices/{device_id}", operation_id="device_page")
def device_page(rooms: InRooms, errand: InErrand, say: Voice, device_id: DeviceId) -> HTMLResponse:
    return device_shown(rooms, errand, say, device_id)


def device_shown(
    rooms: Rooms, errand: Errand, say: Say, device_id: str, refused: Refused = NOTHING_REFUSED
) -> HTMLResponse:
    """The page; where a form was refused it says why, keeps what was typed, and is a 409."""
    with rooms.read(errand) as conn:
        seen = view(conn, device_id, say)
        values = {**charts(conn, seen, say), **whole(conn, seen, say)}
    return page(
        "device.html",
        say,
        409 if refused.why else 200,
        **values,
        refused=refused,
        ranges=list(RANGES),
        needs=list(BasicNeed),
        places=[place for place in Place if place is not values["place_now"]],
        is_staff=errand.caller.is_staff,
        **_allowed(errand),
    )


def _allowed(errand: Errand) -> dict[str, Any]:
    """What the page offers this caller."""
    policy, role = shipped_policy(), errand.caller.role
    offered = {
        "may_lend": "start_loan_page",
        "may_say_needs": "change_needs_page",
        "may_place": "place_page",
        "may_open": "new_ticket_page",
        "may_queue": "queue_page",
    }
    return {name: policy[operation].allows(role) for name, operation in offered.items()}


@router.get("/devices/{device_id}/charts", operation_id="device_charts_part")
def device_charts_part(
    rooms: InRooms, errand: InErrand, say: Voice, device_id: DeviceId
) -> HTMLResponse:
    """The drawings of a stretch of time, as the page holds them."""
    with rooms.read(errand) as conn:
        values = charts(conn, view(conn, device_id, say), say)
    return page("device_charts.html", say, ranges=list(RANGES), **values)
