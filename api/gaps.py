"""JSON: records that are missing between others."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from api import cursors
from api.access.gate import InErrand
from api.asking import DeviceId, _Asked, _Cursor, _Limit, known_device_no
from api.episodes import read_key
from api.problems import READING
from api.rooms import InRooms
from api.routes import Router
from api.schemas import GapOut
from api.schemas_device import GapPage
from storage import device_reading
from storage.reading import GapRow

router = Router(prefix="/api/v1", tags=["data health"], responses=READING)


class GapsAsked(_Asked):
    cursor: _Cursor = None
    limit: _Limit = 50


@router.get("/devices/{device_id}/gaps", operation_id="list_device_gaps")
def list_device_gaps(
    rooms: InRooms, errand: InErrand, device_id: DeviceId, asked: Annotated[GapsAsked, Query()]
) -> GapPage:
    """What is or was missing from one device, newest first, and how each gap ended."""
    after = cursors.decode("device-gaps", asked.cursor, read_key)
    with rooms.read(errand) as conn:
        device_no = known_device_no(conn, device_id)
        rows = device_reading.gaps_of(conn, device_no, asked.limit + 1, after)
    return _page("device-gaps", rows, asked.limit)


@router.get("/gaps", operation_id="list_gaps")
def list_gaps(rooms: InRooms, errand: InErrand, asked: Annotated[GapsAsked, Query()]) -> GapPage:
    """What is missing now, on all devices, the oldest first."""
    after = cursors.decode("open-gaps", asked.cursor, read_key)
    with rooms.read(errand) as conn:
        rows = device_reading.open_gaps(conn, asked.limit + 1, after)
    return _page("open-gaps", rows, asked.limit)


def _page(kind: str, rows: list[GapRow], limit: int) -> GapPage:
    shown, following = cursors.cut(kind, rows, limit, "opened_at", "gap_no")
    return GapPage(items=[GapOut.model_validate(row) for row in shown], next_cursor=following)
