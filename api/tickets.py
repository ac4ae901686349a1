"""JSON: the ticket queue and single tickets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import Header, Path, Query, Response

from api.access.gate import InErrand, log_shown
from api.asking import TicketsAsked
from api.deadlines import deadlines_out
from api.dues import dues
from api.etags import is_unchanged, tag_of
from api.meanings import episode_out, fault_out, ticket_out
from api.problems import READING, not_found
from api.queue import Asker, page_of
from api.rooms import InRooms
from api.routes import Router
from api.schemas import (
    DeadlinesOut,
    MemberOut,
    SimilarCasesOut,
    TicketEventOut,
    TicketPage,
    WholeFindingOut,
    WholeTicketOut,
)
from api.withheld import told_findings
from fleet.access.callers import Caller, Role
from storage import deadlines, privacy, queue, reading
from storage.connection import Connection
from storage.reading import (
    EpisodeRow,
    FaultRow,
    MemberRow,
    TicketBody,
    TicketEventRow,
    TicketRow,
)
from storage.tickets import SimilarCases, similar_cases

router = Router(prefix="/api/v1/tickets", tags=["tickets"], responses=READING)

FAULTS_SHOWN: Final = 200
FINDINGS_SHOWN: Final = 50
MEMBERS_SHOWN: Final = 100
CASES_SHOWN: Final = 5
_NO_BODY: Final = TicketBody("", "")
_NO_CASES: Final = SimilarCasesOut(cases=[], by_outcome={}, by_part={})

TicketNo = Annotated[int, Path(ge=1, lt=2**63)]


@router.get("", operation_id="list_tickets")
def list_tickets(
    rooms: InRooms, errand: InErrand, asked: Annotated[TicketsAsked, Query()]
) -> TicketPage:
    """Open tickets by the deadline that binds, or the worst first; or ended ones, newest first.

    A patient is not told who has a ticket, and `assignee` means nothing to them.
    """
    asker = Asker(errand.caller.name, datetime.now(UTC))
    untold = _untold(errand.caller)
    if untold:
        asked = asked.model_copy(update={"assignee": None})
    with rooms.read(errand) as conn:
        found = page_of(conn, asked, asker)
        counts = queue.counts(conn, asker.name, asker.now)
    log_shown(rooms, errand, tickets=[row.ticket_no for row in found.tickets])
    return TicketPage(
        items=[ticket_out(row, asker.now, untold) for row in found.tickets],
        next_cursor=found.next_cursor,
        open_n=counts.by_severity,
        overdue_n=counts.overdue_n,
        at_risk_n=counts.at_risk_n,
        unassigned_n=counts.unassigned_n,
    )


def _untold(caller: Caller, **more: object) -> dict[str, object]:
    """What replaces fields of a ticket that a patient is not told: who has it, and `more`."""
    return {"assignee": None, **more} if caller.role is Role.PATIENT else {}


@dataclass(frozen=True, slots=True)
class WholeTicket:
    """One ticket with everything that is kept about it, in one view of the data."""

    ticket: TicketRow
    body: TicketBody
    is_withheld: bool
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
    bounds = privacy.told_from(conn, ticket_no)
    found = reading.ticket_findings(conn, ticket_no, FINDINGS_SHOWN)
    findings = told_findings(conn, found, bounds.since)
    is_withheld = bounds.rests_on_older or any(finding.is_withheld for finding in findings)
    return WholeTicket(
        ticket=row,
        body=_NO_BODY if is_withheld else reading.ticket_body(conn, ticket_no),
        is_withheld=is_withheld,
        findings=findings,
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


@router.get("/{ticket_no}", operation_id="get_ticket", response_model=WholeTicketOut)
def get_ticket(
    rooms: InRooms,
    errand: InErrand,
    ticket_no: TicketNo,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """One ticket with what it rests on, what was done before, and what happened to it.

    For a patient `events` and `similar` are empty, and nobody has it: they say who did what.
    """
    now = datetime.now(UTC)
    with rooms.read(errand) as conn:
        whole = whole_ticket(conn, ticket_no, now)
    untold = _untold(errand.caller, events=[], similar=_NO_CASES)
    body = _whole_out(whole, now).model_copy(update=untold).model_dump_json(by_alias=True).encode()
    tag = tag_of(whole.ticket.version, body)
    if is_unchanged(if_none_match, tag):
        return Response(status_code=304, headers={"ETag": tag})
    return Response(body, media_type="application/json", headers={"ETag": tag})


def _whole_out(whole: WholeTicket, now: datetime) -> WholeTicketOut:
    return WholeTicketOut(
        **ticket_out(whole.ticket, now).model_dump(),
        body_sv=whole.body.body_sv,
        body_en=whole.body.body_en,
        is_withheld=whole.is_withheld,
        findings=whole.findings,
        members=[MemberOut.model_validate(member) for member in whole.members],
        episodes=[episode_out(episode) for episode in whole.episodes],
        faults=[fault_out(fault) for fault in whole.faults],
        similar=SimilarCasesOut.model_validate(whole.similar),
        events=[TicketEventOut.model_validate(event) for event in whole.events],
    )


@router.get("/{ticket_no}/deadlines", operation_id="get_ticket_deadlines")
def get_ticket_deadlines(rooms: InRooms, errand: InErrand, ticket_no: TicketNo) -> DeadlinesOut:
    """The deadlines of one ticket: by which clause, and every interval that counted or did not."""
    now = datetime.now(UTC)
    with rooms.read(errand) as conn:
        return known_deadlines(conn, known_ticket(conn, ticket_no), now)
