"""What people do with tickets: read, change, replace, and what became of them.

Functions take a connection and never commit. A change is one conditional UPDATE, an event that
says who, when and why, and a row for the outbox; they stand or fall together, so whoever gets
an error rolls back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from psycopg.types.json import Jsonb

from fleet.ticket_actions import (
    HITS,
    Action,
    ActionRefusedError,
    Outcome,
    Request,
    Step,
    UrgentAnswer,
    Work,
    act,
    successor,
)
from fleet.ticket_states import FINISHED, OrderKind, State
from storage import deadlines
from storage.connection import Connection
from storage.diagnosis import lock_devices
from storage.queries import load_queries
from storage.raising import Delivery, TicketKey, insert_outbox
from storage.rows import Row, all_rows

LIST_MAX: Final = 1000
HISTORY_MAX: Final = 501
CASES_MAX: Final = 1000
REPEAT_WITHIN: Final = timedelta(days=30)
"""How soon after a repair the same cause makes the next one a repeat repair. Ours: the centres'
plans name the figure and no number of days."""

_TRIES: Final = 3
_SQL: Final = load_queries("tickets.sql")


class TicketNotFoundError(ActionRefusedError):
    """There is no such ticket."""


class TicketChangedError(ActionRefusedError):
    """Somebody else was first; the message says who and when."""


class OfSeveralCentresError(ActionRefusedError):
    """A ticket about devices of several centres cannot be ended by somebody of one of them."""


@dataclass(frozen=True, slots=True)
class TicketRow:
    """One ticket as stored. What belongs to a device is None for a ticket about a group."""

    ticket_no: int
    tenant_id: str
    subject: str
    device_no: int | None
    device_id: str | None
    model_id: str | None
    device_class: str | None
    centre_id: str | None
    cause: str
    order_kind: str
    severity: str
    usability: str
    fixer: str
    component: str
    title_sv: str
    title_en: str
    body_sv: str
    body_en: str
    started_at: datetime
    known_at: datetime
    updated_at: datetime
    is_active: bool
    state: str
    state_at: datetime
    version: int
    assignee: str | None
    waiting_reason: str | None
    outcome: str | None
    outcome_part: str | None
    outcome_minutes: int | None
    urgent_because: list[str]
    urgent_answer: str | None
    replaces_no: int | None
    repeats_no: int | None
    incident_no: int | None
    rule_id: str | None
    rule_version: int | None
    replaced_by_no: int | None
    due_at: datetime | None

    @property
    def work(self) -> Work:
        return Work(
            State(self.state),
            OrderKind(self.order_kind),
            self.assignee,
            self.waiting_reason,
            Outcome(self.outcome) if self.outcome else None,
            self.outcome_part,
            self.outcome_minutes,
            tuple(self.urgent_because),
            UrgentAnswer(self.urgent_answer) if self.urgent_answer else None,
        )


class Happened(NamedTuple):
    """One event in a ticket's history."""

    event_no: int
    at: datetime
    kind: str
    who: str
    detail: dict[str, Any]


class Changed(NamedTuple):
    """What a change made of a ticket. `replaced_by_no` is the linked one that took its place."""

    ticket_no: int
    state: State
    version: int
    replaced_by_no: int | None


def find(conn: Connection, ticket_no: int) -> TicketRow | None:
    return next(iter(_by_no(conn, [ticket_no])), None)


def listed(
    conn: Connection,
    *,
    tenant: str | None = None,
    state: State | None = None,
    assignee: str | None = None,
    limit: int = 100,
) -> list[TicketRow]:
    """Tickets in the order to work them off: open ones by the deadline that binds.

    Without `state` all that are open; finished ones come newest first.
    """
    name = "pick_ended_tickets" if state in FINISHED else "pick_open_tickets"
    wanted = {"tenant": tenant, "state": _text(state), "assignee": assignee}
    rows = conn.execute(_SQL[name], {**wanted, "limit": min(limit, LIST_MAX)})
    return _by_no(conn, [row[0] for row in rows])


