"""The JSON that leaves the house. Instants are RFC 3339 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from fleet.wire.reasons import Reason
from fleet.words import Component, DeviceClass, Fixer, Severity, Usability

Instant = datetime
"""In UTC, as the database gives it: then pydantic writes it as `rfc3339` does."""


def rfc3339(at: datetime) -> str:
    """An instant in UTC, to the microsecond where it has any."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


COUNTED_AT: Final = (
    "When it was counted. What is older than a minute, or than 300 times what counting took, is"
    " counted anew for the next who asks, and is given for five times as long."
)
TicketState = Literal[
    "new", "triaged", "assigned", "waiting", "solved", "verified", "closed", "void"
]
OrderKind = Literal["AU", "akut AU", "FU", "support", "supplier"]
FaultState = Literal["raised", "cleared", "logged"]
ClockName = Literal["start", "finish"]
ClockWord = Literal["synced", "drifting", "corrected", "received"]
CLOCK_WORDS: tuple[ClockWord, ...] = ("synced", "drifting", "corrected", "received")


class Out(BaseModel):
    model_config = ConfigDict(from_attributes=True, frozen=True)


class DeviceOut(Out):
    """A device and what is known of it now; None where it has never said."""

    id: str
    tenant_id: str
    centre_name: str | None
    model_id: str
    device_class: DeviceClass | str
    maker: str
    model_name: str
    status: Literal["pending", "active", "revoked"]
    serial: str | None
    individual_no: str | None
    created_at: Instant
    is_online: bool | None
    clock: str | None
    skew_ms: int | None = Field(description="Device clock minus receipt, in milliseconds.")
    fw: str | None
    hw: str | None
    boot: int | None
    changed_at: Instant | None = Field(description="When it last came online or went offline.")
    last_contact_at: Instant | None
    open_ticket_n: int


class LatestOut(Out):
    metric: str
    at: Instant
    value: float


class SettingOut(Out):
    """A setting as the device reported it last. Nothing changes a setting from here."""

    name: str = Field(examples=["forward_speed_max_pct"])
    value: bool | float | str
    unit: str | None = Field(description="UCUM unit; None where there is none.")
    since: Instant | None = Field(
        description="When this value was first reported; null where nobody knows."
    )
    reported_at: Instant | None


class VersionOut(Out):
    """Versions that a device told at a start, unlike those of the start before."""

    boot: int
    fw: str | None = Field(examples=["2.4.1"])
    hw: str | None
    since: Instant | None = Field(
        description="When the device first said so; null where nobody knows."
    )


class WholeDeviceOut(DeviceOut):
    latest: list[LatestOut]
    settings: list[SettingOut]
    versions: list[VersionOut] = Field(
        description="Software and hardware versions as they changed, the newest first, at most 50."
    )
    unshared_since: Instant | None = Field(
        description="Since when the user shares only what safety needs; null: all is shared."
    )


class DevicePage(Out):
    items: list[DeviceOut]
    next_cursor: str | None


class PointOut(Out):
    """One sample, or for hours the mean with the least and greatest value."""

    at: Instant
    value: float
    low: float
    high: float
    sample_n: int


class SamplesOut(Out):
    """`resolution` is the one chosen; `step_s` is the length of a stretch, None for samples.

    With `day` the range is widened to whole local days, and `step_s` is nominal: such a day has
    23 or 25 hours when the clocks change.
    """

    device_id: str
    metric: str
    unit: str | None = Field(description="UCUM unit; None for a metric outside the catalogue.")
    from_: Instant = Field(serialization_alias="from")
    to: Instant
    resolution: Literal["raw", "hour", "day"]
    step_s: int | None
    row_n: int = Field(description="Rows found before thinning.")
    is_thinned: bool = Field(description="Some samples were left out; no peak was.")
    points: list[PointOut]


class MeaningOut(Out):
    """What the fault catalogue says of a code."""

    sv: str
    en: str
    action_sv: str
    action_en: str
    component: Component
    severity: Severity
    usability: Usability
    fixer: Fixer
    is_known: bool


class FaultOut(Out):
    epoch: str
    seq: int
    idx: int
    system: str
    code: str
    state: FaultState
    count: int | None
    at: Instant = Field(description="Best estimate of true time.")
    device_at: Instant | None = Field(description="Device time, where it differs.")
    received_at: Instant
    clock: ClockWord
    ctx: dict[str, Any] | None
    meaning: MeaningOut


class FaultPage(Out):
    items: list[FaultOut]
    next_cursor: str | None


class BothOut(Out):
    """One text in both languages."""

    sv: str
    en: str


class ClockOut(Out):
    """One deadline. While a ticket waits the deadline stands still, and moves when it resumes."""

    due_at: Instant
    stopped_at: Instant | None = Field(description="When what was promised was done.")
    is_breached: bool = Field(description="Missed, whether or not it was done later.")
    is_paused: bool


