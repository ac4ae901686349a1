"""The day of a person in Sweden, and the readings that come of it. Times are true milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_HOME: Final = ZoneInfo("Europe/Stockholm")


@dataclass(slots=True)
class Reading:
    """What a device measured at `at_ms`, before its clock and the outbox have had their say.

    `series` are more samples, each with its offset in milliseconds from `at_ms`.
    """

    at_ms: int
    m: dict[str, float]
    series: list[tuple[int, dict[str, float]]] = field(default_factory=list)


class Memory(msgspec.Struct):
    """What every behaviour remembers; `wake_ms` is when it wants the next step."""

    wake_ms: int


@lru_cache(maxsize=4096)
def _offset_ms(hour: int) -> int:
    at = datetime.fromtimestamp(hour * 3600, UTC).astimezone(_HOME)
    offset = at.utcoffset()
    assert offset is not None
    return int(offset.total_seconds()) * SECOND


def local_ms(at_ms: int) -> int:
    """Milliseconds of the wall clock in Sweden since 1970."""
    return at_ms + _offset_ms(at_ms // HOUR)


def local_day(at_ms: int) -> int:
    """The number of the local day."""
    return local_ms(at_ms) // DAY


def local_hour(at_ms: int) -> float:
    """The local hour of the day, 0 to 24."""
    return local_ms(at_ms) % DAY / HOUR


def at_hour(day: int, hour: float) -> int:
    """True time of a local `hour` of a local `day`; hours over 24 are in the next day."""
    naive = day * DAY + int(hour * HOUR)
    return naive - _offset_ms((naive - HOUR) // HOUR)


def times_of_day(day: int, hours: list[float], spread_h: float, rng: Random) -> list[int]:
    """True times around the given local hours, ascending."""
    return sorted(at_hour(day, hour + rng.uniform(-spread_h, spread_h)) for hour in hours)


def near(rng: Random, centre: float, spread: float, decimals: int = 1) -> float:
    """A normal draw around `centre`, cut at three spreads."""
    drawn = max(-3.0, min(3.0, rng.gauss(0.0, 1.0)))
    return round(centre + spread * drawn, decimals)
