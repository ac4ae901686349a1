"""The same history lived through day by day and replayed at once: the same findings and tickets.

Not equal by design, and so compared apart: a silence. Live it begins at the last receipt; receipts
are not kept, so a replay takes the end of the last hour with samples for it. Tickets are compared
by when each cause got its first one: what people do with them is not part of a history without
recorded repairs, and a replay lets a ticket end when nothing is wrong any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import psycopg
import pytest
from support.world import DAY, HOUR, NOON, Report, World, sag

from diagnostics.backtest import Asked, replay_part
from diagnostics.judgement import Owner
from diagnostics.replay import device_findings, would_be_tickets
from fleet.rules.engine import Rulebook, joint_needs
from fleet.rules.facts import day_closes_at, day_of, day_starts_at, last_closed_day
from fleet.rules.inhibition import load_inhibitions
from fleet.rules.rule import Window
from storage.connection import connect
from storage.facts import load_facts
from storage.registry import sync_catalogues
from storage.rules import stored_rule

DAYS = 64
FIRST = day_of(NOON) - DAYS
FROM_AT = day_starts_at(FIRST).astimezone(UTC)
TO_AT = (day_closes_at(FIRST + DAYS - 1) + timedelta(minutes=1)).astimezone(UTC)
JUST_CLOSED = timedelta(seconds=30)

BLINKS = ("3D00", "3D01", "7100", "7101", "2F00", "7902")
LOST = {"code": "2015", "system": "rnet.ics"}


def _minutes(at: datetime) -> float:
    return (at - NOON) / timedelta(minutes=1)


def _faults(random: Random, nth: int) -> Iterator[Report]:
    """A fault now and then, most cleared, some heard of a day late, some with a low battery."""
    counted = 0
    for day in range(DAYS):
        noon = FROM_AT + day * DAY + 10 * HOUR
        if random.random() < (0.6 if nth == 3 else 0.15):
            minute = _minutes(noon) + random.randrange(300)
            code = "7902" if nth == 3 else random.choice(BLINKS)
            late = random.choice([timedelta(seconds=1)] * 4 + [30 * HOUR])
            yield Report(minute, "raised", code, late=late)
            if random.random() < 0.9:
                yield Report(minute + random.choice([1, 5, 40, 400]), "cleared", code, late=late)
        if nth in {4, 5} and day % 9 == nth:
            minute = _minutes(noon)
            yield Report(minute, "raised", "2C00")
            yield Report(minute + 0.2, "raised", **LOST)
            yield Report(minute + 60, "cleared", "2C00")
            yield Report(minute + (65 if nth == 4 else 200), "cleared", **LOST)
        if nth == 6 and day % 2:
            counted += random.randrange(3)
            yield Report(_minutes(noon), "logged", "3B00", count=counted)


def _values(random: Random, nth: int, day: int) -> Iterator[tuple[str, datetime, float]]:
    """A day's drives: voltage and current together, and the counters at the end of the day."""
    at = FROM_AT + day * DAY + 8 * HOUR
    if nth == 7 and 30 <= day < 45:
        return  # silent
    rest = 26.5 - (0.04 * day if nth == 8 else 0) + random.uniform(-0.05, 0.05)
    for hour in range(0, 9, 2):
        yield "battery_voltage_v", at + hour * HOUR, rest
    if nth == 9 and day % 11 in {3, 4}:
        yield from sag(at + HOUR)
    daily_h = 9.0 if nth == 10 else 1.5
    yield "drive_time_s", at + 9 * HOUR, (100 + daily_h * day) * 3600
    yield "battery_voltage_v", at + 9 * HOUR, rest


@pytest.fixture(scope="module")
def lived(plain):
    """A world of twelve chairs that has lived through its days, one pass after another."""
    url = plain.create_migrated("lived")
    with psycopg.connect(url, autocommit=True) as conn:
        sync_catalogues(conn, FROM_AT)
        world = World(url, conn)
        devices = world.devices([f"chair-{n:02}" for n in range(12)], model_id="otto-bock-b400")
        _live_through(world, devices)
        yield world, devices
    plain.drop_database("lived")


def _live_through(world, devices):
    random = Random(7)
    told = [
        (report.at + report.late, world.numbered(no, report))
        for nth, no in enumerate(devices)
        for report in _faults(random, nth)
    ]
    told.sort(key=lambda item: item[0])
    for day in range(DAYS):
        _a_day(world, devices, day, told, random)


