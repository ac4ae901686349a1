from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.evidence import (
    MIDNIGHT,
    NOON,
    at,
    coded,
    counter,
    episode,
    facts,
    numbered,
    rule_of,
    window,
)

from fleet.rules.facts import Span, day_of, day_starts_at
from fleet.rules.findings import Need
from fleet.rules.kinds.recurrence import KIND
from fleet.words import Component, Fixer, Severity

DAY = timedelta(days=1)
JOYSTICK = "vr2/7100"
JOYSTICK_TOO = "vr2/7101"
MINOR = "vr2/7902"
LOW_BATTERY = "vr2/2C00"
THREE_OF_SEVEN = {"counting": "days", "days": 3, "within": "7 d"}
FIVE_IN_A_WEEK = {"counting": "rise", "rise": 5, "within": "7 d", "by": "code"}


def evaluate(items, now, *, from_at=None, quiet=(), care=False, counters=None, **when):
    rule = rule_of(KIND, care=care, **when)
    known = facts(now, episodes=items, quiet=quiet, days=counters or {})
    return rule.condition.evaluate(rule, known, window(from_at or at(-60), now))


def on_days(*days, code=JOYSTICK):
    """An episode of five minutes at noon on each of these days."""
    return [(code, episode(at(day), at(day, minutes=5))) for day in days]


def starts_and_ends(findings):
    """Days from `NOON` of the start, and of the local midnight at which it ended."""
    return [
        ((f.started_at - NOON) / DAY, f.ended_at and (f.ended_at - MIDNIGHT) / DAY)
        for f in findings
    ]


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        pytest.param([0, 1], [], id="two days"),
        pytest.param([0, 0.1, 0.2], [], id="three times on one day"),
        pytest.param([0, 1, 2], [(2, 7)], id="three days in a row"),
        pytest.param([0, 3, 6], [(6, 7)], id="just within a week"),
        pytest.param([0, 3, 7], [], id="just not"),
        pytest.param([0, 2, 4, 7], [(4, 9)], id="goes on while three are left"),
        pytest.param([0, 1, 2, 20, 21, 22], [(2, 7), (22, 27)], id="twice"),
        pytest.param([0, 1, 2, 8, 9, 10], [(2, 7), (10, 15)], id="two later days are too few"),
    ],
)
def test_days_of_a_week(days, expected):
    found = evaluate(numbered(on_days(*days)), at(60), **THREE_OF_SEVEN)
    assert starts_and_ends(found) == expected


def test_a_fault_that_stays_and_is_reported_again_counts_on_every_day():
    lasting = episode(at(0), None, raised=3, last=at(3, minutes=1))
    when = THREE_OF_SEVEN | {"lasting": True}
    assert not evaluate(numbered([(JOYSTICK, lasting)]), at(4), **THREE_OF_SEVEN)
    (found,) = evaluate(numbered([(JOYSTICK, lasting)]), at(4), **when)
    assert found.started_at == found.known_at == day_starts_at(day_of(at(2)))
    assert found.measures["episode_count"] == 1
    never_cleared = episode(at(0), None)
    assert not evaluate(numbered([(JOYSTICK, never_cleared)]), at(4), **when)


def test_it_is_open_until_the_day_it_ends_on_has_closed():
    items = numbered(on_days(0, 1, 2))
    day = day_starts_at(day_of(MIDNIGHT) + 8)
    assert evaluate(items, day + timedelta(hours=1), **THREE_OF_SEVEN)[0].is_open
    assert not evaluate(items, day + timedelta(hours=3), **THREE_OF_SEVEN)[0].is_open


def test_days_are_local():
    late = MIDNIGHT - timedelta(minutes=10)
    items = numbered(
        (JOYSTICK, episode(start, start)) for start in (late, late + timedelta(minutes=20), at(1))
    )
    assert len(evaluate(items, at(5), **THREE_OF_SEVEN)) == 1
    same_day = [i for i in items if i.episode.started_at != late]
    assert not evaluate(same_day, at(5), **THREE_OF_SEVEN)


