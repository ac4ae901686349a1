"""Storms: one cause, many devices. One incident speaks for them. Pure.

A firmware update, a carrier or a bus that fails shows as the same code on many devices at once.
One incident is worked on; the devices are listed in it, those whose users cannot do without
them first, and are looked at one by one again when it ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from fleet.rules.facts import DeviceProfile
from fleet.rules.findings import Finding

STORM_DEVICES: Final = 20
"""As many devices of one tenant with the same code as make a storm. Ours, without a source: a
county of 100,000 devices sees one code on some few devices an hour by chance."""

STORM_WITHIN: Final = timedelta(hours=1)
"""How far apart two devices of one storm begin, at the most."""


@dataclass(frozen=True, slots=True)
class StormKey:
    """What the devices of a storm have in common."""

    tenant_no: int
    about: str

    @property
    def subject(self) -> str:
        return f"storm:{self.about}"


def may_storm(finding: Finding) -> bool:
    """True for reported faults: what follows from values has its own grouping."""
    return bool(finding.episodes) and finding.about == finding.episodes[0].about


@dataclass(frozen=True, slots=True)
class Member:
    """One device of a storm. `needs`: what its user cannot do without it."""

    device: DeviceProfile
    finding: Finding
    needs: frozenset[str]


def most_common(words: Sequence[str | None]) -> tuple[str, float] | None:
    """The word most have in common, and the share that has it; None if nobody has one."""
    counts = Counter(word for word in words if word)
    if not counts:
        return None
    word, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
    return word, count / len(words)


def span_of(members: Sequence[Member]) -> tuple[datetime, datetime]:
    """When the first and the last device began."""
    starts = [member.finding.started_at for member in members]
    return min(starts), max(starts)
