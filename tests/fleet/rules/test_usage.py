from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.evidence import DEVICE, counter, facts, rule_of

from fleet.rules.facts import DaySeries, Repair, day_closes_at, day_of, day_starts_at
from fleet.rules.kinds.usage import KIND, Calendar, Cycle
from fleet.rules.parameters import ParameterError
from fleet.rules.rule import Asks, Window
from fleet.ticket_states import OrderKind
from fleet.words import Component

HOUR = 3600.0
FIRST = date(2026, 3, 1).toordinal()
FU = Asks(component=Component.SERVICE, order=OrderKind.PREVENTIVE)
EVERY_500 = {"metric": "drive_time_s", "every": "500 h", "ahead": "30 d"}


def hours(*readings: float | tuple[float, float] | None) -> DaySeries:
    return counter(
        FIRST,
        [
            None
            if reading is None
            else tuple(HOUR * part for part in reading)
            if isinstance(reading, tuple)
            else HOUR * reading
            for reading in readings
        ],
    )


def steady(per_day: float, days: int, start: float = 0.0) -> list[float]:
    return [start + per_day * n for n in range(days)]


def service(day: int, cause: str = "service") -> Repair:
    return Repair(1, cause, day_starts_at(FIRST + day) + timedelta(hours=10), frozenset())


def evaluate(series, *, first=0, last, in_service_on=None, repairs=(), asks=FU, **when):
    rule = rule_of(KIND, asks=asks, **when or EVERY_500)
    now = day_closes_at(FIRST + last)
    known = facts(
        now,
        device=replace(DEVICE, in_service_on=in_service_on),
        days={} if series is None else {"drive_time_s": series},
        repairs=repairs,
    )
    window = Window(day_starts_at(FIRST + first), FIRST + first, FIRST + last)
    return rule.condition.evaluate(rule, known, window)


def days_of(findings):
    return [
        (day_of(f.started_at) - FIRST, f.ended_at and day_of(f.ended_at) - FIRST) for f in findings
    ]


def test_it_is_told_thirty_days_ahead_at_the_devices_own_pace():
    found = evaluate(hours(*steady(2, 300)), last=299)
    assert days_of(found) == [(220, None)]  # 440 h, 60 h before


def test_words_order_and_interval():
    (finding,) = evaluate(hours(*steady(2, 226)), last=225)
    assert (finding.order, finding.cause) == (OrderKind.PREVENTIVE, "service")
    assert finding.measures["used_drive_time_s"] == 450 * HOUR
    assert finding.measures["earliest_d"] == finding.measures["latest_d"] == 25
    assert finding.said.title.sv == "Titel: dags troligen 6\N{NO-BREAK SPACE}nov"
    assert "450,0\N{NO-BREAK SPACE}h" in finding.said.happened.sv
    assert "2,0\N{NO-BREAK SPACE}h om dagen" in finding.said.happened.sv


def test_an_uneven_pace_gives_an_interval():
    weeks = [week for n in range(40) for week in [(1.0, 2.0, 3.0)[n % 3]] * 7]
    total, readings = 0.0, []
    for used in weeks:
        total += used
        readings.append(total)
    (finding,) = evaluate(hours(*readings[:235]), last=234)
    assert finding.measures["earliest_d"] < finding.measures["latest_d"]
    assert "–" in finding.said.title.sv


def test_a_quiet_month_does_not_take_the_order_back():
    readings = [*steady(2, 222), *[442.0] * 60]
    assert days_of(evaluate(hours(*readings), last=281)) == [(220, None)]


def test_a_service_begins_anew():
    found = evaluate(hours(*steady(2, 330)), last=329, repairs=[service(240)])
    assert days_of(found) == [(220, 240)]


def test_another_repair_is_no_service():
    found = evaluate(hours(*steady(2, 300)), last=299, repairs=[service(240, "battery")])
    assert days_of(found) == [(220, None)]


def test_use_before_it_came_into_service_does_not_count():
    in_service_on = date.fromordinal(FIRST + 100)
    found = evaluate(hours(*steady(2, 250)), last=249, in_service_on=in_service_on)
    assert not found


def test_what_was_on_the_meter_at_first_sight_does_not_count():
    assert not evaluate(hours(*steady(2, 100, start=4000)), last=99)


