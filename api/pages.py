"""Pages for people: the ticket queue, tickets, devices and data health."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import ValidationError

from api import cursors
from api.asking import TicketsAsked, known_device
from api.devices import searchable
from api.meanings import episode_out, fault_out, ledger_out, quarantined_out, total_of
from api.plots import RANGES, device_charts, latest_split, ticket_chart
from api.problems import ProblemError, not_found
from api.rooms import InRooms
from api.telling import ICON, STYLE, Say, page, say_for
from api.tickets import FAULTS_SHOWN, page_of
from fleet.ticket_states import FINISHED, State
from fleet.words import Severity
from storage import reading
from storage.connection import Connection
from storage.reading import QuarantineFilter, Span, TicketFilter, TicketRow

router = APIRouter(include_in_schema=False)

QUEUE_ROWS: Final = 50
DEVICE_ROWS: Final = 50
FAULT_ROWS: Final = 50
GAP_ROWS: Final = 20
PAYLOAD_ROWS: Final = 10
LOST_SINCE: Final = timedelta(days=30)
_FOR_MACHINES: Final = ("/api/", "/livez", "/readyz", "/metrics")

Voice = Annotated[Say, Depends(say_for)]


def is_for_people(request: Request) -> bool:
    return not request.url.path.startswith(_FOR_MACHINES)


def error_page(request: Request, error: ProblemError) -> Response:
    """An error in the words and the dress of the other pages."""
    shown = error.status if error.status in (404, 405, 421, 422, 503) else 500
    response = page("error.html", say_for(request), error.status, shown=shown)
    response.headers.update(error.headers)
    return response


@router.get("/static/fjarrkoll.css", operation_id="style")
async def style() -> Response:
    return Response(STYLE, media_type="text/css", headers=_KEPT)


@router.get("/static/icon.svg", operation_id="icon")
async def icon() -> Response:
    return Response(ICON, media_type="image/svg+xml", headers=_KEPT)


_KEPT: Final = {"Cache-Control": "public, max-age=86400"}


@router.get("/", operation_id="queue_page")
def queue_page(rooms: InRooms, say: Voice) -> HTMLResponse:
    asked = _queue_asked(say)
    unknown_device = None
    with rooms.reading.read() as conn:
        counts = reading.open_ticket_counts(conn)
        try:
            rows, following = page_of(conn, asked)
        except ProblemError as exc:
            if exc.status != 404:
                raise
            rows, following, unknown_device = [], None, asked.device
    return page(
        "queue.html",
        say,
        tickets=rows,
        next_cursor=following,
        asked=asked,
        counts=counts,
        open_n=sum(counts.values()),
        unknown_device=unknown_device,
        is_filtered=_is_filtered(asked),
        states=list(State),
        finished=FINISHED,
        severities=list(reversed(Severity)),
    )


def _queue_asked(say: Say) -> TicketsAsked:
    """The filter in the address; what cannot be used counts as not said."""
    known = {key: say.query[key] for key in TicketsAsked.model_fields if say.query.get(key)}
    known.pop("limit", None)
    while True:
        try:
            return TicketsAsked.model_validate({**known, "limit": QUEUE_ROWS})
        except ValidationError as exc:
            for error in exc.errors():
                known.pop(str(error["loc"][0]), None)


def _is_filtered(asked: TicketsAsked) -> bool:
    return asked.state != "open" or asked.severity is not None or asked.device is not None


@router.get("/tickets", operation_id="tickets_page")
def tickets_page(say: Voice) -> Response:
    """The queue is the front page; this address is easy to guess."""
    return Response(status_code=307, headers={"Location": say.link("/", **say.query)})


TicketNo = Annotated[int, Path(ge=1, lt=2**63)]


@router.get("/tickets/{ticket_no}", operation_id="ticket_page")
def ticket_page(rooms: InRooms, say: Voice, ticket_no: TicketNo) -> HTMLResponse:
    with rooms.reading.read() as conn:
        ticket = reading.ticket(conn, ticket_no)
        if ticket is None:
            raise not_found("ticket with that number")
        episodes = reading.ticket_episodes(conn, ticket_no)
        faults = reading.ticket_faults(conn, ticket_no, FAULTS_SHOWN)
        events = reading.ticket_events(conn, ticket_no)
        drawing = ticket_chart(conn, ticket, episodes, faults, say)
    return page(
        "ticket.html",
        say,
        ticket=ticket,
        sections=sections_of(ticket.body_sv if say.lang == "sv" else ticket.body_en),
        episodes=[episode_out(episode) for episode in episodes],
        faults=[fault_out(fault) for fault in faults[:FAULT_ROWS]],
        fault_n=len(faults),
        events=events,
        details=[event_detail(event.detail, say) for event in events],
        chart=drawing,
    )


def event_detail(detail: Mapping[str, Any], say: Say) -> str:
    """What an event carries, in words; what has no words yet is shown as it is."""
    return ", ".join(_said(key, value, say) for key, value in _joined(detail).items())


def _joined(detail: Mapping[str, Any]) -> dict[str, Any]:
    """`from` and `to` as one change."""
    rest = {key: value for key, value in detail.items() if key not in ("from", "to")}
    if "from" in detail and "to" in detail:
        return {"change": (detail["from"], detail["to"]), **rest}
    return dict(detail)


def _said(key: str, value: Any, say: Say) -> str:
    match key, value:
        case "change", (before, after):
            before, after = (_state_or_severity(str(word), say) for word in (before, after))
            return say.t("event.change", before=before, after=after)
        case "episodes", [_]:
            return say.t("event.episodes.one")
        case "episodes", list():
            return say.t("event.episodes.many", n=say.n(len(value)))
        case "reason", str():
            return say.word("event.reason", value)
        case _:
            return f"{key}: {value}"


def _state_or_severity(word: str, say: Say) -> str:
    return say.word("severity", say.word("state", word))


def sections_of(body: str) -> list[tuple[str, list[str]]]:
    """A ticket's text as (heading, lines). A block's first line is its heading if it is short."""
    found = []
    for block in body.strip().split("\n\n"):
        first, *rest = block.strip().splitlines() or [""]
        is_heading = bool(rest) and len(first) <= 60 and not first.endswith((".", ":", ","))
        found.append((first, rest) if is_heading else ("", [first, *rest]))
    return found


@router.get("/devices", operation_id="devices_page")
def devices_page(rooms: InRooms, say: Voice) -> HTMLResponse:
    search = searchable(say.query.get("q"))
    after = cursors.decode("devices", say.query.get("cursor"), cursors.read_text) or ""
    with rooms.reading.read() as conn:
        rows = reading.devices(conn, after, DEVICE_ROWS + 1, search)
    more = len(rows) > DEVICE_ROWS
    following = cursors.encode("devices", (rows[DEVICE_ROWS - 1].id,)) if more else None
    shown = rows[:DEVICE_ROWS]
    return page(
        "devices.html", say, devices=shown, search=search or "", next_cursor=following, after=after
    )


@router.get("/devices/{device_id}", operation_id="device_page")
def device_page(rooms: InRooms, say: Voice, device_id: str) -> HTMLResponse:
    chosen = say.query.get("range", "24h")
    chosen = chosen if chosen in RANGES else "24h"
    with rooms.reading.read() as conn:
        device = known_device(conn, device_id)
        latest, private_n = latest_split(reading.latest_values(conn, device.device_no))
        faults = _recent_faults(conn, device.device_no, say)
        drawings = device_charts(conn, device, [value.metric for value in latest], chosen, say)
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
        ranges=list(RANGES),
        picked=say.query.get("metric"),
        ledgers=[ledger_out(row) for row in ledgers],
        gaps=gaps,
        tickets=tickets,
    )


def _recent_faults(conn: Connection, device_no: int, say: Say) -> list[reading.FaultRow]:
    span = Span(say.now - timedelta(days=365 * 5), say.now + timedelta(days=2))
    return reading.faults(conn, device_no, span, FAULT_ROWS)


def _open_tickets(conn: Connection, device_no: int) -> list[TicketRow]:
    return reading.open_tickets(conn, TicketFilter(device_no=device_no), 20)


@router.get("/data-health", operation_id="health_page")
def health_page(rooms: InRooms, say: Voice) -> HTMLResponse:
    with rooms.reading.read() as conn:
        sources = reading.intake_totals(conn)
        reasons = reading.quarantine_totals(conn)
        latest = reading.quarantined(conn, QuarantineFilter(), PAYLOAD_ROWS)
        values = _gap_values(conn, say)
        backlog = reading.backlog(conn)
    return page(
        "health.html",
        say,
        sources=sources,
        total=total_of(sources),
        reasons=reasons,
        reason_n=sum(reason.message_n for reason in reasons),
        quarantined=[quarantined_out(row) for row in latest],
        backlog=backlog,
        count_limit=reading.COUNT_LIMIT,
        gap_rows=GAP_ROWS,
        **values,
    )


def _gap_values(conn: Connection, say: Say) -> dict[str, Any]:
    return {
        "counts": reading.gap_counts(conn, say.now - LOST_SINCE),
        "open_gaps": reading.open_gaps(conn, GAP_ROWS),
        "lost_gaps": reading.lost_gaps(conn, GAP_ROWS),
    }
