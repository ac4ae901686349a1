"""Which resolution a range deserves, and how to fit it into a number of points. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final, Literal

from storage.reading import HourRow, SampleRow, Span

Resolution = Literal["auto", "raw", "hour"]
Known = Literal["raw", "hour"]

POINT_BUDGET: Final = 2_000
MAX_RAW_ROWS: Final = 60_000
MAX_HOURS: Final = 5 * 366 * 24
RAW_AT_MOST: Final = timedelta(hours=48)
"""`auto` shows samples up to here: 2,880 of a device that reports every minute."""
HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Point:
    """One sample, or the samples of a stretch of time with their least and greatest value."""

    at: datetime
    value: float
    low: float
    high: float
    sample_n: int = 1


@dataclass(frozen=True, slots=True)
class Series:
    """`points` made of `row_n` rows; `step` is the length of a stretch, None for samples."""

    points: list[Point]
    step: timedelta | None
    row_n: int


def chosen(wanted: Resolution, span: Span) -> Known:
    """The resolution to use for `span`."""
    if wanted != "auto":
        return wanted
    return "raw" if span.high - span.low <= RAW_AT_MOST else "hour"


def thinned(rows: Sequence[SampleRow], span: Span, budget: int) -> Series:
    """At most `budget` samples: of each stretch the first, least, greatest and last.

    Nothing is averaged, so every point is a real sample and no peak is lost.
    """
    if len(rows) <= budget:
        return Series([_sample(row) for row in rows], None, len(rows))
    width = (span.high - span.low) / max(1, budget // 4)
    stretches = groupby(rows, key=lambda row: (row.at - span.low) // width)
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
    hours = (span.high - span.low) / HOUR
    step = HOUR * max(1, -(-int(hours + 1) // budget))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    stretches = groupby(rows, key=lambda row: (row.at - epoch) // step)
    points = [_joined(epoch + step * number, list(part)) for number, part in stretches]
    return Series(points, step, len(rows))


def _joined(at: datetime, hours: list[HourRow]) -> Point:
    count = sum(hour.sample_n for hour in hours)
    return Point(
        at,
        sum(hour.sum for hour in hours) / count,
        min(hour.min for hour in hours),
        max(hour.max for hour in hours),
        count,
    )