def history(
    conn: Connection, ticket_no: int, after: int = 0, limit: int = HISTORY_MAX
) -> list[Happened]:
    """What happened to a ticket, in order, after the event numbered `after`."""
    parameters = {"ticket_no": ticket_no, "after": after, "limit": min(limit, HISTORY_MAX)}
    return [Happened(*row) for row in conn.execute(_SQL["ticket_history"], parameters)]


def _by_no(conn: Connection, ticket_nos: Sequence[int]) -> list[TicketRow]:
    return _all(conn, TicketRow, "tickets_by_no", tickets=list(ticket_nos))


def _all(conn: Connection, kind: type[Row], name: str, **values: object) -> list[Row]:
    return all_rows(conn, kind, _SQL[name], values)


def _text(word: str | None) -> str | None:
    """As plain text: the driver writes an enum by its Python name."""
    return None if word is None else str(word)


def change(
    conn: Connection, ticket_no: int, request: Request, now: datetime, seen: int | None = None
) -> Changed:
    """Do one action to one ticket.

    Args:
        seen: the version that the person looked at. What another person did since is a reason
            to refuse; that diagnostics counted a fault once more is not. A note decides nothing
            and is kept whoever was first.

    Raises:
        TicketNotFoundError: no such ticket.
        TicketChangedError: another person was first.
        OfSeveralCentresError: a group's ticket, and the caller sees one centre only.
        ActionRefusedError: not in this state, or not without more words.
    """
    for _ in range(_TRIES):
        ticket = _found(conn, ticket_no)
        if request.action is not Action.COMMENT:
            _check_seen(conn, ticket, seen)
        step = _judged(conn, ticket, request)
        _check_whole(conn, ticket, step)
        if step.new_kind is not None and ticket.device_no is not None:
            # Diagnostics must not hand evidence to the old ticket while it moves to the new one.
            lock_devices(conn, [ticket.device_no])
        version = _update(conn, ticket, step, now)
        if version is not None:
            return _recorded(conn, ticket, step, request.who.strip(), version, now)
        if _found(conn, ticket_no).work != ticket.work:
            raise _too_late(conn, ticket_no, _last(conn, ticket_no))
    raise TicketChangedError(f"ticket {ticket_no} keeps changing: read it again and try once more")


def _found(conn: Connection, ticket_no: int) -> TicketRow:
    ticket = find(conn, ticket_no)
    if ticket is None:
        raise TicketNotFoundError(f"there is no ticket {ticket_no}: see `fjarrkoll ticket list`")
    return ticket


def _check_seen(conn: Connection, ticket: TicketRow, seen: int | None) -> None:
    if seen is None or seen == ticket.version:
        return
    wanted = {"ticket_no": ticket.ticket_no, "version": seen}
    last = conn.execute(_SQL["last_person"], wanted).fetchone()
    if last is not None:
        raise _too_late(conn, ticket.ticket_no, last)


def _judged(conn: Connection, ticket: TicketRow, request: Request) -> Step:
    try:
        return act(ticket.work, request)
    except ActionRefusedError as exc:
        if request.action is Action.TAKE and ticket.state in (State.ASSIGNED, State.WAITING):
            raise _too_late(conn, ticket.ticket_no, _last(conn, ticket.ticket_no)) from exc
        raise ActionRefusedError(f"ticket {ticket.ticket_no}: {exc}") from exc


def _check_whole(conn: Connection, ticket: TicketRow, step: Step) -> None:
    """Whoever sees one centre's devices would leave those of the others behind."""
    ends = step.new_kind is not None or step.work.state is State.VOID
    if ticket.device_no is not None or not ends:
        return
    row = conn.execute(_SQL["is_of_one_centre"]).fetchone()
    if row is not None and row[0]:
        raise OfSeveralCentresError(
            f"ticket {ticket.ticket_no} is about devices of several centres: somebody who works for"
            " all of them makes it void or changes its kind"
        )


