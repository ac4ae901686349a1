"""Where ticks go on the axes of a chart. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from fleet.ticket_text import local
from storage.reading import Span

_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class ValueScale:
    """`low` to `high` with a tick at every multiple of `step`."""

    low: float
    high: float
    step: float

    def ticks(self) -> list[float]:
        count = round((self.high - self.low) / self.step)
        return [self.low + self.step * index for index in range(count + 1)]


def value_scale(low: float, high: float, smallest_step: float) -> ValueScale:
    """A scale of round numbers around `low` to `high`, three to six ticks.

    Args:
        low: the least value shown.
        high: the greatest.
        smallest_step: what one unit of the last shown decimal is worth.
    """
    width = max(high - low, smallest_step * 2, abs(high) * 1e-9)
    step = max(_round_step(width / 4), smallest_step)
    bottom = math.floor(low / step) * step
    top = math.ceil(high / step) * step
    return ValueScale(bottom, top if top > bottom else bottom + step, step)


def _round_step(rough: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(rough))
    return magnitude * next(step for step in _STEPS if rough <= step * magnitude * (1 + 1e-9))


@dataclass(frozen=True, slots=True)
class TimeTick:
    at: datetime
    is_midnight: bool


def time_ticks(span: Span) -> list[TimeTick]:
    """Minutes of an hour or two, local hours of a short range, local midnights of a long one."""
    hours = (span.high - span.low) / timedelta(hours=1)
    if hours <= 3:
        return _minute_ticks(span, 10 if hours <= 1.2 else 30)
    if hours <= 60:
        step_h = next(step for step in (1, 3, 6, 12) if hours / step <= 6 or step == 12)
        return _hour_ticks(span, step_h)
    return _day_ticks(span, max(1, math.ceil(hours / 24 / 7)))


def _minute_ticks(span: Span, step_min: int) -> list[TimeTick]:
    step = timedelta(minutes=step_min)
    at = span.low.replace(minute=0, second=0, microsecond=0)
    found = []
    while at < span.high:
        if at >= span.low:
            here = local(at)
            found.append(TimeTick(here, here.hour == here.minute == 0))
        at += step
    return found


def _hour_ticks(span: Span, step_h: int) -> list[TimeTick]:
    at = local(span.low).replace(minute=0, second=0, microsecond=0)
    found = []
    while at < span.high:
        if at >= span.low and at.hour % step_h == 0:
            found.append(TimeTick(at, at.hour == 0))
        at = _next_hour(at)
    return found


def _next_hour(at: datetime) -> datetime:
    """One hour of real time later, by the local clock."""
    return local(datetime.fromtimestamp(at.timestamp() + 3600, at.tzinfo))


def _day_ticks(span: Span, step_days: int) -> list[TimeTick]:
    """Wall-clock arithmetic: midnights, also across a change to summer time."""
    day = local(span.low).replace(hour=0, minute=0, second=0, microsecond=0)
    found = []
    while day < span.high:
        if day >= span.low:
            found.append(TimeTick(day, is_midnight=True))
        day += timedelta(days=step_days if found else 1)
    return found
