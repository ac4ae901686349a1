"""The Swedish working calendar: red days, working days, and when a workshop is open.

A working day is Monday to Friday and not a red day. The red days are the public holidays and the
eves that are free in practice (Midsummer Eve, Christmas Eve, New Year's Eve). Sundays as such are
not in the set, so a Friday is the day before a red day only when that Saturday is a holiday.

Local times become UTC here, once; all arithmetic on intervals is done in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from holidays.constants import DE_FACTO, PUBLIC
from holidays.countries.sweden import Sweden

from fleet.words import Lang

SWEDEN: Final = ZoneInfo("Europe/Stockholm")
DAY: Final = timedelta(days=1)

LAST_YEAR: Final = 2100
"""The last year that the holidays are known for."""

_LANGUAGES: Final[Mapping[Lang, str]] = {"sv": "sv", "en": "en_US"}
_FRIDAY: Final = 4
_YEARS_KEPT: Final = 256


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """When a workshop is open: opening and closing time from Monday to Friday, in Sweden.

    `closes_before_red` is the latest closing time on a working day before a red day; None where
    such a day is like any other.
    """

    week: tuple[tuple[time, time], ...]
    closes_before_red: time | None = None

    def on(self, day: date) -> tuple[time, time]:
        """Opening and closing time of a working day."""
        opens, closes = self.week[day.weekday()]
        if self.closes_before_red is not None and is_day_before_red(day):
            closes = min(closes, self.closes_before_red)
        return opens, closes


@dataclass(frozen=True, slots=True)
class Opening:
    """One working day, and from when until when it is open, in UTC."""

    day: date
    opens_at: datetime
    closes_at: datetime


@lru_cache(maxsize=_YEARS_KEPT)
def red_days(year: int) -> Mapping[date, Mapping[Lang, str]]:
    """The red days of a year with their names."""
    names = {lang: _names(year, language) for lang, language in _LANGUAGES.items()}
    return {day: {lang: names[lang][day] for lang in _LANGUAGES} for day in names["sv"]}


def _names(year: int, language: str) -> Mapping[date, str]:
    # Neither set alone will do: the default leaves the eves out, and `bank` and `optional` would
    # count half-days and squeeze days as free.
    return dict(
        Sweden(
            years=year,
            expand=False,
            include_sundays=False,
            categories=(PUBLIC, DE_FACTO),
            language=language,
        )
    )


def is_red(day: date) -> bool:
    return day in red_days(day.year)


def is_working_day(day: date) -> bool:
    return day.weekday() <= _FRIDAY and not is_red(day)


def is_day_before_red(day: date) -> bool:
    """True for a working day whose next day is a red day; plain Saturdays and Sundays are not."""
    return is_working_day(day) and is_red(day + DAY)


def local_day(at: datetime) -> date:
    """The calendar day in Sweden."""
    return at.astimezone(SWEDEN).date()


def starts_at(day: date, at: time = time()) -> datetime:
    """A local time of a day as an instant in UTC."""
    return datetime.combine(day, at, SWEDEN).astimezone(UTC)


def opening_on(hours: OpeningHours, day: date) -> Opening | None:
    """When `day` is open; None when it is no working day."""
    return _openings(hours, day.year).get(day)


def openings_from(hours: OpeningHours, day: date) -> Iterator[Opening]:
    """The working days from `day` on, in order."""
    return _walk(hours, day, DAY)


def openings_back_from(hours: OpeningHours, day: date) -> Iterator[Opening]:
    """The working days from `day` backwards."""
    return _walk(hours, day, -DAY)


def _walk(hours: OpeningHours, day: date, step: timedelta) -> Iterator[Opening]:
    while True:
        openings, year = _openings(hours, day.year), day.year
        while day.year == year:
            opening = openings.get(day)
            if opening is not None:
                yield opening
            day += step


@lru_cache(maxsize=_YEARS_KEPT)
def _openings(hours: OpeningHours, year: int) -> Mapping[date, Opening]:
    if year > LAST_YEAR:
        raise ValueError(f"the holidays of {year} are not known: deadlines end with {LAST_YEAR}")
    first = date(year, 1, 1)
    days = (first + DAY * n for n in range((date(year + 1, 1, 1) - first).days))
    return {day: _opening(hours, day) for day in days if is_working_day(day)}


def _opening(hours: OpeningHours, day: date) -> Opening:
    opens, closes = hours.on(day)
    return Opening(day, starts_at(day, opens), starts_at(day, closes))
