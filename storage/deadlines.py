"""The clocks of tickets: opened, paused, stopped, and recorded when they are missed.

Functions take a connection and never commit: a ticket and its clocks change together. Every
deadline is a function of the ticket, the version of the policy it was opened under, and its
pauses; `due_at` is kept so that a queue can be sorted and a process can wait for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from fleet.sla.deadlines import STOPS, Pause, due_at, notify_at
from fleet.sla.notices import Notice, Promised, at_risk, late
from fleet.sla.policies import SOLVED, Clock, Policy, Promise, UnknownPolicyError, load_policies
from fleet.ticket_actions import ActionRefusedError
from fleet.ticket_states import OrderKind, State
from fleet.words import DeviceClass
from storage.connection import Connection
from storage.queries import load_queries
from storage.raising import Delivery, TicketEvent, insert_outbox, insert_ticket_events

_SQL: Final = load_queries("deadlines.sql")


class PauseRefusedError(ActionRefusedError):
    """A ticket cannot wait for that reason. `allowed` are the reasons of its policy."""

    def __init__(self, ticket_no: int, reason: str | None, policy: Policy) -> None:
        self.allowed = tuple(pause.reason for pause in policy.pauses)
        given = "no reason" if reason is None else f"the reason {reason!r}"
        super().__init__(
            f"ticket {ticket_no}: {given} stops no clock by {policy.id} version {policy.version}:"
            f" use one of {', '.join(self.allowed)}"
        )


class AgreementError(ValueError):
    """An agreement that cannot be made; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the clocks of one ticket rest on.

    Attributes:
        from_at: when the backend knew; the clocks count from here.
        policy_id: as written on the ticket, None before its clocks are opened.
        agreed_id: the policy of the agreement, None where there is none.
    """

    ticket_no: int
    order_kind: OrderKind
    device_class: DeviceClass | None
    from_at: datetime
    policy_id: str | None
    policy_version: int | None
    agreed_id: str | None

    @property
    def policy(self) -> Policy:
        """The version the ticket was opened under, or is to be opened under.

        An agreement that only another release knows gives way to the default: a ticket with
        deadlines of ours is better than none.

        Raises:
            UnknownPolicyError: the ticket's version is not in this release.
        """
        policies = load_policies()
        if self.policy_id is not None and self.policy_version is not None:
            return policies.get(self.policy_id, self.policy_version)
        try:
            return policies.default if self.agreed_id is None else policies.newest(self.agreed_id)
        except UnknownPolicyError:
            return policies.default

    @property
    def promises(self) -> tuple[Promise, ...]:
        return self.policy.promises_for(self.order_kind, self.device_class)


class DueClock(NamedTuple):
    """A clock that somebody must hear of."""

    ticket_no: int
    clock: Clock
    due_at: datetime
    tenant_id: str
    device_id: str | None
    device_class: str | None
    order_kind: str
    policy_id: str
    policy_version: int
    clauses: str


class ClockRow(NamedTuple):
    """One clock of a ticket as stored."""

    clock: Clock
    due_at: datetime
    notify_at: datetime
    notified_at: datetime | None
    stopped_at: datetime | None
    breached_at: datetime | None


@dataclass(frozen=True, slots=True)
class TicketClocks:
    """All there is to say about the deadlines of one ticket.

    `pauses` are whole; one that lasts ends at the time asked for, and `waits_for` is its reason.
    """

    terms: Terms
    clocks: tuple[ClockRow, ...]
    pauses: tuple[Pause, ...]
    waits_for: str | None


class Agreed(NamedTuple):
    """The agreement that holds. `for_centre` is False where the centre has none of its own."""

    policy_id: str
    from_at: datetime
    for_centre: bool


def open_clocks(conn: Connection, ticket_nos: Iterable[int], now: datetime) -> None:
    """Write the policy on tickets and open their clocks; call it where tickets are opened.

    For a ticket that has clocks it computes them anew under the same version, which is how to
    follow when its `known_at` changes. What a policy does not promise gets no clock.
    """
    terms = _held_terms(conn, ticket_nos)
    if not terms:
        return
    _set_policies(conn, [t for t in terms if t.policy_id is None])
    _put_clocks(conn, terms, now)
    _stop_what_is_past(conn, [t.ticket_no for t in terms], now)


def _held_terms(conn: Connection, ticket_nos: Iterable[int]) -> list[Terms]:
    held = conn.execute(_SQL["lock_tickets"], {"tickets": sorted(set(ticket_nos))})
    return _terms(conn, [row[0] for row in held])


def _terms(conn: Connection, ticket_nos: Sequence[int]) -> list[Terms]:
    rows = conn.execute(_SQL["ticket_terms"], {"tickets": ticket_nos})
    return [_terms_of(*row) for row in rows]


_CLASSES: Final = {str(word): word for word in DeviceClass}


def _terms_of(ticket_no: int, kind: str, device_class: str | None, *rest: Any) -> Terms:
    # A class that only a newer release knows has no promise of its own here.
    return Terms(ticket_no, OrderKind(kind), _CLASSES.get(device_class or ""), *rest)


def _set_policies(conn: Connection, terms: Sequence[Terms]) -> None:
    columns = {
        "tickets": [t.ticket_no for t in terms],
        "policy_ids": [t.policy.id for t in terms],
        "versions": [t.policy.version for t in terms],
        "clauses": ["; ".join(dict.fromkeys(p.clause for p in t.promises)) for t in terms],
    }
    conn.execute(_SQL["set_policies"], columns)


def _put_clocks(conn: Connection, terms: Sequence[Terms], now: datetime) -> None:
    """Compute the deadlines of tickets and store them; stopped and missed ones stay."""
    pauses = _pauses(conn, [t.ticket_no for t in terms], now)
    rows = [
        (t.ticket_no, str(promise.clock), *_instants(t, promise, pauses[t.ticket_no]))
        for t in terms
        for promise in t.promises
    ]
    names = ("tickets", "clocks", "due_at", "notify_at")
    columns = {name: [row[n] for row in rows] for n, name in enumerate(names)}
    conn.execute(_SQL["put_clocks"], columns)


def _instants(terms: Terms, promise: Promise, pauses: Sequence[Pause]) -> tuple[datetime, datetime]:
    hours = terms.policy.hours
    due = due_at(hours, promise, terms.from_at, pauses)
    return due, notify_at(hours, promise, terms.from_at, due, pauses)


def _pauses(
    conn: Connection, ticket_nos: Sequence[int], now: datetime
) -> Mapping[int, Sequence[Pause]]:
    found: dict[int, list[Pause]] = defaultdict(list)
    for ticket_no, *pause in conn.execute(_SQL["pauses"], {"tickets": ticket_nos, "now": now}):
        found[ticket_no].append(Pause(*pause))
    return found


def _stop_what_is_past(conn: Connection, ticket_nos: Sequence[int], now: datetime) -> None:
    stops = [(str(state), str(clock)) for state, clocks in STOPS.items() for clock in clocks]
    columns = {"states": [s for s, _ in stops], "stopped": [c for _, c in stops]}
    conn.execute(_SQL["stop_unopened"], {**columns, "tickets": ticket_nos, "now": now})


def moved(  # noqa: PLR0913, PLR0917 - which ticket, from where to where, when and why
    conn: Connection,
    ticket_no: int,
    old: State,
    new: State,
    now: datetime,
    reason: str | None = None,
) -> None:
    """Let the clocks follow a ticket that has just changed its state.

    Waiting stops them while it lasts. Being assigned meets the start, being solved both; a
    ticket that comes back from solved has to be finished again, and the time between does not
    count. A clock that is stopped too late is recorded as missed here, if `tick` had not yet.

    Raises:
        PauseRefusedError: the ticket's policy does not let it wait for `reason`.
        UnknownPolicyError: the ticket was opened by a newer release.
    """
    if old == new:
        return
    (terms,) = _held_terms(conn, [ticket_no])
    place = {"ticket_no": ticket_no, "now": now}
    if State.WAITING in (old, new):
        conn.execute(_SQL["end_pause"], place)
    if new == State.WAITING:
        _begin_pause(conn, terms, reason, now)
    if old == State.SOLVED and Clock.FINISH not in STOPS[new]:
        conn.execute(_SQL["finish_again"], {**place, "reason": SOLVED})
    if old in (State.WAITING, State.SOLVED) and terms.policy_id is not None:
        _put_clocks(conn, [terms], now)
    _stop(conn, ticket_no, STOPS[new], now)


def _begin_pause(conn: Connection, terms: Terms, reason: str | None, now: datetime) -> None:
    policy = terms.policy
    if reason is None or policy.pause(reason) is None:
        raise PauseRefusedError(terms.ticket_no, reason, policy)
    place = {"ticket_no": terms.ticket_no, "now": now}
    conn.execute(_SQL["begin_pause"], {**place, "reason": reason})


def _stop(conn: Connection, ticket_no: int, clocks: Iterable[Clock], now: datetime) -> None:
    place = {"ticket_no": ticket_no, "now": now}
    stopped = conn.execute(_SQL["stop_clocks"], {**place, "clocks": [str(c) for c in clocks]})
    if stopped.rowcount:
        record_breaches(conn, _due_clocks(conn, "late_clocks", ticket_no=ticket_no), now)


def take_to_notify(conn: Connection, now: datetime, limit: int) -> list[DueClock]:
    """Take clocks whose notice is to be drafted; they stay ours until the transaction ends."""
    return _due_clocks(conn, "take_to_notify", now=now, limit=limit)


def take_to_breach(conn: Connection, now: datetime, limit: int) -> list[DueClock]:
    """Take clocks whose deadline has passed; they stay ours until the transaction ends."""
    return _due_clocks(conn, "take_to_breach", now=now, limit=limit)


def _due_clocks(conn: Connection, query: str, **parameters: object) -> list[DueClock]:
    rows = conn.execute(_SQL[query], parameters)
    return [DueClock(row[0], Clock(row[1]), *row[2:]) for row in rows]


def record_notices(conn: Connection, taken: Sequence[DueClock], now: datetime) -> None:
    """Draft the prescriber's notice for each clock: an event on the ticket, and a delivery.

    One that comes too late, after a standstill of ours, says so instead of warning.
    """
    if not taken:
        return
    conn.execute(_SQL["mark_notified"], {**_keys(taken), "now": now})
    told = [(clock, _notice(clock, now)) for clock in taken]
    _tell(conn, told, "notice_drafted", "prescriber.notice", now)


def record_breaches(
    conn: Connection, taken: Sequence[DueClock], now: datetime
) -> list[tuple[int, Clock]]:
    """Record missed deadlines; return those that were not recorded before."""
    if not taken:
        return []
    rows = conn.execute(_SQL["mark_breached"], {**_keys(taken), "now": now})
    fresh = {(ticket_no, Clock(clock)) for ticket_no, clock in rows}
    told = [(c, late(_promised(c), now)) for c in taken if (c.ticket_no, c.clock) in fresh]
    _tell(conn, told, "deadline_breached", "ticket.deadline_breached", now)
    return [(clock.ticket_no, clock.clock) for clock, _ in told]


def _keys(taken: Sequence[DueClock]) -> dict[str, list[Any]]:
    return {"tickets": [c.ticket_no for c in taken], "clocks": [str(c.clock) for c in taken]}


def _notice(clock: DueClock, now: datetime) -> Notice:
    write = late if now > clock.due_at else at_risk
    return write(_promised(clock), now)


def _promised(clock: DueClock) -> Promised:
    agreement, clause = _wording(clock)
    return Promised(clock.ticket_no, clock.device_id, clock.clock, clock.due_at, agreement, clause)


def _wording(clock: DueClock) -> tuple[str, str]:
    """The agreement's title and the clause; what the ticket says where the version is unknown."""
    try:
        policy = load_policies().get(clock.policy_id, clock.policy_version)
    except UnknownPolicyError:
        return clock.policy_id, clock.clauses
    kind = OrderKind(clock.order_kind)
    promises = policy.promises_for(kind, _CLASSES.get(clock.device_class or ""))
    clauses = (promise.clause for promise in promises if promise.clock is clock.clock)
    return policy.agreement, next(clauses, clock.clauses)