def _last(conn: Connection, ticket_no: int) -> tuple[Any, ...] | None:
    return conn.execute(_SQL["last_event"], {"ticket_no": ticket_no}).fetchone()


def _too_late(conn: Connection, ticket_no: int, last: tuple[Any, ...] | None) -> TicketChangedError:
    kind, who, at = last or ("change", "somebody", None)
    when = f" at {at:%Y-%m-%d %H:%M:%S} UTC" if at is not None else ""
    held = _found(conn, ticket_no)
    held_by = f" by {held.assignee}" if held.state == State.ASSIGNED else ""
    return TicketChangedError(
        f"ticket {ticket_no}: {who} was first ({kind}{when}); it is {held.state}{held_by} now."
        " Read it again before you go on."
    )


def _update(conn: Connection, ticket: TicketRow, step: Step, now: datetime) -> int | None:
    """The new version, or None if the ticket is not as it was read."""
    work = step.work
    row = conn.execute(
        _SQL["change_ticket"],
        {
            "ticket_no": ticket.ticket_no,
            "version": ticket.version,
            "old": ticket.state,
            "now": now,
            "state": str(work.state),
            "assignee": work.assignee,
            "waiting_reason": work.waiting_reason,
            "outcome": _text(work.outcome),
            "outcome_part": work.outcome_part,
            "outcome_minutes": work.outcome_minutes,
            "urgent_answer": _text(work.urgent_answer),
        },
    ).fetchone()
    return None if row is None else int(row[0])


def _recorded(  # noqa: PLR0913, PLR0917 - the ticket before, what changed, who and when
    conn: Connection, ticket: TicketRow, step: Step, who: str, version: int, now: datetime
) -> Changed:
    """Write down a change that was made: a linked ticket, the event, the delivery, the clocks."""
    number, work = ticket.ticket_no, step.work
    new_no = None
    if step.new_kind is not None:
        new_no = _open_in_place(conn, ticket, step.new_kind, who, now)
    detail = {**step.detail, "ticket_version": version}
    if new_no is not None:
        detail["replaced_by"] = new_no
    record_event(conn, number, step.kind, who, detail, now)
    deliver(conn, "ticket.changed", _found(conn, number), step.kind, now)
    if work.state is not ticket.work.state:
        old = ticket.work.state
        deadlines.moved(conn, number, old, work.state, now, work.waiting_reason)
    return Changed(number, work.state, version, new_no)


def _open_in_place(
    conn: Connection, ticket: TicketRow, new_kind: OrderKind, who: str, now: datetime
) -> int:
    work = successor(ticket.work, new_kind)
    values = {"state": str(work.state), "order_kind": str(new_kind), "now": now}
    values |= {"ticket_no": ticket.ticket_no, "urgent_answer": _text(work.urgent_answer)}
    row = conn.execute(_SQL["open_in_place"], values).fetchone()
    assert row is not None, "the ticket was updated a statement ago"
    new_no = int(row[0])
    for name in ("move_episodes", "move_findings", "move_singles"):
        conn.execute(_SQL[name], {"old_no": ticket.ticket_no, "new_no": new_no})
    detail = {"replaces": ticket.ticket_no, "kind": str(new_kind), "ticket_version": 1}
    record_event(conn, new_no, "opened", who, detail, now)
    deliver(conn, "ticket.opened", _found(conn, new_no), "opened", now)
    deadlines.open_clocks(conn, [new_no], now)
    return new_no


def record_event(  # noqa: PLR0913, PLR0917 - the columns of one row
    conn: Connection,
    ticket_no: int,
    kind: str,
    who: str,
    detail: Mapping[str, Any],
    now: datetime,
) -> None:
    values = {"ticket_no": ticket_no, "kind": kind, "who": who, "now": now}
    conn.execute(_SQL["insert_event"], {**values, "detail": Jsonb(detail)})


