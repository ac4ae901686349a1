"""Signs of abnormal use: devices whose counters went far from those of their model. Pure.

Used devices are lent again, so each is judged by its last loan alone: how far its counters went
while that lasted, or in all its life where no loan is known. A sign is no proof and no accusation.
It says that a device is used otherwise than its peers, and a person decides what that means.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from math import inf
from statistics import quantiles
from typing import Final, NamedTuple

from fleet.rates import Rate, rate

DRIVEN: Final = "drive_time_s"
COUNTED: Final = ("deep_discharge_count", "overcharge_count", "seat_actuation_count")
"""What wears a chair or its battery beyond what the way it drives does."""

PER_H: Final = 100.0
MIN_DRIVEN_H: Final = 50.0
MIN_PEERS: Final = 20
MIN_COUNT: Final = 5
FENCE: Final = 3.0
"""Outer fences: Tukey 1977, Exploratory Data Analysis; normal values pass one time in a million."""

LEAST_RATIO: Final = 2.0
"""However alike the peers are, less than twice their median is no sign. Ours."""


class Counter(NamedTuple):
    """How far one counter of one device went in a time; `from_at` None: in all its life."""

    device_id: str
    model_id: str
    centre_no: int | None
    area: str | None
    metric: str
    value: float
    individual_no: str | None = None
    from_at: datetime | None = None
    until_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sign:
    """One counter of one device, beyond the limit of its model.

    Attributes:
        from_at, until_at: the loan; without a start all its life, without an end until now.
        count, hours: how far the counter went, and how long the device was driven.
        median, limit: the usual and the most, for each 100 hours driven.
    """

    device_id: str
    individual_no: str | None
    model_id: str
    area: str | None
    metric: str
    from_at: datetime | None
    until_at: datetime | None
    count: float
    hours: float
    median: float
    limit: float
    peer_n: int

    @property
    def value(self) -> float:
        """For each 100 hours driven."""
        return PER_H * self.count / self.hours

    @property
    def rate(self) -> Rate:
        """The same with its 95 % interval: what chance alone does to such a count."""
        return rate(round(self.count), self.hours, PER_H)

    @property
    def times(self) -> float:
        """How many times the limit; without end where the peers have none at all."""
        return self.value / self.limit if self.limit else inf


@dataclass(frozen=True, slots=True)
class MonthOfUse:
    """One month of a sign's time, by its first day: how far the counter went in which hours."""

    month: date
    count: float
    hours: float

    @property
    def rate(self) -> Rate:
        """For each 100 hours driven, with its 95 % interval."""
        return rate(round(self.count), self.hours, PER_H)


def signs(counters: Iterable[Counter]) -> list[Sign]:
    """Every device beyond the limit of its model, the farthest first.

    This is the rule. Over a county the database follows it, `storage.figures.signs`, and a test
    holds the two together.
    """
    rates: defaultdict[tuple[str, str], list[tuple[float, Counter]]] = defaultdict(list)
    for hours, counter in _rates(list(counters)):
        rates[counter.model_id, counter.metric].append((hours, counter))
    found = [sign for peers in rates.values() for sign in _beyond(peers)]
    return sorted(found, key=lambda sign: (-sign.times, sign.device_id, sign.metric))


def _rates(counters: list[Counter]) -> Iterable[tuple[float, Counter]]:
    """Each count with the hours that its device was driven. One that fell says nothing."""
    driven: Mapping[str, float] = {
        counter.device_id: counter.value / 3600 for counter in counters if counter.metric == DRIVEN
    }
    for counter in counters:
        hours = driven.get(counter.device_id, 0.0)
        if counter.metric != DRIVEN and hours >= MIN_DRIVEN_H and counter.value >= 0:
            yield hours, counter


def _beyond(peers: list[tuple[float, Counter]]) -> Iterable[Sign]:
    if len(peers) < MIN_PEERS:
        return
    values = [PER_H * counter.value / hours for hours, counter in peers]
    lower, median, upper = quantiles(values, n=4, method="inclusive")
    limit = max(upper + FENCE * (upper - lower), LEAST_RATIO * median)
    for value, (hours, counter) in zip(values, peers, strict=True):
        if value > limit and counter.value >= MIN_COUNT:
            yield Sign(
                counter.device_id, counter.individual_no, counter.model_id, counter.area,
                counter.metric, counter.from_at, counter.until_at, counter.value, hours, median,
                limit, len(peers),
            )  # fmt: skip
