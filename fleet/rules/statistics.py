"""Estimates with intervals, tests against chance, and how such numbers are said. Pure.

Small samples, few and well-known methods, each with its source; what a kind does with them is
its own matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleet.metrics import gap_before, load_metrics
from fleet.rules.findings import Both

Floats = NDArray[np.float64]

_SIGMA_OF_MAD: Final = 1.4826
"""A normal spread's standard deviation is this many median absolute deviations."""

_MEDIAN_COST: Final = 1.2533
"""sqrt(pi/2): how much less sure a median is than a mean."""

_MOST_MEMORY: Final = 0.8
"""Above this, days repeat each other so much that no line through them can be trusted."""


BEYOND_DOUBT: Final = 3.0
"""Standard deviations before a line may speak. It is asked every day of every device, so that
what happens by chance once in twenty happens every week. Ours; to be tuned on recorded fleets."""


class Interval(NamedTuple):
    low: float
    high: float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


class Line(NamedTuple):
    """A robust line: `middle` is its value at `middle_x`.

    Attributes:
        slope_sd, middle_sd: the standard deviations of both estimates.
        z: how many of them the interval that was asked for is wide, to each side.
    """

    slope: float
    slope_sd: float
    middle_x: float
    middle: float
    middle_sd: float
    z: float
    point_n: int

    def at(self, x: float) -> float:
        return self.middle + self.slope * (x - self.middle_x)

    def sd_at(self, x: float) -> float:
        """The standard deviation of the line's height at `x`."""
        return math.hypot(self.middle_sd, self.slope_sd * (x - self.middle_x))

    def heights(self, x: float) -> Interval:
        half = self.z * self.sd_at(x)
        return Interval(self.at(x) - half, self.at(x) + half)

    @property
    def slopes(self) -> Interval:
        half = self.z * self.slope_sd
        return Interval(self.slope - half, self.slope + half)

    @property
    def is_rising(self) -> bool:
        """True if it rises beyond doubt."""
        return self.slope > self._doubt * self.slope_sd

    def is_above(self, limit: float, x: float) -> bool:
        """True if it is above the limit at `x` beyond doubt."""
        return self.at(x) - limit > self._doubt * self.sd_at(x)

    def is_below(self, limit: float, x: float) -> bool:
        """True if it is below the limit at `x` beyond doubt."""
        return limit - self.at(x) > self._doubt * self.sd_at(x)

    @property
    def _doubt(self) -> float:
        """As wide as Student's t is at this level: a few points do not know their own spread."""
        return BEYOND_DOUBT * (1 + 3.5 / self.point_n)


class Crossing(NamedTuple):
    """When a line reaches a limit from below, in whole x from now; infinite: not within reach."""

    best: float
    earliest: float
    latest: float


