"""What the API reads: typed rows from named queries. Functions take a connection, never commit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from fleet.ranges import SeqSet
from storage.connection import Connection
from storage.queries import load_queries
from storage.rows import Row, all_rows, one_row

COUNT_LIMIT: Final = 100_000
EVENTS_SHOWN: Final = 500
_AT_END: Final = 2**63 - 1
_SQL: Final = load_queries("reading.sql")


class DeviceRow(NamedTuple):
    """A device and what is known of it now; what it says at birth is None before that."""

    device_no: int
    id: str
    tenant_id: str
    centre_name: str | None
    model_id: str
    device_class: str
    maker: str
    model_name: str
    status: str
    serial: str | None
    individual_no: str | None
    created_at: datetime
    is_online: bool | None
    clock: str | None
    skew_ms: int | None
    fw: str | None
    hw: str | None
    boot: int | None
    born_at: datetime | None
    changed_at: datetime | None
    last_contact_at: datetime | None
    open_ticket_n: int


class LatestRow(NamedTuple):
    metric: str
    at: datetime
    value: float


class SampleRow(NamedTuple):
    """`clock` is a `fleet.clock.ClockQuality`."""

    at: datetime
    value: float
    clock: int


class HourRow(NamedTuple):
    at: datetime
    sample_n: int
    min: float
    max: float
    sum: float
    last: float


@dataclass(frozen=True, slots=True)
class FaultRow:
    """One fault as reported. `at` is estimated; `device_at` is set where the device differed."""

    epoch: str
    seq: int
    idx: int
    system: str
    code: str
    state: str
    count: int | None
    at: datetime
    device_at: datetime | None
    received_at: datetime
    clock: int
    ctx: Mapping[str, Any] | None


class ClockState(NamedTuple):
    """One deadline of a ticket as stored; `stopped_at` is when what was promised was done."""

    due_at: datetime
    stopped_at: datetime | None
    breached_at: datetime | None


class TicketRow(NamedTuple):
    """One ticket. What belongs to a device is None for a ticket about a group.

    `member_n` is how many devices a group's ticket speaks for, None for a single device.
    """

    ticket_no: int
    device_no: int | None
    device_id: str | None
    individual_no: str | None
    model_id: str | None
    device_class: str | None
    maker: str | None
    model_name: str | None
    centre_name: str | None
    subject: str
    cause: str
    state: str
    state_at: datetime
    order_kind: str
    severity: str
    usability: str
    fixer: str
    component: str
    title_sv: str
    title_en: str
    user_sv: str
    user_en: str
    started_at: datetime
    known_at: datetime
    updated_at: datetime
    is_active: bool
    version: int
    rule_id: str | None
    rule_version: int | None
    confidence: float
    assignee: str | None
    waiting_reason: str | None
    urgent_because: list[str]
    urgent_answer: str | None
    outcome: str | None
    outcome_part: str | None
    outcome_minutes: int | None
    replaces_no: int | None
    repeats_no: int | None
    incident_no: int | None
    policy_id: str | None
    policy_version: int | None
    policy_clause: str | None
    replaced_by_no: int | None
    repeated_by_no: int | None
    member_n: int | None
    start_due_at: datetime | None
    start_stopped_at: datetime | None
    start_breached_at: datetime | None
    finish_due_at: datetime | None
    finish_stopped_at: datetime | None
    finish_breached_at: datetime | None

    @property
    def start_by(self) -> ClockState | None:
        if self.start_due_at is None:
            return None
        return ClockState(self.start_due_at, self.start_stopped_at, self.start_breached_at)

    @property
    def finish_by(self) -> ClockState | None:
        if self.finish_due_at is None:
            return None
        return ClockState(self.finish_due_at, self.finish_stopped_at, self.finish_breached_at)

    @property
    def binding_at(self) -> datetime | None:
        """The first deadline that still runs."""
        clocks = (self.start_by, self.finish_by)
        return min((c.due_at for c in clocks if c and c.stopped_at is None), default=None)


class TicketBody(NamedTuple):
    """The long texts of a ticket."""

    body_sv: str
    body_en: str


@dataclass(frozen=True, slots=True)
class FindingRow:
    """What a rule concluded; `device_id` is None for a group. `detail`: see `storage.findings`."""

    finding_no: int
    device_id: str | None
    individual_no: str | None
    subject: str
    rule_id: str
    rule_version: int
    about: str
    cause: str
    need: str
    severity: str
    usability: str
    fixer: str
    component: str
    started_at: datetime
    last_at: datetime
    ended_at: datetime | None
    known_at: datetime
    occurrence_n: int
    confidence: float
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MemberRow:
    """One device of a group's ticket; `ticket_no` is its own ticket that the group took over."""

    device_id: str
    individual_no: str | None
    maker: str
    model_name: str
    centre_name: str | None
    is_contacted_first: bool
    finding_no: int
    started_at: datetime
    ended_at: datetime | None
    ticket_no: int | None