@pytest.mark.parametrize(
    ("days", "done", "back"),
    [
        pytest.param([0, 1, 2, 3], 2.5, None, id="one day later"),
        pytest.param([0, 1, 2, 3, 3.1, 3.2], 2.5, None, id="three times on one day"),
        pytest.param([0, 1, 2, 3, 4], 2.5, None, id="two days later"),
        pytest.param([0, 1, 2, 3, 4, 5], 2.5, 5, id="as many days as make it a finding"),
        pytest.param([0, 1, 2], 2.5, None, id="not seen again"),
    ],
)
def test_after_its_ticket_it_is_back_when_it_came_back_as_often_again(days, done, back):
    (finding,) = evaluate(numbered(on_days(*days)), at(max(days) + 0.5), **THREE_OF_SEVEN)
    assert finding.back_at(at(done)) == (None if back is None else at(back))


def test_a_fault_that_stays_over_its_repair_is_back_by_the_days_it_is_reported_on():
    when = THREE_OF_SEVEN | {"lasting": True}

    def back_at(last_day):
        lasting = episode(at(0), None, raised=3, last=at(last_day))
        (finding,) = evaluate(numbered([(JOYSTICK, lasting)]), at(last_day + 0.5), **when)
        return finding.back_at(at(3.1))

    assert back_at(4) is None
    assert back_at(5) == day_starts_at(day_of(at(5)))


@pytest.mark.parametrize(("again", "back"), [([4], None), ([4, 5, 6], 6)])
def test_a_clear_that_never_arrived_makes_no_fault_of_the_days_after_the_repair(again, back):
    """The fault stays open until it is raised anew; days between count for nothing."""
    begun = on_days(0, 1)
    unheard = (JOYSTICK, episode(at(2), at(9), raised=2))
    items = numbered([*begun, unheard, *on_days(*again)])
    (finding,) = evaluate(items, at(9.5), **THREE_OF_SEVEN)
    assert finding.back_at(at(3.1)) == (None if back is None else at(back))


def test_so_many_episodes_that_not_all_are_carried_are_back_whatever_their_days():
    before = on_days(0, 1, 2)
    after = [(JOYSTICK, episode(at(3 + n / 100), at(3 + n / 100))) for n in range(40)]
    (finding,) = evaluate(numbered([*before, *after]), at(4), **THREE_OF_SEVEN)
    assert finding.back_at(at(2.5)) == at(3.39)


@pytest.mark.parametrize(("risen", "back"), [(4, None), (5, 4)])
def test_a_count_that_was_seen_to_is_back_when_it_has_grown_as_much_again(risen, back):
    grown = [(day, 3) for day in (0, 1, 2)] + [(4, risen)]
    items = numbered((JOYSTICK, episode(at(d), at(d), raised=0, logged=n)) for d, n in grown)
    (finding,) = evaluate(items, at(4.5), **FIVE_IN_A_WEEK)
    assert finding.back_at(at(3)) == (None if back is None else at(back))


def test_codes_of_one_component_count_together_or_not():
    items = numbered([*on_days(0, 1), *on_days(2, code=JOYSTICK_TOO)])
    (finding,) = evaluate(items, at(3), **THREE_OF_SEVEN)
    assert (finding.about, finding.cause) == ("joystick", "joystick")
    assert not evaluate(items, at(3), by="code", **THREE_OF_SEVEN)


def test_what_the_user_puts_right_again_and_again_is_for_a_technician():
    (finding,) = evaluate(numbered(on_days(0, 1, 2, code=LOW_BATTERY)), at(3), **THREE_OF_SEVEN)
    assert (finding.fixer, finding.severity) == (Fixer.TECHNICIAN, Severity.MAJOR)
    assert finding.need is Need.TICKET
    assert finding.measures["day_count"] == 3


def test_what_happens_in_the_workshop_does_not_count():
    items = numbered(on_days(0, 1, 2))
    assert not evaluate(items, at(3), quiet=[Span(at(0.9), at(1.1))], **THREE_OF_SEVEN)


def test_known_when_the_third_day_was_heard_of_and_history_if_over_by_then():
    late = [
        (JOYSTICK, episode(at(day), at(day), received=at(day + delay)))
        for day, delay in ((0, 0), (1, 1.5), (2, 0.25))
    ]
    (finding,) = evaluate(numbered(late), at(3), **THREE_OF_SEVEN)
    assert (finding.known_at, finding.need) == (at(2.5), Need.TICKET)
    flushed = [(JOYSTICK, episode(at(day), at(day), received=at(30))) for day in (0, 1, 2)]
    (finding,) = evaluate(numbered(flushed), at(31), **THREE_OF_SEVEN)
    assert finding.need is Need.HISTORY


