"""JSON: the ticket queue and single tickets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query

from api import cursors
from api.asking import TicketsAsked, known_device_no
from api.meanings import episode_out, fault_out
from api.problems import READING, not_found
from api.rooms import InRooms
from api.schemas import TicketEventOut, TicketOut, TicketPage, WholeTicketOut
from storage import reading
from storage.connection import Connection
from storage.reading import EndedKey, OpenKey, TicketFilter, TicketRow

router = APIRouter(prefix="/api/v1/tickets", tags=["tickets"], responses=READING)

FAULTS_SHOWN: Final = 200


@router.get("", operation_id="list_tickets")
def list_tickets(rooms: InRooms, asked: Annotated[TicketsAsked, Query()]) -> TicketPage:
    """Open tickets, worst and oldest first; or ended ones, newest first."""
    with rooms.reading.read() as conn:
        rows, following = page_of(conn, asked)
        counts = reading.open_ticket_counts(conn)
    items = [TicketOut.model_validate(row) for row in rows]
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


def _ended_key(at: object, number: object) -> EndedKey:
    return cursors.read_instant(at), cursors.read_number(number)


@router.get("/{ticket_no}", operation_id="get_ticket")
def get_ticket(rooms: InRooms, ticket_no: Annotated[int, Path(ge=1, lt=2**63)]) -> WholeTicketOut:
    """One ticket with the faults and episodes it rests on and what happened to it."""
    with rooms.reading.read() as conn:
        row = reading.ticket(conn, ticket_no)
        if row is None:
            raise not_found("ticket with that number")
        episodes = reading.ticket_episodes(conn, ticket_no)
        faults = reading.ticket_faults(conn, ticket_no, FAULTS_SHOWN)
        events = reading.ticket_events(conn, ticket_no)
    return WholeTicketOut(
        **TicketOut.model_validate(row).model_dump(),
        body_sv=row.body_sv,
        body_en=row.body_en,
        episodes=[episode_out(episode) for episode in episodes],
        faults=[fault_out(fault) for fault in faults],
        events=[TicketEventOut.model_validate(event) for event in events],
    )
