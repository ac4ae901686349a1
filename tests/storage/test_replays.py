"""Replay of quarantine on real servers: what becomes of a message, and the loss equation."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from support.records import (
    BATTERY,
    EPOCH,
    NOON,
    NOON_MS,
    birth,
    fault,
    ledger,
    message,
    quarantined,
    record,
    register,
    samples,
    totals,
)

from fleet.replays import Became, ReplayRefusedError
from fleet.wire.topics import MAX_PAYLOAD_BYTES
from storage.connection import connect
from storage.intake import Intake
from storage.registry import set_status
from storage.replays import NotInQuarantineError, replay

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def intake(plain_database):
    register(plain_database, "chair-1")
    with Intake(plain_database, "test") as opened:
        yield opened


@pytest.fixture
def admin(plain_database):
    with connect(plain_database) as opened:
        opened.autocommit = True
        yield opened


def balanced(admin):
    """Received, stored, duplicate, quarantined, once every account is seen to agree."""
    for row in admin.execute(
        "SELECT received_n, stored_n, duplicate_n, quarantined_n FROM intake_total"
        " UNION ALL SELECT received_n, stored_n, duplicate_n, quarantined_n FROM ledger"
    ):
        assert row[0] == row[1] + row[2] + row[3]
    received, stored, duplicate, refused, _ = totals(admin)
    by_reason = admin.execute(
        "SELECT coalesce(sum(message_n), 0)::int FROM quarantine_total"
    ).fetchone()
    assert by_reason == (refused,)
    return received, stored, duplicate, refused


def row(admin, *columns):
    found = admin.execute(f"SELECT {', '.join(columns)} FROM quarantine").fetchone()
    return found[0] if len(columns) == 1 else found


def test_a_device_that_was_unknown_gets_what_it_sent(intake, admin, plain_database):
    told = message(record(1, faults=[fault()], m={BATTERY: 24.5}), "chair-2")
    intake.store([told, told])
    intake.store([told])
    assert balanced(admin) == (3, 0, 0, 3)
    register(plain_database, "chair-2")
    found = replay(intake, 1, NOW)
    assert (found.became, found.message_n, found.sample_n) == (Became.STORED, 3, 1)
    assert balanced(admin) == (3, 1, 2, 0)
    assert ledger(admin, "chair-2")[EPOCH][2:6] == (3, 1, 2, 0)
    assert [s[2] for s in samples(admin, "chair-2")] == [NOON], "received when it was received"
    assert admin.execute("SELECT count(*) FROM inbox").fetchone() == (1,), "diagnostics is told"
    assert row(admin, "replayed_as", "replayed_at") == ("stored", NOW)


@pytest.fixture
def strict(plain_database):
    """A way in whose tenants may use one metric name of their own."""
    with Intake(plain_database, "strict", metrics_per_tenant=1) as opened:
        yield opened


def test_a_number_that_was_settled_by_it_is_stored_under_that_number(intake, strict, admin):
    strict.store([message(record(1)), message(record(2, m={"a_new_name_v": 1.0}))])
    strict.store([message(record(3, m={"another_name_v": 2.0})), message(record(4))])
    assert balanced(admin) == (4, 3, 0, 1)
    assert ledger(admin)[EPOCH][2:6] == (4, 3, 0, 1)
    assert replay(strict, 1, NOW).became is Became.REFUSED
    assert balanced(admin) == (4, 3, 0, 1)
    assert replay(intake, 1, NOW).became is Became.STORED
    assert balanced(admin) == (4, 4, 0, 0)
    assert ledger(admin)[EPOCH][:6] == ("{[1,5)}", "{}", 4, 4, 0, 0)
    assert "another_name_v" in {sample[0] for sample in samples(admin)}


def test_what_the_device_sent_again_meanwhile_is_a_duplicate(intake, admin, plain_database):
    told = message(record(1), "chair-2")
    intake.store([told])
    register(plain_database, "chair-2")
    intake.store([told])
    assert replay(intake, 1, NOW).became is Became.DUPLICATE
    assert balanced(admin) == (2, 1, 1, 0)
    assert len(samples(admin, "chair-2")) == 1


@pytest.mark.parametrize("content", [b"no json", b'{"epoch": "9f2c61d0a4b7e813", "seq": 7}'])
def test_what_is_still_wrong_stays_and_changes_no_count(intake, admin, content):
    intake.store([message(content)])
    before = balanced(admin), ledger(admin)
    for _ in range(2):
        found = replay(intake, 1, NOW)
        assert (found.became, found.reason) == (Became.REFUSED, "malformed")
        assert (balanced(admin), ledger(admin)) == before
    assert row(admin, "replayed_as", "replayed_at") == ("refused", NOW)


def test_it_may_be_refused_for_another_reason_than_before(intake, admin, plain_database):
    intake.store([message(b"no json", "chair-2")])
    assert row(admin, "reason") == "unknown_device"
    register(plain_database, "chair-2", status="pending")
    assert replay(intake, 1, NOW).reason == "pending_device"
    set_status_of(plain_database, "chair-2", "active")
    assert replay(intake, 1, NOW).reason == "malformed"
    assert row(admin, "reason") == "malformed"
    assert balanced(admin) == (1, 0, 0, 1)


def set_status_of(url, device, status):
    with connect(url) as conn:
        set_status(conn, device, status)
        conn.commit()


def test_it_leaves_quarantine_once(intake, admin, plain_database):
    intake.store([message(record(1), "chair-2")])
    register(plain_database, "chair-2")
    replay(intake, 1, NOW)
    with pytest.raises(ReplayRefusedError, match="left quarantine before, as stored"):
        replay(intake, 1, NOW)
    assert balanced(admin) == (1, 1, 0, 0)


def test_what_is_refused_after_a_replay_begins_anew(intake, admin, plain_database):
    told = message(record(1), "chair-2")
    intake.store([told, told])
    register(plain_database, "chair-2")
    replay(intake, 1, NOW)
    set_status_of(plain_database, "chair-2", "revoked")
    intake.store([told])
    assert row(admin, "reason", "message_n", "replayed_as") == ("revoked_device", 1, None)
    assert balanced(admin) == (3, 1, 1, 1)
    set_status_of(plain_database, "chair-2", "active")
    assert replay(intake, 1, NOW).became is Became.DUPLICATE
    assert balanced(admin) == (3, 1, 2, 0)
    assert len(samples(admin, "chair-2")) == 1


def test_the_same_bytes_settled_later_are_known_to_be_settled(
    intake, strict, admin, plain_database
):
    names = {"first_name_v": 1.0, "second_name_v": 2.0}
    told = message(record(1, m=names), "chair-2")
    strict.store([told])
    register(plain_database, "chair-2")
    strict.store([told])
    assert row(admin, "message_n", "epoch", "seq") == (2, EPOCH, 1)
    assert replay(intake, 1, NOW).became is Became.STORED
    assert balanced(admin) == (2, 1, 1, 0)
    assert ledger(admin, "chair-2")[EPOCH][2:6] == (2, 1, 1, 0)


def test_a_dry_run_says_it_and_changes_nothing(intake, admin, plain_database):
    intake.store([message(record(1, m={"dry_name_v": 1.0}), "chair-2"), message(b"no json")])
    register(plain_database, "chair-2")
    before = balanced(admin), quarantined(admin)
    assert replay(intake, 1, NOW, dry_run=True).became is Became.STORED
    assert replay(intake, 2, NOW, dry_run=True).became is Became.REFUSED
    assert (balanced(admin), quarantined(admin)) == before
    assert ledger(admin, "chair-2") == {}
    names = admin.execute("SELECT count(*) FROM metric WHERE name = 'dry_name_v'").fetchone()
    assert names == (0,)
    assert admin.execute("SELECT count(replayed_at) FROM quarantine").fetchone() == (0,)
    assert replay(intake, 1, NOW).became is Became.STORED


def test_what_is_not_whole_or_says_how_things_were_is_not_replayed(intake, admin):
    long = b'{"epoch": "9f2c61d0a4b7e813", "seq": 1, "x": "' + b"x" * MAX_PAYLOAD_BYTES + b'"}'
    intake.store([message(long), message(birth(1, 1), "chair-2")])
    numbers = dict(admin.execute("SELECT device_id, quarantine_no FROM quarantine").fetchall())
    with pytest.raises(ReplayRefusedError, match="not whole"):
        replay(intake, numbers["chair-1"], NOW)
    with pytest.raises(ReplayRefusedError, match="next connection"):
        replay(intake, numbers["chair-2"], NOW)
    with pytest.raises(NotInQuarantineError, match="no message 3"):
        replay(intake, 3, NOW)


def test_what_the_database_itself_refuses_stays_with_that_reason(intake, admin, plain_database):
    intake.store([message(record(1), "chair-2")])
    register(plain_database, "chair-2")
    admin.execute("ALTER TABLE dirty_hour ADD CONSTRAINT never CHECK (device_no < 0) NOT VALID")
    found = replay(intake, 1, NOW)
    assert (found.became, found.reason) == (Became.REFUSED, "rejected_by_database")
    assert balanced(admin) == (1, 0, 0, 1)
    admin.execute("ALTER TABLE dirty_hour DROP CONSTRAINT never")
    assert replay(intake, 1, NOW).became is Became.STORED


def test_many_replays_at_once_move_it_once(intake, admin, plain_database):
    told = [message(record(n), "chair-2") for n in range(1, 6)]
    intake.store(told)
    register(plain_database, "chair-2")
    became, barrier = [], threading.Barrier(4)

    def work(name):
        with Intake(plain_database, name) as own:
            barrier.wait()
            for number in range(1, 6):
                try:
                    became.append(replay(own, number, NOW).became)
                except ReplayRefusedError:
                    became.append(None)

    def live():
        with Intake(plain_database, "live") as own:
            barrier.wait()
            for one in told:
                own.store([one])

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(3)]
    threads.append(threading.Thread(target=live))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(became) - became.count(None) == 5
    assert balanced(admin) == (10, 5, 5, 0)
    assert len(samples(admin, "chair-2")) == 5


def test_a_time_that_the_device_did_not_know_is_that_of_the_first_receipt(
    intake, admin, plain_database
):
    told = record(1, at=NOON_MS - 40 * 86_400_000, clock="unset")
    intake.store([message(told, "chair-2")])
    later = NOON_MS + int(timedelta(days=3).total_seconds() * 1000)
    intake.store([message(told, "chair-2", received_ms=later)])
    register(plain_database, "chair-2")
    replay(intake, 1, NOW)
    assert [(s[1], s[2]) for s in samples(admin, "chair-2")] == [(NOON, NOON)]
