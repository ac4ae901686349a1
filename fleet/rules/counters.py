"""Use by local day, from a counter that only goes up, until somebody changes the part. Pure.

What cannot be known is not counted: a reading that fell, or rose more than a day has room for,
means another module with another history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet.metrics import load_metrics
from fleet.rules.facts import DaySeries

Days = NDArray[np.int64]
Floats = NDArray[np.float64]

_RESTART_BELOW: Final = 0.5
"""A counter that fell to less than this share began again from zero; above it is another
module's count, or samples out of order. Ours, without a source."""

_SWAP_BELOW: Final = 0.99
"""A smaller fall than this is samples out of order, not worth a word. Ours."""

_SECONDS_A_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Steps:
    """What a counter did from one day with a reading to the next; arrays of equal length.

    Attributes:
        day: the later day. before: the earlier one. rise: what is certain of the difference.
        is_swap: the two readings are not of one count.
    """

    day: Days
    before: Days
    rise: Floats
    is_swap: NDArray[np.bool_]


def steps_of(series: DaySeries, metric_name: str, *, from_zero: bool) -> Steps:
    """The steps of a counter.

    Args:
        from_zero: what a counter shows after it began again is counted as new.
    """
    if len(series) < 2:
        none = np.empty(0)
        return Steps(none.astype(np.int64), none.astype(np.int64), none, none.astype(np.bool_))
    before, last = series.last[:-1], series.last[1:]
    peak = np.maximum(before, series.high[1:])
    fell = last < peak
    restarted = np.where(from_zero & (last < _RESTART_BELOW * peak), last, 0.0)
    rise = np.where(fell, peak - before + restarted, last - before)
    leapt = rise > _most(metric_name) * np.diff(series.day)
    return Steps(
        series.day[1:],
        series.day[:-1],
        np.where(leapt, 0.0, rise),
        leapt | (last < _SWAP_BELOW * peak),
    )


def _most(metric_name: str) -> float:
    """The most that a counter can rise in a day: a clock cannot count more than the time."""
    metric = load_metrics().get(metric_name)
    return _SECONDS_A_DAY if metric is not None and metric.ucum == "s" else np.inf


@dataclass(frozen=True, slots=True)
class Use:
    """The steps on a calendar from `first_day` on: every array has a place for each day.

    Attributes:
        total: the sum of all rises up to and with the day.
        reading_n, swap_n: the number of days with a reading, and of swaps, up to the day.
        astride, astride_until: the rise of the step that began before the day and ended after
            it, and the day on which it ended; what part of it came when, nobody knows.
    """

    first_day: int
    total: Floats
    reading_n: Floats
    swap_n: Floats
    astride: Floats
    astride_until: Days

    def between(self, after: Days, upto: Days) -> Floats:
        """What was certainly used after the end of one day until the end of another."""
        start, end = self._at(after), self._at(upto)
        unknown = np.where(self.astride_until[start] <= upto, self.astride[start], 0.0)
        used: Floats = self.total[end] - self.total[start] - unknown
        return np.maximum(used, 0.0)

    def has_reading(self, after: Days, upto: Days) -> NDArray[np.bool_]:
        """True where there is a reading later than one day and not later than another."""
        found: NDArray[np.bool_] = self.reading_n[self._at(upto)] > self.reading_n[self._at(after)]
        return found

    def swaps_between(self, after: int, upto: int) -> int:
        return int(self.swap_n_between(np.array([after]), np.array([upto]))[0])

    def swap_n_between(self, after: Days, upto: Days) -> Floats:
        swaps: Floats = self.swap_n[self._at(upto)] - self.swap_n[self._at(after)]
        return swaps

    def _at(self, day: Days) -> Days:
        return np.clip(day - self.first_day, 0, len(self.total) - 1)


def use_of(series: DaySeries, steps: Steps, first_day: int, last_day: int) -> Use:
    """Lay the steps out on the days from `first_day` to `last_day`."""
    astride, until = _astride(steps, first_day, last_day)
    return Use(
        first_day,
        _laid_out(steps.day, steps.rise, first_day, last_day),
        _laid_out(series.day, np.ones(len(series)), first_day, last_day),
        _laid_out(steps.day, steps.is_swap.astype(np.float64), first_day, last_day),
        astride,
        until,
    )


def _laid_out(days: Days, values: Floats, first_day: int, last_day: int) -> Floats:
    """The running sum of `values`, by day. What is earlier than the first day is left out."""
    inside = (days >= first_day) & (days <= last_day)
    found = np.zeros(last_day - first_day + 1)
    np.add.at(found, days[inside] - first_day, values[inside])
    return np.cumsum(found)


def _astride(steps: Steps, first_day: int, last_day: int) -> tuple[Floats, Days]:
    rises = np.zeros(last_day - first_day + 1)
    until = np.full(last_day - first_day + 1, np.iinfo(np.int64).max, dtype=np.int64)
    for index in np.flatnonzero(steps.day - steps.before > 1):
        inside = slice(
            max(0, int(steps.before[index]) + 1 - first_day),
            max(0, int(steps.day[index]) - first_day),
        )
        rises[inside] = steps.rise[index]
        until[inside] = steps.day[index]
    return rises, until
