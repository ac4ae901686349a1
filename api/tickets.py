"""JSON: the ticket queue and single tickets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query

from api import cursors
from api.asking import TicketsAsked, known_device_no
from api.deadlines import deadlines_out
from api.dues import dues
from api.grounds import whole_finding_out
from api.meanings import episode_out, fault_out, ticket_out
from api.problems import READING, not_found
from api.rooms import InRooms
from api.schemas import (
    DeadlinesOut,
    MemberOut,
    SimilarCasesOut,
    TicketEventOut,
    TicketPage,
    WholeFindingOut,
    WholeTicketOut,
)
from storage import deadlines, reading
from storage.connection import Connection
from storage.reading import (
    DueKey,
    EndedKey,
    EpisodeRow,
    FaultRow,
    MemberRow,
    OpenKey,
    TicketBody,
    TicketEventRow,
    TicketFilter,
    TicketRow,
)
from storage.tickets import SimilarCases, similar_cases

router = APIRouter(prefix="/api/v1/tickets", tags=["tickets"], responses=READING)

FAULTS_SHOWN: Final = 200
FINDINGS_SHOWN: Final = 50
MEMBERS_SHOWN: Final = 100
CASES_SHOWN: Final = 5

TicketNo = Annotated[int, Path(ge=1, lt=2**63)]


@router.get("", operation_id="list_tickets")
def list_tickets(rooms: InRooms, asked: Annotated[TicketsAsked, Query()]) -> TicketPage:
    """Open tickets, worst and oldest first, or by their deadlines; or ended ones, newest first."""
    now = datetime.now(UTC)
    with rooms.reading.read() as conn:
        rows, following = page_of(conn, asked)
        counts = reading.open_ticket_counts(conn)
    items = [ticket_out(row, now) for row in rows]
    return TicketPage(items=items, next_cursor=following, open_n=counts)


def page_of(conn: Connection, asked: TicketsAsked) -> tuple[list[TicketRow], str | None]:
    """One page of the queue and the cursor of the next.

    Raises:
        ProblemError: 404 unknown device, 422 not a cursor of this list.
    """
    state = None if asked.state in ("open", "ended") else asked.state
    device_no = known_device_no(conn, asked.device) if asked.device is not None else None
    wanted = TicketFilter(state, asked.severity, device_no)
    if asked.state == "ended" or asked.state in reading.ENDED_STATES:
        ended_after = cursors.decode("ended", asked.cursor, _ended_key)
        rows = reading.ended_tickets(conn, wanted, asked.limit + 1, ended_after)
        return _cut(rows, asked.limit, "ended", lambda row: (row.known_at, row.ticket_no))
    if asked.sort == "due":
        due_after = cursors.decode("due", asked.cursor, _due_key)
        rows = reading.due_tickets(conn, wanted, asked.limit + 1, due_after)
        return _cut(rows, asked.limit, "due", reading.due_key)
    open_after = cursors.decode("open", asked.cursor, _open_key)
    rows = reading.open_tickets(conn, wanted, asked.limit + 1, open_after)
    return _cut(rows, asked.limit, "open", reading.open_key)


def _cut(
    rows: list[TicketRow], limit: int, kind: str, key: Callable[[TicketRow], tuple[Any, ...]]
) -> tuple[list[TicketRow], str | None]:
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], cursors.encode(kind, key(rows[limit - 1]))


def _open_key(rank: object, at: object, number: object) -> OpenKey:
    return cursors.read_small(rank), cursors.read_instant(at), cursors.read_number(number)


def _due_key(due: object, rank: object, at: object, number: object) -> DueKey:
    return cursors.read_instant(due), *_open_key(rank, at, number)


def _ended_key(at: object, number: object) -> EndedKey:
    return cursors.read_instant(at), cursors.read_number(number)


@dataclass(frozen=True, slots=True)
class WholeTicket:
    """One ticket with everything that is kept about it, in one view of the data."""

    ticket: TicketRow
    body: TicketBody
    findings: list[WholeFindingOut]
    members: list[MemberRow]
    episodes: list[EpisodeRow]
    faults: list[FaultRow]
    similar: SimilarCases
    events: list[TicketEventRow]
    deadlines: DeadlinesOut


def whole_ticket(conn: Connection, ticket_no: int, now: datetime) -> WholeTicket:
    """All there is about one ticket.

    Raises:
        ProblemError: 404.
    """
    row = known_ticket(conn, ticket_no)
    is_group = row.device_no is None
    found = reading.ticket_findings(conn, ticket_no, FINDINGS_SHOWN)
    return WholeTicket(
        ticket=row,
        body=reading.ticket_body(conn, ticket_no),
        findings=[whole_finding_out(finding) for finding in found],
        members=reading.ticket_members(conn, ticket_no, MEMBERS_SHOWN) if is_group else [],
        episodes=reading.ticket_episodes(conn, ticket_no),
        faults=reading.ticket_faults(conn, ticket_no, FAULTS_SHOWN),
        similar=similar_cases(conn, ticket_no, CASES_SHOWN),
        events=reading.ticket_events(conn, ticket_no),
        deadlines=known_deadlines(conn, row, now),
    )


def known_ticket(conn: Connection, ticket_no: int) -> TicketRow:
    """The ticket with that number.

    Raises:
        ProblemError: 404.
    """
    row = reading.ticket(conn, ticket_no)
    if row is None:
        raise not_found("ticket with that number")
    return row


def known_deadlines(conn: Connection, row: TicketRow, now: datetime) -> DeadlinesOut:
    found = deadlines.clocks_of(conn, row.ticket_no, now)
    assert found is not None, "the ticket was read in the same view of the data"
    return deadlines_out(found, dues(row, now))


@router.get("/{ticket_no}", operation_id="get_ticket")
def get_ticket(rooms: InRooms, ticket_no: TicketNo) -> WholeTicketOut:
    """One ticket with what it rests on, what was done before, and what happened to it."""
    now = datetime.now(UTC)
    with rooms.reading.read() as conn:
        whole = whole_ticket(conn, ticket_no, now)
    return WholeTicketOut(
        **ticket_out(whole.ticket, now).model_dump(),
        body_sv=whole.body.body_sv,
        body_en=whole.body.body_en,
        findings=whole.findings,
        members=[MemberOut.model_validate(member) for member in whole.members],
        episodes=[episode_out(episode) for episode in whole.episodes],
        faults=[fault_out(fault) for fault in whole.faults],
        similar=SimilarCasesOut.model_validate(whole.similar),
        events=[TicketEventOut.model_validate(event) for event in whole.events],
    )


@router.get("/{ticket_no}/deadlines", operation_id="get_ticket_deadlines")
def get_ticket_deadlines(rooms: InRooms, ticket_no: TicketNo) -> DeadlinesOut:
    """The deadlines of one ticket: by which clause, and every interval that counted or did not."""
    now = datetime.now(UTC)
    with rooms.reading.read() as conn:
        return known_deadlines(conn, known_ticket(conn, ticket_no), now)
