"""Rules that look at values: when their day has closed, once, and again when late data comes."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest
from support.world import HOUR, MORE_MAY_FOLLOW, NOON, SAG_N, by_day, looked_at

from fleet.rules.facts import day_closes_at, day_of, day_starts_at
from fleet.rules.reader import shipped_rules
from storage import rules
from storage.connection import connect

DAY = timedelta(days=1)
TODAY = day_of(NOON)
FIRST = TODAY - 41
VOLTAGE = "battery_voltage_v"


def _falling(days=42):
    return [27.4 - 0.05 * n for n in range(days)]


def _kinds(world):
    return world.rows(
        "SELECT rule_id, cause, order_kind, state FROM ticket ORDER BY rule_id, ticket_no"
    )


def test_a_trend_becomes_a_finding_and_planned_work_when_the_day_closes(world):
    device_no = world.device()
    world.measure(device_no, VOLTAGE, by_day(FIRST, _falling()[:-1]))
    world.live(looked_at(TODAY - 1))
    world.forget()
    world.measure(device_no, VOLTAGE, by_day(FIRST, _falling()))
    world.roll_up(NOON + HOUR)
    world.look(NOON + HOUR + MORE_MAY_FOLLOW)
    before = world.value("SELECT count(*) FROM finding WHERE last_at > %s", [day_starts_at(TODAY)])
    assert before == 0, "the day is not over: nobody judges it"
    world.look(looked_at(TODAY))
    assert _kinds(world) == [("resting-voltage-falling", "battery", "FU", "new")]
    ((about, need, last_at, known_at),) = world.findings("about", "need", "last_at", "known_at")
    assert (about, need) == (VOLTAGE, "ticket")
    assert last_at == day_starts_at(TODAY + 1)
    assert known_at <= looked_at(TODAY)
    assert world.value("SELECT count(*) FROM agenda") == 0, "nothing is left to look at"
    assert world.look(looked_at(TODAY) + DAY) == []


def test_hours_that_change_nothing_make_a_look_that_changes_nothing(plain_world):
    world = plain_world
    device_no = world.device()
    world.measure(device_no, VOLTAGE, by_day(FIRST, _falling()))
    world.live(looked_at(TODAY))
    before = world.rows("SELECT * FROM finding"), world.rows("SELECT * FROM ticket")
    world.conn.execute("INSERT INTO dirty_hour SELECT hour, device_no FROM rollup_hour")
    world.live(looked_at(TODAY) + HOUR)
    assert (world.rows("SELECT * FROM finding"), world.rows("SELECT * FROM ticket")) == before
    assert world.value("SELECT count(*) FROM outbox") == 1


def test_service_is_due_by_use(world):
    device_no = world.device("apap-1", "apap")
    every_s = shipped_rules()["service-by-blower-hours"][0].condition.every
    used_s = [every_s + (8 * n - 400) * 3600 for n in range(40)]
    world.measure(device_no, "blower_time_s", by_day(TODAY - 39, used_s))
    world.live(looked_at(TODAY))
    assert [row[1:] for row in _kinds(world)] == [("service", "FU", "new")]


def test_a_worn_battery_is_seen_in_many_metrics(plain_world):
    """Deep sag under load on most days, less and less in it: whatever rule speaks, one ticket."""
    world = plain_world
    device_no = world.device()
    for day in range(TODAY - 59, TODAY + 1):
        at = day_starts_at(day).astimezone(UTC) + 10 * HOUR
        world.sag(device_no, at)
        world.measure(device_no, VOLTAGE, [(at + HOUR, 25.4)])
    world.live(looked_at(TODAY))
    found = {row[0] for row in world.findings("rule_id")}
    assert "pack-voltage-under-load" in found
    assert [row[1:] for row in _kinds(world)] == [("battery", "AU", "new")]


def _sag(world, device_no, day, *, driving=True):
    world.sag(device_no, day_starts_at(day).astimezone(UTC) + 10 * HOUR, driving=driving)


def test_a_suspicious_hour_is_read_sample_by_sample(world):
    driving, resting, fine = world.devices(["driving", "resting", "fine"])
    _sag(world, driving, TODAY)
    _sag(world, resting, TODAY, driving=False)
    world.measure(fine, VOLTAGE, [(NOON, 25.0), (NOON + timedelta(seconds=40), 24.0)])
    world.live(looked_at(TODAY))
    ((device_no, rule_id, worst, points),) = world.findings(
        "device_no", "rule_id", f"detail -> 'measures' -> 'worst_{VOLTAGE}'", "detail -> 'points'"
    )
    assert (device_no, rule_id, worst) == (driving, "pack-voltage-under-load", 20.0)
    assert len(points) == SAG_N, "the values themselves are the evidence"
    assert [row[:4] for row in world.tickets()] == [(driving, "battery", "new", "AU")]


def test_late_data_is_judged_when_it_comes(world):
    device_no = world.device()
    world.measure(device_no, VOLTAGE, [(NOON, 25.0)])
    world.live(looked_at(TODAY))
    assert world.findings("rule_id") == []
    _sag(world, device_no, TODAY)
    now = looked_at(TODAY + 2)
    world.live(now)
    ((started_at, known_at),) = world.findings("started_at", "known_at")
    assert day_of(started_at) == TODAY
    assert known_at == now + MORE_MAY_FOLLOW, "nobody could know before"


def test_data_that_is_taken_back_takes_the_finding_and_the_untouched_ticket(plain_world):
    world = plain_world
    device_no = world.device()
    _sag(world, device_no, TODAY)
    world.live(looked_at(TODAY))
    world.conn.execute("DELETE FROM sample WHERE value = 25.0")
    world.conn.execute("INSERT INTO dirty_hour SELECT DISTINCT hour, device_no FROM rollup_hour")
    world.live(looked_at(TODAY + 1))
    assert world.findings("rule_id") == []
    assert world.rows("SELECT state, is_withdrawn FROM ticket") == [("void", True)]
    assert world.value("SELECT detail ->> 'reason' FROM ticket_event WHERE kind = 'voided'") == (
        "taken_back"
    )


@pytest.fixture
def care_rule(plain_world):
    """A rule that looks at a patient's value: it asks care, never a technician."""
    body = shipped_rules()["apap-leak-rising"][1]
    body = body.replace('id = "apap-leak-rising"', 'id = "ahi-high"\ncare = true')
    body = body.replace('order = "FU"\n', "")
    body = body.replace("mask_leak_p95_l_min", "ahi_per_h")
    body = body.replace('above = "24 l/min"', 'above = "15 /h"')
    with connect(plain_world.url) as conn:
        rule = rules.add_version(conn, body, "ahi.toml", NOON, "eva")
        tried = rules.NewBacktest(rule.id, rule.version, NOON, NOON, 1.0, 1, 0, 0.0, {})
        rules.put_backtest(conn, tried, NOON, "eva")
        rules.enable(conn, rule, NOON, "eva", "care asked")
        conn.commit()
    return plain_world


