"""What a batch of judged messages does to the ledger and the tables. Pure.

This is where it is decided what is new: the ledger's ranges go in, rows to write come out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median_low
from typing import Final, NamedTuple

import msgspec

from fleet.intake import Accepted, Refused, StateReport, Verdict
from fleet.ranges import SeqSet
from fleet.wire.messages import Ack
from fleet.wire.reasons import Reason
from fleet.wire.records import Record, Skipped

MAX_GAPS: Final = 4096
"""Ranges that one ledger row may hold; a device that scatters its numbers more is refused."""

LedgerKey = tuple[int, str]


@dataclass(slots=True)
class LedgerEntry:
    """One (device, epoch). `received` is everything settled, the lost included."""

    received: SeqSet = field(default_factory=SeqSet)
    lost: SeqSet = field(default_factory=SeqSet)
    received_n: int = 0
    stored_n: int = 0
    duplicate_n: int = 0
    quarantined_n: int = 0

    @property
    def is_gapped(self) -> bool:
        return self.received.contiguous_hi() < self.received.highest()


@dataclass(slots=True)
class Plan:
    """What one transaction has to write."""

    stored: list[Accepted] = field(default_factory=list)
    quarantined: list[Refused] = field(default_factory=list)
    states: list[StateReport] = field(default_factory=list)
    ledger: dict[LedgerKey, LedgerEntry] = field(default_factory=dict)
    acks: dict[tuple[str, str], Ack] = field(default_factory=dict)
    received_n: int = 0
    duplicate_n: int = 0


class Delay(NamedTuple):
    """How long records were under way, in seconds; None where there are none.

    Attributes:
        receipt_s: since the first of them was received.
        age_s: since they were measured, by the best estimate of true time; the median.
    """

    receipt_s: float | None
    age_s: float | None


def delay_of(stored: Sequence[Accepted], now_ms: float) -> Delay:
    """How long the records of a batch had been under way at a time. Markers measure nothing."""
    if not stored:
        return Delay(None, None)
    received_ms = min(accepted.message.received_ms for accepted in stored)
    measured_ms = [
        accepted.record.at + accepted.shift.shift_ms
        for accepted in stored
        if isinstance(accepted.record, Record)
    ]
    age_s = _past_s(now_ms - median_low(measured_ms)) if measured_ms else None
    return Delay(_past_s(now_ms - received_ms), age_s)


def _past_s(time_ms: float) -> float:
    return max(0.0, time_ms) / 1000


def ledger_keys(verdicts: Iterable[Verdict]) -> set[LedgerKey]:
    """The ledger rows that a batch may change. A state's own epoch is among them."""
    keys: set[LedgerKey] = set()
    for verdict in verdicts:
        if isinstance(verdict, Accepted):
            keys.add((verdict.device.device_no, verdict.record.epoch))
        elif isinstance(verdict, StateReport):
            if verdict.state.epoch is not None and verdict.state.outbox is not None:
                keys.add((verdict.device.device_no, verdict.state.epoch))
        elif verdict.identity is not None and verdict.device is not None:
            keys.add((verdict.device.device_no, verdict.identity[0]))
    return keys


def plan_batch(verdicts: Iterable[Verdict], ledger: Mapping[LedgerKey, LedgerEntry]) -> Plan:
    """Sort a batch into new, duplicate and quarantined, in the order of arrival.

    Args:
        verdicts: one per message.
        ledger: entries for every key of `ledger_keys`, and every known epoch of a device that
            reports its state. They are changed in place: their counters start at nought and
            hold what this batch adds.
    """
    plan = Plan()
    speakers: dict[LedgerKey, tuple[str, str]] = {}
    epochs: defaultdict[int, list[str]] = defaultdict(list)
    for device_no, epoch in ledger:
        epochs[device_no].append(epoch)
    for verdict in verdicts:
        if isinstance(verdict, StateReport):
            plan.states.append(verdict)
            _close_lost(verdict, epochs[verdict.device.device_no], ledger, plan)
            _note_speaker(verdict, speakers)
            continue
        plan.received_n += 1
        if isinstance(verdict, Accepted):
            _take(verdict, ledger, plan)
            key = (verdict.device.device_no, verdict.record.epoch)
            speakers[key] = (verdict.device.tenant, verdict.device.device_id)
        else:
            _refuse(verdict, ledger, plan)
            _note_refused(verdict, speakers)
    for key, speaker in speakers.items():
        entry = ledger.get(key)
        if entry is not None:
            plan.acks[speaker] = Ack(key[1], entry.received.contiguous_hi())
    return plan