class DueOut(Out):
    """The deadlines of a ticket; None where the agreement promises nothing."""

    binding: ClockName | None = Field(description="The first of those that still run.")
    start_by: ClockOut | None
    finish_by: ClockOut | None


class TicketOut(Out):
    """A ticket. What belongs to a device is None where `subject` is a group of devices."""

    ticket_no: int
    subject: str = Field(description="`device`, or the group that it is about.")
    device_id: str | None
    individual_no: str | None
    model_id: str | None
    device_class: DeviceClass | str | None
    maker: str | None
    model_name: str | None
    centre_name: str | None
    member_n: int | None = Field(description="Devices that a group's ticket speaks for.")
    cause: str
    state: TicketState
    state_at: Instant
    order_kind: OrderKind
    severity: Severity
    usability: Usability
    fixer: Fixer
    component: str
    title_sv: str
    title_en: str
    user_sv: str = Field(description="Plain words for whoever uses the device.")
    user_en: str
    started_at: Instant = Field(description="When the fault began.")
    known_at: Instant = Field(description="When we knew; deadlines count from here.")
    updated_at: Instant
    is_active: bool = Field(description="The fault lasts.")
    version: int
    rule_id: str | None
    rule_version: int | None
    confidence: float = Field(description="From 0 to 1.")
    due: DueOut
    urgent_because: list[str] = Field(description="Why `akut AU` is proposed; empty: it is not.")
    urgent_answer: Literal["confirmed", "declined"] | None
    assignee: str | None
    waiting_reason: str | None
    outcome: str | None
    outcome_part: str | None
    outcome_minutes: int | None
    replaces_no: int | None = Field(description="The void ticket of another order kind.")
    replaced_by_no: int | None
    repeats_no: int | None = Field(description="The repair that this one follows too soon.")
    repeated_by_no: int | None
    incident_no: int | None = Field(description="The group's ticket that speaks for this one.")
    policy_id: str | None
    policy_version: int | None
    policy_clause: str | None


class TicketPage(Out):
    items: list[TicketOut]
    next_cursor: str | None
    open_n: dict[str, int] = Field(description="Open tickets by severity, whatever the filter.")
    overdue_n: int = Field(description="Open tickets of which a deadline has passed.")
    at_risk_n: int = Field(description="Open tickets of which a deadline is near.")
    unassigned_n: int = Field(description="Open tickets that nobody has.")


class EpisodeOut(Out):
    """One stretch of one fault; `ended_at` is None while it lasts."""

    episode_no: int
    system: str
    code: str
    started_at: Instant
    last_at: Instant
    ended_at: Instant | None
    raised_n: int
    cleared_n: int
    logged_n: int
    first_received_at: Instant
    meaning: MeaningOut


class TicketEventOut(Out):
    event_no: int
    at: Instant
    kind: str
    who: str
    detail: dict[str, Any]


class TicketEventPage(Out):
    items: list[TicketEventOut]
    next_cursor: str | None


class SaidOut(Out):
    """A finding in words; empty where its rule says nothing."""

    title: BothOut
    happened: BothOut
    action: BothOut
    user: BothOut


class FindingOut(Out):
    """What a rule concluded about a device, or about a group. `ended_at` None: it still holds."""

    finding_no: int
    device_id: str | None
    individual_no: str | None
    subject: str
    rule_id: str
    rule_version: int
    about: str = Field(description="What of the device: a code, a metric, `contact`.")
    cause: str
    need: str
    severity: Severity
    usability: Usability
    fixer: Fixer
    component: str
    started_at: Instant
    last_at: Instant
    ended_at: Instant | None
    known_at: Instant
    occurrence_n: int
    confidence: float
    said: SaidOut
    measures: dict[str, float] = Field(description="Numbers by name, with the unit last.")
    ruled_out: list[BothOut]


class FindingPage(Out):
    items: list[FindingOut]
    next_cursor: str | None


class FindingPointOut(Out):
    at: Instant
    metric: str
    value: float


class WholeFindingOut(FindingOut):
    """A finding with the values it rests on, in stored units; at most 200."""

    points: list[FindingPointOut]
    is_withheld: bool = Field(
        False,
        description="Its evidence may be from before the loan: words and numbers are empty.",
    )


class MemberOut(Out):
    """A device that a group's ticket speaks for, and the single ticket it took over."""

    device_id: str
    individual_no: str | None
    maker: str
    model_name: str
    centre_name: str | None
    is_contacted_first: bool
    finding_no: int
    started_at: Instant
    ended_at: Instant | None
    ticket_no: int | None


class SimilarCaseOut(Out):
    """A past ticket of the same cause. `said` is in the technician's own words."""

    ticket_no: int
    device_id: str | None
    model_id: str | None
    is_same_model: bool
    title_sv: str
    title_en: str
    outcome: str
    part: str | None
    minutes: int | None
    ended_at: Instant
    said: str | None


class SimilarCasesOut(Out):
    """The nearest cases, and over all of them how they ended and which parts were replaced."""

    cases: list[SimilarCaseOut]
    by_outcome: dict[str, int]
    by_part: dict[str, int]


