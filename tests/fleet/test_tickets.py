from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.evidence import coded, episode
from support.findings import reported

from fleet.faults import FaultCode, load_catalogue
from fleet.rules.findings import Need
from fleet.ticket_states import OrderKind
from fleet.tickets import (
    HISTORY_AFTER,
    NEEDS_UNKNOWN,
    SETTLE,
    cause_of,
    is_for_workshop,
    need_of,
    route,
    urgent_because,
)
from fleet.words import Component, DeviceClass, Fixer, Severity, Usability
from storage.lending import BasicNeed

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def fault(system="vr2", code="3D00") -> FaultCode:
    return load_catalogue().look_up(system, code)


WHEELCHAIR, SCALE = DeviceClass.POWERED_WHEELCHAIR, DeviceClass.SCALE


@pytest.mark.parametrize(
    ("device_class", "codes", "expected"),
    [
        (WHEELCHAIR, ["vr2/3D00"], OrderKind.REPAIR),
        (WHEELCHAIR, ["vr2/7100"], OrderKind.REPAIR),
        (WHEELCHAIR, ["vr2/FFFF"], OrderKind.REPAIR),
        (WHEELCHAIR, [], OrderKind.REPAIR),
        (WHEELCHAIR, ["acme/1"], OrderKind.SUPPLIER),
        (WHEELCHAIR, ["vr2/3D00", "acme/1"], OrderKind.SUPPLIER),
        (DeviceClass.APAP, ["vr2/7100"], OrderKind.REPAIR),
        (DeviceClass.MEDICATION_DISPENSER, ["careousel/x"], OrderKind.SUPPLIER),
        (DeviceClass.MEDICATION_DISPENSER, [], OrderKind.SUPPLIER),
        (DeviceClass.PERSONAL_ALARM, ["climax.scancom/x"], OrderKind.SUPPORT),
        (DeviceClass.GATEWAY, ["vr2/7100"], OrderKind.SUPPORT),
        (SCALE, ["gatt.2bed.scale/x"], OrderKind.SUPPORT),
        (SCALE, ["acme/1"], OrderKind.SUPPLIER),
        (None, ["vr2/7100"], OrderKind.SUPPORT),
    ],
)
def test_who_gets_the_order(device_class, codes, expected):
    items = [coded(number, code, episode(NOON)) for number, code in enumerate(codes)]
    assert route(device_class, items) is expected


@given(st.sampled_from(DeviceClass), st.lists(st.sampled_from(list(load_catalogue())), max_size=3))
def test_no_order_is_urgent_by_itself(device_class, faults):
    items = [coded(n, f"{f.system}/{f.code}", episode(NOON)) for n, f in enumerate(faults)]
    assert route(device_class, items) is not OrderKind.URGENT_REPAIR


UNUSABLE, DEGRADED, USABLE = Usability.UNUSABLE, Usability.DEGRADED, Usability.USABLE
CRITICAL, MAJOR = Severity.CRITICAL, Severity.MAJOR
REPAIR = OrderKind.REPAIR


@pytest.mark.parametrize(
    ("order", "severity", "usability", "needs", "expected"),
    [
        (REPAIR, CRITICAL, UNUSABLE, {"toilet", "eating"}, ("eating", "toilet")),
        (REPAIR, MAJOR, UNUSABLE, {"sole_mobility"}, ("sole_mobility",)),
        pytest.param(REPAIR, CRITICAL, UNUSABLE, set(), (), id="a loan without basic needs"),
        pytest.param(REPAIR, CRITICAL, UNUSABLE, None, (NEEDS_UNKNOWN,), id="no loan: ask"),
        pytest.param(REPAIR, MAJOR, UNUSABLE, None, (), id="no loan, not critical"),
        pytest.param(REPAIR, CRITICAL, DEGRADED, None, (), id="no loan, it still moves"),
        pytest.param(REPAIR, CRITICAL, DEGRADED, {"sole_mobility"}, (), id="it still moves"),
        (REPAIR, MAJOR, DEGRADED, {"breathing_support", "eating"}, ("breathing_support",)),
        pytest.param(REPAIR, CRITICAL, USABLE, {"breathing_support"}, (), id="it works"),
        pytest.param(OrderKind.PREVENTIVE, CRITICAL, UNUSABLE, {"toilet"}, (), id="planned"),
        pytest.param(OrderKind.SUPPORT, CRITICAL, UNUSABLE, {"toilet"}, (), id="swapped"),
    ],
)
def test_what_makes_a_repair_urgent(order, severity, usability, needs, expected):
    flags = None if needs is None else frozenset(needs)
    assert urgent_because(order, severity, usability, flags) == expected


