"""One cause, many devices: one incident, which gives its devices free when it ends."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from fleet.rules.storms import STORM_DEVICES

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
FAULT = "3D00"


def _names(count):
    return [f"chair-{n:04}" for n in range(count)]


def _fail(world, report, devices, minute=0.0, state="raised", spread=40.0):
    world.store(
        [
            world.numbered(no, report(minute + spread * nth / len(devices), state, FAULT))
            for nth, no in enumerate(devices)
        ]
    )


def _incidents(world):
    return world.rows(
        "SELECT subject, state, (detail ->> 'device_n')::int FROM ticket WHERE device_no IS NULL"
        " ORDER BY ticket_no"
    )


def _singles(world):
    rows = world.rows(
        "SELECT state, count(*)::int FROM ticket WHERE device_no IS NOT NULL GROUP BY state"
    )
    return dict(rows)


def test_many_devices_with_one_fault_within_an_hour_are_one_incident(world, report, noon):
    devices = world.devices(_names(25))
    world.lend("chair-0007", "toilet", "eating")
    world.lend("chair-0003", "toilet")
    world.lend("chair-0001")
    _fail(world, report, devices)
    world.diagnose(noon + HOUR)
    assert _incidents(world) == [(f"storm:vr2/{FAULT}", "new", 25)]
    assert _singles(world) == {}
    body = world.value("SELECT body_sv FROM ticket")
    assert "Kontakta först\n– chair-0007\n– chair-0003\n\n" in body
    assert "på 25 hjälpmedel" in world.value("SELECT title_sv FROM ticket")
    assert world.rows("SELECT kind FROM outbox") == [("incident.opened",)]
    assert world.value("SELECT count(*) FROM ticket_finding") == 25
    assert world.value("SELECT order_kind FROM ticket") == "support"
    world.look(noon + 2 * HOUR)
    world.diagnose(noon + 2 * HOUR)
    assert len(world.tickets()) == 1, "a further look changes nothing"


def test_one_less_than_a_storm_are_tickets_of_their_own(plain_world, report, noon):
    devices = plain_world.devices(_names(STORM_DEVICES - 1))
    _fail(plain_world, report, devices)
    plain_world.diagnose(noon + HOUR)
    assert _incidents(plain_world) == []
    assert _singles(plain_world) == {"new": STORM_DEVICES - 1}


def test_the_same_faults_on_different_days_are_no_storm(plain_world, report, noon):
    world = plain_world
    for nth, no in enumerate(world.devices(_names(25))):
        _fail(world, report, [no], minute=nth * 180.0)
    world.diagnose(noon + 5 * timedelta(days=1))
    assert (_incidents(world), _singles(world)) == ([], {"new": 25})


def test_a_storm_that_comes_in_parts_takes_over_what_was_opened_before(world, report, noon):
    devices = world.devices(_names(25))
    for nth in range(5):
        _fail(world, report, devices[5 * nth : 5 * nth + 5], minute=8.0 * nth, spread=8)
        world.diagnose(noon + (8 * nth + 9) * MINUTE)
    assert _incidents(world) == [(f"storm:vr2/{FAULT}", "new", 25)]
    assert _singles(world) == {"void": 15}, "opened before anybody could know"
    ((reasons, incidents),) = world.rows(
        "SELECT array_agg(DISTINCT event.detail ->> 'reason'), array_agg(DISTINCT incident_no)"
        " FROM ticket JOIN ticket_event AS event USING (ticket_no)"
        " WHERE device_no IS NOT NULL AND kind = 'voided' AND is_withdrawn"
    )
    assert reasons == ["part_of_incident"]
    assert incidents == [world.value("SELECT ticket_no FROM ticket WHERE device_no IS NULL")]
    running = world.value(
        "SELECT count(*) FROM ticket_clock JOIN ticket USING (ticket_no)"
        " WHERE state = 'void' AND stopped_at IS NULL"
    )
    assert running == 0, "no deadline runs for what an incident has taken over"


def test_a_single_that_somebody_has_taken_stays_theirs(plain_world, report, noon):
    world = plain_world
    devices = world.devices(_names(25))
    _fail(world, report, devices[:1])
    world.diagnose(noon + MINUTE)
    world.act(1, "assign", noon + 2 * MINUTE, assignee="eva")
    _fail(world, report, devices[1:], minute=3)
    world.diagnose(noon + HOUR)
    assert _singles(world) == {"assigned": 1}
    assert len(_incidents(world)) == 1


@pytest.fixture
def storm(world, report, noon):
    """An incident about 25 devices, ten of which have recovered."""
    devices = world.devices(_names(25))
    _fail(world, report, devices)
    world.diagnose(noon + HOUR)
    _fail(world, report, devices[:10], minute=70, state="cleared")
    world.diagnose(noon + 2 * HOUR)
    return world


def test_when_a_person_closes_the_incident_only_what_still_fails_gets_tickets(storm, noon):
    assert _singles(storm) == {}
    number = storm.value("SELECT ticket_no FROM ticket")
    storm.act(number, "solve", noon + 3 * HOUR, outcome="solved_remotely", minutes=5)
    storm.act(number, "close", noon + 4 * HOUR, why="klart")
    storm.look(noon + 5 * HOUR)
    assert _singles(storm) == {"new": 15}
    with_ticket = storm.rows(
        "SELECT id FROM ticket JOIN device USING (device_no) ORDER BY device_no"
    )
    assert [row[0] for row in with_ticket] == _names(25)[10:]
    storm.look(noon + 6 * HOUR)
    assert _singles(storm) == {"new": 15}, "they are given free once"


def test_when_all_have_recovered_an_untouched_incident_goes(storm, report, noon):
    devices = [row[0] for row in storm.rows("SELECT device_no FROM device ORDER BY 1")]
    _fail(storm, report, devices[10:], minute=130, state="cleared")
    storm.diagnose(noon + 3 * HOUR)
    storm.look(noon + 3 * HOUR)
    assert [row[1] for row in _incidents(storm)] == ["void"]
    assert storm.value("SELECT detail FROM ticket_event WHERE kind = 'voided'") == {
        "reason": "all_recovered"
    }
    storm.look(noon + 4 * HOUR)
    assert _singles(storm) == {}


def test_an_incident_that_somebody_has_taken_is_not_taken_back(storm, report, noon):
    devices = [row[0] for row in storm.rows("SELECT device_no FROM device ORDER BY 1")]
    number = storm.value("SELECT ticket_no FROM ticket")
    storm.act(number, "assign", noon + 2 * HOUR, assignee="eva")
    _fail(storm, report, devices[10:], minute=130, state="cleared")
    storm.diagnose(noon + 3 * HOUR)
    storm.look(noon + 3 * HOUR)
    assert [row[1] for row in _incidents(storm)] == ["assigned"]


def test_a_storm_of_thousands_is_one_incident(plain_world, report, noon, capsys):
    world = plain_world
    count = 5_000
    devices = world.devices(_names(count))
    _fail(world, report, devices)
    began_s = time.monotonic()
    world.diagnose(noon + HOUR)
    took_s = time.monotonic() - began_s
    with capsys.disabled():
        print(f"\na storm of {count} devices: {took_s:.1f} s in passes of 500")
    assert _incidents(world) == [(f"storm:vr2/{FAULT}", "new", count)]
    assert _singles(world) == {}


def test_a_storm_that_comes_back_after_all_had_recovered_is_one_incident_again(world, report, noon):
    devices = world.devices(_names(25))
    _fail(world, report, devices)
    world.diagnose(noon + HOUR)
    _fail(world, report, devices, minute=70, state="cleared", spread=1)
    world.diagnose(noon + 72 * MINUTE)
    world.look(noon + 72 * MINUTE)
    _fail(world, report, devices, minute=75, spread=1)
    world.diagnose(noon + 2 * HOUR)
    assert [row[1] for row in _incidents(world)] == ["void", "new"]
    assert _singles(world) == {}


def test_an_incident_that_a_person_hands_to_the_supplier_still_holds_its_devices(storm, noon):
    number = storm.value("SELECT ticket_no FROM ticket")
    storm.act(number, "reorder", noon + 2 * HOUR, new_kind="supplier", why="programfel")
    storm.look(noon + 3 * HOUR)
    assert (_singles(storm), len(_incidents(storm))) == ({}, 2)
    storm.act(number + 1, "solve", noon + 4 * HOUR, outcome="solved_remotely", minutes=5)
    storm.act(number + 1, "close", noon + 5 * HOUR, why="klart")
    storm.look(noon + 6 * HOUR)
    assert _singles(storm) == {"new": 15}, "and gives them free when it ends"