def _tell(
    conn: Connection, told: Sequence[tuple[DueClock, Notice]], event: str, kind: str, now: datetime
) -> None:
    """Write an event and a delivery for each; no person data, a device id and no more."""
    details = [(clock, _detail(clock, notice)) for clock, notice in told]
    events = [TicketEvent(clock.ticket_no, event, detail) for clock, detail in details]
    deliveries = [
        Delivery(f"ticket:{clock.ticket_no}", kind, {**_about(clock), **detail})
        for clock, detail in details
    ]
    if told:
        insert_ticket_events(conn, events, now)
        insert_outbox(conn, deliveries, now)


def _detail(clock: DueClock, notice: Notice) -> dict[str, Any]:
    agreement, clause = _wording(clock)
    return {
        "clock": str(clock.clock),
        "due_at": clock.due_at.isoformat(),
        "policy": clock.policy_id,
        "policy_version": clock.policy_version,
        "agreement": agreement,
        "clause": clause,
        **notice.fields(),
    }


def _about(clock: DueClock) -> dict[str, Any]:
    return {
        "ticket_no": clock.ticket_no,
        "tenant": clock.tenant_id,
        "device": clock.device_id,
        "device_class": clock.device_class,
        "order_kind": clock.order_kind,
    }


def clocks_of(conn: Connection, ticket_no: int, now: datetime) -> TicketClocks | None:
    """The clocks of one ticket and all they rest on; None for an unknown ticket."""
    found = _terms(conn, [ticket_no])
    if not found:
        return None
    place = {"ticket_no": ticket_no}
    rows = conn.execute(_SQL["clocks"], place).fetchall()
    waits = conn.execute(_SQL["is_paused"], place).fetchone()
    return TicketClocks(
        found[0],
        tuple(ClockRow(Clock(row[0]), *row[1:]) for row in rows),
        tuple(_pauses(conn, [ticket_no], now).get(ticket_no, ())),
        None if waits is None else waits[0],
    )


