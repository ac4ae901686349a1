"""Any order of arrival, in any batches, with any duplicates, ends in the same rows everywhere."""

from __future__ import annotations

from datetime import timedelta
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.records import (
    BATTERY,
    CHARGE,
    DAY_MS,
    EPOCH,
    MINUTE_MS,
    NOON,
    NOON_MS,
    OTHER_EPOCH,
    fault,
    message,
    record,
    register,
)

from diagnostics.passes import diagnose, work_agenda
from diagnostics.rulebook import Rules
from fleet.wire.records import CBOR, Series, Skipped
from fleet.wire.topics import UpChannel
from storage.connection import connect
from storage.diagnosis import ROLE, take_inbox
from storage.intake import Intake
from storage.rollup import recompute

DEVICES = ("chair-1", "chair-2", "chair-3")
EVENING = NOON + timedelta(days=1)
MINUTE = timedelta(minutes=1)
TABLES = (
    "sample, fault_event, inbox, dirty_hour, ledger, gap, intake_total, quarantine,"
    " quarantine_total, rollup_hour, latest, episode, ticket, ticket_event, ticket_episode, outbox,"
    " finding, ticket_finding, ticket_clock, ticket_pause, agenda, self_help_answer"
)
PICTURE = {
    "samples": "SELECT device_no, metric_no, at, received_at, device_at, clock, value FROM sample"
    " ORDER BY 1, 2, 3, 4, 7",
    "faults": "SELECT * FROM fault_event ORDER BY device_no, epoch, seq, idx",
    "ledger": "SELECT device_no, epoch, received, lost, received_n, stored_n + quarantined_n,"
    " duplicate_n, is_gapped FROM ledger ORDER BY 1, 2",
    "quarantine": "SELECT reason, topic, payload FROM quarantine ORDER BY 1, 2, 3",
    "episodes": "SELECT device_no, system, code, started_at, last_at, ended_at, raised_n,"
    " cleared_n, logged_n, first_received_at FROM episode ORDER BY 1, 2, 3, 4",
    "tickets": "SELECT device_no, cause, state, order_kind, severity, usability, fixer, component,"
    " is_active, title_sv, title_en, body_sv, body_en, started_at, known_at, urgent_because"
    " FROM ticket WHERE state <> 'void' ORDER BY 1, 2, 3",
    "findings": "SELECT device_no, rule_id, about, started_at, last_at, ended_at, need, known_at,"
    " occurrence_n, confidence FROM finding ORDER BY 1, 2, 3, 4",
    "links": "SELECT t.device_no, t.cause, e.system, e.code, e.started_at FROM ticket t"
    " JOIN ticket_episode USING (ticket_no) JOIN episode e USING (episode_no)"
    " WHERE t.state <> 'void' ORDER BY 1, 2, 3, 4, 5",
    "latest": "SELECT * FROM latest ORDER BY 1, 2",
    "rollups": "SELECT * FROM rollup_hour ORDER BY 1, 2, 3",
}


def a_day(random):
    """What three devices say in a day; each copy of a record is received at the same time."""
    for device in DEVICES:
        for seq in range(1, 19):
            yield from _said(random, device, seq, EPOCH)
        for seq in range(1, 4):
            yield from _said(random, device, seq, OTHER_EPOCH)


def _said(random, device, seq, epoch):
    at = NOON_MS + random.randrange(DAY_MS // 2)
    received = {"received_ms": at + random.randrange(60) * MINUTE_MS}
    if seq == 7:
        yield message(Skipped(epoch, seq), device, **received)
        return
    if seq == 9:
        at -= 100 * 365 * DAY_MS  # bad_time
    faults = [
        fault(
            random.choice(["raised", "raised", "cleared"]),
            code=random.choice(["3D00", "2C00", "7100"]),
            at=at - random.randrange(5) * 1000,
        )
        for _ in range(random.choice([0, 0, 1, 2]))
    ]
    series = [
        Series(-random.randrange(120) * MINUTE_MS, {BATTERY: random.uniform(20, 30)})
        for _ in range(random.randrange(3))
    ]
    told = record(
        seq, epoch=epoch, at=at, m={BATTERY: random.uniform(20, 30), CHARGE: random.randrange(100)},
        series=series, faults=faults,
    )  # fmt: skip
    channel = UpChannel.URGENT if faults else UpChannel.BULK
    one = message(
        told, device, channel=channel, content_type=random.choice([None, CBOR]), **received
    )
    yield from [one] * random.choice([1, 1, 2, 3])


def diagnose_all(url, random):
    with connect(url, role=ROLE) as conn:
        book = Rules().book(conn)
        while True:
            taken = take_inbox(conn, EVENING, random.randint(1, 20))
            result = diagnose(conn, book, EVENING, taken)
            conn.commit()
            if result.taken_n in (0, result.held_n):
                break
        while recompute(conn, random.randint(1, 50), EVENING):
            conn.commit()
        while work_agenda(conn, book, EVENING + MINUTE, random.randint(1, 3)).taken_n:
            conn.commit()
        conn.commit()


def live_through(url, admin, arrivals, random):
    """Store everything in some batches, with diagnosis at some points between; what is there."""
    admin.execute(f"TRUNCATE {TABLES}")
    with Intake(url, "test") as intake:
        rest = list(arrivals)
        while rest:
            size = random.randint(1, 40)
            outcome = intake.store(rest[:size])
            assert outcome.received == outcome.stored + outcome.duplicate + outcome.quarantined
            rest = rest[size:]
            if random.random() < 0.4:
                diagnose_all(url, random)
    diagnose_all(url, random)
    return {name: admin.execute(query).fetchall() for name, query in PICTURE.items()}


def test_any_order_of_arrival_ends_in_the_same_rows(database, admin):
    register(database, *DEVICES)

    @settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**32))
    def holds(seed):
        random = Random(seed)
        day = list(a_day(random))
        expected = live_through(database, admin, day, random)
        assert all(expected.values()), "the day is rich enough to prove something"
        assert expected["ledger"][0][2:4] != expected["ledger"][1][2:4]
        found = live_through(database, admin, random.sample(day, len(day)), random)
        for name in PICTURE:
            assert found[name] == expected[name], name

    holds()


def test_a_day_that_arrives_twice_is_the_same_day(database, admin):
    register(database, *DEVICES)
    random = Random(1)
    day = list(a_day(random))
    once = live_through(database, admin, day, random)
    twice = live_through(database, admin, random.sample(day * 2, len(day) * 2), random)
    for name in PICTURE.keys() - {"ledger"}:
        assert twice[name] == once[name], name
    assert [row[:4] for row in twice["ledger"]] == [row[:4] for row in once["ledger"]]