def test_a_care_rule_makes_a_task_for_care_and_no_ticket(care_rule):
    world = care_rule
    device_no = world.device("apap-1", "apap")
    world.measure(device_no, "ahi_per_h", by_day(FIRST, [5 + 0.3 * n for n in range(42)]))
    world.live(looked_at(TODAY))
    assert world.findings("rule_id", "need") == [("ahi-high", "care")]
    assert world.tickets() == []
    ((kind, payload),) = world.rows("SELECT kind, payload FROM outbox")
    assert (kind, payload["device"], payload["rule"]) == ("care.task", "apap-1", "ahi-high")
    world.conn.execute("INSERT INTO dirty_hour SELECT DISTINCT hour, device_no FROM rollup_hour")
    world.live(looked_at(TODAY) + HOUR)
    assert world.value("SELECT count(*) FROM outbox") == 1, "once"


@pytest.fixture
def repaired(plain_world, report):
    """A motor fault on three days, repaired at noon today; the chair drives an hour a day."""
    world = plain_world
    device_no = world.device()
    days = range(TODAY - 20, TODAY + 21)
    drives = by_day(days[0], [3600.0 * n for n in range(len(days))])
    for minute in (-6 * 1440, -4 * 1440, -2 * 1440):
        world.report(device_no, report(minute, "raised"), report(minute + 30, "cleared"))
    world.measure(device_no, "drive_time_s", drives[:20])
    world.live(NOON)
    number = world.value("SELECT ticket_no FROM ticket WHERE cause = 'left_motor'")
    world.act(number, "solve", NOON + timedelta(minutes=5), outcome="real_fault", minutes=30)
    return world, device_no, number, drives


