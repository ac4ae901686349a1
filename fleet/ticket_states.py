"""The states of a ticket as a table, and the kinds of order. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    """What moves a ticket.

    `RECUR` is the fault coming back while the ticket is open; `REOPEN` is a person who says that
    the repair did not hold. `VERIFY` comes from diagnostics, the rest from people.
    """

    TRIAGE = "triage"
    ASSIGN = "assign"
    WAIT = "wait"
    RESUME = "resume"
    SOLVE = "solve"
    VERIFY = "verify"
    CLOSE = "close"
    VOID = "void"
    RECUR = "recur"
    REOPEN = "reopen"


KINDS: Final[Mapping[Event, str]] = {
    Event.TRIAGE: "triaged",
    Event.ASSIGN: "assigned",
    Event.WAIT: "waiting",
    Event.RESUME: "resumed",
    Event.SOLVE: "solved",
    Event.VERIFY: "verified",
    Event.CLOSE: "closed",
    Event.VOID: "voided",
    Event.RECUR: "recurred",
    Event.REOPEN: "reopened",
}
"""What a ticket's history calls each event once it has happened: `ticket_event.kind`."""

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
    # Work that did not hold is looked at anew, by whoever is free; a person who says so has
    # looked already. A repair that nothing can prove, such as a swap, is closed by a person.
    State.SOLVED: {
        Event.REOPEN: State.TRIAGED,
        Event.VERIFY: State.VERIFIED,
        Event.CLOSE: State.CLOSED,
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


def mermaid() -> str:
    """The table as a Mermaid state diagram, for the documentation. Steps that stay are left out."""
    return "\n".join(["stateDiagram-v2", f"    [*] --> {State.NEW}", *_arrows()])


def _arrows() -> Iterator[str]:
    for old, steps in TRANSITIONS.items():
        for new in State:
            events = [event for event, target in steps.items() if target is new is not old]
            if events:
                yield f"    {old} --> {new}: {', '.join(events)}"
        if not steps:
            yield f"    {old} --> [*]"


class OrderKind(StrEnum):
    REPAIR = "AU"
    URGENT_REPAIR = "akut AU"
    PREVENTIVE = "FU"
    SUPPORT = "support"
    SUPPLIER = "supplier"
