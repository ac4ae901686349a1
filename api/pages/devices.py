"""Page: the list of devices."""

from __future__ import annotations

from typing import Final

from fastapi.responses import HTMLResponse

from api import cursors
from api.access.gate import InErrand, log_shown
from api.access.policy import shipped_policy
from api.devices import searchable
from api.rooms import InRooms
from api.routes import Router
from api.telling import Voice, page
from storage import reading

router = Router(include_in_schema=False)

DEVICE_ROWS: Final = 50


@router.get("/devices", operation_id="devices_page")
def devices_page(rooms: InRooms, errand: InErrand, say: Voice) -> HTMLResponse:
    search = searchable(say.query.get("q"))
    after = cursors.decode("devices", say.query.get("cursor"), cursors.read_text) or ""
    with rooms.read(errand) as conn:
        rows = reading.devices(conn, after, DEVICE_ROWS + 1, search)
    shown, following = cursors.cut("devices", rows, DEVICE_ROWS, "id")
    log_shown(rooms, errand, [row.id for row in shown])
    return page(
        "devices.html",
        say,
        devices=shown,
        search=search or "",
        next_cursor=following,
        after=after,
        may_add=shipped_policy()["first_run_page"].allows(errand.caller.role),
    )