@dataclass(frozen=True, slots=True)
class TicketEventRow:
    event_no: int
    at: datetime
    kind: str
    who: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EpisodeRow:
    episode_no: int
    system: str
    code: str
    started_at: datetime
    last_at: datetime
    ended_at: datetime | None
    raised_n: int
    cleared_n: int
    logged_n: int
    first_received_at: datetime


@dataclass(frozen=True, slots=True)
class IntakeTotalRow:
    """The loss equation of one way in, and how long the last records it stored were under way.

    `receipt_delay_s`: the longest since receipt; `age_s`: the median since they were measured.
    Where several tenants share the installation there are two, `ledger` and `unnumbered`, of the
    caller's tenant; states and delays are counted for all of them together, so those are None.
    """

    source: str
    received_n: int
    stored_n: int
    duplicate_n: int
    quarantined_n: int
    state_n: int | None
    updated_at: datetime
    receipt_delay_s: float | None = None
    age_s: float | None = None

    @property
    def accounted_n(self) -> int:
        return self.stored_n + self.duplicate_n + self.quarantined_n

    @property
    def holds(self) -> bool:
        return self.received_n == self.accounted_n


@dataclass(frozen=True, slots=True)
class QuarantineTotalRow:
    reason: str
    message_n: int


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """`received` and `lost` as PostgreSQL prints a multirange; see `fleet.ranges`."""

    epoch: str
    received: str
    lost: str
    received_n: int
    stored_n: int
    duplicate_n: int
    quarantined_n: int
    is_gapped: bool
    first_at: datetime
    last_at: datetime

    def settled(self) -> SeqSet:
        return SeqSet.from_sql(self.received)

    def missing(self) -> list[tuple[int, int]]:
        return self.settled().gaps()

    @property
    def holds(self) -> bool:
        return self.received_n == self.stored_n + self.duplicate_n + self.quarantined_n


@dataclass(frozen=True, slots=True)
class GapRow:
    """Records `low` to `high` are missing, ends included; open while `closed_at` is None."""

    gap_no: int
    device_id: str
    individual_no: str | None
    epoch: str
    low: int
    high: int
    opened_at: datetime
    asked_n: int
    asked_at: datetime | None
    closed_at: datetime | None
    closed_as: str | None

    @property
    def record_n(self) -> int:
        return self.high - self.low + 1


@dataclass(frozen=True, slots=True)
class GapCounts:
    open_n: int
    missing_n: int
    lost_n: int


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """`payload` is what was kept, in lists its first 4,096 bytes, of `payload_size`.

    `device_class` is None where no such device is registered.
    """

    quarantine_no: int
    reason: str
    detail: str
    topic: bytes
    tenant_id: str | None
    device_id: str | None
    content_type: str | None
    payload: bytes
    payload_size: int
    epoch: str | None
    seq: int | None
    message_n: int
    received_at: datetime
    last_at: datetime
    replayed_at: datetime | None
    replayed_as: str | None
    device_class: str | None


@dataclass(frozen=True, slots=True)
class BacklogRow:
    """What waits; a count above `COUNT_LIMIT` means that or more."""

    dirty_hour_n: int
    dirty_oldest_at: datetime | None
    inbox_n: int
    inbox_oldest_at: datetime | None
    outbox_n: int
    slots_held_n: int
    slot_n: int


def _all(conn: Connection, kind: type[Row], name: str, **values: object) -> list[Row]:
    return all_rows(conn, kind, _SQL[name], values)


def _one(conn: Connection, kind: type[Row], name: str, **values: object) -> Row | None:
    return one_row(conn, kind, _SQL[name], values)


def _number(conn: Connection, name: str, **values: object) -> int | None:
    row = conn.execute(_SQL[name], values).fetchone()
    return None if row is None else int(row[0])


