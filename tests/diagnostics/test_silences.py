"""Devices that fall silent: one by one a ticket each, together one incident."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest
from support.world import DAY, HOUR, NOON, looked_at

from fleet.rules.facts import day_of, day_starts_at

MODEL = "otto-bock-b400"
MINUTE = timedelta(minutes=1)
TODAY = day_of(NOON)
LAST = day_starts_at(TODAY).astimezone(UTC) + 18 * HOUR
"""When the devices are last heard of."""


def _used(world, devices, days=30, last=LAST):
    """Every day from nine to six, and heard of with each record."""
    samples = [
        (no, "battery_voltage_v", last - n * DAY - h * HOUR, 26.0)
        for no in devices
        for n in range(days)
        for h in range(10)
    ]
    world.store_samples(samples)
    for no in devices:
        world.heard(no, last)


def _until_silent(world, devices, devices_back=()):
    """Live until the silence of devices that are not heard of is too long to be explained."""
    world.live(looked_at(TODAY))
    for day in range(1, 6):
        now = looked_at(TODAY + day)
        if devices_back:
            _used(world, devices_back, 1, LAST + day * DAY)
        world.live(now)
        if world.findings("need", where="about = 'contact'"):
            return now
    raise AssertionError("nobody missed them")


def test_a_silent_device_is_missed_and_its_ticket_goes_when_it_is_back(world):
    device_no = world.device(model_id=MODEL)
    _used(world, [device_no])
    now = _until_silent(world, [device_no])
    ((need, started_at, ended_at),) = world.findings("need", "started_at", "ended_at")
    assert (need, started_at, ended_at) == ("ticket", LAST, None)
    assert [(row[1], row[2]) for row in world.tickets()] == [("rule:silent-wheelchair", "new")]
    due_at = world.value("SELECT due_at FROM agenda")
    assert now < due_at <= now + 6 * HOUR + 2 * MINUTE, (
        "its gateway may be back, so it is looked at again"
    )
    back = now + 8 * HOUR
    world.heard(device_no, back)
    world.measure(device_no, "battery_voltage_v", [(back, 26.0)])
    world.roll_up(back + MINUTE)
    world.look(back + MINUTE)
    assert world.findings("need", "ended_at") == [("history", back)]
    assert world.rows("SELECT state, is_withdrawn FROM ticket") == [("void", True)]


def test_a_ticket_about_silence_that_somebody_has_taken_says_that_it_is_over(plain_world):
    world = plain_world
    device_no = world.device(model_id=MODEL)
    _used(world, [device_no])
    now = _until_silent(world, [device_no])
    world.act(1, "assign", now, assignee="eva")
    back = now + 8 * HOUR
    world.heard(device_no, back)
    world.measure(device_no, "battery_voltage_v", [(back, 26.0)])
    world.live(back + MINUTE)
    assert world.rows("SELECT state, is_active FROM ticket") == [("assigned", False)]


def test_a_device_in_storage_is_not_missed(plain_world):
    world = plain_world
    device_no = world.device(model_id=MODEL)
    _used(world, [device_no])
    world.place("chair-1", "storage", LAST + HOUR)
    for day in range(6):
        world.live(looked_at(TODAY + day))
    assert world.tickets() == []


@pytest.fixture
def area(plain_world):
    """Eight chairs in Mora, six of which fall silent at one moment, and 32 elsewhere."""
    world = plain_world
    mora = world.devices([f"mora-{n}" for n in range(8)], model_id=MODEL, area="Mora")
    others = world.devices([f"falun-{n:02}" for n in range(32)], model_id=MODEL, area="Falun")
    _used(world, [*mora, *others], days=12)
    now = _until_silent(world, mora, [*mora[6:], *others])
    return world, mora, now


def test_many_of_one_area_are_one_incident(area):
    world, mora, now = area
    incidents = world.rows("SELECT subject, state FROM ticket WHERE device_no IS NULL")
    assert incidents == [("area:Mora", "new")]
    assert world.value("SELECT count(*) FROM ticket WHERE device_no IS NOT NULL") == 0
    linked = world.rows(
        "SELECT device_no FROM ticket_finding JOIN finding USING (finding_no)"
        " WHERE device_no IS NOT NULL ORDER BY 1"
    )
    assert [row[0] for row in linked] == mora[:6]
    title = world.value("SELECT title_sv FROM ticket")
    assert title == "Området Mora: tappad kontakt med 6 hjälpmedel samtidigt"
    world.look(now + 7 * HOUR)
    assert world.value("SELECT count(*) FROM ticket") == 1, "a further look opens nothing"


def test_an_outage_that_is_over_is_taken_back(area):
    world, mora, now = area
    back = now + HOUR
    _used(world, mora, 1, back)
    world.live(back + MINUTE)
    world.look(back + 2 * MINUTE)
    assert world.rows("SELECT state FROM ticket") == [("void",)]
    assert world.findings("need", where="device_no IS NOT NULL") == [("history",)] * 6


def test_when_people_end_the_incident_who_is_still_silent_gets_a_ticket(area):
    world, mora, now = area
    number = world.value("SELECT ticket_no FROM ticket")
    back = now + HOUR
    _used(world, mora[:4], 1, back)
    world.act(number, "assign", now + MINUTE, assignee="eva")
    world.live(back + MINUTE)
    world.act(number, "solve", back + HOUR, outcome="solved_remotely", minutes=5)
    world.act(number, "close", back + HOUR, why="klart")
    world.look(back + 2 * HOUR)
    singles = world.rows(
        "SELECT device_no, state FROM ticket WHERE device_no IS NOT NULL ORDER BY 1"
    )
    assert singles == [(no, "new") for no in mora[4:6]]
