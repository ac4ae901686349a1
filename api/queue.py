"""The ticket queue as asked for: JSON and the page read it the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api import cursors
from api.asking import TicketsAsked
from api.marks import marked_device_no
from api.problems import not_found
from fleet.ticket_states import FINISHED
from storage import queue, reading
from storage.connection import Connection
from storage.queue import EndedKey, OpenKey, Wanted
from storage.reading import TicketRow


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose queue it is, and when; `mine` means tickets of that name."""

    name: str
    now: datetime


@dataclass(frozen=True, slots=True)
class QueuePage:
    """Some tickets in order; `next_cursor` is None on the last page."""

    tickets: list[TicketRow]
    next_cursor: str | None


def is_ended(asked: TicketsAsked) -> bool:
    return asked.state == "ended" or asked.state in FINISHED


def page_of(conn: Connection, asked: TicketsAsked, asker: Asker) -> QueuePage:
    """One page of the queue.

    Raises:
        ProblemError: 404 unknown device, 422 not a cursor of this list.
    """
    wanted = _wanted(conn, asked, asker.name)
    keys = _ended(conn, asked, wanted) if is_ended(asked) else _open(conn, asked, wanted, asker)
    shown = keys[: asked.limit]
    following = _cursor(asked, shown[-1]) if len(keys) > asked.limit else None
    return QueuePage(reading.tickets(conn, [key.ticket_no for key in shown]), following)


def _wanted(conn: Connection, asked: TicketsAsked, name: str) -> Wanted:
    return Wanted(
        state=None if asked.state in ("open", "ended") else asked.state,
        severity=None if asked.severity is None else str(asked.severity),
        order_kind=asked.kind,
        centre=asked.centre,
        assignee={"mine": name, "none": ""}.get(asked.assignee or "", asked.assignee),
        standing=asked.due,
        component=None if asked.component is None else str(asked.component),
        device_no=_device_no(conn, asked.device),
    )


def _device_no(conn: Connection, typed: str | None) -> int | None:
    if typed is None:
        return None
    number = marked_device_no(conn, typed)
    if number is None:
        raise not_found("device with that id or mark, or more than one")
    return number


def _open(conn: Connection, asked: TicketsAsked, wanted: Wanted, asker: Asker) -> Sequence[OpenKey]:
    after = cursors.decode(asked.sort, asked.cursor, _open_key)
    limit, by_due = asked.limit + 1, asked.sort == "due"
    return queue.open_tickets(conn, wanted, limit, asker.now, by_due=by_due, after=after)


def _ended(conn: Connection, asked: TicketsAsked, wanted: Wanted) -> Sequence[EndedKey]:
    after = cursors.decode("ended", asked.cursor, _ended_key)
    return queue.ended_tickets(conn, wanted, asked.limit + 1, after)


def _cursor(asked: TicketsAsked, key: tuple[Any, ...]) -> str:
    return cursors.encode("ended" if is_ended(asked) else asked.sort, key)


def _open_key(first: object, rank: object, at: object, number: object) -> OpenKey:
    read_at = cursors.read_instant
    return OpenKey(
        read_at(first), cursors.read_small(rank), read_at(at), cursors.read_number(number)
    )


def _ended_key(at: object, number: object) -> EndedKey:
    return EndedKey(cursors.read_instant(at), cursors.read_number(number))