_TOLD: Final = (
    "ticket_no", "state", "version", "device_class", "subject", "cause", "order_kind", "severity",
    "usability", "fixer", "component", "title_sv", "title_en", "body_sv", "body_en", "is_active",
    "outcome", "outcome_part", "waiting_reason", "replaces_no", "replaced_by_no",
)  # fmt: skip


def deliver(conn: Connection, kind: str, ticket: TicketRow, event: str, now: datetime) -> None:
    """Tell the outside. No person data: neither who uses the device nor who works on it."""
    payload: dict[str, Any] = {name: getattr(ticket, name) for name in _TOLD}
    payload |= {"tenant": ticket.tenant_id, "device": ticket.device_id, "events": [event]}
    payload |= {
        "started_at": ticket.started_at.isoformat(),
        "known_at": ticket.known_at.isoformat(),
    }
    insert_outbox(conn, [Delivery(f"ticket:{ticket.ticket_no}", kind, payload)], now)


def repeat_of(
    conn: Connection, device_no: int, cause: str, at: datetime, within: timedelta = REPEAT_WITHIN
) -> int | None:
    """The repair that a ticket opened `at` would follow too soon."""
    key = TicketKey(device_no, cause)
    return repeats(conn, [key], at, within).get(key)


def repeats(
    conn: Connection,
    keys: Iterable[tuple[int, str]],
    now: datetime,
    within: timedelta = REPEAT_WITHIN,
) -> dict[TicketKey, int]:
    """`repeat_of` for many devices and causes; those that repeat nothing are left out."""
    wanted = sorted(set(keys))
    values = {"devices": [no for no, _ in wanted], "causes": [cause for _, cause in wanted]}
    rows = conn.execute(_SQL["repeats"], {**values, "at": now, "within": within})
    return {TicketKey(device_no, cause): ticket_no for device_no, cause, ticket_no in rows}


@dataclass(frozen=True, slots=True)
class SimilarCase:
    """A past ticket, and what solved it. `said` is the technician's own words."""

    ticket_no: int
    device_id: str | None
    model_id: str | None
    is_same_model: bool
    title_sv: str
    title_en: str
    outcome: str
    part: str | None
    minutes: int | None
    ended_at: datetime
    said: str | None


@dataclass(frozen=True, slots=True)
class SimilarCases:
    """The nearest cases; the counts are over at most `CASES_MAX` of them."""

    cases: tuple[SimilarCase, ...]
    by_outcome: Mapping[str, int]
    by_part: Mapping[str, int]


def similar_cases(conn: Connection, ticket_no: int, limit: int = 5) -> SimilarCases:
    """Past tickets of the same tenant, cause and class of device, the same model first."""
    found = _all(conn, SimilarCase, "similar_cases", ticket_no=ticket_no, limit=CASES_MAX)
    parts = Counter(case.part for case in found if case.part)
    outcomes = Counter(case.outcome for case in found)
    return SimilarCases(tuple(found[:limit]), dict(outcomes), dict(parts.most_common()))


@dataclass(frozen=True, slots=True)
class RuleRecord:
    """What a rule's tickets came to. `precision` is None until one has an outcome."""

    by_outcome: Mapping[Outcome, int]

    @property
    def hits(self) -> int:
        return sum(number for outcome, number in self.by_outcome.items() if outcome in HITS)

    @property
    def misses(self) -> int:
        return sum(self.by_outcome.values()) - self.hits

    @property
    def precision(self) -> float | None:
        judged = sum(self.by_outcome.values())
        return self.hits / judged if judged else None


def rule_record(conn: Connection, rule_id: str, version: int | None = None) -> RuleRecord:
    """Hits and misses of a rule, or of one version of it, by what people recorded."""
    rows = conn.execute(_SQL["rule_outcomes"], {"rule_id": rule_id, "version": version})
    return RuleRecord({Outcome(outcome): number for outcome, number in rows})
