"""What a person decides about their data, and how that is reckoned. Pure.

Times are half-open. Days are local days in Sweden, as the rules count them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import numpy as np

from fleet.metrics import Metric, Purpose, load_metrics
from fleet.rules.facts import DaySeries, Sample, day_of
from fleet.words import DeviceClass

PERSON_LINK_DAYS: Final = 30
"""How long after a loan who had it is kept, unless a setting says otherwise."""

OVERRIDE_FOR: Final = timedelta(hours=2)
"""How long an emergency opens what a person blocked; the database allows no more."""

OVERRIDE_WHY_MIN: Final = 10
WHY_MAX: Final = 500

Times = Sequence[tuple[datetime, datetime | None]]
"""Half-open stretches of time; None: it lasts."""


class Kept(StrEnum):
    """Why something about a person stays when they ask for it to be erased."""

    LOAN_RUNS = "loan_runs"
    HELD = "held"
    RECORD_OF_CARE = "record_of_care"
    ENGINEERING = "engineering"
    ACCESS_LOG = "access_log"


def sent(device_class: DeviceClass) -> Mapping[Purpose, list[Metric]]:
    """What a device of a class may send, by why it does; purposes without metrics are left out."""
    found: dict[Purpose, list[Metric]] = {purpose: [] for purpose in Purpose}
    for metric in load_metrics().of(device_class):
        found[metric.purpose].append(metric)
    return {purpose: metrics for purpose, metrics in found.items() if metrics}


def is_always_shared(metric: str) -> bool:
    """True for what safety needs. A metric outside the catalogue is not known to be for safety."""
    known = load_metrics().get(metric)
    return known is not None and known.purpose is Purpose.SAFETY


@dataclass(frozen=True, slots=True)
class Unshared:
    """The days on which a device's loan did not share, as ordinals; `last_day` None: it lasts."""

    spans: Sequence[tuple[int, int | None]]

    @classmethod
    def during(cls, times: Times) -> Unshared:
        """Every local day that a stretch touches: a day known in part would be misjudged."""
        return cls(
            [
                (day_of(start), None if end is None else _last_day(start, end))
                for start, end in times
            ]
        )

    def covers(self, day: int) -> bool:
        return any(first <= day and (last is None or day <= last) for first, last in self.spans)


def _last_day(start: datetime, end: datetime) -> int:
    """The last day that a stretch touches; one that ends at midnight does not touch the next."""
    return max(day_of(start), day_of(end - timedelta(microseconds=1)))


def shared_days(series: DaySeries, unshared: Unshared) -> DaySeries:
    """A metric's days without those that were not shared."""
    kept = np.array([not unshared.covers(int(day)) for day in series.day], dtype=bool)
    return DaySeries(
        series.day[kept],
        series.sample_n[kept],
        series.low[kept],
        series.high[kept],
        series.total[kept],
        series.last[kept],
    )


def shared_samples(samples: Sequence[Sample], unshared: Unshared) -> list[Sample]:
    """Single values without those of days that were not shared."""
    return [sample for sample in samples if not unshared.covers(day_of(sample.at))]


def spot_check(low: int, high: int, wanted_n: int, seed: int) -> list[int]:
    """Numbers of log entries to look at, drawn evenly from `low` to `high`, in order.

    The same seed draws the same numbers, so that a check can be shown again.
    """
    count = max(0, high - low + 1)
    drawn = random.Random(seed).sample(range(count), min(wanted_n, count))  # noqa: S311 - no secret
    return sorted(low + number for number in drawn)


def chunks(
    start: datetime, end: datetime, length: timedelta
) -> Iterable[tuple[datetime, datetime]]:
    """A stretch of time in pieces no longer than `length`, in order."""
    while start < end:
        following = min(start + length, end)
        yield start, following
        start = following
