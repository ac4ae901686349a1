"""Gaps in a ledger row: which are new, which have ended and how, which to ask for. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from fleet.ranges import SeqSet

MAX_ASKED_AT_ONCE: Final = 32
"""Ranges in one acknowledgement; the rest is asked for when these are closed."""


@dataclass(frozen=True, slots=True)
class OpenGap:
    """A gap as it is written down."""

    gap_no: int
    low: int
    high: int
    opened_at: datetime
    asked_at: datetime | None


@dataclass(slots=True)
class GapChanges:
    """What to write: gaps to open, and gaps to close with the word for how they ended."""

    opened: list[tuple[int, int, datetime]] = field(default_factory=list)
    closed: list[tuple[int, str]] = field(default_factory=list)
    kept: list[OpenGap] = field(default_factory=list)


def reconcile(
    received: SeqSet, lost: SeqSet, known: Iterable[OpenGap], now: datetime
) -> GapChanges:
    """Compare the ledger's gaps with the written ones.

    A gap that shrank is closed as `changed` and what is left of it opened with its age, so
    that a gap which is filled from one end is not young for ever.
    """
    current = set(received.gaps())
    changes = GapChanges()
    earlier = list(known)
    for gap in earlier:
        if (gap.low, gap.high) in current:
            changes.kept.append(gap)
        else:
            changes.closed.append((gap.gap_no, _ending(gap, received, lost)))
    written = {(gap.low, gap.high) for gap in changes.kept}
    for low, high in sorted(current - written):
        ages = [gap.opened_at for gap in earlier if gap.low <= high and low <= gap.high]
        changes.opened.append((low, high, min(ages, default=now)))
    return changes


def _ending(gap: OpenGap, received: SeqSet, lost: SeqSet) -> str:
    if received.missing_below(gap.high + 1) and any(
        low <= gap.high and gap.low <= high for low, high in received.gaps()
    ):
        return "changed"
    return (
        "lost_on_device"
        if any(low <= gap.high and gap.low <= high for low, high in lost)
        else "received"
    )


def to_ask(gaps: Iterable[OpenGap], now: datetime, age: timedelta) -> list[OpenGap]:
    """The gaps that have stood long enough, and were not asked for within the same time."""
    ripe = [
        gap
        for gap in gaps
        if now - gap.opened_at >= age and (gap.asked_at is None or now - gap.asked_at >= age)
    ]
    return sorted(ripe, key=lambda gap: gap.low)[:MAX_ASKED_AT_ONCE]