def test_a_selection_is_kept_to():
    items = numbered(on_days(0, 1, 2, code=MINOR))
    assert evaluate(items, at(3), **THREE_OF_SEVEN)
    assert not evaluate(items, at(3), severity="major", **THREE_OF_SEVEN)


def logged(*readings, code=MINOR):
    """(day, rise since the last reading) as the fold makes them."""
    return [(code, episode(at(day), at(day), raised=0, logged=rise)) for day, rise in readings]


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        pytest.param([(0, 200)], [], id="what there always was"),
        pytest.param([(0, 200), (1, 4)], [], id="too little"),
        pytest.param([(0, 200), (1, 5)], [(1, 7)], id="enough"),
        pytest.param([(0, 200), (1, 3), (2, 2)], [(2, 7)], id="added up"),
        pytest.param([(0, 200), (8, 50)], [], id="grown nobody knows when"),
        pytest.param([(0, 1), (1, 4), (7.5, 4)], [], id="never enough within one week"),
        pytest.param([(0, 1), (1, 5), (6, 5)], [(1, 8)], id="goes on"),
    ],
)
def test_a_log_that_grows(readings, expected):
    found = evaluate(numbered(logged(*readings)), at(60), **FIVE_IN_A_WEEK)
    instants = [((f.started_at - NOON) / DAY, (f.ended_at - NOON) / DAY) for f in found]
    assert instants == expected


def test_a_growing_log_alone_makes_a_ticket():
    (finding,) = evaluate(numbered(logged((0, 3), (1, 9))), at(2), **FIVE_IN_A_WEEK)
    assert finding.need is Need.TICKET
    assert finding.is_open
    assert finding.measures["rise_count"] == 9
    assert finding.component is Component.POWER_MODULE
    assert "ökade med 9" in finding.said.title.sv


def test_a_growing_log_is_known_when_enough_of_it_was_heard():
    """The first reading came last, and without it nobody knows how much the second rose."""
    heard = [(0, 3, 9), (1, 5, 2), (2, 1, 3)]
    late = [
        (MINOR, episode(at(day), at(day), raised=0, logged=rise, received=at(received)))
        for day, rise, received in heard
    ]
    (finding,) = evaluate(numbered(late), at(9.5), **FIVE_IN_A_WEEK)
    assert (finding.started_at, finding.known_at) == (at(1), at(9))


def test_codes_of_one_part_are_known_by_the_first_that_are_enough():
    heard = [(JOYSTICK, 1, 5), (JOYSTICK_TOO, 1, 3), (MINOR, 9, 9)]
    items = numbered(
        (code, episode(at(day), at(day), raised=0, logged=rise, received=at(received)))
        for code, rise, received in heard[:2]
        for day, rise, received in ((0, 1, 0), (1, 4, received))
    )
    (finding,) = evaluate(items, at(6), **FIVE_IN_A_WEEK | {"by": "component", "rise": 4})
    assert finding.known_at == at(3)


def test_two_codes_do_not_add_up_unless_the_component_is_counted():
    items = numbered(
        [
            *logged((0, 1), (1, 3), code=JOYSTICK),
            *logged((0, 1), (1, 3), code=JOYSTICK_TOO),
        ]
    )
    assert not evaluate(items, at(2), **FIVE_IN_A_WEEK)
    assert evaluate(items, at(2), **FIVE_IN_A_WEEK | {"by": "component"})


FIRST = day_of(NOON)
DISCHARGES = {
    "counting": "rise",
    "metric": "deep_discharge_count",
    "rise": "5 count",
    "within": "7 d",
}


def held_days(readings, now=40.0, from_at=None):
    days = {"deep_discharge_count": counter(FIRST, readings)}
    found = evaluate([], at(now), counters=days, from_at=from_at or at(0), **DISCHARGES)
    return [
        (day_of(f.started_at) - FIRST, f.ended_at and day_of(f.ended_at) - FIRST) for f in found
    ]


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        pytest.param([100] * 20, [], id="still"),
        pytest.param([100, 101, 102, 103, 104, 104], [], id="slow"),
        pytest.param([100, 105], [(1, 8)], id="fast, until it is a week ago"),
        pytest.param([100, 102, 2, 3], [(3, 8)], id="a restart counts from zero"),
        pytest.param([100, 102, 99, 100], [], id="out of order is no restart"),
        pytest.param([100, *[None] * 9, 150], [], id="over a long silence"),
        pytest.param([100, *[None] * 5, 105], [(6, 8)], id="over a short one"),
        pytest.param([100, (103, 3)], [(1, 8)], id="a restart within the day"),
    ],
)
def test_a_metric_that_rises(readings, expected):
    assert held_days(readings) == expected


