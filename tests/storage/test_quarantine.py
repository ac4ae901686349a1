"""Quotas: what is kept, what is only counted, and what counts up in one row."""

from __future__ import annotations

import pytest
from support.records import EPOCH, NOON_MS, ledger, message, quarantined, record, register, totals

from fleet.wire.topics import MAX_PAYLOAD_BYTES
from storage import quarantine
from storage.intake import Intake


@pytest.fixture
def intake(database):
    register(database, "chair-1", "chair-2")
    with Intake(database, "test") as opened:
        yield opened


def bad(number, device="chair-1", **fields):
    return message(b"bad %d" % number, device, **fields)


def counted(admin):
    return dict(admin.execute("SELECT reason, message_n FROM quarantine_total").fetchall())


def test_a_device_fills_its_own_quota_and_no_other(intake, admin, monkeypatch):
    monkeypatch.setattr(quarantine, "KEPT_PER_DEVICE", 5)
    for start in (0, 4, 8):
        outcome = intake.store([*(bad(start + n) for n in range(4)), bad(start, "chair-2")])
        assert outcome.quarantined == 5
    kept = admin.execute("SELECT device_id, count(*) FROM quarantine GROUP BY 1 ORDER BY 1")
    assert kept.fetchall() == [("chair-1", 5), ("chair-2", 3)]
    assert counted(admin) == {"malformed": 15}
    assert totals(admin)[3] == 15, "the rest is counted"


def test_the_quota_of_a_device_is_a_thousand(intake, admin):
    for start in (0, 600):
        intake.store([bad(start + n, "nobody") for n in range(600)])
    assert admin.execute("SELECT count(*) FROM quarantine").fetchone() == (1_000,)
    assert counted(admin) == {"unknown_device": 1_200}
    assert ledger(admin, "nobody") == {}


def test_the_whole_quarantine_has_a_limit(intake, admin, monkeypatch):
    monkeypatch.setattr(quarantine, "KEPT_IN_ALL", 2)
    for number in range(4):
        intake.store([bad(number, f"nobody-{number}")])
    assert admin.execute("SELECT count(*) FROM quarantine").fetchone() == (2,)
    assert counted(admin) == {"unknown_device": 4}


def test_the_same_bytes_on_the_same_topic_count_up_in_one_row(intake, admin):
    late = bad(1, received_ms=NOON_MS + 5_000)
    intake.store([bad(1), bad(1), bad(2)])
    intake.store([late, bad(1, "chair-2"), late])
    assert sorted(quarantined(admin)) == [
        ("malformed", b"bad 1", 1),
        ("malformed", b"bad 1", 4),
        ("malformed", b"bad 2", 1),
    ]
    seconds = admin.execute("SELECT extract(epoch FROM last_at - received_at) FROM quarantine")
    assert sorted(int(row[0]) for row in seconds) == [0, 0, 5]
    assert counted(admin) == {"malformed": 6}


def test_a_redelivery_counts_up_also_when_the_quota_is_used_up(intake, admin, monkeypatch):
    monkeypatch.setattr(quarantine, "KEPT_PER_DEVICE", 2)
    intake.store([bad(1), bad(2), bad(3)])
    intake.store([bad(2), bad(1), bad(4)])
    assert [row[2] for row in quarantined(admin)] == [2, 2]
    monkeypatch.setattr(quarantine, "KEPT_IN_ALL", 2)
    intake.store([bad(2), bad(1), bad(1, "chair-2")])
    assert [row[2] for row in quarantined(admin)] == [3, 3]


def test_topic_and_payload_are_kept_as_they_came(intake, admin):
    odd = message(b"\0\xff" * MAX_PAYLOAD_BYTES, topic="elsewhere/\0/å" + "x" * 2_000)
    intake.store([odd])
    row = admin.execute("SELECT topic, payload, payload_size, device_id FROM quarantine").fetchone()
    assert row is not None
    assert row[0] == odd.topic.encode()[:1000]
    assert row[1:] == (odd.payload[:MAX_PAYLOAD_BYTES], 2 * MAX_PAYLOAD_BYTES, None)


def test_a_settled_refusal_is_acknowledged_and_sent_no_more(intake, admin):
    batch = [message(record(1)), message(record(2, at=0)), message(record(3))]
    outcome = intake.store(batch)
    assert outcome.acks["r1", "chair-1"].hi == 3
    assert ledger(admin)[EPOCH] == ("{[1,4)}", "{}", 3, 2, 0, 1, False)
    again = intake.store(batch)
    assert (again.duplicate, again.quarantined) == (3, 0)
    assert [row[2] for row in quarantined(admin)] == [1]
