"""What a replay moves: a refused message leaves quarantine and is counted where it belongs. Pure.

A replay receives nothing. The message was counted as received and as quarantined when it came;
now it is counted as stored or duplicate instead, so that received = stored + duplicate +
quarantined stays true for each device, for each way in and in total.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fleet.batch import LedgerEntry
from fleet.intake import Accepted
from fleet.wire.records import Skipped

WAY_IN: Final = "replay"
"""The source under which the loss equation shows what replays moved."""


class Became(StrEnum):
    """What became of a replayed message."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


class ReplayRefusedError(ValueError):
    """A message cannot be replayed; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """How often a message was refused, and the (epoch, seq) that the ledger settled by it."""

    message_n: int
    settled: tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class Moved:
    """By how much the counts change. `quarantined_n` is negative: it leaves quarantine."""

    stored_n: int
    duplicate_n: int
    quarantined_n: int

    @property
    def became(self) -> Became:
        return Became.STORED if self.stored_n else Became.DUPLICATE


def move(accepted: Accepted, entry: LedgerEntry, refusal: Refusal) -> Moved:
    """Take a message out of quarantine; `entry`, its ledger row, is changed in place.

    The first of its receipts is stored if its number is free, or was settled by this very
    message; every other receipt was a duplicate.

    Raises:
        ReplayRefusedError: the number that was settled by it is not the one it carries.
    """
    identity = (accepted.record.epoch, accepted.record.seq)
    if refusal.settled not in {None, identity}:
        raise ReplayRefusedError(
            f"the ledger settled {refusal.settled} by it, and it reads as {identity} today."
            " Report it: the two must be the same."
        )
    was_counted = refusal.settled is not None and identity[1] in entry.received
    if was_counted:
        _note_lost(accepted, entry)
    is_new = was_counted or _take(accepted, entry)
    entry.received_n += refusal.message_n - was_counted
    entry.quarantined_n -= was_counted
    entry.stored_n += is_new
    entry.duplicate_n += refusal.message_n - is_new
    return Moved(int(is_new), refusal.message_n - is_new, -refusal.message_n)


def _take(accepted: Accepted, entry: LedgerEntry) -> bool:
    """True if the number is free, or was written off as lost and is here after all."""
    if entry.received.add(accepted.record.seq):
        _note_lost(accepted, entry)
        return True
    return not isinstance(accepted.record, Skipped) and entry.lost.discard(accepted.record.seq)


def _note_lost(accepted: Accepted, entry: LedgerEntry) -> None:
    """A marker says that its record will never come."""
    if isinstance(accepted.record, Skipped):
        entry.lost.add(accepted.record.seq)
