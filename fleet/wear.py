"""Signs of abnormal use: devices whose counters stand far from those of their model. Pure.

A sign is no proof and no accusation. It says that a device is used otherwise than its peers, and a
person decides what that means.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from statistics import quantiles
from typing import Final, NamedTuple

DRIVEN: Final = "drive_time_s"
COUNTED: Final = ("deep_discharge_count", "overcharge_count", "seat_actuation_count")
"""What wears a chair or its battery beyond what the way it drives does."""

MIN_DRIVEN_H: Final = 50.0
MIN_PEERS: Final = 20
MIN_COUNT: Final = 5
FENCE: Final = 3.0
"""Outer fences: Tukey 1977, Exploratory Data Analysis; normal values pass one time in a million."""

LEAST_RATIO: Final = 2.0
"""However alike the peers are, less than twice their median is no sign. Ours."""


class Counter(NamedTuple):
    """The newest value of one counter of one device."""

    device_id: str
    model_id: str
    centre_no: int | None
    area: str | None
    metric: str
    value: float


@dataclass(frozen=True, slots=True)
class Sign:
    """One counter of one device, for each 100 hours driven, beyond the limit of its model."""

    device_id: str
    model_id: str
    area: str | None
    metric: str
    value: float
    median: float
    limit: float
    peer_n: int

    @property
    def times(self) -> float:
        """How many times the limit; without end where the peers have none at all."""
        return self.value / self.limit if self.limit else inf


def signs(counters: Iterable[Counter]) -> list[Sign]:
    """Every device beyond the limit of its model, the farthest first.

    This is the rule. Over a county the database follows it, `storage.figures.signs`, and a test
    holds the two together.
    """
    rates: defaultdict[tuple[str, str], list[tuple[float, Counter]]] = defaultdict(list)
    for value, counter in _rates(list(counters)):
        rates[counter.model_id, counter.metric].append((value, counter))
    found = [sign for peers in rates.values() for sign in _beyond(peers)]
    return sorted(found, key=lambda sign: (-sign.times, sign.device_id, sign.metric))


def _rates(counters: list[Counter]) -> Iterable[tuple[float, Counter]]:
    """Each count for each 100 hours that its device has driven."""
    driven: Mapping[str, float] = {
        counter.device_id: counter.value / 3600 for counter in counters if counter.metric == DRIVEN
    }
    for counter in counters:
        hours = driven.get(counter.device_id, 0.0)
        if counter.metric != DRIVEN and hours >= MIN_DRIVEN_H:
            yield 100 * counter.value / hours, counter


def _beyond(peers: list[tuple[float, Counter]]) -> Iterable[Sign]:
    if len(peers) < MIN_PEERS:
        return
    lower, median, upper = quantiles([value for value, _ in peers], n=4, method="inclusive")
    limit = max(upper + FENCE * (upper - lower), LEAST_RATIO * median)
    for value, counter in peers:
        if value > limit and counter.value >= MIN_COUNT:
            yield Sign(
                counter.device_id, counter.model_id, counter.area, counter.metric, value, median,
                limit, len(peers),
            )  # fmt: skip
