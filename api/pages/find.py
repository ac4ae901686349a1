"""Page: find a device by what is printed on it, typed or scanned. No name and no address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from api.access.gate import InErrand, log_shown
from api.devices import searchable
from api.rooms import InRooms
from api.telling import Voice, page
from fleet.udi import UdiError, is_gtin, read_udi
from storage import device_reading
from storage.device_reading import Marked

router = APIRouter(include_in_schema=False)

SHOWN: Final = 50
LONGEST: Final = 200
Trouble = Literal["product", "broken"]


@dataclass(frozen=True, slots=True)
class Sought:
    """What to look for. `trouble`: the text names a product only, or is a broken UDI."""

    mark: str | None
    is_udi: bool = False
    trouble: Trouble | None = None


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


def sought_by(typed: str) -> Sought:
    """The mark in what was typed: of a UDI the individual's part. Pure."""
    try:
        udi = read_udi(typed)
    except UdiError:
        return Sought(None, is_udi=True, trouble="broken")
    if udi is None:
        return Sought(searchable(typed))
    if udi.individual is None:
        return Sought(None, is_udi=True, trouble="product")
    return Sought(searchable(udi.individual), is_udi=True)
