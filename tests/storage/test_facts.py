"""Facts as the rules see them: days in Sweden, samples of suspicious hours, repairs, contact."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from support.world import HOUR, NOON, Report, World

from fleet.rules.facts import Span, day_of, day_starts_at
from fleet.rules.rule import Needs
from storage.facts import load_facts
from storage.registry import sync_catalogues

VOLTAGE, CURRENT = "battery_voltage_v", "motor_left_current_a"
TODAY = day_of(NOON)
DAY = timedelta(days=1)
CLOSED = NOON + 2 * DAY


@pytest.fixture
def world(plain_database):
    with psycopg.connect(plain_database, autocommit=True) as conn:
        sync_catalogues(conn, NOON)
        yield World(plain_database, conn)


def facts_of(world, device_no, needs, now=CLOSED, from_at=NOON):
    with world.process() as conn:
        return load_facts(conn, {device_no: from_at}, needs, now)[device_no]


def test_a_day_is_a_day_in_sweden_and_only_closed_ones_are_seen(world):
    device_no = world.device()
    midnight = day_starts_at(TODAY).astimezone(UTC)
    world.measure(
        device_no,
        VOLTAGE,
        [
            (midnight - HOUR / 2, 20.0),
            (midnight, 24.0),
            (midnight + 23 * HOUR, 26.0),
            (midnight + 24 * HOUR, 30.0),
            (midnight + 49 * HOUR, 40.0),
        ],
    )
    world.roll_up(CLOSED)
    needs = Needs(metrics=(VOLTAGE,), lookback_days=2)
    series = facts_of(world, device_no, needs, CLOSED).days[VOLTAGE]
    assert series.day.tolist() == [TODAY - 1, TODAY, TODAY + 1]
    assert series.low.tolist() == [20.0, 24.0, 30.0]
    assert (series.high[1], series.total[1], series.last[1], series.sample_n[1]) == (26, 50, 26, 2)
    still_open = facts_of(world, device_no, needs, midnight + 25 * HOUR).days[VOLTAGE]
    assert still_open.day.tolist() == [TODAY - 1], "a day is waited for two hours"


def test_days_before_the_window_are_read_as_far_as_the_rule_looks_back(world):
    device_no = world.device()
    world.measure(device_no, VOLTAGE, [(NOON - n * DAY, 25.0) for n in range(10)])
    world.roll_up(CLOSED)
    for back in (0, 3, 30):
        needs = Needs(metrics=(VOLTAGE,), lookback_days=back)
        series = facts_of(world, device_no, needs).days[VOLTAGE]
        assert len(series) == min(back + 1, 10)


def test_samples_are_read_only_of_hours_beyond_a_bound(world):
    device_no = world.device()
    world.measure(device_no, VOLTAGE, [(NOON, 20.0), (NOON + HOUR / 2, 25.0), (NOON + HOUR, 25.0)])
    world.measure(device_no, CURRENT, [(NOON + HOUR / 4, 9.0), (NOON + HOUR, 9.0)])
    world.roll_up(CLOSED)
    needs = Needs(samples=(VOLTAGE, CURRENT), bounds=((VOLTAGE, 21.0, None),))
    samples = facts_of(world, device_no, needs).samples
    assert [s.value for s in samples[VOLTAGE]] == [20.0, 25.0]
    assert [s.at for s in samples[CURRENT]] == [NOON + HOUR / 4], "of the same hour"
    fine = Needs(samples=(VOLTAGE,), bounds=((VOLTAGE, None, 30.0),))
    assert facts_of(world, device_no, fine).samples == {}


def test_episodes_that_reach_into_the_window_come_with_their_codes(world):
    device_no = world.device()
    world.report(device_no, Report(-3000, "raised", "7100"), Report(-2990, "cleared", "7100"))
    world.report(device_no, Report(-2000, "raised"), Report(0, "raised", "acme-1", "acme"))
    world.diagnose(NOON + HOUR)
    found = facts_of(world, device_no, Needs(episodes=True), from_at=NOON).episodes
    assert [item.about for item in found] == ["vr2/3D00", "acme/acme-1"]
    assert [item.fault.known for item in found] == [True, False]
    with_lookback = Needs(episodes=True, lookback_days=3)
    assert len(facts_of(world, device_no, with_lookback).episodes) == 3


def test_a_repair_is_what_people_solved_with_the_codes_it_was_about(world):
    device_no = world.device()
    world.report(device_no, Report(0, "raised"), Report(1, "raised", "3D01"))
    world.diagnose(NOON + HOUR)
    needs = Needs(repairs=True)
    assert not facts_of(world, device_no, needs).repairs
    world.act(1, "solve", NOON + 2 * HOUR, outcome="real_fault", minutes=5)
    (repair,) = facts_of(world, device_no, needs).repairs
    assert (repair.ticket_no, repair.cause, repair.solved_at) == (1, "left_motor", NOON + 2 * HOUR)
    assert repair.codes == {"vr2/3D00", "vr2/3D01"}
    world.report(device_no, Report(200, "raised"))
    world.diagnose(NOON + 4 * HOUR)
    assert world.rows("SELECT state FROM ticket") == [("new",)]
    assert facts_of(world, device_no, needs).repairs == [repair], "a repair that did not hold"


def test_contact_is_the_last_receipt_the_hours_with_samples_and_the_gateway(world):
    gateway = world.device("gw", "gateway")
    device_no = world.device("chair-1", gateway_no=gateway)
    alone = world.device("chair-2")
    world.measure(device_no, VOLTAGE, [(NOON - n * HOUR, 25.0) for n in (0, 1, 5)])
    world.roll_up(CLOSED)
    world.heard(device_no, NOON)
    world.heard(gateway, NOON - HOUR)
    needs = Needs(contact=True, lookback_days=9)
    contact = facts_of(world, device_no, needs).contact
    assert contact is not None
    hour = int(NOON.timestamp() // 3600)
    assert (contact.last_at, contact.gateway_last_at) == (NOON, NOON - HOUR)
    assert list(contact.active_hours) == [hour - 5, hour - 1, hour]
    assert facts_of(world, alone, needs).contact is None, "it was never heard of"


def test_when_it_was_not_with_its_user_is_known_and_who_it_is(world):
    device_no = world.device(model_id="otto-bock-b400", area="Mora", network="tele", batch="7")
    world.place("chair-1", "workshop", NOON)
    world.place("chair-1", "in_use", NOON + HOUR)
    known = facts_of(world, device_no, Needs(), from_at=datetime(2026, 11, 1, tzinfo=UTC))
    assert known.quiet == [Span(NOON, NOON + HOUR)]
    assert (known.device.area, known.device.network, known.device.batch) == ("Mora", "tele", "7")
    assert known.device.model is not None
    assert known.device.tenant_id == "r1"
