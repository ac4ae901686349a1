"""Judge one message: what it is, whose it is, and whether it may be stored. Pure.

The caller looks devices up and owns the clock; nothing here waits, reads or logs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from fleet.clock import ClockQuality, Shift, check_estimates, check_times, estimate
from fleet.wire.messages import State, decode_state
from fleet.wire.reasons import PayloadError, Reason
from fleet.wire.records import EARLIEST_MS, Record, Skipped, decode_record, salvage_identity
from fleet.wire.topics import Topic, TopicError, UpChannel, parse_topic, shard_of

RECORD_CHANNELS: Final = frozenset({UpChannel.URGENT.value, UpChannel.BULK.value})
_UP_CHANNELS: Final = frozenset(channel.value for channel in UpChannel)


@dataclass(slots=True)
class DeviceEntry:
    """What the judge needs of a registered device. `skews` maps a boot to its clock skew in ms,
    None where it was never learnt; the newest boot is among them if any is. `device_class` is a
    `fleet.words.DeviceClass`, empty where nobody asked.
    """

    device_no: int
    device_id: str
    tenant: str
    status: str
    shard: int
    skews: dict[int, int | None] = field(default_factory=dict)
    device_class: str = ""

    def skew_for(self, boot: int | None) -> int | None:
        """The skew of `boot`; a record that names no boot belongs to the newest one."""
        if not self.skews:
            return None
        return self.skews.get(max(self.skews) if boot is None else boot)


class Message(msgspec.Struct, frozen=True, gc=False):
    """One delivery as a source hands it over.

    Attributes:
        received_ms: receipt, milliseconds since 1970 UTC.
        is_retained: a copy the broker kept; its age is unknown.
        is_fresh: nothing was queued before it, so receipt tells when it was sent.
    """

    topic: str
    payload: bytes
    content_type: str | None
    received_ms: int
    is_retained: bool = False
    is_fresh: bool = True

    @property
    def is_timely(self) -> bool:
        """Receipt says when it was sent, so a clock skew can be read off."""
        return self.is_fresh and not self.is_retained


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """A record to store, or a `skipped` marker, of a known and active device."""

    message: Message
    device: DeviceEntry
    record: Record | Skipped
    shift: Shift


class StateReport(msgspec.Struct, frozen=True, gc=False):
    """A birth or a last will of a known and active device."""

    message: Message
    device: DeviceEntry
    state: State

    @property
    def told_ms(self) -> int | None:
        """When the device said this, in ms; None where nobody knows.

        What waited in a queue or was kept by the broker says nothing by its receipt. Then only
        a clock that was right counts.
        """
        received_ms, clock_ms = self.message.received_ms, self.state.clock_ms
        if self.message.is_timely:
            return received_ms
        if self.state.clock != "synced" or clock_ms is None:
            return None
        return clock_ms if EARLIEST_MS <= clock_ms <= received_ms else None


class Refused(msgspec.Struct, frozen=True, gc=False):
    """A message for quarantine. `identity` is set where the ledger may count it as received."""

    message: Message
    reason: Reason
    detail: str
    tenant: str | None = None
    device_id: str | None = None
    device: DeviceEntry | None = None
    identity: tuple[str, int] | None = None


Verdict = Accepted | StateReport | Refused
LookUp = Callable[[str], DeviceEntry | None]

_NO_SHIFT: Final = Shift(0, ClockQuality.SYNCED)
_STATUS_REASON: Final = {"pending": Reason.PENDING_DEVICE, "revoked": Reason.REVOKED_DEVICE}


def judge(message: Message, look_up: LookUp) -> Verdict:
    """Decide what becomes of one message; every message has exactly one verdict."""
    try:
        topic = parse_topic(message.topic)
    except TopicError as exc:
        return Refused(message, Reason.UNKNOWN_CHANNEL, str(exc)[:200])
    device = look_up(topic.device)
    refusal = _refuse_speaker(message, topic, device)
    if refusal is not None:
        return refusal
    assert device is not None
    try:
        return _judge_payload(message, topic, device)
    except PayloadError as exc:
        return _refuse_payload(message, topic, device, exc)


def _refuse_speaker(message: Message, topic: Topic, device: DeviceEntry | None) -> Refused | None:
    """Refuse on who speaks and where, before the payload is looked at."""

    def refused(reason: Reason, detail: str) -> Refused:
        return Refused(message, reason, detail, topic.tenant, topic.device, device)

    shard = shard_of(topic.device) if device is None else device.shard
    if topic.shard != shard:
        return refused(Reason.WRONG_SHARD, f"shard should be {shard:02x}")
    if device is None:
        return refused(Reason.UNKNOWN_DEVICE, "not in the registry: fjarrkoll device add")
    if device.tenant != topic.tenant:  # before its state, which is its own tenant's to know
        return refused(Reason.WRONG_TENANT, "the device belongs to another tenant")
    if device.status in _STATUS_REASON:
        return refused(_STATUS_REASON[device.status], f"the device is {device.status}")
    return None


def _judge_payload(message: Message, topic: Topic, device: DeviceEntry) -> Accepted | StateReport:
    if topic.direction != "up" or topic.channel not in _UP_CHANNELS:
        raise PayloadError(Reason.UNKNOWN_CHANNEL, f"{topic.direction}/{topic.channel}")
    if topic.channel in RECORD_CHANNELS:
        return _judge_record(message, device)
    if topic.channel == UpChannel.STATE.value:
        return _judge_state(message, device)
    raise PayloadError(Reason.NO_DECODER, f"channel {topic.channel} has no decoder yet")


def _judge_record(message: Message, device: DeviceEntry) -> Accepted:
    record = decode_record(message.payload, message.content_type)
    _check_speaker(record.device, device)
    if isinstance(record, Skipped):
        return Accepted(message, device, record, _NO_SHIFT)
    check_times(record, message.received_ms)
    skew_ms = device.skew_for(record.boot)
    shift = estimate(record.at, record.clock, skew_ms, message.received_ms)
    check_estimates(record, shift, message.received_ms)
    return Accepted(message, device, record, shift)


def _judge_state(message: Message, device: DeviceEntry) -> StateReport:
    state = decode_state(message.payload)
    _check_speaker(state.device, device)
    return StateReport(message, device, state)


def _check_speaker(named: str | None, device: DeviceEntry) -> None:
    if named is not None and named != device.device_id:
        raise PayloadError(Reason.IDENTITY_MISMATCH, f"the payload names {named[:80]!r}")


def _refuse_payload(
    message: Message, topic: Topic, device: DeviceEntry, exc: PayloadError
) -> Refused:
    identity = None
    if topic.direction == "up" and topic.channel in RECORD_CHANNELS:
        identity = salvage_identity(message.payload, message.content_type)
    return Refused(message, exc.reason, exc.detail, topic.tenant, topic.device, device, identity)