def _a_day(world, devices, day, told, random):
    for until in (FROM_AT + day * DAY + n * 8 * HOUR for n in (1, 2, 3)):
        heard = [record for received_at, record in told if received_at < until]
        if heard:
            world.store(heard)
            del told[: len(heard)]
        world.diagnose(until)
        world.look(until)
    if day == 20:
        world.place("chair-11", "workshop", FROM_AT + 20 * DAY)
    if day == 27:
        world.place("chair-11", "in_use", FROM_AT + 27 * DAY)
    values = [
        (no, name, at, value)
        for nth, no in enumerate(devices)
        for name, at, value in _values(random, nth, day)
    ]
    world.store_samples(values)
    for no, _, at, _ in values:
        world.heard(no, at)
    world.roll_up(FROM_AT + day * DAY + 22 * HOUR)
    closed_at = (day_closes_at(FIRST + day) + JUST_CLOSED).astimezone(UTC)
    world.diagnose(closed_at)
    world.look(closed_at)


def _replayed(world, devices, rules):
    """(facts, findings) of each device, as a backtest judges them."""
    book = Rulebook(rules, load_inhibitions())
    window = Window(FROM_AT, day_of(FROM_AT), last_closed_day(TO_AT))
    with connect(world.url) as conn:
        facts = load_facts(conn, dict.fromkeys(devices, FROM_AT), joint_needs(rules), TO_AT)
        conn.rollback()
    return {no: (known, device_findings(book, rules, known, window)) for no, known in facts.items()}


def _enabled(world):
    with connect(world.url) as conn:
        return list(world.rules.book(conn).on_device)


def _stored(world, rule_id, columns):
    return set(
        world.rows(f"SELECT device_no, {columns} FROM finding WHERE rule_id = %s", [rule_id])
    )


def test_every_rule_concludes_the_same_live_and_over_history(lived):
    world, devices = lived
    spoke = set()
    for rule in _enabled(world):
        if rule.condition.needs.contact:
            continue
        live = _stored(world, rule.id, "about, started_at, ended_at, need, known_at")
        replayed = {
            (no, f.about, f.started_at, f.ended_at, str(f.need), f.known_at)
            for no, (_, findings) in _replayed(world, devices, [rule]).items()
            for f in findings
        }
        assert live == replayed, rule.id
        spoke |= {rule.kind} if live else set()
    assert spoke >= {"fault", "recurrence", "threshold", "trend"}, "the history proves something"


def test_silences_are_the_same_to_the_hour(lived):
    world, devices = lived
    ((rule_id,),) = world.rows("SELECT DISTINCT rule_id FROM finding WHERE about = 'contact'")
    with connect(world.url) as conn:
        rule, _ = stored_rule(conn, rule_id)
    live = sorted(_stored(world, rule_id, "started_at, need"))
    replayed = sorted(
        (no, f.started_at)
        for no, (_, findings) in _replayed(world, devices, [rule]).items()
        for f in findings
    )
    assert [row[0] for row in live] == [no for no, _ in replayed] == [devices[7]]
    for (_, started_at, need), (_, hour) in zip(live, replayed, strict=True):
        assert abs(started_at - hour) <= HOUR
        assert need == "history", "it was heard of again"


def test_every_cause_got_its_first_ticket_at_the_same_moment(lived):
    world, devices = lived
    rules = [rule for rule in _enabled(world) if not rule.condition.needs.contact]
    expected = {}
    for no, (facts, findings) in _replayed(world, devices, rules).items():
        owner = Owner(facts.device.device_class, None)
        for ticket in would_be_tickets(owner, facts.device, findings, {}):
            key = (no, ticket.draft.cause)
            expected[key] = min(ticket.opened_at, expected.get(key, ticket.opened_at))
    live = world.rows(
        "SELECT device_no, cause, min(known_at) FROM ticket WHERE state <> 'void'"
        " AND cause NOT LIKE 'rule:silent%' GROUP BY 1, 2"
    )
    assert {(no, cause): at for no, cause, at in live} == expected
    assert len(expected) > 8


def test_a_backtest_finds_the_real_tickets_where_its_own_would_be(lived):
    world, devices = lived
    with connect(world.url) as conn:
        _, body = stored_rule(conn, "reported-fault")
    replayed = replay_part(world.url, Asked(body, FROM_AT, TO_AT), devices)
    assert replayed
    real = {(row[0], row[1]) for row in world.rows("SELECT device_no, cause FROM ticket")}
    for one in replayed:
        assert (one.ticket.device.device_no, one.ticket.draft.cause) in real
    firsts = {(one.ticket.device.device_no, one.ticket.draft.cause) for one in replayed}
    later = [one for one in replayed if one.duplicate_of is not None]
    assert len(replayed) - len(later) <= len(firsts), "all but the first are duplicates"
