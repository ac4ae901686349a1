"""Page: find a device by what is printed on it, typed or scanned. No name and no address."""

from __future__ import annotations

from typing import Final

from fastapi import Response
from fastapi.responses import RedirectResponse

from api.access.gate import InErrand, log_shown
from api.marks import sought_by
from api.rooms import InRooms
from api.routes import Router
from api.telling import Voice, page
from fleet.udi import is_gtin
from storage import device_reading
from storage.device_reading import Marked

router = Router(include_in_schema=False)

SHOWN: Final = 50
LONGEST: Final = 200


@router.get("/find", operation_id="find_page")
def find_page(rooms: InRooms, errand: InErrand, say: Voice) -> Response:
    """The field and what it led to; where that is one device, straight to it."""
    typed = say.query.get("q", "").strip()[:LONGEST]
    sought = sought_by(typed)
    found = Marked([], is_exact=False)
    if sought.mark:
        with rooms.read(errand) as conn:
            found = device_reading.marked(conn, sought.mark, SHOWN + 1)
    if len(found.devices) == 1:
        return RedirectResponse(say.link(f"/devices/{found.devices[0].id}"), 303)
    log_shown(rooms, errand, [device.id for device in found.devices[:SHOWN]])
    return page(
        "find.html",
        say,
        typed=typed,
        sought=sought,
        devices=found.devices[:SHOWN],
        is_cut=len(found.devices) > SHOWN,
        is_product=sought.trouble == "product" or (not found.devices and is_gtin(typed)),
    )
