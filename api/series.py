"""Which resolution a range deserves, and how to fit it into a number of points. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final, Literal, NamedTuple

from fleet.rules.facts import day_of, day_starts_at
from storage.reading import HourRow, SampleRow, Span

Resolution = Literal["auto", "raw", "hour", "day"]
Known = Literal["raw", "hour", "day"]

POINT_BUDGET: Final = 2_000
LEAST_BUDGET: Final = 10
MAX_RAW_ROWS: Final = 60_000
MAX_HOURS: Final = 5 * 366 * 24
RAW_AT_MOST: Final = timedelta(hours=48)
"""`auto` shows samples up to here: 2,880 of a device that reports every minute."""
HOURS_AT_MOST: Final = timedelta(days=83)
"""`auto` shows hours up to here, days beyond: what the greatest number of points holds."""
HOUR: Final = timedelta(hours=1)


class Point(NamedTuple):
    """One sample, or the samples of a stretch of time with their least and greatest value."""

    at: datetime
    value: float
    low: float
    high: float
    sample_n: int = 1


@dataclass(frozen=True, slots=True)
class Series:
    """`points` made of `row_n` rows; `step` is the length of a stretch, None for samples.

    A step of whole days is nominal: local days have 23 or 25 hours when the clocks change.
    """

    points: list[Point]
    step: timedelta | None
    row_n: int


def chosen(wanted: Resolution, span: Span) -> Known:
    """The resolution to use for `span`."""
    if wanted != "auto":
        return wanted
    length = span.high - span.low
    return "raw" if length <= RAW_AT_MOST else "hour" if length <= HOURS_AT_MOST else "day"


def thinned(rows: Sequence[SampleRow], span: Span, budget: int) -> Series:
    """At most `budget` samples: of each stretch the first, least, greatest and last.

    Nothing is averaged, so every point is a real sample and no peak is lost.
    """
    if len(rows) <= budget:
        return Series([_sample(row) for row in rows], None, len(rows))
    count = max(1, budget // 4)
    width = (span.high - span.low) / count
    stretches = groupby(rows, key=lambda row: min((row.at - span.low) // width, count - 1))
    points = [_sample(row) for _, stretch in stretches for row in _extremes(list(stretch))]
    return Series(points, None, len(rows))


def _extremes(rows: list[SampleRow]) -> Iterator[SampleRow]:
    indexes = range(len(rows))
    least = min(indexes, key=lambda index: rows[index].value)
    greatest = max(indexes, key=lambda index: rows[index].value)
    for index in sorted({0, least, greatest, len(rows) - 1}):
        yield rows[index]


def _sample(row: SampleRow) -> Point:
    return Point(row.at, row.value, row.value, row.value)


def hourly(rows: Sequence[HourRow], span: Span, budget: int) -> Series:
    """At most `budget` stretches of whole hours with mean, least and greatest, and their length."""
    step = HOUR * _hours_a_stretch(span, budget)
    stretches = groupby(rows, key=lambda row: (row.at - _EPOCH) // step)
    points = [_joined(_EPOCH + step * number, list(part)) for number, part in stretches]
    return Series(points, step, len(rows))


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _hours_a_stretch(span: Span, budget: int) -> int:
    """The least number of hours with which stretches, counted from the epoch, fit the budget."""
    low, high = (int((at - _EPOCH) / HOUR) for at in (span.low, span.high))
    step = max(1, -(-(high - low + 1) // budget))
    while high // step - low // step + 1 > budget:
        step += 1
    return step


def whole_days(span: Span) -> Span:
    """`span` widened to whole local days."""
    last = day_of(span.high - timedelta(microseconds=1))
    return Span(_utc(day_starts_at(day_of(span.low))), _utc(day_starts_at(last + 1)))


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


def daily(rows: Sequence[HourRow], span: Span, budget: int) -> Series:
    """At most `budget` stretches of whole local days, with mean, least and greatest.

    A local day has 23 hours when summer time begins, and 25 when it ends. `span` is of whole
    local days; see `whole_days`.
    """
    first = day_of(span.low)
    day_n = day_of(span.high - timedelta(microseconds=1)) - first + 1
    step = max(1, -(-day_n // budget))
    stretches = groupby(rows, key=lambda row: (day_of(row.at) - first) // step)
    points = [
        _joined(_utc(day_starts_at(first + number * step)), list(part))
        for number, part in stretches
    ]
    return Series(points, timedelta(days=step), len(rows))


def _joined(at: datetime, hours: list[HourRow]) -> Point:
    count = sum(hour.sample_n for hour in hours)
    return Point(
        at,
        sum(hour.sum for hour in hours) / count,
        min(hour.min for hour in hours),
        max(hour.max for hour in hours),
        count,
    )