class WholeTicketOut(TicketOut):
    """A ticket with everything it rests on. `faults` are the newest 200, findings the newest 50.

    `members` are the first 100 of a group's ticket, of `member_n`.
    """

    body_sv: str
    body_en: str
    is_withheld: bool = Field(
        description="What it rests on may be from before the loan: the body is empty."
    )
    findings: list[WholeFindingOut]
    members: list[MemberOut]
    episodes: list[EpisodeOut]
    faults: list[FaultOut]
    similar: SimilarCasesOut
    events: list[TicketEventOut]


class PolicyOut(Out):
    """The version of the agreement that a ticket is counted by."""

    id: str
    version: int
    agreement: str
    source_title: str
    source_url: str


class LineOut(Out):
    """One stretch of time, and how much of the promise it counts as."""

    from_at: Instant
    until_at: Instant
    counted: float
    why: str
    sv: str
    en: str


class PromiseOut(Out):
    """What the agreement says. `is_ours`: it does not say it, the default is ours."""

    within: int
    unit: Literal["working_days", "working_hours"]
    clause: str
    target_share: float | None
    is_ours: bool


class ClockAccountOut(ClockOut):
    """One deadline and how it came about: `lines` follow each other without a gap.

    A wait that lasts is counted as if it ended now. None and empty where this release does not
    have the agreement's version.
    """

    clock: ClockName
    notify_at: Instant
    notified_at: Instant | None
    breached_at: Instant | None
    promise: PromiseOut | None
    lines: list[LineOut]


class DeadlinesOut(Out):
    """All there is to say about the deadlines of one ticket."""

    ticket_no: int
    known_at: Instant = Field(description="The deadlines count from here.")
    policy: PolicyOut | None
    waits_for: str | None
    clocks: list[ClockAccountOut]


class EquationOut(Out):
    """received = stored + duplicate + quarantined. `state_n` is counted beside it; None where
    several tenants share the installation.
    """

    received_n: int
    stored_n: int
    duplicate_n: int
    quarantined_n: int
    state_n: int | None
    holds: bool


class SourceOut(EquationOut):
    """One way in. It may be quiet since `updated_at`; the delays are those of its last records."""

    source: str
    updated_at: Instant
    receipt_delay_s: float | None = Field(
        description="From receipt to storage, the longest of the last records stored together."
    )
    age_s: float | None = Field(
        description="From when it was measured to storage, the median of the same records."
    )


class ReasonOut(Out):
    reason: str
    message_n: int


class GapOut(Out):
    """Records `low` to `high`, ends included, that never came; open while `closed_at` is None."""

    device_id: str
    individual_no: str | None
    epoch: str
    low: int
    high: int
    opened_at: Instant
    asked_n: int
    asked_at: Instant | None
    closed_at: Instant | None
    closed_as: str | None


class DeviceLedgerOut(Out):
    """One epoch of one device. `hi` is settled without a gap from 1; `missing` lies above."""

    epoch: str
    hi: int
    highest: int
    missing: list[tuple[int, int]]
    received_n: int
    stored_n: int
    duplicate_n: int
    quarantined_n: int
    holds: bool
    first_at: Instant
    last_at: Instant


class LedgerOut(Out):
    total: EquationOut
    sources: list[SourceOut]
    quarantine: list[ReasonOut]
    quarantine_agrees: bool = Field(description="Reasons add up to quarantined_n of the total.")
    open_gap_n: int
    missing_n: int
    device: list[DeviceLedgerOut] | None
    gaps: list[GapOut] | None


class PreviewOut(Out):
    """The payload or its beginning: escaped text, or hex where it is binary.

    `hidden`: it may hold values about a person, and is for administrators only.
    """

    kind: Literal["text", "hex", "empty", "hidden"]
    text: str
    is_cut: bool


class QuarantinedOut(Out):
    quarantine_no: int
    reason: Reason
    detail: str
    topic: str
    tenant_id: str | None
    device_id: str | None
    content_type: str | None
    payload_size: int
    payload: PreviewOut
    epoch: str | None
    seq: int | None
    message_n: int
    received_at: Instant
    last_at: Instant
    replayed_at: Instant | None
    replayed_as: Literal["stored", "duplicate", "refused"] | None


class QuarantinePage(Out):
    items: list[QuarantinedOut]
    next_cursor: str | None


class AckOut(Out):
    """Every record of the epoch up to `hi` may be forgotten; `gaps` are wanted again."""

    epoch: str
    hi: int | None
    gaps: list[tuple[int, int]]
    rewind: int | None


class RefusalOut(Out):
    """One record that went to quarantine; `index` is its place in the request."""

    index: int
    reason: Reason
    detail: str


class IngestOut(Out):
    """What became of the request, after COMMIT. `ack` is None when nothing may be forgotten."""

    ack: AckOut | None
    received: int
    stored: int
    duplicate: int
    quarantined: int
    states: int
    refused: list[RefusalOut]
