"""Pages for people: the ticket queue, tickets, devices and data health."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import ValidationError

from api import cursors
from api.asking import EARLIEST, TicketsAsked, known_device
from api.devices import searchable
from api.dues import binding, dues
from api.grounds import grounds
from api.history import happened, waiting_words
from api.meanings import episode_out, fault_out, ledger_out, quarantined_out, total_of
from api.plots import RANGES, device_charts, latest_split, span_around, ticket_charts
from api.problems import ProblemError
from api.rooms import InRooms
from api.telling import ICON, STYLE, Say, page, say_for
from api.tickets import TicketNo, page_of, whole_ticket
from fleet.rules.storms import STORM_DEVICES
from fleet.ticket_actions import Work
from fleet.ticket_states import FINISHED, OrderKind, State
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
        urgent_of={row.ticket_no: _is_urgency_open(row) for row in rows},
        due_of={row.ticket_no: binding(dues(row, say.now)) for row in rows},
        next_cursor=following,
        kept=_kept(asked),
        asked=asked,
        is_ended=asked.state == "ended" or asked.state in FINISHED,
        counts=counts,
        open_n=sum(counts.values()),
        unknown_device=unknown_device,
        is_filtered=_is_filtered(asked),
        states=list(State),
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


def _kept(asked: TicketsAsked) -> dict[str, str]:
    """The filter and the order as an address carries them."""
    said = asked.model_dump(mode="json", exclude={"cursor", "limit"}, exclude_defaults=True)
    return {key: str(value) for key, value in said.items()}


def _is_filtered(asked: TicketsAsked) -> bool:
    return asked.state != "open" or asked.severity is not None or asked.device is not None


@router.get("/tickets", operation_id="tickets_page")
def tickets_page(say: Voice) -> Response:
    """The queue is the front page; this address is easy to guess."""
    return Response(status_code=307, headers={"Location": say.link("/", **say.query)})


@router.get("/tickets/{ticket_no}", operation_id="ticket_page")
def ticket_page(rooms: InRooms, say: Voice, ticket_no: TicketNo) -> HTMLResponse:
    with rooms.reading.read() as conn:
        whole = whole_ticket(conn, ticket_no, say.now)
        charts = ticket_charts(conn, whole, say)
        grounds_shown = grounds(conn, whole.ticket, whole.findings, say)
    ticket, body = whole.ticket, whole.body
    found = dues(ticket, say.now)
    return page(
        "ticket.html",
        say,
        ticket=ticket,
        sections=_told(body.body_sv if say.lang == "sv" else body.body_en, say, grounds_shown),
        due=binding(found),
        dues={due.clock: due for due in found},
        deadlines=whole.deadlines,
        waits=ticket.waiting_reason and waiting_words(ticket.waiting_reason, say),
        is_urgency_open=_is_urgency_open(ticket),
        grounds=grounds_shown,
        body=body.body_sv if say.lang == "sv" else body.body_en,
        storm=_storm_of(ticket.subject),
        members=whole.members,
        episodes=[episode_out(episode) for episode in whole.episodes],
        faults=[fault_out(fault) for fault in whole.faults[:FAULT_ROWS]],
        fault_n=len(whole.faults),
        similar=whole.similar,
        history=happened(whole.events, say),
        charts=charts,
    )


def _storm_of(subject: str) -> int | None:
    """How many devices it takes for a storm; None for a ticket that is not about one."""
    return STORM_DEVICES if subject.startswith("storm:") else None


def _told(body: str, say: Say, grounds_shown: object) -> list[tuple[str, list[str]]]:
    """The ticket's own text; why it exists is told from its findings where there are any."""
    sections = sections_of(body)
    if not grounds_shown:
        return sections
    return [section for section in sections if section[0] != say.t("ticket.why")]


def _is_urgency_open(ticket: TicketRow) -> bool:
    """True if `akut AU` is proposed and nobody has answered."""
    answer = ticket.urgent_answer
    work = Work(
        State(ticket.state),
        OrderKind(ticket.order_kind),
        urgent_because=tuple(ticket.urgent_because),
    )
    return answer is None and work.is_urgency_open


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
    at = _instant(say.query.get("at"), say.now)
    span = span_around(at, chosen, say.now)
    with rooms.reading.read() as conn:
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
