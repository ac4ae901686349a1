from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.evidence import at, episode, numbered

from fleet.catalogue import CatalogueError
from fleet.faults import load_catalogue
from fleet.rules.inhibition import explained_by, load_inhibitions, parse_inhibitions
from fleet.rules.wording import BRAKES
from fleet.words import Component, Severity

LOW = "vr2/2C00"
JOYSTICK = "vr2/7100"
BUS = "vr2.named/COMMUNICATIONS ERROR"
MOTOR = "rnet.ics/2029"
LEFT_BRAKE = "dx2.tracer/5"
POWER_MODULE_CRITICAL = "vr2.bars/8"
JOYSTICK_CRITICAL = "linx-le.flash/1"
ONE_NIGHT = 16 * 60
"""In minutes."""


def span(start, end=None, **more):
    return episode(at(minutes=start), None if end is None else at(minutes=end), **more)


def explained(*items, now=None):
    return explained_by(numbered(items), load_inhibitions(), now and at(minutes=now))


@pytest.mark.parametrize(
    ("parent", "child", "hidden"),
    [
        pytest.param((0, 60), (5, 50), True, id="inside"),
        pytest.param((0, None), (5, None), True, id="both are there"),
        pytest.param((0, 60), (-1, 50), True, id="a minute before"),
        pytest.param((0, 60), (-1.1, 50), False, id="earlier"),
        pytest.param((0, 60), (61, 62), True, id="a minute after"),
        pytest.param((0, 60), (61.1, 62), False, id="later"),
        pytest.param((0, 60), (5, 70), True, id="gone ten minutes after its cause"),
        pytest.param((0, 60), (5, 70.1), False, id="it outlasts its cause"),
        pytest.param((0, 60), (5, None), False, id="it is still there"),
    ],
)
def test_when_a_low_battery_explains_a_joystick_fault(parent, child, hidden):
    found = explained((LOW, span(*parent)), (JOYSTICK, span(*child)), now=500)
    assert found == ({2: 1} if hidden else {})


def test_a_child_that_is_there_is_given_time():
    items = [(LOW, span(0, 60)), (JOYSTICK, span(5))]
    assert explained(*items, now=70) == {2: 1}
    assert explained(*items, now=71) == {}


def test_a_forgotten_cause_explains_nothing():
    day = 24 * 60
    assert explained((LOW, span(0)), (JOYSTICK, span(day, day + 5))) == {2: 1}
    assert explained((LOW, span(0)), (JOYSTICK, span(day + 1, day + 5))) == {}
    reported_again = span(0, None, raised=2, last=at(minutes=2 * day))
    assert explained((LOW, reported_again), (JOYSTICK, span(day + 1, day + 5))) == {2: 1}


@pytest.mark.parametrize("code", [LEFT_BRAKE, JOYSTICK_CRITICAL, "vr2/3D00", "dx.flash/8"])
def test_what_a_low_battery_never_hides(code):
    assert explained((LOW, span(0)), (code, span(5, 6))) == {}


@pytest.mark.parametrize(
    ("child", "hidden"),
    [
        pytest.param((5, 50), True, id="it passed"),
        pytest.param((5, ONE_NIGHT + 5), True, id="for a night"),
        pytest.param((5, ONE_NIGHT + 6), False, id="for longer"),
        pytest.param((5, None), False, id="it is still there"),
    ],
)
def test_a_battery_that_stays_low_puts_a_dead_module_off_and_no_more(child, hidden):
    found = explained((LOW, span(0, None)), (POWER_MODULE_CRITICAL, span(*child)), now=9_000)
    assert found == ({2: 1} if hidden else {})


def test_too_high_a_voltage_explains_nothing():
    assert explained(("dx.flash/8", span(0)), (JOYSTICK, span(5, 6))) == {}


def test_what_is_explained_hands_over_to_the_first_cause():
    switchbox = "rnet.ics/2021"
    found = explained(
        (BUS, span(2, 20)), (switchbox, span(2.1, 10)), (LOW, span(0, 30)), (JOYSTICK, span(3, 9))
    )
    assert found == {1: 3, 2: 3, 4: 3}


def test_of_two_causes_the_first_counts():
    assert explained((LOW, span(3)), ("vr2/2C02", span(1)), (JOYSTICK, span(4)), now=9) == {3: 2}


