"""The JSON that leaves the house. Instants are RFC 3339 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from fleet.wire.reasons import Reason
from fleet.words import Component, DeviceClass, Fixer, Severity, Usability


def rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Instant = Annotated[datetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]
TicketState = Literal[
    "new", "triaged", "assigned", "waiting", "solved", "verified", "closed", "void"
]
OrderKind = Literal["AU", "akut AU", "FU", "support", "supplier"]
FaultState = Literal["raised", "cleared", "logged"]
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


class WholeDeviceOut(DeviceOut):
    latest: list[LatestOut]


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
    """`resolution` is the one chosen; `step_s` is the length of a stretch, None for samples."""

    device_id: str
    metric: str
    unit: str | None = Field(description="UCUM unit; None for a metric outside the catalogue.")
    from_: Instant = Field(serialization_alias="from")
    to: Instant
    resolution: Literal["raw", "hour"]
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


class TicketOut(Out):
    ticket_no: int
    device_id: str
    individual_no: str | None
    model_id: str
    device_class: DeviceClass | str
    maker: str
    model_name: str
    centre_name: str | None
    cause: str
    state: TicketState
    order_kind: OrderKind
    severity: Severity
    usability: Usability
    fixer: Fixer
    component: str
    title_sv: str
    title_en: str
    started_at: Instant = Field(description="When the fault began.")
    known_at: Instant = Field(description="When we knew; deadlines count from here.")
    updated_at: Instant
    version: int


class TicketPage(Out):
    items: list[TicketOut]
    next_cursor: str | None
    open_n: dict[str, int] = Field(description="Open tickets by severity, whatever the filter.")


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


class WholeTicketOut(TicketOut):
    """A ticket with everything it rests on. `faults` are the newest 200."""

    body_sv: str
    body_en: str
    episodes: list[EpisodeOut]
    faults: list[FaultOut]
    events: list[TicketEventOut]


class EquationOut(Out):
    """received = stored + duplicate + quarantined. `state_n` is counted beside it."""

    received_n: int
    stored_n: int
    duplicate_n: int
    quarantined_n: int
    state_n: int
    holds: bool


class SourceOut(EquationOut):
    source: str
    updated_at: Instant


class ReasonOut(Out):
    reason: str
    message_n: int


class GapOut(Out):
    """Records `low` to `high`, ends included, that never came; open while `closed_at` is None."""

    device_id: str
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
    """The beginning of the payload: escaped text, or hex where it is binary."""

    kind: Literal["text", "hex", "empty"]
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
