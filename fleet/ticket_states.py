"""The states of a ticket as a table, and the kinds of order. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class State(StrEnum):
    NEW = "new"
    TRIAGED = "triaged"
    ASSIGNED = "assigned"
    WAITING = "waiting"
    SOLVED = "solved"
    VERIFIED = "verified"
    CLOSED = "closed"
    VOID = "void"


class Event(StrEnum):
    """What moves a ticket. `RECUR` is the fault coming back while the ticket is open."""

    TRIAGE = "triage"
    ASSIGN = "assign"
    WAIT = "wait"
    RESUME = "resume"
    SOLVE = "solve"
    VERIFY = "verify"
    CLOSE = "close"
    VOID = "void"
    RECUR = "recur"


FINISHED: Final = frozenset({State.VERIFIED, State.CLOSED, State.VOID})
"""The states outside `ticket_one_open_per_cause`: the next fault makes a new ticket."""

TRANSITIONS: Final[Mapping[State, Mapping[Event, State]]] = {
    State.NEW: {
        Event.TRIAGE: State.TRIAGED,
        Event.ASSIGN: State.ASSIGNED,
        Event.SOLVE: State.SOLVED,
        Event.VOID: State.VOID,
        Event.RECUR: State.NEW,
    },
    State.TRIAGED: {
        Event.ASSIGN: State.ASSIGNED,
        Event.WAIT: State.WAITING,
        Event.SOLVE: State.SOLVED,
        Event.VOID: State.VOID,
        Event.RECUR: State.TRIAGED,
    },
    State.ASSIGNED: {
        Event.TRIAGE: State.TRIAGED,
        Event.ASSIGN: State.ASSIGNED,
        Event.WAIT: State.WAITING,
        Event.SOLVE: State.SOLVED,
        Event.VOID: State.VOID,
        Event.RECUR: State.ASSIGNED,
    },
    State.WAITING: {
        Event.ASSIGN: State.ASSIGNED,
        Event.RESUME: State.ASSIGNED,
        Event.SOLVE: State.SOLVED,
        Event.VOID: State.VOID,
        Event.RECUR: State.WAITING,
    },
    # Work that did not hold is looked at anew, by whoever is free.
    State.SOLVED: {
        Event.ASSIGN: State.ASSIGNED,
        Event.VERIFY: State.VERIFIED,
        Event.RECUR: State.NEW,
    },
    State.VERIFIED: {Event.CLOSE: State.CLOSED},
    State.CLOSED: {},
    State.VOID: {},
}


class IllegalTransitionError(ValueError):
    """The event is not allowed in this state."""


def advance(state: State, event: Event) -> State:
    """The state after `event`.

    Raises:
        IllegalTransitionError: the table has no such step.
    """
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransitionError(f"a ticket that is {state} takes no {event}") from None


class OrderKind(StrEnum):
    REPAIR = "AU"
    URGENT_REPAIR = "akut AU"
    PREVENTIVE = "FU"
    SUPPORT = "support"
    SUPPLIER = "supplier"
