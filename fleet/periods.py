"""Months, quarters and years as people choose them, in Swedish time. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal

from fleet.sla.calendar import starts_at

_WORDS: Final = re.compile(r"(20[0-9]{2})(?:-(?:(0[1-9]|1[0-2])|Q([1-4])))?")
_MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}
Length = Literal["month", "quarter", "year"]


@dataclass(frozen=True, slots=True)
class Period:
    """A calendar month, quarter or year. `first` is its first day."""

    length: Length
    first: date

    @property
    def after(self) -> date:
        """The first day that is not in it."""
        return _moved(self.first, _MONTHS[self.length])

    @property
    def low(self) -> datetime:
        return starts_at(self.first)

    @property
    def high(self) -> datetime:
        return starts_at(self.after)

    @property
    def text(self) -> str:
        """`2026-11`, `2026-Q4`, `2026`."""
        if self.length == "year":
            return f"{self.first.year}"
        if self.length == "quarter":
            return f"{self.first.year}-Q{(self.first.month + 2) // 3}"
        return f"{self.first:%Y-%m}"

    def before(self) -> Period:
        return Period(self.length, _moved(self.first, -_MONTHS[self.length]))


def period_of(text: str) -> Period | None:
    """The period that is written so; None where it is none."""
    found = _WORDS.fullmatch(text)
    if found is None:
        return None
    year, month, quarter = found.groups()
    if month:
        return Period("month", date(int(year), int(month), 1))
    if quarter:
        return Period("quarter", date(int(year), 3 * int(quarter) - 2, 1))
    return Period("year", date(int(year), 1, 1))


def around(day: date, length: Length) -> Period:
    """The period of that length which a day is in."""
    months = _MONTHS[length]
    return Period(length, date(day.year, (day.month - 1) // months * months + 1, 1))


def latest(day: date, length: Length, n: int) -> Iterator[Period]:
    """The period a day is in, and those before it."""
    period = around(day, length)
    for _ in range(n):
        yield period
        period = period.before()


def _moved(first: date, months: int) -> date:
    number = first.year * 12 + first.month - 1 + months
    return date(number // 12, number % 12 + 1, 1)