@lru_cache(maxsize=512)
def _pairs(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    first, second = np.triu_indices(n, k=1)
    return first, second


@lru_cache(maxsize=64)
def two_sided(confidence: float) -> float:
    """How many standard deviations hold this share of a normal spread."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def halves_slope(x: Floats, y: Floats) -> float:
    """Theil's incomplete method: the median slope of each point with the one half a window on.

    A twentieth of the work of the full method; good enough to see that nothing moves.
    """
    half = len(x) // 2
    return median((y[half:] - y[: len(y) - half]) / (x[half:] - x[: len(x) - half]))


def median(values: Floats) -> float:
    """The upper median; a fifth of the cost of numpy's, which looks for NaN and axes first."""
    half = len(values) // 2
    return float(np.partition(values, half)[half])


def theil_sen(x: Floats, y: Floats, confidence: float) -> Line:
    """The median of the slopes of all pairs, with Sen's rank interval.

    The intervals are widened where neighbouring days resemble each other: a week of the same
    weather is not seven witnesses. Points are ordered by `x`, without ties in it, at least 3.

    Source: Theil 1950; Sen 1968, J. Am. Stat. Assoc. 63, 1379-1389 (interval from the variance
    of Kendall's S); height: median of the residuals with its MAD, Rousseeuw and Croux 1993.
    """
    n = len(x)
    first, second = _pairs(n)
    slopes = y.take(second) - y.take(first)
    slopes /= x.take(second) - x.take(first)
    z = two_sided(confidence)
    low, mid, high = _ranks(n, len(slopes), z)
    slopes.partition((low, mid, high))
    slope = float(slopes[mid])
    middle_x = float(x[n // 2])
    residuals = y - slope * (x - middle_x)
    middle = median(residuals)
    residuals -= middle
    wider = memory_factor(residuals)
    slope_sd = wider * float(slopes[high] - slopes[low]) / (2 * z)
    return Line(slope, slope_sd, middle_x, middle, wider * _median_sd(residuals), z, n)


def _median_sd(residuals: Floats) -> float:
    """The standard deviation of a median, from the values less it."""
    spread = _SIGMA_OF_MAD * median(np.abs(residuals))
    return _MEDIAN_COST * spread / math.sqrt(len(residuals))


RECENT_N: Final = 10
"""How many of the last days are asked alone. Ours, without a source."""


def is_lately_above(values: Floats, limit: float) -> bool:
    """True if at least 9 of the last 10 values are above the limit: a step, seen within days.

    Were the limit the usual value, this would happen by chance once in 93 (sign test).
    """
    recent = values[-RECENT_N:]
    return len(recent) == RECENT_N and int((recent > limit).sum()) >= RECENT_N - 1


LASTING_D: Final = 14
"""How long something must have been so that no cold and no fortnight away explains it. Most colds
are over in 7 to 10 days (Heikkinen and Järvinen 2003, Lancet 361, 51-59)."""

LASTING_N: Final = 5
"""Five of five above a limit that is the usual value happen by chance once in 32."""


def is_lasting_above(x: Floats, values: Floats, limit: float) -> bool:
    """True if nine of ten values of the last fortnight are above the limit, however few.

    Those who use their device seldom are looked at over a longer time, until there are five.
    """
    within = len(x) - int(np.searchsorted(x, x[-1] - LASTING_D + 1))
    recent_n = max(within, LASTING_N)
    if recent_n > len(x) or x[-1] - x[-recent_n] < LASTING_D - 3:
        return False
    return int((values[-recent_n:] > limit).sum()) >= math.ceil(0.9 * recent_n)


def centre(values: Floats) -> tuple[float, float]:
    """The median and its standard deviation."""
    middle = median(values)
    return middle, _median_sd(values - middle)


def _ranks(n: int, slope_n: int, z: float) -> tuple[int, int, int]:
    """Which of the ordered slopes are the lower end, the median and the upper end."""
    reach = z * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(0, math.floor((slope_n - reach) / 2))
    return low, slope_n // 2, min(slope_n - 1, math.ceil((slope_n + reach) / 2))


def memory_factor(residuals: Floats) -> float:
    """How much wider an interval is when each day remembers the last, as in a process AR(1).

    The memory is read from signs alone, so that one wild day cannot hide it (the arcsine law).
    """
    signs = np.sign(residuals)
    agreement = float(np.dot(signs[1:], signs[:-1])) / (len(signs) - 1)
    memory = math.sin(math.pi / 2 * agreement)
    memory = min(max(memory, 0.0), _MOST_MEMORY)
    return math.sqrt((1 + memory) / (1 - memory))


def crossing(line: Line, limit: float, now: float, reach: int = 400) -> Crossing:
    """When `line`, going up, is at `limit` or above it: best, earliest, latest, from `now` on.

    The ends are where the edges of the band around the line are at the limit.
    """
    u = _steps(reach) + (now - line.middle_x)
    height = line.slope * u + (line.middle - limit)
    band = line.z * np.sqrt(line.middle_sd**2 + (line.slope_sd * u) ** 2)
    return Crossing(_first(height), _first(height + band), _first(height - band))


@lru_cache(maxsize=8)
def _steps(reach: int) -> Floats:
    return np.arange(reach + 1, dtype=np.float64)


def _first(height: Floats) -> float:
    reached = height >= 0
    found = int(reached.argmax())
    return float(found) if reached[found] else math.inf


def rises(values: Floats) -> Floats:
    """By how much a counter rose from each value to the next; a reset rises by nothing."""
    return np.maximum(np.diff(values), 0.0)


def wilson(hit_n: int, n: int, confidence: float = 0.95) -> Interval:
    """The interval of a share. Source: Wilson 1927, J. Am. Stat. Assoc. 22, 209-212."""
    if n == 0:
        return Interval(0.0, 1.0)
    z2 = two_sided(confidence) ** 2
    share = hit_n / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


@lru_cache(maxsize=32)
def _log_factorials(power: int) -> Floats:
    steps = np.log(np.arange(1, 2**power, dtype=np.float64))
    return np.concatenate(([0.0], np.cumsum(steps)))


def _log_choose(n: int, k: NDArray[np.int64]) -> Floats:
    logs = _log_factorials(max(10, (n + 1).bit_length()))
    chosen: Floats = logs[n] - logs[k] - logs[n - k]
    return chosen


def hypergeometric_tail(hit_n: int, group_n: int, all_hit_n: int, all_n: int) -> float:
    """The chance that a group drawn blindly holds at least `hit_n` of the `all_hit_n`.

    One-sided exact test of Fisher (1935), by logarithms of factorials.
    """
    least = max(hit_n, group_n + all_hit_n - all_n, 0)
    hits = np.arange(least, min(group_n, all_hit_n) + 1, dtype=np.int64)
    if len(hits) == 0:
        return 0.0
    logs = _log_choose(all_hit_n, hits) + _log_choose(all_n - all_hit_n, group_n - hits)
    total = np.exp(logs - _log_choose(all_n, np.array([group_n]))).sum()
    return min(1.0, float(total))


def binomial_tail(hit_n: int, n: int, share: float) -> float:
    """The chance of at least `hit_n` of `n` when each is hit with probability `share`."""
    if hit_n <= 0 or share >= 1:
        return 1.0
    if share <= 0 or hit_n > n:
        return 0.0
    hits = np.arange(hit_n, n + 1, dtype=np.int64)
    logs = _log_choose(n, hits) + hits * math.log(share) + (n - hits) * math.log1p(-share)
    return min(1.0, float(np.exp(logs).sum()))


def holm(p_values: Sequence[float], comparison_n: int) -> list[float]:
    """P-values adjusted for `comparison_n` comparisons, those left out having failed.

    Source: Holm 1979, Scand. J. Statist. 6, 65-70.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, p_values[index] * (comparison_n - rank))
        adjusted[index] = min(1.0, highest)
    return adjusted


_MONTHS_SV: Final = (
    *("januari", "februari", "mars", "april", "maj", "juni"),
    *("juli", "augusti", "september", "oktober", "november", "december"),
)
_MONTHS_EN: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
HARD_SPACE: Final = "\u00a0"


def number(value: float, decimals: int = 0) -> Both:
    """`1 234,5` and `1,234.5`; a true minus sign in both."""
    text = f"{value:,.{decimals}f}"
    text = text.removeprefix("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")
    return Both(text.translate({44: HARD_SPACE, 46: ","}), text)


def quantity(metric_name: str, value: float, per_sv: str = "", per_en: str = "") -> Both:
    """A stored value of a metric as a reader meets it: `24,6 V`."""
    metric = load_metrics().get(metric_name)
    assert metric is not None
    shown = number(value * metric.display_factor, metric.decimals + bool(per_sv))
    unit = metric.display_unit
    sv, en = (gap_before(unit, lang) + unit if unit else "" for lang in ("sv", "en"))
    return Both(f"{shown.sv}{sv}{per_sv}", f"{shown.en}{en}{per_en}")


def months(first: date, last: date, today: date) -> Both:
    """A stretch of dates in months: `mars–april`, with years where they are not this one."""
    if (first.year, first.month) == (last.year, last.month):
        return Both(_month(first, today, _MONTHS_SV), _month(first, today, _MONTHS_EN))
    if first.year == last.year != today.year:
        return Both(
            f"{_MONTHS_SV[first.month - 1]}–{_month(last, today, _MONTHS_SV)}",
            f"{_MONTHS_EN[first.month - 1]}–{_month(last, today, _MONTHS_EN)}",
        )
    spaced = " – " if first.year != today.year or last.year != today.year else "–"
    return Both(
        f"{_month(first, today, _MONTHS_SV)}{spaced}{_month(last, today, _MONTHS_SV)}",
        f"{_month(first, today, _MONTHS_EN)}{spaced}{_month(last, today, _MONTHS_EN)}",
    )


def _month(day: date, today: date, names: Sequence[str]) -> str:
    year = f" {day.year}" if day.year != today.year else ""
    return names[day.month - 1] + year


def duration(span: timedelta) -> Both:
    """A time in its largest fitting unit: `4 dygn`, `12 timmar`, `45 minuter`."""
    hours = span / timedelta(hours=1)
    if hours >= 47.5:
        return counted(round(hours / 24), "dygn", "dygn", "day")
    if hours >= 1.5:
        return counted(round(hours), "timme", "timmar", "hour")
    return counted(round(hours * 60), "minut", "minuter", "minute")


def counted(n: int, one_sv: str, many_sv: str, one_en: str) -> Both:
    """`1 timme`, `3 timmar`."""
    sv, en = number(n)
    return Both(
        f"{sv}{HARD_SPACE}{one_sv if n == 1 else many_sv}",
        f"{en} {one_en if n == 1 else one_en + 's'}",
    )