def devices(
    conn: Connection, after: str, limit: int, search: str | None = None, *, is_whole: bool = False
) -> list[DeviceRow]:
    """The next devices by id; `search` is the start of an id, individual number or serial.

    With `is_whole` it is all of it. Case does not count.
    """
    if search:
        literal = re.sub(r"([\\%_])", r"\\\1", search.lower())
        name, values = "pick_devices_matching", {"pattern": literal + "%" * (not is_whole)}
    else:
        name, values = "pick_devices", {}
    picked = conn.execute(_SQL[name], {"after": after, "limit": limit, **values}).fetchall()
    return devices_by_no(conn, [number for (number,) in picked])


def device(conn: Connection, device_id: str) -> DeviceRow | None:
    number = _number(conn, "device_no_of", device_id=device_id)
    if number is None:
        return None
    return devices_by_no(conn, [number])[0]


def devices_by_no(conn: Connection, numbers: Sequence[int]) -> list[DeviceRow]:
    return _all(conn, DeviceRow, "devices_by_no", device_nos=list(numbers))


def device_no(conn: Connection, device_id: str) -> int | None:
    return _number(conn, "device_no_of", device_id=device_id)


def latest_values(conn: Connection, device_no: int) -> list[LatestRow]:
    return _all(conn, LatestRow, "latest_values", device_no=device_no)


def metric_no(conn: Connection, metric: str) -> int | None:
    return _number(conn, "metric_no_of", metric=metric)


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of time."""

    low: datetime
    high: datetime


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """One metric of one device."""

    device_no: int
    metric_no: int


def raw_samples(conn: Connection, key: SeriesKey, span: Span, limit: int) -> list[SampleRow]:
    """Oldest first. `limit` + 1 rows mean that there are too many."""
    return _all(
        conn,
        SampleRow,
        "raw_samples",
        device_no=key.device_no,
        metric_no=key.metric_no,
        low=span.low,
        high=span.high,
        limit=limit + 1,
    )


def hourly_samples(conn: Connection, key: SeriesKey, span: Span, limit: int) -> list[HourRow]:
    """Oldest first. `limit` + 1 rows mean that there are too many."""
    return _all(
        conn,
        HourRow,
        "hourly_samples",
        device_no=key.device_no,
        metric_no=key.metric_no,
        low=span.low,
        high=span.high,
        limit=limit + 1,
    )


FaultKey = tuple[datetime, str, int, int]


def faults(
    conn: Connection, device_no: int, span: Span, limit: int, after: FaultKey | None = None
) -> list[FaultRow]:
    """Newest first; `after` is the (at, epoch, seq, idx) of the last one seen."""
    at, epoch, seq, idx = after or (span.high, "", 0, 0)
    return _all(
        conn,
        FaultRow,
        "faults",
        device_no=device_no,
        low=span.low,
        high=span.high,
        after_at=at,
        after_epoch=epoch,
        after_seq=seq,
        after_idx=idx,
        limit=limit,
    )


def open_tickets_of(conn: Connection, device_no: int, limit: int) -> list[TicketRow]:
    """Of one device, the worst and oldest first."""
    return _picked(conn, "pick_open_tickets_of", device_no, limit)


def ended_tickets_of(conn: Connection, device_no: int, limit: int) -> list[TicketRow]:
    """Of one device, the newest first."""
    return _picked(conn, "pick_ended_tickets_of", device_no, limit)


def _picked(conn: Connection, name: str, device_no: int, limit: int) -> list[TicketRow]:
    rows = conn.execute(_SQL[name], {"device_no": device_no, "limit": limit}).fetchall()
    return tickets(conn, [int(number) for (number,) in rows])


def tickets(conn: Connection, ticket_nos: Sequence[int]) -> list[TicketRow]:
    """These tickets in this order; unknown numbers are left out."""
    return _all(conn, TicketRow, "tickets_by_no", tickets=list(ticket_nos))


def ticket(conn: Connection, ticket_no: int) -> TicketRow | None:
    return next(iter(tickets(conn, [ticket_no])), None)


def ticket_body(conn: Connection, ticket_no: int) -> TicketBody:
    """The long texts of a ticket that exists."""
    row = conn.execute(_SQL["ticket_body"], {"ticket_no": ticket_no}).fetchone()
    assert row is not None, "the ticket was read in the same view of the data"
    return TicketBody(*row)


def ticket_findings(conn: Connection, ticket_no: int, limit: int) -> list[FindingRow]:
    """What a ticket rests on, the newest first; of a group's ticket only what is about it all."""
    return _all(conn, FindingRow, "ticket_findings", ticket_no=ticket_no, limit=limit)


