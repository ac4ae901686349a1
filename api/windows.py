"""Which stretch of time a page shows, and the addresses of those beside it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from api.asking import EARLIEST
from fleet.rules.facts import SWEDEN
from storage.reading import Span

RANGES: Final[Mapping[str, timedelta]] = {
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
    "1y": timedelta(days=365),
}
DEFAULT: Final = "24h"
SHORTEST: Final = timedelta(minutes=10)
LONGEST: Final = timedelta(days=2 * 365)


@dataclass(frozen=True, slots=True)
class Window:
    """What is shown. `at` is the middle where somebody looks back; None: up to now.

    `is_free` where both ends were named, as the script does; then `chosen` is the nearest range.
    """

    span: Span
    chosen: str
    at: datetime | None
    is_free: bool = False

    @property
    def middle(self) -> datetime:
        return self.span.low + (self.span.high - self.span.low) / 2


def span_around(at: datetime | None, chosen: str, now: datetime) -> Span:
    """The chosen range around a time, or up to now."""
    length = RANGES[chosen]
    high = now if at is None else min(at + length / 2, now)
    return Span(high - length, high)


def window_of(query: Mapping[str, str], now: datetime) -> Window:
    """The window that an address asks for; what cannot be used counts as not said."""
    free = _free(query, now)
    if free is not None:
        is_now = now - free.high < timedelta(minutes=1)
        middle = free.low + (free.high - free.low) / 2
        return Window(free, nearest(free), None if is_now else middle, is_free=True)
    chosen = query.get("range", DEFAULT)
    chosen = chosen if chosen in RANGES else DEFAULT
    at = instant(query.get("at"), now)
    return Window(span_around(at, chosen, now), chosen, at)


def _free(query: Mapping[str, str], now: datetime) -> Span | None:
    low, high = instant(query.get("from"), now), instant(query.get("to"), now, is_end=True)
    if low is None or high is None or not SHORTEST <= high - low <= LONGEST:
        return None
    return Span(low, high)


def instant(text: str | None, now: datetime, *, is_end: bool = False) -> datetime | None:
    """A time of the past from an address; a form's time without a zone is Swedish.

    An end that lies ahead is now: the page may have been open for a while.
    """
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    at = at.replace(tzinfo=SWEDEN) if at.tzinfo is None else at
    try:
        at = at.astimezone(UTC)
    except OverflowError:
        return None
    if is_end:
        at = min(at, now)
    return at if at >= EARLIEST and (at < now or is_end) else None


def nearest(span: Span) -> str:
    """The name of the range whose length is nearest."""
    length = span.high - span.low
    return min(RANGES, key=lambda name: abs(RANGES[name] - length))


@dataclass(frozen=True, slots=True)
class Moves:
    """What the addresses beside a window carry; None where one cannot go on."""

    earlier: Mapping[str, str]
    later: Mapping[str, str] | None
    closer: Mapping[str, str] | None
    wider: Mapping[str, str] | None


def moves(window: Window, now: datetime) -> Moves:
    """Half a window back and forth, and the next shorter and longer range around its middle."""
    names = list(RANGES)
    place = names.index(window.chosen)
    half = (window.span.high - window.span.low) / 2
    is_now = window.at is None
    return Moves(
        _address(window.chosen, window.middle - half, now),
        None if is_now else _address(window.chosen, window.middle + half, now),
        _address(names[place - 1], window.at, now) if place else None,
        _address(names[place + 1], window.at, now) if place + 1 < len(names) else None,
    )


def _address(chosen: str, at: datetime | None, now: datetime) -> Mapping[str, str]:
    """A range around a time; one that would reach past now goes up to now."""
    if at is None or at + RANGES[chosen] / 2 >= now:
        return {"range": chosen}
    return {"range": chosen, "at": f"{at.astimezone(UTC):%Y-%m-%dT%H:%MZ}"}
