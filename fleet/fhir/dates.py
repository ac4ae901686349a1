"""FHIR's search by date: a prefix and a date as exact as one likes, as a half-open range. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

Range = tuple[datetime | None, datetime | None]

_SHAPE: Final = re.compile(
    r"(eq|ge|gt|le|lt|sa|eb)?(\d{4})(?:-(\d\d)(?:-(\d\d)"
    r"(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6})\d*)?)?(Z|[+-]\d\d:\d\d))?)?)?",
    re.ASCII,
)


def parse_date(text: str) -> Range:
    """From when (inclusive) until when (exclusive); None where there is no limit.

    Raises:
        ValueError: not a date of FHIR's, or a prefix that is not supported (`ne`, `ap`).
    """
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise ValueError(
            f"{text[:40]!r} is no date: write 2026-11-20, or ge2026-11-20T08:00:00Z with an offset"
        )
    low, high = _covered(found)
    match found[1]:
        case "ge":
            return low, None
        case "gt" | "sa":
            return high, None
        case "le":
            return None, high
        case "lt" | "eb":
            return None, low
        case _:
            return low, high


def span(texts: Iterable[str]) -> Range:
    """The range that fits all of several dates.

    Raises:
        ValueError: as `parse_date`.
    """
    ranges = [parse_date(text) for text in texts]
    lows = [low for low, _ in ranges if low is not None]
    highs = [high for _, high in ranges if high is not None]
    return max(lows, default=None), min(highs, default=None)


def _covered(found: re.Match[str]) -> tuple[datetime, datetime]:
    """All that a date stands for: 2026-11 is the whole month. Days are in UTC."""
    _, year, month, day, hour, minute, second, part, zone = found.groups()
    if hour is not None:
        text = f"{year}-{month}-{day}T{hour}:{minute}:{second or '00'}.{(part or '0'):0<6}"
        low = datetime.fromisoformat(text + zone.replace("Z", "+00:00")).astimezone(UTC)
        return low, low + _length(second, part)
    low = datetime(int(year), int(month or 1), int(day or 1), tzinfo=UTC)
    if day is not None:
        return low, low + timedelta(days=1)
    if month is not None:
        return low, (low + timedelta(days=31)).replace(day=1)
    return low, low.replace(year=low.year + 1)


def _length(second: str | None, part: str | None) -> timedelta:
    if second is None:
        return timedelta(minutes=1)
    return timedelta(seconds=1) if part is None else timedelta(microseconds=10 ** (6 - len(part)))
