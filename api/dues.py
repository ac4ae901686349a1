"""The deadlines of a ticket as a reader meets them: which one binds, and how it stands. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal, NamedTuple

from api.schemas import ClockName
from fleet.ticket_states import State
from storage.reading import ClockState, TicketRow

Standing = Literal["running", "late", "paused", "met", "missed", "void"]


class Due(NamedTuple):
    """One deadline and how it stands.

    `late` still runs and has passed; `missed` was done, but too late.
    """

    clock: ClockName
    due_at: datetime
    stopped_at: datetime | None
    standing: Standing

    @property
    def is_running(self) -> bool:
        return self.stopped_at is None

    @property
    def is_breached(self) -> bool:
        return self.standing in {"late", "missed"}

    @property
    def is_paused(self) -> bool:
        return self.standing == "paused"


def dues(ticket: TicketRow, now: datetime) -> list[Due]:
    """The deadlines of a ticket, the start before the finish."""
    return [
        Due(clock, state.due_at, state.stopped_at, _standing(ticket, state, now))
        for clock, state in _clocks(ticket)
    ]


def binding(found: list[Due]) -> Due | None:
    """The first deadline that still runs."""
    return min((due for due in found if due.is_running), key=lambda due: due.due_at, default=None)


def _clocks(ticket: TicketRow) -> Iterator[tuple[ClockName, ClockState]]:
    if (start := ticket.start_by) is not None:
        yield "start", start
    if (finish := ticket.finish_by) is not None:
        yield "finish", finish


def _standing(ticket: TicketRow, state: ClockState, now: datetime) -> Standing:
    if state.stopped_at is None:
        return _while_running(ticket, state, now)
    if state.breached_at is not None or state.stopped_at > state.due_at:
        return "missed"
    return "void" if ticket.state == State.VOID else "met"


def _while_running(ticket: TicketRow, state: ClockState, now: datetime) -> Standing:
    """A ticket that waits stands still, unless its deadline had passed before."""
    if ticket.state == State.WAITING and ticket.state_at < state.due_at:
        return "paused"
    return "late" if state.breached_at is not None or state.due_at < now else "running"
