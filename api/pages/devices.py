"""Pages: the list of devices, and one device."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from api import cursors
from api.access.gate import InErrand
from api.asking import EARLIEST, known_device
from api.devices import searchable
from api.meanings import fault_out, ledger_out
from api.plots import RANGES, device_charts, latest_split, span_around
from api.rooms import InRooms
from api.telling import Voice, page
from storage import reading
from storage.connection import Connection
from storage.reading import Span, TicketFilter, TicketRow

router = APIRouter(include_in_schema=False)

DEVICE_ROWS: Final = 50
FAULT_ROWS: Final = 50
GAP_ROWS: Final = 20
TICKET_ROWS: Final = 20


@router.get("/devices", operation_id="devices_page")
def devices_page(rooms: InRooms, errand: InErrand, say: Voice) -> HTMLResponse:
    search = searchable(say.query.get("q"))
    after = cursors.decode("devices", say.query.get("cursor"), cursors.read_text) or ""
    with rooms.read(errand) as conn:
        rows = reading.devices(conn, after, DEVICE_ROWS + 1, search)
    more = len(rows) > DEVICE_ROWS
    following = cursors.encode("devices", (rows[DEVICE_ROWS - 1].id,)) if more else None
    shown = rows[:DEVICE_ROWS]
    return page(
        "devices.html", say, devices=shown, search=search or "", next_cursor=following, after=after
    )


@router.get("/devices/{device_id}", operation_id="device_page")
def device_page(rooms: InRooms, errand: InErrand, say: Voice, device_id: str) -> HTMLResponse:
    chosen = say.query.get("range", "24h")
    chosen = chosen if chosen in RANGES else "24h"
    at = _instant(say.query.get("at"), say.now)
    span = span_around(at, chosen, say.now)
    with rooms.read(errand) as conn:
        device = known_device(conn, device_id)
        latest, private_n = latest_split(reading.latest_values(conn, device.device_no))
        faults = _faults_until(conn, device.device_no, say.now if at is None else span.high)
        drawings = device_charts(conn, device, [value.metric for value in latest], span, say)
        ledgers = reading.ledgers_of(conn, device.device_no)
        gaps = reading.gaps_of(conn, device.device_no, GAP_ROWS)
        tickets = _open_tickets(conn, device.device_no)
    return page(
        "device.html",
        say,
        device=device,
        latest=latest,
        private_n=private_n,
        faults=[fault_out(fault) for fault in faults],
        fault_rows=FAULT_ROWS,
        drawings=drawings,
        chosen=chosen,
        at=at,
        ranges=list(RANGES),
        picked=say.query.get("metric"),
        ledgers=[ledger_out(row) for row in ledgers],
        gaps=gaps,
        tickets=tickets,
    )


def _instant(text: str | None, now: datetime) -> datetime | None:
    """The time to look back to, from the address; what cannot be used counts as not said."""
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    if at.tzinfo is None or not EARLIEST <= at < now:
        return None
    return at.astimezone(UTC)


def _faults_until(conn: Connection, device_no: int, high: datetime) -> list[reading.FaultRow]:
    """The newest faults; a day or two ahead are those of a clock that is fast."""
    span = Span(high - timedelta(days=365 * 5), high + timedelta(days=2))
    return reading.faults(conn, device_no, span, FAULT_ROWS)


def _open_tickets(conn: Connection, device_no: int) -> list[TicketRow]:
    return reading.open_tickets(conn, TicketFilter(device_no=device_no), TICKET_ROWS)