def test_enough_use_without_the_fault_verifies_the_repair(repaired):
    world, device_no, number, drives = repaired
    world.measure(device_no, "drive_time_s", drives[20:26])
    world.live(looked_at(TODAY + 5))
    assert world.value("SELECT state FROM ticket WHERE ticket_no = %s", [number]) == "solved"
    world.measure(device_no, "drive_time_s", drives[26:40])
    world.live(looked_at(TODAY + 19))
    assert world.value("SELECT state FROM ticket WHERE ticket_no = %s", [number]) == "verified"
    ((who, detail),) = world.rows("SELECT who, detail FROM ticket_event WHERE kind = 'verified'")
    assert who == "diagnostics"
    assert detail["rule"] == "repair-held-wheelchair"
    assert "inte kommit tillbaka" in detail["because_sv"]
    assert world.value(
        "SELECT payload ->> 'state' FROM outbox ORDER BY outbox_no DESC LIMIT 1"
    ) == ("verified")


def test_a_fault_that_is_back_opens_the_repair_again(repaired, report):
    world, device_no, number, drives = repaired
    world.measure(device_no, "drive_time_s", drives[20:26])
    world.report(device_no, report(3 * 1440, "raised"))
    world.live(NOON + 3 * DAY + HOUR)
    state = world.value("SELECT state FROM ticket WHERE ticket_no = %s", [number])
    assert state == "new"
    assert "recurred" in world.event_kinds()
    world.live(looked_at(TODAY + 19))
    assert world.findings("about", where="rule_id = 'repair-held-wheelchair'") == [
        (f"repair:{number}",)
    ]
    assert world.value("SELECT count(*) FROM ticket WHERE cause = 'left_motor'") == 1
    assert "verified" not in world.event_kinds()


def test_a_look_that_is_due_later_is_not_made_now(plain_world):
    world = plain_world
    device_no = world.device()
    world.measure(device_no, VOLTAGE, [(NOON, 25.0)])
    world.roll_up(NOON + HOUR)
    assert world.look(NOON + 2 * HOUR) == []
    assert world.look(day_closes_at(TODAY) - timedelta(seconds=1)) == []
    (result,) = world.look(looked_at(TODAY))
    assert result.taken_n == 1


def test_a_rule_that_is_turned_off_concludes_nothing_new(plain_world, report):
    world = plain_world
    device_no = world.device()
    world.report(device_no, report(0, "raised"))
    world.diagnose(NOON + HOUR)
    with connect(world.url) as conn:
        rules.disable(conn, rules.stored_rule(conn, "reported-fault")[0], NOON, "eva", "prov")
        conn.commit()
    world.report(device_no, report(61, "raised", "3D01"))
    world.diagnose(NOON + 2 * HOUR)
    assert world.findings("about") == [("vr2/3D00",)], "what was concluded stays"
    assert world.rows("SELECT state FROM ticket") == [("new",)], "and so does its ticket"


def test_a_finding_that_ends_by_time_ends_though_nothing_more_is_heard(plain_world):
    world = plain_world
    device_no = world.device()
    _sag(world, device_no, TODAY)
    world.live(looked_at(TODAY))
    assert world.findings("ended_at") == [(None,)], "the next day may belong to it"
    looks = [len(world.look(looked_at(TODAY + n))) for n in range(1, 5)]
    ((ended_at,),) = world.findings("ended_at")
    assert ended_at is not None
    assert looks[-1] == 0, "and then there is nothing to look at"
    assert world.rows("SELECT is_active FROM ticket") == [(False,)]