def test_a_metric_counter_is_told_with_its_number():
    days = {"deep_discharge_count": counter(FIRST, [100, 107])}
    (finding,) = evaluate([], at(3), counters=days, from_at=at(0), **DISCHARGES)
    assert finding.about == "deep_discharge_count"
    assert "ökade med 7" in finding.said.happened.sv


moments = st.integers(0, 30 * 24).map(lambda hours: at(hours / 24))
kinds = st.sampled_from([JOYSTICK, JOYSTICK_TOO, MINOR])
events = st.lists(
    st.tuples(kinds, moments, st.integers(0, 1), st.integers(0, 4)),
    max_size=25,
    unique_by=lambda event: event[:2],
)


def history_of(drawn):
    return numbered(
        (code, episode(start, start, raised=raised, logged=rise if raised else max(1, rise)))
        for code, start, raised, rise in drawn
    )


@settings(deadline=None, max_examples=30)
@given(events, moments, st.data())
@pytest.mark.parametrize("when", [THREE_OF_SEVEN, FIVE_IN_A_WEEK], ids=["days", "rise"])
def test_any_order_and_any_two_windows_give_the_same_findings(when, drawn, from_at, data):
    items, now = history_of(drawn), at(32)
    whole = evaluate(items, now, **when)
    assert evaluate(data.draw(st.permutations(items)), now, **when) == whole
    for finding in reversed(whole):
        if finding.started_at < from_at and (f_end := finding.ended_at or now) >= from_at:
            assert f_end
            from_at = finding.started_at
    back = timedelta(days=rule_of(KIND, **when).condition.needs.lookback_days)
    loaded = [item for item in items if item.episode.started_at >= from_at - back]
    later = evaluate(loaded, now, from_at=from_at, **when)
    expected = [f for f in whole if f.ended_at is None or f.ended_at >= from_at]
    assert [(f.about, f.started_at, f.ended_at) for f in later] == [
        (f.about, f.started_at, f.ended_at) for f in expected
    ]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.one_of(st.none(), st.integers(0, 12)), max_size=30), st.integers(1, 30))
def test_a_metric_in_two_windows(steps, split):
    total, readings = 0, []
    for step in steps:
        total += step or 0
        readings.append(None if step is None else total)
    whole = held_days(readings)
    inside = [span for span in whole if span[0] < split and (span[1] or 99) >= split]
    split = min([split, *(start for start, _ in inside)])
    cut = [None if day < split - 8 else reading for day, reading in enumerate(readings)]
    later = held_days(cut, from_at=day_starts_at(FIRST + split))
    assert later == [span for span in whole if span[1] is None or span[1] >= split]


@settings(deadline=None, max_examples=40)
@given(events)
def test_a_slow_count_of_days_agrees(drawn):
    items = history_of(drawn)
    found = evaluate(items, at(45), by="code", **THREE_OF_SEVEN)
    days = {code: {day_of(s) for c, s, *_ in drawn if c == code} for code, *_ in drawn}
    expected = {
        (code, day)
        for code, seen in days.items()
        for day in range(FIRST, FIRST + 45)
        if len([d for d in seen if day - 7 < d <= day]) >= 3
    }
    told = {
        (f.about, day)
        for f in found
        for day in range(day_of(f.started_at), day_of(f.ended_at or at(45)))
    }
    assert told == expected


def test_the_evidence_is_limited_and_the_count_is_not():
    items = numbered(on_days(*[day / 10 for day in range(-200, 0)]))
    (finding,) = evaluate(items, at(0), **THREE_OF_SEVEN)
    assert len(finding.episodes) == 30
    assert finding.measures["episode_count"] == 200


def test_the_lead_is_the_worst_fault():
    items = numbered([*on_days(0, 1, code=MINOR), *on_days(2, code="vr2.bars/8")])
    (finding,) = evaluate(items, at(3), **THREE_OF_SEVEN)
    assert finding.severity is Severity.CRITICAL
    assert coded(1, "vr2.bars/8", episode(NOON)).fault.component is Component.POWER_MODULE
