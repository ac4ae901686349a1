"""Server-sent events: tickets that change, and devices that come and go, as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import structlog
from anyio.to_thread import run_sync
from fastapi import Header, Request
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send

from api.access.callers import Access
from api.access.gate import Errand, InErrand, log_shown
from api.hub import LOST, READY, Event, Hub, Place, ticket_event
from api.problems import ProblemError
from api.rooms import InRooms, Rooms
from api.routes import Router
from storage import privacy
from storage.connection import DatabaseDownError
from storage.stream import horizon, tickets_since

log = structlog.get_logger(__name__)
router = Router(prefix="/api/v1", tags=["stream"])

HEARTBEAT_S: Final = 15.0
RESUMED_MAX: Final = 200
_RETRY_MS: Final = 3_000
_SEND_WITHIN_S: Final = 20.0


_SENT: Final[dict[str, Any]] = {
    "description": "Events for as long as the sign-in lasts: `ready` first, then `ticket` and"
    " `device`; `overflow` means that something was left out: read the lists anew.",
    "content": {
        "text/event-stream": {
            "schema": {"type": "string"},
            "examples": {
                "ticket": {
                    "value": "event: ticket\nid: 81234\ndata: "
                    '{"ticket_no":4711,"state":"new","version":1,"severity":"major"}\n\n'
                }
            },
        }
    },
}


@router.get(
    "/stream", operation_id="stream", response_class=EventSourceResponse, responses={200: _SENT}
)
async def stream(
    request: Request,
    rooms: InRooms,
    errand: InErrand,
    last_event_id: Annotated[
        str | None,
        Header(max_length=40, description="The last `id` that was seen, to miss no ticket."),
    ] = None,
) -> EventSourceResponse:
    """Changes of tickets and devices within the caller's reach, as server-sent events.

    To care every change is of somebody's loan: each loan in reach is logged when the stream opens.
    """
    await run_sync(_log_reach, rooms, errand)
    hub, caller = rooms.streams, errand.caller
    place = await run_sync(hub.join, errand.scope, (caller.tenant, caller.subject))
    place.bind(asyncio.get_running_loop())
    since = _number(last_event_id or "")
    told = _told(rooms, errand, place, since, _still_signed_in(rooms.access, request, errand))
    return _Stream(hub, place, told)


def _log_reach(rooms: Rooms, errand: Errand) -> None:
    if not errand.caller.is_staff:
        with rooms.read(errand) as conn:
            loans = privacy.own_loans(conn)
        log_shown(rooms, errand, [loan.device_id for loan in loans])


def _number(text: str) -> int | None:
    """The number of an event; None for what the database could not compare with one."""
    number = int(text) if text.isascii() and text.isdecimal() else None
    return None if number is None or number >= 2**63 else number


class _Stream(EventSourceResponse):
    """Leaves the hub however it ends, also when it never began."""

    def __init__(self, hub: Hub, place: Place, told: AsyncIterator[ServerSentEvent]) -> None:
        super().__init__(told, ping=0, send_timeout=_SEND_WITHIN_S)
        self._leave: Callable[[], None] = lambda: hub.leave(place)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            log.info("stream_reader_stuck")
        finally:
            self._leave()


def _still_signed_in(access: Access, request: Request, errand: Errand) -> Callable[[], bool]:
    """Whether the caller may still listen. Asking does not keep a session alive."""

    def ask() -> bool:
        try:
            caller = access.caller(request, is_use=False)
        except (ProblemError, DatabaseDownError) as exc:
            return isinstance(exc, DatabaseDownError) or exc.status == 503
        return caller == errand.caller

    return ask


async def _told(
    rooms: Rooms,
    errand: Errand,
    place: Place,
    since: int | None,
    is_signed_in: Callable[[], bool],
) -> AsyncIterator[ServerSentEvent]:
    for event in await run_sync(_missed, rooms, errand, since):
        yield _written(event)
    clock = asyncio.get_running_loop().time
    check_at = clock() + HEARTBEAT_S
    while True:
        heard = await place.next(check_at - clock())
        if heard is not None:
            yield _written(heard)
        if heard is LOST:
            return
        if clock() >= check_at:
            if not await run_sync(is_signed_in):
                return
            yield ServerSentEvent(comment="still here")
            check_at = clock() + HEARTBEAT_S


def _missed(rooms: Rooms, errand: Errand, since: int | None) -> list[Event]:
    """Where the reader is now, and the tickets that changed since it was here last."""
    try:
        with rooms.read(errand) as conn:
            now = horizon(conn)
            found = [] if since is None else tickets_since(conn, since, RESUMED_MAX + 1)
    except DatabaseDownError:
        return [LOST]
    if len(found) > RESUMED_MAX or (since or 0) > now:
        return [Event("overflow", {}, now)]
    ready = Event(READY, {"at": datetime.now(UTC).isoformat(timespec="seconds")}, now)
    return [ready, *(ticket_event(ticket, now) for ticket in found)]


def _written(event: Event) -> ServerSentEvent:
    number = None if event.number is None else str(event.number)
    return ServerSentEvent(event.json(), event=event.name, id=number, retry=_RETRY_MS)