def _take(accepted: Accepted, ledger: Mapping[LedgerKey, LedgerEntry], plan: Plan) -> None:
    record = accepted.record
    key = (accepted.device.device_no, record.epoch)
    entry = ledger[key]
    plan.ledger[key] = entry
    entry.received_n += 1
    if not _is_new(entry, record.seq, is_skipped=isinstance(record, Skipped)):
        entry.duplicate_n += 1
        plan.duplicate_n += 1
        return
    entry.stored_n += 1
    plan.stored.append(accepted)


def _is_new(entry: LedgerEntry, seq: int, *, is_skipped: bool) -> bool:
    if entry.received.add(seq):
        if is_skipped:
            entry.lost.add(seq)
        return True
    # Written off as lost, and here it is after all: a queue on the way still held it.
    return not is_skipped and bool(entry.lost) and entry.lost.discard(seq)


def _refuse(refused: Refused, ledger: Mapping[LedgerKey, LedgerEntry], plan: Plan) -> None:
    if refused.identity is None or refused.device is None:
        plan.quarantined.append(refused)
        return
    key = (refused.device.device_no, refused.identity[0])
    entry = ledger[key]
    plan.ledger[key] = entry
    entry.received_n += 1
    if not _is_new(entry, refused.identity[1], is_skipped=False):
        entry.duplicate_n += 1
        plan.duplicate_n += 1
        return
    entry.quarantined_n += 1
    plan.quarantined.append(refused)


def _close_lost(
    report: StateReport,
    epochs: Iterable[str],
    ledger: Mapping[LedgerKey, LedgerEntry],
    plan: Plan,
) -> None:
    """Close what a device says it no longer has: below its oldest, and in epochs it gave up."""
    state, device_no = report.state, report.device.device_no
    if not state.online or state.epoch is None or state.outbox is None:
        return
    for epoch in epochs:
        entry = ledger[device_no, epoch]
        is_current = epoch == state.epoch
        limit = state.outbox.oldest_seq if is_current else entry.received.highest()
        missing = entry.received.missing_below(limit)
        for low, high in missing:
            entry.received.add_range(low, high)
            entry.lost.add_range(low, high)
        if missing:
            plan.ledger[device_no, epoch] = entry


def _note_speaker(report: StateReport, speakers: dict[LedgerKey, tuple[str, str]]) -> None:
    state = report.state
    if state.online and state.epoch is not None and state.outbox is not None:
        key = (report.device.device_no, state.epoch)
        speakers[key] = (report.device.tenant, report.device.device_id)


def _note_refused(refused: Refused, speakers: dict[LedgerKey, tuple[str, str]]) -> None:
    if refused.identity is not None and refused.device is not None:
        key = (refused.device.device_no, refused.identity[0])
        speakers[key] = (refused.device.tenant, refused.device.device_id)


def refuse_scattered(
    verdicts: list[Verdict], ledger: Mapping[LedgerKey, LedgerEntry]
) -> list[Verdict]:
    """Refuse records that would tear a ledger row into more than `MAX_GAPS` ranges.

    They are in no ledger and not acknowledged: a device that fills its gaps may send them again.
    """
    full = {key for key, entry in ledger.items() if len(entry.received) >= MAX_GAPS}
    if not full:
        return verdicts
    return [_refused_if_scattered(verdict, full, ledger) for verdict in verdicts]


def _refused_if_scattered(
    verdict: Verdict, full: set[LedgerKey], ledger: Mapping[LedgerKey, LedgerEntry]
) -> Verdict:
    if isinstance(verdict, StateReport) or verdict.device is None:
        return verdict
    if isinstance(verdict, Refused):
        identity = verdict.identity
    else:
        identity = (verdict.record.epoch, verdict.record.seq)
    if identity is None or (verdict.device.device_no, identity[0]) not in full:
        return verdict
    settled = ledger[verdict.device.device_no, identity[0]].received
    if any(seq in settled for seq in (identity[1] - 1, identity[1], identity[1] + 1)):
        return verdict
    if isinstance(verdict, Refused):
        return msgspec.structs.replace(verdict, identity=None)
    return refused_again(verdict, Reason.OUT_OF_RANGE, f"more than {MAX_GAPS} gaps are open")


def refused_again(
    accepted: Accepted, reason: Reason, detail: str, *, is_settled: bool = False
) -> Refused:
    """Turn an accepted record into a refusal; `is_settled` lets the ledger count it."""
    identity = (accepted.record.epoch, accepted.record.seq) if is_settled else None
    device = accepted.device
    return Refused(
        accepted.message, reason, detail, device.tenant, device.device_id, device, identity
    )
