"""The Swedish calendar: what is free, what is short, and when that is in UTC."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
from itertools import islice
from pathlib import Path

import pytest

from fleet.sla.calendar import (
    LAST_YEAR,
    OpeningHours,
    is_day_before_red,
    is_working_day,
    local_day,
    opening_on,
    openings_back_from,
    openings_from,
    red_days,
    starts_at,
)

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "sla_calendar_se.json"
HOURS = OpeningHours(((time(8), time(16, 30)),) * 5, time(16))


def test_the_red_days_are_those_of_the_published_list():
    if not VECTORS.exists():
        pytest.skip("the list ../shared/vectors/sla_calendar_se.json is not here")
    listed = json.loads(VECTORS.read_text("utf-8"))["holidays"]
    for year in (2026, 2027):
        ours = [[day.isoformat(), names["en"]] for day, names in sorted(red_days(year).items())]
        assert ours == [pair for pair in listed if pair[0].startswith(str(year))]


def test_a_red_day_has_its_name_in_both_languages():
    assert red_days(2026)[date(2026, 6, 19)] == {"sv": "Midsommarafton", "en": "Midsummer Eve"}


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2026-04-02", True),  # the day before Good Friday
        ("2026-04-03", False),
        ("2026-04-04", False),
        ("2026-04-06", False),
        ("2026-04-07", True),
        ("2026-05-15", True),  # a squeeze day is a working day
        ("2026-06-19", False),  # the eves are free in practice
        ("2026-12-24", False),
        ("2026-12-31", False),
        ("2027-01-05", True),  # the eve of Epiphany is not
        ("2026-11-22", False),
    ],
)
def test_working_days(day, expected):
    assert is_working_day(date.fromisoformat(day)) is expected


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2026-04-02", True),  # before Good Friday
        ("2026-04-30", True),  # before May Day
        ("2026-05-13", True),  # before Ascension Day
        ("2026-06-05", True),  # a Friday before the National Day
        ("2026-10-30", True),  # a Friday before All Saints' Day
        ("2026-12-23", True),
        ("2026-12-30", True),
        ("2026-05-22", False),  # Pentecost is a Sunday: the next day is a plain Saturday
        ("2026-11-20", False),  # any other Friday
        ("2026-12-25", False),  # red itself
        ("2026-04-05", False),  # no working day
    ],
)
def test_days_before_a_red_day(day, expected):
    assert is_day_before_red(date.fromisoformat(day)) is expected


@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        ("2026-03-27", "07:00", "15:30"),  # winter time, 8 to 16.30
        ("2026-03-30", "06:00", "14:30"),  # summer time from the Sunday between
        ("2026-10-23", "06:00", "14:30"),
        ("2026-10-26", "07:00", "15:30"),
        ("2026-04-02", "06:00", "14:00"),  # shorter
    ],
)
def test_opening_hours_in_utc(day, opens, closes):
    opening = opening_on(HOURS, date.fromisoformat(day))
    assert opening is not None
    assert opening.opens_at == datetime.fromisoformat(f"{day}T{opens}:00+00:00")
    assert opening.closes_at == datetime.fromisoformat(f"{day}T{closes}:00+00:00")
    assert opening.opens_at.tzinfo is UTC


def test_hours_without_a_short_day_are_the_same_before_a_red_day():
    plain = opening_on(OpeningHours(HOURS.week), date(2026, 4, 2))
    assert plain is not None
    assert plain.closes_at == datetime(2026, 4, 2, 14, 30, tzinfo=UTC)


def test_a_short_day_never_makes_a_day_longer():
    early = OpeningHours(((time(8), time(15)),) * 5, time(16))
    assert early.on(date(2026, 4, 2)) == (time(8), time(15))


def test_openings_go_over_the_turn_of_the_year_in_both_directions():
    days = [o.day for o in islice(openings_from(HOURS, date(2026, 12, 30)), 3)]
    assert days == [date(2026, 12, 30), date(2027, 1, 4), date(2027, 1, 5)]
    back = [o.day for o in islice(openings_back_from(HOURS, date(2027, 1, 5)), 3)]
    assert back == days[::-1]


def test_the_day_is_that_of_sweden():
    assert local_day(datetime(2026, 7, 1, 22, 0, tzinfo=UTC)) == date(2026, 7, 2)
    assert local_day(datetime(2026, 1, 1, 22, 59, tzinfo=UTC)) == date(2026, 1, 1)
    assert starts_at(date(2026, 7, 2)) == datetime(2026, 7, 1, 22, 0, tzinfo=UTC)


def test_a_year_whose_holidays_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="2101 are not known"):
        next(openings_from(HOURS, date(LAST_YEAR + 1, 1, 1)))