def assign_agreement(  # noqa: PLR0913 - what an agreement says, by keyword
    conn: Connection,
    *,
    tenant: str,
    policy_id: str,
    from_at: datetime,
    who: str,
    centre: str | None = None,
) -> int:
    """Let a tenant, or one of its centres, work by a policy from a time on; return its number.

    Tickets that are open keep the version they were opened under.

    Raises:
        AgreementError: no such policy, tenant or centre, or one from that instant is there.
    """
    tenant_no, centre_no = _place(conn, tenant, centre)
    values = {"tenant_no": tenant_no, "centre_no": centre_no, "from_at": from_at, "who": who}
    values["policy_id"] = _known_policy(policy_id)
    row = conn.execute(_SQL["add_agreement"], values).fetchone()
    if row is None:
        raise AgreementError(
            f"{_named(tenant, centre)} has an agreement from {from_at:%Y-%m-%d %H:%M} UTC already:"
            " choose another time"
        )
    return int(row[0])


def _known_policy(policy_id: str) -> str:
    try:
        return load_policies().newest(policy_id).id
    except UnknownPolicyError as exc:
        raise AgreementError(str(exc)) from exc


def _named(tenant: str, centre: str | None) -> str:
    return f"tenant {tenant}" if centre is None else f"centre {centre} of tenant {tenant}"


def _place(conn: Connection, tenant: str, centre: str | None) -> tuple[int, int | None]:
    row = conn.execute(_SQL["tenant_places"], {"tenant": tenant, "centre": centre}).fetchone()
    if row is None:
        raise AgreementError(f"no tenant {tenant!r}: {_choices(conn, 'some_tenants')}")
    if centre is not None and row[1] is None:
        choices = _choices(conn, "some_centres", tenant_no=row[0])
        raise AgreementError(f"tenant {tenant} has no centre {centre!r}: {choices}")
    return row[0], row[1]


def _choices(conn: Connection, query: str, **parameters: object) -> str:
    found = [row[0] for row in conn.execute(_SQL[query], parameters)]
    return f"use one of {', '.join(found)}" if found else "register a device there first"


def agreement_of(conn: Connection, tenant: str, centre: str | None, at: datetime) -> Agreed | None:
    """The agreement a centre works by at a time; None: the default policy holds."""
    place = {"tenant": tenant, "centre": centre, "at": at}
    row = conn.execute(_SQL["agreement_of"], place).fetchone()
    return None if row is None else Agreed(*row)
