"""Deadlines against slow, obviously right ones: every hour of 20 years, and any pauses.

The oracles share nothing with the code but the published numbers: holidays come from the rules
that set them, and time is stepped through in small slots.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fleet.sla.calendar import red_days
from fleet.sla.deadlines import Pause, due_at, explain, notify_at
from fleet.sla.policies import Unit, load_policies

SWEDEN = ZoneInfo("Europe/Stockholm")
FIRST_YEAR, LAST_YEAR = 2020, 2039
HALF_HOUR, HOUR, DAY = timedelta(minutes=30), timedelta(hours=1), timedelta(days=1)


def easter(year: int) -> date:
    """The Gregorian computus, as in the Book of Common Prayer: full moon, then Sunday."""
    golden, century = year % 19 + 1, year // 100 + 1
    skipped, correction = 3 * century // 4 - 12, (8 * century + 5) // 25 - 5
    sunday = 5 * year // 4 - skipped - 10
    epact = (11 * golden + 20 + correction - skipped) % 30
    if (epact == 25 and golden > 11) or epact == 24:
        epact += 1
    moon = 44 - epact + (30 if epact > 23 else 0)
    day = moon + 7 - (sunday + moon) % 7
    return date(year, 3, 1) + timedelta(days=day - 1)


def first_from(year: int, month: int, day: int, weekday: int) -> date:
    found = date(year, month, day)
    while found.weekday() != weekday:
        found += DAY
    return found


@cache
def free_days(year: int) -> frozenset[date]:
    sunday = easter(year)
    fixed = [(1, 1), (1, 6), (5, 1), (6, 6), (12, 24), (12, 25), (12, 26), (12, 31)]
    return frozenset(
        [date(year, *monthday) for monthday in fixed]
        + [sunday + timedelta(days=n) for n in (-2, 0, 1, 39, 49)]
        + [first_from(year, 6, 19, 4), first_from(year, 6, 20, 5), first_from(year, 10, 31, 5)]
    )


def test_the_holidays_follow_from_their_rules():
    for year in range(FIRST_YEAR, LAST_YEAR + 2):
        assert set(red_days(year)) == free_days(year)


def is_free(day: date) -> bool:
    return day.weekday() >= 5 or day in free_days(day.year)


def is_open(hours, at: datetime) -> bool:
    """By the clock on the wall in Sweden."""
    here = at.astimezone(SWEDEN)
    day = here.date()
    if is_free(day):
        return False
    opens, closes = hours.week[day.weekday()]
    if hours.closes_before_red and (day + DAY) in free_days((day + DAY).year):
        closes = min(closes, hours.closes_before_red)
    return opens <= here.time() < closes


FIRST = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
LAST = datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC)


@cache
def open_slots(hours) -> list[datetime]:
    """The start of every open half hour of the years and a bit more."""
    slots, at = [], FIRST - DAY
    while at < LAST + 120 * DAY:
        if is_open(hours, at):
            slots.append(at)
        at += HALF_HOUR
    return slots


@cache
def closings(hours) -> dict[date, datetime]:
    """The end of the last open half hour of each working day."""
    return {at.astimezone(SWEDEN).date(): at + HALF_HOUR for at in open_slots(hours)}


def every_hour():
    at = FIRST
    while at < LAST:
        yield at
        at += HOUR


def by_hours(hours, within):
    """The end of the last of as many open half hours after each hour as were promised."""
    slots, nth = open_slots(hours), 0
    for at in every_hour():
        while slots[nth] < at:
            nth += 1
        yield at, slots[nth + 2 * within - 1] + HALF_HOUR


def by_days(hours, within):
    """The closing time of the n-th working day after the day of each hour."""
    ends = closings(hours)
    days, nth = sorted(ends), 0
    for at in every_hour():
        today = at.astimezone(SWEDEN).date()
        while days[nth] <= today:
            nth += 1
        yield at, ends[days[nth + within - 1]]


def distinct_promises():
    """Every promise of every shipped policy; one with the same hours and numbers once."""
    found = {}
    for policy in load_policies():
        for promise in policy.promises:
            key = (policy.hours, promise.unit, promise.within)
            name = f"{policy.id}-{promise.within}-{promise.unit}"
            found.setdefault(key, pytest.param(policy, promise, id=name))
    return list(found.values())


@pytest.mark.parametrize(("policy", "promise"), distinct_promises())
def test_every_hour_of_twenty_years(policy, promise):
    hours = policy.hours
    oracle = by_hours if promise.unit is Unit.WORKING_HOURS else by_days
    wrong = [
        (at, expected, found)
        for at, expected in oracle(hours, promise.within)
        if (found := due_at(hours, promise, at)) != expected
    ]
    assert not wrong, wrong[:3]


def test_the_oracle_walks_through_all_of_it():
    hours = load_policies().default.hours
    assert sum(1 for _ in by_days(hours, 1)) == sum(1 for _ in by_hours(hours, 1)) == 175_320


def is_paused(pauses, at: datetime) -> bool:
    return any(pause.from_at <= at < pause.until_at for pause in pauses)


TEN_MINUTES = timedelta(minutes=10)


def stepped(hours, promise, known_at: datetime, pauses) -> datetime:
    """Ten minutes at a time; what is given is in whole ten minutes, so each is all or nothing."""
    in_days = promise.unit is Unit.WORKING_DAYS
    order_day = known_at.astimezone(SWEDEN).date()
    at, counted = known_at, Fraction(0)
    while True:
        day = at.astimezone(SWEDEN).date()
        if not (in_days and day == order_day) and is_open(hours, at) and not is_paused(pauses, at):
            # A working day is worth one, an hour too; ten minutes are their share of it.
            worth = Fraction(10, 30 * len(slots_of(hours, day))) if in_days else Fraction(10, 60)
            if counted + worth >= promise.within:
                return at + float((promise.within - counted) / worth) * TEN_MINUTES
            counted += worth
        at += TEN_MINUTES


def slots_of(hours, day: date) -> list[datetime]:
    slots = open_slots(hours)
    start = datetime(day.year, day.month, day.day, tzinfo=SWEDEN)
    return slots[bisect_left(slots, start) : bisect_right(slots, start + DAY)]


SMALL = [
    (policy, promise)
    for policy in load_policies()
    for promise in policy.promises
    if promise.within <= 8
]
tens = st.integers(min_value=0, max_value=6 * 24 * 20)


@st.composite
def situations(draw):
    """A moment, mostly near a change of the clocks or a holiday, and some pauses after it."""
    policy, promise = draw(st.sampled_from(SMALL))
    base = draw(
        st.sampled_from(
            [datetime(2026, 3, 20, tzinfo=UTC), datetime(2026, 10, 18, tzinfo=UTC),
             datetime(2026, 3, 30, tzinfo=UTC), datetime(2026, 12, 18, tzinfo=UTC),
             datetime(2028, 2, 20, tzinfo=UTC), datetime(2026, 6, 12, tzinfo=UTC)]
        )
    )  # fmt: skip
    known_at = base + draw(tens) % 1500 * TEN_MINUTES
    spans = draw(st.lists(st.tuples(tens, tens), max_size=4))
    pauses = [
        Pause(
            known_at + (a - 300) * TEN_MINUTES, known_at + (a - 300 + b // 4) * TEN_MINUTES, "part"
        )
        for a, b in spans
    ]
    return policy, promise, known_at, pauses


@settings(max_examples=60, deadline=None)
@given(situations())
def test_any_pauses_agree_with_stepping(situation):
    policy, promise, known_at, pauses = situation
    expected = stepped(policy.hours, promise, known_at, pauses)
    found = due_at(policy.hours, promise, known_at, pauses)
    assert abs(found - expected) <= timedelta(microseconds=1)


moments = st.datetimes(
    datetime(2020, 1, 1), datetime(2039, 12, 31), timezones=st.just(UTC)  # noqa: DTZ001
)  # fmt: skip
spans_of_time = st.timedeltas(timedelta(0), timedelta(days=12))


@st.composite
def any_situation(draw):
    policy, promise = draw(
        st.sampled_from([(policy, p) for policy in load_policies() for p in policy.promises])
    )
    known_at = draw(moments)
    offsets = draw(st.lists(st.tuples(spans_of_time, spans_of_time), max_size=5))
    pauses = [Pause(known_at + a - 2 * DAY, known_at + a + b - 2 * DAY, "part") for a, b in offsets]
    return policy, promise, known_at, pauses


@settings(max_examples=100, deadline=None)
@given(any_situation())
def test_an_account_has_no_gap_and_adds_up(situation):
    policy, promise, known_at, pauses = situation
    account = explain(policy, promise, known_at, pauses)
    assert account.due_at == due_at(policy.hours, promise, known_at, pauses)
    assert account.lines[0].from_at == known_at
    assert account.lines[-1].until_at == account.due_at
    for line, following in zip(account.lines, account.lines[1:], strict=False):
        assert line.from_at < line.until_at == following.from_at
    assert sum(line.counted for line in account.lines) == promise.within
    assert all((line.counted > 0) == (line.why == "counted") for line in account.lines)


@settings(max_examples=100, deadline=None)
@given(any_situation(), spans_of_time)
def test_a_longer_pause_never_brings_a_deadline_forward(situation, more):
    policy, promise, known_at, pauses = situation
    before = due_at(policy.hours, promise, known_at, pauses)
    longer = [Pause(p.from_at, p.until_at + more, p.reason) for p in pauses]
    assert due_at(policy.hours, promise, known_at, longer) >= before
    assert due_at(policy.hours, promise, known_at, []) <= before


@settings(max_examples=100, deadline=None)
@given(any_situation(), st.timedeltas(timedelta(0), timedelta(days=3)))
def test_knowing_later_is_never_due_earlier(situation, later):
    policy, promise, known_at, pauses = situation
    first = due_at(policy.hours, promise, known_at, pauses)
    assert due_at(policy.hours, promise, known_at + later, pauses) >= first


@settings(max_examples=100, deadline=None)
@given(any_situation())
def test_pauses_in_pieces_are_the_same_pauses(situation):
    policy, promise, known_at, pauses = situation
    halves = [
        piece
        for p in pauses
        for middle in [p.from_at + (p.until_at - p.from_at) / 3]
        for piece in (Pause(middle, p.until_at, "b"), Pause(p.from_at, middle, "a"))
    ]
    whole = due_at(policy.hours, promise, known_at, pauses)
    assert due_at(policy.hours, promise, known_at, halves) == whole


def counted_after(account, at: datetime) -> timedelta:
    """Open time that counted from a moment to the deadline."""
    lines = (line for line in account.lines if line.why == "counted" and line.until_at > at)
    return sum((line.until_at - max(line.from_at, at) for line in lines), timedelta())


@settings(max_examples=100, deadline=None)
@given(any_situation())
@example((load_policies().newest("vgr"), load_policies().newest("vgr").promises[0], FIRST, []))
def test_a_notice_comes_the_promised_open_time_before(situation):
    policy, promise, known_at, pauses = situation
    due = due_at(policy.hours, promise, known_at, pauses)
    told_at = notify_at(policy.hours, promise, known_at, due, pauses)
    assert known_at <= told_at < due
    account = explain(policy, promise, known_at, pauses)
    if told_at.astimezone(SWEDEN).date() > known_at.astimezone(SWEDEN).date():
        assert counted_after(account, told_at) == promise.notify_before