@given(
    st.sampled_from(OrderKind),
    st.sampled_from(Severity),
    st.none() | st.frozensets(st.sampled_from(BasicNeed).map(str)),
)
def test_a_device_that_stops_more_is_never_less_urgent(order, severity, needs):
    reasons = [set(urgent_because(order, severity, word, needs)) for word in Usability]
    assert reasons[0] <= reasons[1] <= reasons[2]
    assert reasons[2] <= (needs if needs is not None else {NEEDS_UNKNOWN})


def test_only_bad_faults_beyond_the_user_are_for_the_workshop():
    for known in load_catalogue():
        is_bad = known.severity in {MAJOR, CRITICAL}
        is_bad &= known.component is not Component.MEASUREMENT
        assert is_for_workshop(known) == (is_bad and known.fixer is not Fixer.USER)
    assert is_for_workshop(fault("acme", "E9")), "an unknown code must reach a technician"


def test_the_shipped_rule_asks_for_a_person_exactly_there():
    for known in load_catalogue():
        found = reported([(f"{known.system}/{known.code}", episode(NOON))])
        assert bool(found) == is_for_workshop(known), known


def test_what_a_patient_measured_never_opens_a_ticket():
    measured = [known for known in load_catalogue() if known.component is Component.MEASUREMENT]
    assert measured
    assert not any(map(is_for_workshop, measured))


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def reports(start=0.0, end=None, raised=1, logged=0, *, received=None, last=None):
    return episode(
        at(start),
        None if end is None else at(end),
        raised=raised,
        logged=logged,
        received=at(start if received is None else received),
        last=None if last is None else at(last),
    )


DAY = 24 * 60


@pytest.mark.parametrize(
    ("judged", "waited", "expected"),
    [
        pytest.param(reports(), timedelta(0), Need.TICKET, id="open"),
        pytest.param(reports(0, 5), timedelta(0), Need.TICKET, id="cleared just now"),
        pytest.param(reports(0, 5, received=DAY), timedelta(0), Need.TICKET, id="within a day"),
        pytest.param(reports(0, 5, received=DAY + 6), timedelta(0), Need.HISTORY, id="over"),
        pytest.param(reports(0, received=DAY + 1), timedelta(0), Need.HELD, id="old raise"),
        pytest.param(reports(0, received=DAY + 1), SETTLE, Need.TICKET, id="old and settled"),
        pytest.param(
            reports(0, received=DAY + 1, last=DAY), timedelta(0), Need.TICKET, id="still reported"
        ),
        pytest.param(reports(0, 0, 0, 4), timedelta(0), Need.HISTORY, id="a log alone"),
        pytest.param(reports(0, None, 1, 4), timedelta(0), Need.TICKET, id="raised and logged"),
    ],
)
def test_which_episodes_need_a_ticket(judged, waited, expected):
    assert need_of(judged, judged.first_received_at + waited) is expected
    assert timedelta(days=1) == HISTORY_AFTER


def test_what_is_decided_stays_decided():
    """Only what is held is decided by waiting: a later look never takes a ticket back."""
    for received, end in itertools.product((0, DAY - 1, DAY + 10, 3 * DAY), (None, 0, 5, DAY)):
        judged = reports(0, end, received=received)
        looks = [need_of(judged, judged.first_received_at + n * SETTLE) for n in range(3)]
        assert looks[1] is looks[2] is not Need.HELD
        assert looks[0] in {looks[1], Need.HELD}


def test_one_component_is_one_cause_and_an_unknown_code_is_its_own():
    assert cause_of(fault(code="3D00")) == cause_of(fault(code="3D01")) == "left_motor"
    assert cause_of(fault("acme", "E9")) == "acme/E9"
    assert cause_of(fault(code="0xffff")) == cause_of(fault(code="FFFF")) == "vr2/FFFF"