def test_a_counter_that_fell_orders_nothing_and_is_said():
    readings = [*steady(2, 240), *steady(2, 20, start=3000), *steady(2, 20)]
    assert days_of(evaluate(hours(*readings[:240]), last=239)) == [(220, None)]
    swapped = [*steady(2, 100), *steady(2, 60, start=900), *steady(2, 20, start=5)]
    assert not evaluate(hours(*swapped), last=len(swapped) - 1)
    longer = [*steady(2, 100), *steady(2, 130, start=3000)]
    (finding,) = evaluate(hours(*longer), last=len(longer) - 1)
    assert finding.measures["swap_count"] == 1
    assert "modul är troligen bytt" in finding.ruled_out[0].sv


def test_without_a_pace_it_is_told_when_it_is_due():
    readings = [0.0, *[None] * 60, 400.0, *[400.0] * 3, 505.0]
    assert not evaluate(hours(*readings[:64]), last=63)
    sparse = [0.0, *[None] * 5, 100.0, 200.0, 320.0]
    assert not evaluate(hours(*sparse), last=len(sparse) - 1)


def test_one_week_is_no_pace():
    assert not evaluate(hours(*steady(16, 13)), last=12)
    assert days_of(evaluate(hours(*steady(16, 22)), last=21)) == [(14, None)]


def test_what_was_used_across_the_service_is_of_unknown_age():
    readings = [None if 45 <= day <= 55 else reading for day, reading in enumerate(steady(2, 120))]
    when = {"metric": "drive_time_s", "every": "100 h", "ahead": "0 d"}
    found = evaluate(hours(*readings), first=51, last=119, repairs=[service(50)], **when)
    assert days_of(found) == [(106, None)]


def test_nothing_without_readings():
    assert not evaluate(None, last=100)
    assert not evaluate(hours(1.0), last=100)


BY_METER = EVERY_500 | {"by_meter": True}


@pytest.mark.parametrize(
    ("readings", "in_service_on", "repairs", "expected"),
    [
        pytest.param(steady(2, 100, 1300), None, [], [(70, None)], id="60 h before 1,500"),
        pytest.param(steady(2, 100, 4000), None, [], [], id="just past a mark at first sight"),
        pytest.param(steady(2, 3, 498), None, [], [(1, None)], id="passed before a pace is known"),
        pytest.param(steady(2, 100, 1300), None, [5], [], id="a known service counts instead"),
        pytest.param(steady(2, 90, 1430), None, [50], [(14, 50)], id="until the service"),
        pytest.param(steady(2, 40, 490), date.fromordinal(FIRST + 10), [], [], id="lent later"),
        pytest.param([*steady(2, 30, 300), *steady(2, 30, 600)], None, [], [], id="a new module"),
    ],
)
def test_by_the_meter_itself(readings, in_service_on, repairs, expected):
    found = evaluate(
        hours(*readings),
        last=len(readings) - 1,
        in_service_on=in_service_on,
        repairs=[service(day) for day in repairs],
        **BY_METER,
    )
    assert days_of(found) == expected


def test_the_meter_is_named_and_service_stays_due_until_it_is_done():
    found = evaluate(hours(*steady(2, 200, 1300)), last=199, **BY_METER)
    assert days_of(found) == [(70, None)]
    (early,) = evaluate(hours(*steady(2, 80, 1300)), last=79, **BY_METER)
    assert early.measures["meter_drive_time_s"] == 1458 * HOUR
    assert early.measures["earliest_d"] == 21
    assert "enligt mätaren: 1\N{NO-BREAK SPACE}458,0" in early.said.happened.sv


YEARLY = {"date_every": "12 months", "ahead": "30 d"}


@pytest.mark.parametrize(
    ("in_service_on", "repairs", "expected"),
    [
        pytest.param(None, [], [], id="nobody knows"),
        pytest.param(date(2025, 7, 1), [], [(92, None)], id="a month before the first year is out"),
        pytest.param(date(2019, 7, 1), [], [(92, None)], id="the anniversary of an old one"),
        pytest.param(date(2026, 2, 1), [], [(307, None)], id="a new one"),
        pytest.param(date(2025, 7, 1), [100], [(92, 100)], id="serviced"),
        pytest.param(date(2025, 7, 1), [20], [(355, None)], id="serviced early"),
        pytest.param(None, [20], [(355, None)], id="only the service is known"),
    ],
)
def test_by_date(in_service_on, repairs, expected):
    served = [service(day) for day in repairs]
    found = evaluate(None, last=360, in_service_on=in_service_on, repairs=served, **YEARLY)
    assert days_of(found) == expected