def test_no_brake_and_of_critical_parts_only_what_restarts_is_hidden_by_the_shipped_table():
    for inhibition in load_inhibitions():
        hidden = [fault for fault in load_catalogue() if inhibition.is_child(fault)]
        assert hidden
        assert not [fault for fault in hidden if fault.component in BRAKES]
        critical = {f.component for f in hidden if f.severity is Severity.CRITICAL}
        assert critical <= {Component.BUS, Component.POWER_MODULE}


def test_a_brake_is_no_child_even_if_the_table_said_so():
    (inhibition,) = parse_inhibitions(ENTRY)
    brakes = replace(inhibition, child_components=BRAKES)
    assert not [fault for fault in load_catalogue() if brakes.is_child(fault)]


def test_only_low_voltage_is_a_low_battery():
    for inhibition in load_inhibitions():
        for fault in load_catalogue():
            if f"{fault.system}/{fault.code}" in inhibition.parent_codes:
                words = fault.meaning_en.lower()
                assert "high" not in words
                assert "above" not in words
                assert "disconnected" not in words


times = st.integers(0, 200)
codes = st.sampled_from([LOW, JOYSTICK, BUS, "rnet.ics/2021", LEFT_BRAKE, "vr2/2C02"])
items = st.lists(
    st.tuples(codes, times, st.one_of(st.none(), st.integers(0, 80))),
    max_size=14,
    unique_by=lambda item: item[:2],
)


@settings(deadline=None, max_examples=50)
@given(items, st.data())
def test_any_order_gives_the_same_and_causes_are_no_children(drawn, data):
    episodes = numbered(
        (code, span(start, None if length is None else start + length))
        for code, start, length in drawn
    )
    inhibitions = load_inhibitions()
    found = explained_by(episodes, inhibitions)
    shuffled = data.draw(st.permutations(episodes))
    assert explained_by(shuffled, data.draw(st.permutations(inhibitions))) == found
    assert not found.keys() & set(found.values())
    by_number = {item.episode_no: item for item in episodes}
    assert not [no for no in found if by_number[no].fault.component in BRAKES]


ENTRY = """
[[inhibition]]
id = "a"
why_sv = "Därför"
why_en = "Because"
parent_codes = ["vr2/2C00"]
child_components = ["joystick"]
worst = "major"
lead = "60 s"
tail = "60 s"
outlasts = "10 min"
credible = "24 h"
at_most = "48 h"
"""
BACK = """
[[inhibition]]
id = "b"
why_sv = "Därför"
why_en = "Because"
parent_components = ["joystick"]
child_components = ["battery"]
worst = "critical"
lead = "60 s"
tail = "60 s"
outlasts = "10 min"
credible = "24 h"
at_most = "48 h"
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ENTRY + BACK, "explains its own cause"),
        (ENTRY + ENTRY, "the id stands twice"),
        (ENTRY.replace('"joystick"', '"left_brake"'), "a brake is never hidden"),
        (ENTRY.replace('"joystick"', '"joystik"'), "is not a Component"),
        (ENTRY.replace("vr2/2C00", "vr2/2C0O"), "in no table"),
        (ENTRY.replace('lead = "60 s"', "lead = 60"), "lead: 60 has no number with a unit"),
        (ENTRY.replace('tail = "60 s"', ""), "tail"),
        (ENTRY.replace('parent_codes = ["vr2/2C00"]', ""), "no cause is named"),
        (ENTRY.replace('["joystick"]', "[]"), "nothing is explained"),
        (ENTRY + 'colour = "red"', "unknown key 'colour'"),
    ],
)
def test_a_wrong_table_is_refused(text, said):
    with pytest.raises(CatalogueError, match=said):
        parse_inhibitions(text)


def test_the_entry_by_itself_is_right():
    (inhibition,) = parse_inhibitions(ENTRY)
    assert inhibition.lead == timedelta(minutes=1)
    assert inhibition.why.sv == "Därför"


def test_the_order_of_the_table_does_not_matter():
    """The bus outlasts the battery, so the button has two causes of its own."""
    episodes = numbered([(LOW, span(0, 5)), (BUS, span(2, 60)), ("rnet.ics/2021", span(3, 4))])
    table = load_inhibitions()
    assert explained_by(episodes, table) == explained_by(episodes, table[::-1]) == {3: 1}
