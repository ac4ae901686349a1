"""True time in a season: the grid of hours, working days, and stretches out of reach."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from firmware_sim.devices.rhythm import DAY, HOUR, MINUTE, SECOND, at_hour, local_day, local_hour

Hours = NDArray[np.int64]
Grid = NDArray[np.float64]
Mask = NDArray[np.bool_]

_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_CACHED_HOURS: Final = 4096


def to_ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def to_at(at_ms: float) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(at_ms))


@dataclass(frozen=True, slots=True)
class Season:
    """The simulated time in true milliseconds; `until_ms` is not in it."""

    from_ms: int
    days: int

    @property
    def until_ms(self) -> int:
        return self.from_ms + self.days * DAY

    def holds(self, at_ms: float) -> bool:
        return self.from_ms <= at_ms < self.until_ms


@dataclass(frozen=True, slots=True)
class DayGrid:
    """Hours as (day, column). A row begins at the same local hour each day.

    Attributes:
        hour: UTC hour of each cell. local: its local hour of the day, 0 to 23.
        inside: False where a cell is outside the season, or, on the night on which clocks go
            forward, belongs to the next row.
        day: the number of the local day of each row, as `local_day` counts.
    """

    hour: Hours
    local: Grid
    inside: Mask
    day: Hours

    @property
    def shape(self) -> tuple[int, int]:
        return self.inside.shape[0], self.inside.shape[1]


@lru_cache(maxsize=16)
def day_grid(season: Season, first_hour: int) -> DayGrid:
    """The season in rows that begin at `first_hour`, so that no activity is cut in two.

    The night on which clocks go back has 25 hours; its last is asleep and left out.
    """
    days = np.arange(local_day(season.from_ms) - 1, local_day(season.until_ms) + 1)
    starts = np.array([at_hour(int(day), first_hour) // HOUR for day in (*days, days[-1] + 1)])
    hour = starts[:-1, None] + np.arange(24)[None, :]
    inside = hour < starts[1:, None]
    inside &= (hour >= season.from_ms // HOUR) & (hour < season.until_ms // HOUR)
    local = np.broadcast_to((first_hour + np.arange(24.0)) % 24, hour.shape)
    return DayGrid(hour.astype(np.int64), local, inside, days.astype(np.int64))


@lru_cache(maxsize=8)
def _local_days(first_hour: int) -> Hours:
    hours = range(first_hour, first_hour + _CACHED_HOURS)
    return np.array([local_day(hour * HOUR) + _EPOCH_ORDINAL for hour in hours], dtype=np.int64)


def local_days(hour: Hours) -> Hours:
    """The local day of each UTC hour, as `date.toordinal()` counts."""
    block = hour // _CACHED_HOURS
    day = np.empty(len(hour), dtype=np.int64)
    for number in np.unique(block):
        first = int(number) * _CACHED_HOURS
        day[block == number] = _local_days(first)[hour[block == number] - first]
    return day


def is_working_day(day: int) -> bool:
    """Monday to Friday. Public holidays are worked through here, which no score depends on."""
    return (day + 3) % 7 < 5  # day 0 was a Thursday


def after_working_days(at_ms: int, count: int, hour: float) -> int:
    """The local `hour` of the `count`-th working day after the day of `at_ms`."""
    day = local_day(at_ms)
    while count > 0:
        day += 1
        count -= is_working_day(day)
    return at_hour(day, hour)


class Gap(NamedTuple):
    """A stretch in which nothing comes through.

    `keeps`: the device goes on and sends it all when the gap is over; else it was off.
    """

    from_ms: int
    until_ms: int
    keeps: bool


@dataclass(frozen=True, slots=True)
class Reach:
    """When what a device reports gets through; None or negative: it never does."""

    gaps: tuple[Gap, ...]
    season: Season

    def received(self, at_ms: int, rng: np.random.Generator) -> int | None:
        """The receipt of a report at `at_ms`: seconds later, or after the gap."""
        sent_ms = at_ms
        for gap in self._passes(at_ms):
            if not gap.keeps and gap.from_ms <= at_ms < gap.until_ms:
                return None
            if gap.from_ms <= sent_ms < gap.until_ms:
                sent_ms = gap.until_ms
        got_ms = sent_ms + int(rng.uniform(1, 40) * SECOND)
        return got_ms if got_ms < self.season.until_ms else None

    def _passes(self, at_ms: int) -> Iterable[Gap]:
        return (gap for gap in sorted(self.gaps) if gap.until_ms > at_ms)

    def received_hours(self, hour: Hours, rng: np.random.Generator) -> Hours:
        """The receipt of the last report of each hour; -1: never."""
        at_ms = hour * HOUR + 58 * MINUTE
        got_ms = at_ms.copy()
        lost = np.zeros(len(hour), dtype=bool)
        for gap in sorted(self.gaps):
            lost |= ~np.bool_(gap.keeps) & (at_ms >= gap.from_ms) & (at_ms < gap.until_ms)
            got_ms[(got_ms >= gap.from_ms) & (got_ms < gap.until_ms)] = gap.until_ms
        got_ms += rng.integers(1, 60, len(hour)) * SECOND
        return np.where(lost | (got_ms >= self.season.until_ms), -1, got_ms)

    def off(self, hour: Hours) -> Mask:
        """True for hours in which the device is without power, or switched off."""
        mid_ms = hour * HOUR + HOUR // 2
        off = np.zeros(hour.shape, dtype=bool)
        for gap in self.gaps:
            if not gap.keeps:
                off |= (mid_ms >= gap.from_ms) & (mid_ms < gap.until_ms)
        return off


def within(hour: Hours, spans: Iterable[tuple[int, int]]) -> Mask:
    """True for hours whose middle is in one of `spans` of milliseconds."""
    mid_ms = hour * HOUR + HOUR // 2
    inside = np.zeros(hour.shape, dtype=bool)
    for from_ms, until_ms in spans:
        inside |= (mid_ms >= from_ms) & (mid_ms < until_ms)
    return inside


def daytime(at_ms: int, rng: np.random.Generator) -> int:
    """The same local day, at an hour at which people use what they have."""
    if 7.5 <= local_hour(at_ms) <= 20.5:
        return at_ms
    return at_hour(local_day(at_ms), float(rng.uniform(7.5, 20.5)))