def test_an_overdue_service_keeps_its_date():
    (finding,) = evaluate(None, last=200, in_service_on=date(2025, 7, 1), **YEARLY)
    assert finding.said.title.sv == "Titel: senast 1\N{NO-BREAK SPACE}juli"
    assert finding.measures["due_in_d"] < 0


@pytest.mark.parametrize(
    ("cycle", "start", "number", "expected"),
    [
        (Cycle(12, 0), date(2024, 2, 29), 1, date(2025, 2, 28)),
        (Cycle(12, 0), date(2024, 2, 29), 4, date(2028, 2, 29)),
        (Cycle(1, 0), date(2026, 1, 31), 1, date(2026, 2, 28)),
        (Cycle(6, 0), date(2026, 10, 5), 1, date(2027, 4, 5)),
        (Cycle(0, 180), date(2026, 1, 1), 2, date(2026, 12, 27)),
    ],
)
def test_lengths_on_the_calendar(cycle, start, number, expected):
    assert cycle.after(start, number) == expected


@given(
    st.one_of(
        st.builds(Cycle, st.integers(1, 12), st.just(0)),
        st.builds(Cycle, st.just(0), st.integers(1, 366)),
    ),
    st.dates(date(2000, 1, 1), date(2020, 1, 1)),
    st.integers(0, 9000),
)
def test_passed_lengths_are_counted_right(cycle, start, later):
    day = start + timedelta(days=later)
    number = cycle.passed(start, day)
    assert number == 0 or cycle.after(start, number) < day
    assert cycle.after(start, number + 1) >= day


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ({}, "by use or by date"),
        ({"metric": "drive_time_s"}, "by use or by date"),
        (EVERY_500 | YEARLY, "by use or by date"),
        (EVERY_500 | {"every": "0 h"}, "not above zero"),
        (EVERY_500 | {"ahead": "90 d", "reach": "80 d"}, "ahead is as long as reach"),
        ({"date_every": "20 d", "ahead": "30 d"}, "ahead is as long as date_every"),
    ],
)
def test_senseless_values_are_refused(when, said):
    with pytest.raises(ParameterError, match=said):
        rule_of(KIND, **when)


@pytest.mark.parametrize("value", [12, "12", "12 mon", "13 months", "0 d", "x"])
def test_a_length_on_the_calendar_has_a_number_and_a_unit(value):
    with pytest.raises(ParameterError):
        Calendar("date_every", "").read(value, {})


readings = st.lists(st.one_of(st.none(), st.floats(0, 9)), min_size=120, max_size=200)


def cut(series: DaySeries, from_day: int) -> DaySeries:
    return series.upto(FIRST + 400, FIRST + 400 - from_day + 1)


@settings(deadline=None, max_examples=12)
@given(readings, st.integers(0, 110), st.lists(st.integers(0, 119), max_size=2))
def test_two_windows_give_the_same_as_one(steps, split, served):
    total, drawn = 0.0, []
    for step in steps:
        total += step or 0
        drawn.append(None if step is None else total)
    series, last = hours(*drawn), len(drawn) - 1
    when = {"metric": "drive_time_s", "every": "150 h", "ahead": "14 d", "reach": "75 d"}
    repairs = [service(day) for day in served]
    whole = evaluate(series, last=last, repairs=repairs, **when)
    spans = days_of(whole)
    for start, end in reversed(spans):
        if start < split <= (end or 999):
            split = start
    back = rule_of(KIND, **when).condition.needs.lookback_days
    loaded = cut(series, FIRST + split - back)
    later = evaluate(loaded, first=split, last=last, repairs=repairs[::-1], **when)
    assert days_of(later) == [span for span in spans if span[1] is None or span[1] >= split]
    expected = [f.measures for f in whole if f.started_at >= day_starts_at(FIRST + split)]
    for finding, measures in zip(later, expected, strict=True):
        assert finding.measures == pytest.approx(measures)