def ticket_members(conn: Connection, ticket_no: int, limit: int) -> list[MemberRow]:
    """The devices a group's ticket speaks for, those to contact first on top."""
    return _all(conn, MemberRow, "ticket_members", ticket_no=ticket_no, limit=limit)


def rule_body(conn: Connection, rule_id: str, version: int) -> str | None:
    """The text of one version of a rule."""
    row = conn.execute(_SQL["rule_body"], {"rule_id": rule_id, "version": version}).fetchone()
    return None if row is None else str(row[0])


@dataclass(frozen=True, slots=True)
class FindingFilter:
    """None lets everything through."""

    device_no: int | None = None
    rule_id: str | None = None
    is_open: bool | None = None


def findings(
    conn: Connection, wanted: FindingFilter, limit: int, before_no: int | None = None
) -> list[FindingRow]:
    """The newest first, by when they were first concluded; without those for care."""
    return _all(
        conn,
        FindingRow,
        "findings",
        device_no=wanted.device_no,
        rule_id=wanted.rule_id,
        is_open=wanted.is_open,
        before_no=_AT_END if before_no is None else before_no,
        limit=limit,
    )


def ticket_events(
    conn: Connection, ticket_no: int, limit: int | None = EVENTS_SHOWN
) -> list[TicketEventRow]:
    """What happened to a ticket, in order; the newest `limit`, or everything."""
    return _all(conn, TicketEventRow, "ticket_events", ticket_no=ticket_no, limit=limit)


def ticket_episodes(conn: Connection, ticket_no: int) -> list[EpisodeRow]:
    return _all(conn, EpisodeRow, "ticket_episodes", ticket_no=ticket_no)


def ticket_faults(conn: Connection, ticket_no: int, limit: int) -> list[FaultRow]:
    return _all(conn, FaultRow, "ticket_faults", ticket_no=ticket_no, limit=limit)


def intake_totals(conn: Connection) -> list[IntakeTotalRow]:
    return _all(conn, IntakeTotalRow, "intake_totals")


def quarantine_totals(conn: Connection) -> list[QuarantineTotalRow]:
    return _all(conn, QuarantineTotalRow, "quarantine_totals")


def ledgers_of(conn: Connection, device_no: int) -> list[LedgerRow]:
    return _all(conn, LedgerRow, "ledgers_of", device_no=device_no)


def gaps_of(conn: Connection, device_no: int, limit: int) -> list[GapRow]:
    return _all(conn, GapRow, "gaps_of", device_no=device_no, limit=limit)


def open_gaps(conn: Connection, limit: int) -> list[GapRow]:
    return _all(conn, GapRow, "open_gaps", limit=limit)


def lost_gaps(conn: Connection, limit: int) -> list[GapRow]:
    return _all(conn, GapRow, "lost_gaps", limit=limit)


def gap_counts(conn: Connection, since: datetime) -> GapCounts:
    counts = _one(conn, GapCounts, "gap_counts", since=since)
    assert counts is not None, "a query of totals always has one row"
    return counts


@dataclass(frozen=True, slots=True)
class QuarantineFilter:
    """None lets everything through."""

    reason: str | None = None
    device_id: str | None = None


def quarantined(
    conn: Connection, wanted: QuarantineFilter, limit: int, before_no: int | None = None
) -> list[QuarantineRow]:
    """The newest first, by first receipt: redelivery does not move a row.

    Of each payload the first 4,096 bytes.
    """
    return _all(
        conn,
        QuarantineRow,
        "quarantined",
        reason=wanted.reason,
        device_id=wanted.device_id,
        before_no=_AT_END if before_no is None else before_no,
        limit=limit,
    )


def quarantined_message(conn: Connection, quarantine_no: int) -> QuarantineRow | None:
    """One refused message with all that was kept of it, or None."""
    return _one(conn, QuarantineRow, "quarantined_message", quarantine_no=quarantine_no)


def backlog(conn: Connection) -> BacklogRow:
    found = _one(conn, BacklogRow, "backlog", limit=COUNT_LIMIT)
    assert found is not None, "a query of totals always has one row"
    return found
