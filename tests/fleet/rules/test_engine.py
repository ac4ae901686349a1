"""What is decided anew after a change, and what becomes of a finding that others explain."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.evidence import episode, facts, numbered, window

from fleet.rules.engine import (
    LONGEST,
    Rulebook,
    Stretch,
    conclude,
    joint_needs,
    touches,
    window_for,
)
from fleet.rules.facts import Span, day_of, day_starts_at, last_closed_day
from fleet.rules.findings import Need
from fleet.rules.inhibition import load_inhibitions
from fleet.rules.reader import shipped_rules
from fleet.words import DeviceClass

NOON = datetime(2026, 9, 15, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
REPORTED, _ = shipped_rules()["reported-fault"]
BOOK = Rulebook([REPORTED], load_inhibitions())


def at(hours: float) -> datetime:
    return NOON + hours * HOUR


def test_a_window_begins_with_the_day_of_the_change_and_ends_with_the_last_closed_one():
    made = window_for(NOON, (), NOON + 3 * DAY)
    assert made.from_at == day_starts_at(day_of(NOON))
    assert list(made.days) == [day_of(NOON), day_of(NOON) + 1, day_of(NOON) + 2]
    assert len(window_for(NOON, (), at(1)).days) == 0, "its day is not closed"


@pytest.mark.parametrize(
    ("stretches", "from_day"),
    [
        pytest.param([(-72, -50)], 0, id="over before"),
        pytest.param([(-72, None)], -3, id="still there"),
        pytest.param([(-72, -48), (-60, None)], -3, id="one reaches into the next"),
        pytest.param([(-72, -48), (-40, None)], -2, id="one does not"),
        pytest.param([(5, None)], 0, id="later"),
        pytest.param([(-24, -14)], -1, id="ended as the day began"),
    ],
)
def test_a_finding_is_decided_whole_or_not_at_all(stretches, from_day):
    known = [Stretch(at(start), None if end is None else at(end)) for start, end in stretches]
    assert day_of(window_for(NOON, known, at(1)).from_at) == day_of(NOON) + from_day


STRETCHES = st.lists(
    st.tuples(st.integers(-500, 10), st.none() | st.integers(0, 100)).map(
        lambda pair: Stretch(at(pair[0]), None if pair[1] is None else at(pair[0] + pair[1]))
    ),
    max_size=8,
)


@given(STRETCHES, st.randoms())
def test_no_stretch_reaches_into_a_window_from_outside(known, random):
    made = window_for(NOON, known, at(24))
    for stretch in known:
        assert stretch.started_at >= made.from_at or not stretch.reaches(made.from_at)
    shuffled = list(known)
    random.shuffle(shuffled)
    assert window_for(NOON, shuffled, at(24)) == made


def test_nothing_is_looked_at_for_longer_than_the_longest():
    made = window_for(NOON, [Stretch(NOON - 3 * LONGEST, None)], NOON)
    assert made.from_at == NOON - LONGEST


LATER = at(48)


def judged(*reports, quiet=(), now=LATER, **fields):
    known = facts(now, episodes=numbered(reports), quiet=quiet, **fields)
    found = conclude(BOOK, BOOK.on_device, known, window(NOON - 10 * DAY, now))
    return [(f.about, f.need) for f in found]


LOW = ("vr2/2C00", episode(at(0), at(1)))


def test_findings_come_in_order_of_time():
    told = [("vr2/3D01", episode(at(3))), ("vr2/3D00", episode(at(1)))]
    assert judged(*told) == [("vr2/3D00", Need.TICKET), ("vr2/3D01", Need.TICKET)]


@pytest.mark.parametrize(
    ("start", "end", "now", "expected"),
    [
        pytest.param(0.01, 1.1, 48, Need.EXPLAINED, id="over with its cause"),
        pytest.param(0.01, None, 0.5, Need.HELD, id="outlives it, for now"),
        pytest.param(0.01, None, 48, Need.TICKET, id="has outlasted it"),
        pytest.param(0.01, 9, 48, Need.TICKET, id="outlasted it, and is over"),
        pytest.param(3, None, 48, Need.TICKET, id="began later"),
    ],
)
def test_what_a_low_battery_explains(start, end, now, expected):
    child = ("rnet.ics/2015", episode(at(start), None if end is None else at(end)))
    cause = LOW if now > 1 else ("vr2/2C00", episode(at(0), at(0.4)))
    assert judged(cause, child, now=at(now)) == [("rnet.ics/2015", expected)]


def test_as_long_as_the_cause_lasts_it_explains():
    cause, child = ("vr2/2C00", episode(at(0))), ("rnet.ics/2015", episode(at(0.01)))
    assert judged(cause, child) == [("rnet.ics/2015", Need.EXPLAINED)]


@pytest.mark.parametrize(
    ("span", "last", "expected"),
    [
        pytest.param(Span(at(-1), None), None, Need.QUIET, id="in the workshop"),
        pytest.param(Span(at(-1), at(5)), None, Need.QUIET, id="back, and silent about it"),
        pytest.param(Span(at(-1), at(5)), 6, Need.TICKET, id="reported again at home"),
        pytest.param(Span(at(1), None), None, Need.TICKET, id="began before"),
        pytest.param(Span(at(-5), at(0)), None, Need.TICKET, id="began as it came back"),
    ],
)
def test_where_it_was_when_it_began_decides(span, last, expected):
    reported = ("vr2/3D00", episode(at(0), last=None if last is None else at(last)))
    assert judged(reported, quiet=[span]) == [("vr2/3D00", expected)]


def test_history_stays_history_in_the_workshop():
    old = ("vr2/3D00", episode(at(0), at(1), received=at(47)))
    assert judged(old, quiet=[Span(at(-1), None)]) == [("vr2/3D00", Need.HISTORY)]


def test_a_rule_speaks_of_the_devices_it_covers():
    rule, _ = shipped_rules()["pack-voltage-under-load"]
    assert rule.device_classes == {DeviceClass.POWERED_WHEELCHAIR}
    book = Rulebook([rule])
    assert conclude(book, book.rules, facts(NOON), window(NOON, NOON)) == []


def test_every_shipped_rule_has_one_place_where_it_is_evaluated():
    book = Rulebook([rule for rule, _ in shipped_rules().values()])
    assert {r.id for r in book.on_device} | {r.id for r in book.on_fleet} == set(shipped_rules())
    assert not {r.id for r in book.on_device} & {r.id for r in book.on_fleet}
    assert {r.id for r in book.on_events} < {r.id for r in book.on_device}
    assert "reported-fault" in {r.id for r in book.on_events}


def test_what_is_loaded_is_enough_for_every_rule():
    rules = [rule for rule, _ in shipped_rules().values()]
    joint = joint_needs(rules)
    for needs in (rule.condition.needs for rule in rules):
        assert set(needs.metrics) <= set(joint.metrics)
        assert set(needs.samples) <= set(joint.samples)
        assert set(needs.bounds) <= set(joint.bounds)
        assert needs.lookback_days <= joint.lookback_days
        for flag in ("episodes", "contact", "repairs"):
            assert getattr(joint, flag) >= getattr(needs, flag)


def test_the_window_and_the_finding_agree_on_what_reaches():
    made = window(NOON, at(48))
    (open_one,) = conclude(
        BOOK, BOOK.rules, facts(at(48), episodes=numbered([("vr2/3D00", episode(at(-99)))])), made
    )
    assert touches(open_one, made)
    assert last_closed_day(at(48)) == made.last_day
