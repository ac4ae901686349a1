"""The way in, on real servers: exact rows, duplicates, poison, clocks, leases and races."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from datetime import UTC, datetime, timedelta

import cbor2
import psycopg
import pytest
from support.records import (
    BATTERY,
    CHARGE,
    DAY_MS,
    EPOCH,
    HOUR_MS,
    MINUTE_MS,
    NOON,
    NOON_MS,
    OTHER_EPOCH,
    birth,
    fault,
    instant,
    ledger,
    message,
    quarantined,
    record,
    register,
    samples,
    totals,
    will,
)

from fleet.wire.messages import Ack
from fleet.wire.reasons import Reason
from fleet.wire.records import CBOR, EARLIEST_MS, Series, Skipped, encode_record
from fleet.wire.topics import UpChannel, shard_of
from storage.connection import DatabaseDownError, connect
from storage.intake import Intake, LeaseLostError
from storage.registry import set_status

CHAIR = ("r1", "chair-1")


@pytest.fixture
def intake(database):
    register(database, "chair-1", "chair-2")
    with Intake(database, "test") as opened:
        yield opened


def counts(outcome):
    """Received, stored, duplicate, quarantined."""
    found = (outcome.received, outcome.stored, outcome.duplicate, outcome.quarantined)
    assert found[0] == sum(found[1:]), "received = stored + duplicate + quarantined"
    return found


def test_a_good_batch_is_in_every_table(intake, admin):
    told = record(
        1,
        at=NOON_MS - 1500,
        m={BATTERY: 24.5, CHARGE: 71},
        series=[Series(-HOUR_MS, {BATTERY: 25.25}), Series(0, {})],
        faults=[
            fault(at=NOON_MS - 2000, count=3, ctx={"drive_profile": 2, "why": "å"}),
            fault("cleared", code="FFFF"),
        ],
    )
    outcome = intake.store([message(told), message(record(2), channel=UpChannel.URGENT)])
    assert counts(outcome) == (2, 2, 0, 0)
    assert (outcome.samples, outcome.states, outcome.refused) == (4, 0, [])
    assert outcome.acks == {CHAIR: Ack(EPOCH, 2)}
    assert samples(admin) == [
        (BATTERY, instant(NOON_MS - HOUR_MS - 1500), NOON, 0, None, 25.25),
        (BATTERY, instant(NOON_MS - 1500), NOON, 0, None, 24.5),
        (CHARGE, instant(NOON_MS - 1500), NOON, 0, None, 71.0),
        (BATTERY, instant(NOON_MS - 1000), NOON, 0, None, 24.002),
    ]
    assert ledger(admin) == {EPOCH: ("{[1,3)}", "{}", 2, 2, 0, 0, False)}
    assert totals(admin) == (2, 2, 0, 0, 0)
    hours = admin.execute("SELECT DISTINCT hour FROM dirty_hour ORDER BY 1").fetchall()
    assert hours == [(NOON - timedelta(hours=2),), (NOON - timedelta(hours=1),)]
    assert admin.execute(
        "SELECT seq, idx, system, code, state, count, at, device_at, received_at, clock, ctx"
        " FROM fault_event ORDER BY idx"
    ).fetchall() == [
        (1, 0, "vr2", "2C00", "raised", 3, instant(NOON_MS - 2000), None, NOON, 0,
         {"drive_profile": 2, "why": "å"}),
        (1, 1, "vr2", "FFFF", "cleared", None, instant(NOON_MS - 1500), None, NOON, 0, None),
    ]  # fmt: skip
    assert admin.execute("SELECT epoch, seq, received_at FROM inbox").fetchall() == [
        (EPOCH, 1, NOON)
    ]
    assert quarantined(admin) == []


def test_an_empty_batch_is_no_trouble(intake, admin):
    assert counts(intake.store([])) == (0, 0, 0, 0)


def test_redelivery_stores_nothing_and_is_counted(intake, admin):
    batch = [message(record(seq, faults=[fault()], m={BATTERY: 1.0})) for seq in (1, 2, 3)]
    batch += [message(record(1), "chair-2", content_type=CBOR), message(b"?")]
    assert counts(intake.store(batch)) == (5, 4, 0, 1)
    tables = ("sample", "fault_event", "inbox", "dirty_hour", "quarantine")
    before = [admin.execute(f"SELECT count(*) FROM {table}").fetchone() for table in tables]
    again = intake.store([*batch, *batch])
    assert counts(again) == (10, 0, 8, 2)
    assert again.acks == {CHAIR: Ack(EPOCH, 3), ("r1", "chair-2"): Ack(EPOCH, 1)}
    after = [admin.execute(f"SELECT count(*) FROM {table}").fetchone() for table in tables]
    assert after == before
    assert ledger(admin) == {EPOCH: ("{[1,4)}", "{}", 9, 3, 6, 0, False)}
    assert totals(admin) == (15, 4, 8, 3, 0)


def test_the_same_record_twice_in_one_batch_is_stored_once(intake, admin):
    assert counts(intake.store([message(record(1))] * 3)) == (3, 1, 2, 0)
    assert len(samples(admin)) == 1


def test_epochs_and_devices_are_separate(intake, admin):
    batch = [
        message(record(1)),
        message(record(1, epoch=OTHER_EPOCH)),
        message(record(1), "chair-2"),
    ]
    assert counts(intake.store(batch)) == (3, 3, 0, 0)
    assert set(ledger(admin)) == {EPOCH, OTHER_EPOCH}
    assert len(samples(admin)) == 2


def test_two_samples_with_one_timestamp_are_two_samples(intake, admin):
    intake.store([message(record(1, m={BATTERY: 1})), message(record(2, m={BATTERY: 1}))])
    assert len(samples(admin)) == 2


def test_a_gap_is_in_the_acknowledgement_and_the_ledger(intake, admin):
    outcome = intake.store([message(record(seq)) for seq in (1, 2, 5)])
    assert outcome.acks[CHAIR].hi == 2
    assert ledger(admin)[EPOCH] == ("{[1,3),[5,6)}", "{}", 3, 3, 0, 0, True)
    assert intake.store([message(record(seq)) for seq in (4, 3)]).acks[CHAIR].hi == 5
    assert ledger(admin)[EPOCH][0] == "{[1,6)}"
    assert ledger(admin)[EPOCH][-1] is False


def test_records_of_many_months_and_years(intake, admin):
    days = [0, 40, 400, 3_000]
    batch = [message(record(n + 1, at=NOON_MS - day * DAY_MS)) for n, day in enumerate(days)]
    batch.append(message(record(9, at=EARLIEST_MS)))
    assert counts(intake.store(batch)) == (5, 5, 0, 0)
    assert len(samples(admin)) == 5


# Every reason of quarantine, each among good neighbours in one batch.

HEAD = b'{"epoch":"%s","seq":2,"at":%d,' % (EPOCH.encode(), NOON_MS)


@dataclasses.dataclass(frozen=True)
class Poison:
    """One bad message and what becomes of it; `is_settled` lets the ledger count it."""

    name: str
    reason: Reason
    payload: bytes = b""
    content_type: str | None = None
    is_settled: bool = False
    channel: UpChannel = UpChannel.BULK
    device: str = ""
    tenant: str = "r1"
    topic: str | None = None
    of_active: bool = True


def json_poison(name, tail, reason=Reason.MALFORMED, **fields):
    return Poison(name, reason, HEAD + tail, is_settled=True, **fields)


def cbor_poison(name, change, reason=Reason.MALFORMED, **fields):
    body = {"epoch": EPOCH, "seq": 2, "at": NOON_MS} | change
    return Poison(name, reason, cbor2.dumps(body), CBOR, **fields)


GOOD = encode_record(record(2))
CORPUS = [
    Poison("empty", Reason.MALFORMED),
    Poison("not UTF-8", Reason.MALFORMED, b"\xff\xfe\x00"),
    Poison("NUL alone", Reason.MALFORMED, b"\0"),
    json_poison("not UTF-8 inside", b'"m":{"\xff":1}}'),
    json_poison("NUL in a metric name", b'"m":{"a\\u0000":1}}'),
    json_poison(
        "NUL in a fault code", b'"faults":[{"system":"a","code":"\\u0000","state":"raised"}]}'
    ),
    json_poison(
        "NUL in ctx",
        b'"faults":[{"system":"a","code":"b","state":"raised","ctx":{"a":"\\u0000"}}]}',
        Reason.OUT_OF_RANGE,
    ),
    json_poison("lone surrogate", b'"faults":[{"system":"a","code":"\\ud800","state":"raised"}]}'),
    json_poison("lone surrogate in bytes", b'"clock":"\xed\xa0\x80"}'),
    json_poison("NaN", b'"m":{"a":NaN}}'),
    json_poison("Infinity", b'"m":{"a":Infinity}}'),
    json_poison("1e400", b'"m":{"a":1e400}}'),
    json_poison("a long number", b'"m":{"a":%s}}' % (b"1" * 4000)),
    json_poison(
        "a long number in ctx",
        b'"faults":[{"system":"a","code":"b","state":"raised","ctx":{"a":%s}}]}' % (b"1" * 400),
        Reason.OUT_OF_RANGE,
    ),
    cbor_poison("CBOR NaN", {"m": {"a": math.nan}}, Reason.OUT_OF_RANGE, is_settled=True),
    cbor_poison("CBOR Infinity", {"m": {"a": math.inf}}, Reason.OUT_OF_RANGE, is_settled=True),
    cbor_poison("CBOR number of 400 digits", {"m": {"a": 10**400}}, is_settled=True),
    cbor_poison("CBOR seq of 5000 digits", {"seq": 10**5000}),
    cbor_poison("CBOR at of 5000 digits", {"at": 10**5000}, is_settled=True),
    Poison("depth 10,000", Reason.MALFORMED, b"[" * 10_000),
    json_poison("depth 10,000 in a known field", b'"m":' + b'{"a":' * 10_000),
    json_poison("depth 10,000 in an unknown field", b'"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}"),
    json_poison("10 MB", b'"x":"' + b"x" * 10_000_000 + b'"}', Reason.TOO_LARGE),
    Poison("CBOR: huge text", Reason.MALFORMED, b"\x7b" + b"\x7f" + b"\xff" * 7 + b"abc", CBOR),
    Poison("CBOR: huge bytes", Reason.MALFORMED, b"\x5b" + b"\x00" * 3 + b"\xff" * 5, CBOR),
    Poison("CBOR: huge array", Reason.MALFORMED, b"\x9b" + b"\xff" * 8, CBOR),
    Poison("CBOR: huge map", Reason.MALFORMED, b"\xbb" + b"\x00" * 4 + b"\xff" * 4, CBOR),
    Poison("CBOR: depth", Reason.MALFORMED, b"\x81" * 60_000, CBOR),
    Poison("CBOR: holds itself", Reason.MALFORMED, bytes.fromhex("d81c81d81d00"), CBOR),
    cbor_poison("CBOR: bytes for text", {"clock": b"synced"}, is_settled=True),
    Poison("other content type", Reason.MALFORMED, GOOD, "text/plain", is_settled=True),
    Poison("content type with NUL", Reason.MALFORMED, GOOD, "a\0\ud800", is_settled=True),
    json_poison("seq is negative", b'"seq":-1}', Reason.OUT_OF_RANGE),
    json_poison("seq is huge", b'"seq":9007199254740992}', Reason.OUT_OF_RANGE),
    json_poison("a number out of range", b'"m":{"a":1e13}}', Reason.OUT_OF_RANGE),
    json_poison("10,000 metrics", b'"m":{%s}}' % b",".join(b'"m%d":1' % n for n in range(10_000)),
                Reason.TOO_LARGE),
    json_poison("too many samples", b'"m":{%s}}' % b",".join(b'"m%d":1' % n for n in range(600)),
                Reason.OUT_OF_RANGE),
    json_poison("1970", b'"at":1000}', Reason.BAD_TIME),
    json_poison("2099", b'"at":4079000000000}', Reason.BAD_TIME),
    json_poison("year 300000", b'"at":9404000000000000}', Reason.BAD_TIME),
    json_poison(
        "a sample in 1970", b'"series":[{"dt":-%d,"m":{"a":1}}]}' % NOON_MS, Reason.BAD_TIME
    ),
    json_poison(
        "corrected into 2078",
        b'"at":0,"clock":"unset","series":[{"dt":%d,"m":{"a":1}}]}' % NOON_MS,
        Reason.BAD_TIME,
    ),
    json_poison(
        "corrected into 1970",
        b'"clock":"unset","series":[{"dt":-%d,"m":{"a":1}}]}' % NOON_MS,
        Reason.BAD_TIME,
    ),
    json_poison("another device inside", b'"device":"chair-2"}', Reason.IDENTITY_MISMATCH),
    Poison("wrong shard", Reason.WRONG_SHARD, GOOD, topic="fk/1/{wrong}/r1/{device}/up/bulk",
           of_active=False),
    Poison("wrong tenant", Reason.WRONG_TENANT, GOOD, tenant="r2", of_active=False),
    Poison("unknown device", Reason.UNKNOWN_DEVICE, GOOD, device="nobody", of_active=False),
    Poison("pending", Reason.PENDING_DEVICE, GOOD, device="pending", of_active=False),
    Poison("revoked", Reason.REVOKED_DEVICE, GOOD, device="revoked", of_active=False),
    Poison("unknown channel", Reason.UNKNOWN_CHANNEL, GOOD,
           topic="fk/1/{shard}/r1/{device}/up/gossip"),
    Poison("spoken by the backend", Reason.UNKNOWN_CHANNEL, GOOD,
           topic="fk/1/{shard}/r1/{device}/down/bulk"),
    Poison("another tree", Reason.UNKNOWN_CHANNEL, GOOD, topic="elsewhere/{device}"),
    Poison("odd topic", Reason.UNKNOWN_CHANNEL, GOOD, topic="fk/1/aa/r1/\0{device}/up/bulk"),
    Poison("senml", Reason.NO_DECODER, b"[]", channel=UpChannel.SENML),
    Poison("gatt", Reason.NO_DECODER, b"{}", channel=UpChannel.GATT),
    Poison("state: empty", Reason.MALFORMED, channel=UpChannel.STATE),
    Poison("state: no boot", Reason.MALFORMED, b'{"online":true}', channel=UpChannel.STATE),
    Poison("state: NUL", Reason.MALFORMED, b'{"online":true,"boot":1,"fw":"\\u0000"}',
           channel=UpChannel.STATE),
    Poison("state: boot", Reason.OUT_OF_RANGE, b'{"online":true,"boot":1e3}'.replace(b"1e3", b"-1"),
           channel=UpChannel.STATE),
    Poison("state: outbox", Reason.OUT_OF_RANGE, channel=UpChannel.STATE,
           payload=b'{"online":true,"boot":1,"outbox":{"oldest_seq":9,"next_seq":1}}'),
    Poison("state: another device", Reason.IDENTITY_MISMATCH, channel=UpChannel.STATE,
           payload=b'{"online":true,"boot":1,"device":"chair-2"}'),
]  # fmt: skip


@pytest.fixture(scope="module", params=["plain", "timescale"])
def shared_database(request):
    """One database for many cases that keep to devices of their own."""
    cluster = request.getfixturevalue(request.param)
    if cluster is None:
        pytest.skip("no PostgreSQL with TimescaleDB on this machine")
    from storage.migrate import migrate  # noqa: PLC0415 - beside its only use

    url = cluster.create_database("poison")
    migrate(url)
    register(url, *(f"{who}-{n}" for n in range(len(CORPUS)) for who in ("good", "bad")))
    register(url, "pending", status="pending")
    register(url, "revoked", status="revoked")
    register(url, "metric-hog")
    with psycopg.connect(url, autocommit=True) as admin, Intake(url, "poison") as opened:
        yield admin, opened
    cluster.drop_database("poison")


@pytest.mark.parametrize("number", range(len(CORPUS)), ids=[case.name for case in CORPUS])
def test_poison_among_good_neighbours(shared_database, number):
    admin, intake = shared_database
    case, device = CORPUS[number], CORPUS[number].device or f"bad-{number}"
    shard = shard_of(device)
    topic = case.topic and case.topic.format(
        shard=f"{shard:02x}", wrong=f"{shard ^ 1:02x}", device=device
    )
    bad = message(case.payload, device, tenant=case.tenant, channel=case.channel,
                  content_type=case.content_type, topic=topic)  # fmt: skip
    before = totals(admin)
    started = time.monotonic()
    outcome = intake.store([
        message(record(1), f"good-{number}"),
        message(record(1), f"bad-{number}"),
        bad,
        message(record(3), f"bad-{number}"),
        message(record(2), f"good-{number}", content_type=CBOR),
    ])  # fmt: skip
    assert time.monotonic() - started < 1.0
    assert counts(outcome) == (5, 4, 0, 1)
    assert [item.reason for item in outcome.refused] == [case.reason]
    assert len(samples(admin, f"good-{number}")) == len(samples(admin, f"bad-{number}")) == 2
    difference = [now - then for now, then in zip(totals(admin), before, strict=True)]
    assert difference == [5, 4, 0, 1, 0]
    assert admin.execute(
        "SELECT reason, payload, payload_size, message_n, epoch, seq, received_at FROM quarantine"
        " WHERE topic = %s AND payload_size = %s ORDER BY quarantine_no DESC",
        [bad.topic.encode(), len(case.payload)],
    ).fetchone() == (
        case.reason, case.payload[:65_536], len(case.payload), 1,
        *((EPOCH, 2) if case.is_settled else (None, None)), NOON,
    )  # fmt: skip
    quarantined_n = 1 if case.is_settled else 0
    assert ledger(admin, f"bad-{number}")[EPOCH][2:6] == (2 + quarantined_n, 2, 0, quarantined_n)
    assert outcome.acks["r1", f"bad-{number}"].hi == (3 if case.is_settled else 1)
    if not case.of_active:
        assert ledger(admin, device) == {} or device == f"bad-{number}"


def test_the_corpus_reaches_every_reason_that_needs_no_help():
    helped = {Reason.TOO_MANY_METRICS, Reason.REJECTED_BY_DATABASE}
    assert {case.reason for case in CORPUS} | helped == set(Reason)


def test_ten_thousand_names_spread_over_many_records(shared_database):
    admin, intake = shared_database
    started = time.monotonic()
    batch = [
        message(record(n + 1, m={f"hog_{n}_{k}": 1.0 for k in range(500)}), "metric-hog")
        for n in range(20)
    ]
    outcome = intake.store([message(record(99), "metric-hog"), *batch])
    assert counts(outcome) == (21, 3, 0, 18)
    assert {item.reason for item in outcome.refused} == {Reason.TOO_MANY_METRICS}
    assert admin.execute("SELECT count(*) FROM tenant_metric").fetchone() == (1_000,)
    assert outcome.acks["r1", "metric-hog"].hi == 20
    again = intake.store([message(record(100, m={"hog_9_9": 1.0}), "metric-hog")])
    assert counts(again) == (1, 0, 0, 1)
    assert time.monotonic() - started < 2.0


def test_a_tenant_at_its_limit_does_not_limit_another(database, admin):
    register(database, "chair-1", "chair-2")
    register(database, "other", tenant="r2")
    with (
        Intake(database, "a", metrics_per_tenant=3) as one,
        Intake(database, "b", metrics_per_tenant=3) as two,
    ):
        assert counts(one.store([message(record(1, m={"x_a": 1, "x_b": 1}))]))[1] == 1
        assert counts(two.store([message(record(1, m={"x_c": 1, "x_d": 1}), "chair-2")]))[3] == 1
        assert counts(two.store([message(record(2, m={"x_a": 1, "x_c": 1}), "chair-2")]))[1] == 1
        good = message(record(1, m={"x_d": 1, "x_e": 1}), "other", tenant="r2")
        assert counts(one.store([good]))[1] == 1
        mixed = [message(record(n, m={f"x_{n}": 1.0, BATTERY: 24})) for n in (10, 11)]
        assert counts(one.store([*mixed, message(record(12))])) == (3, 1, 0, 2)
    assert [row[5] for row in samples(admin, "chair-1") if row[0] == BATTERY] == [24.012]
    assert {row[0] for row in quarantined(admin)} == {"too_many_metrics"}


def reject(admin, value):
    """Make the database refuse one value, as a check that we do not know of would."""
    admin.execute(
        f"CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NEW.value = {value} THEN RAISE EXCEPTION 'no such voltage' USING ERRCODE = '22000';"
        " END IF; RETURN NEW; END $$"
    )
    admin.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON sample FOR EACH ROW EXECUTE FUNCTION refuse()"
    )


@pytest.mark.parametrize("culprits", [[7], [0], [63], [3, 40], [20, 21]])
def test_what_the_database_rejects_is_found_by_halving(intake, admin, culprits):
    reject(admin, -7)
    bad = {BATTERY: -7.0}
    batch = [message(record(n + 1, m=bad) if n in culprits else record(n + 1)) for n in range(64)]
    before = admin.execute("SELECT version FROM registry_version").fetchone()
    parts = list(intake.store_parts(batch))
    assert [item for part, _ in parts for item in part] == batch, "in the order of arrival"
    found = [counts(outcome) for _, outcome in parts]
    assert [sum(column) for column in zip(*found, strict=True)] == [
        64, 64 - len(culprits), 0, len(culprits),
    ]  # fmt: skip
    assert len(parts) <= len(culprits) * (1 + math.log2(64))
    assert [(row[0], row[2]) for row in quarantined(admin)] == [("rejected_by_database", 1)] * len(
        culprits
    )
    assert {row[1] for row in quarantined(admin)} == {batch[n].payload for n in culprits}
    assert ledger(admin)[EPOCH] == (
        "{[1,65)}",
        "{}",
        64,
        64 - len(culprits),
        0,
        len(culprits),
        False,
    )
    assert len(samples(admin)) == 64 - len(culprits)
    assert totals(admin) == (64, 64 - len(culprits), 0, len(culprits), 0)
    assert parts[-1][1].acks[CHAIR].hi == 64
    assert admin.execute("SELECT version FROM registry_version").fetchone() == before
    assert all(counts(outcome)[2] == len(part) for part, outcome in intake.store_parts(batch))


def test_a_state_that_the_database_rejects_is_quarantined_too(intake, admin):
    admin.execute("ALTER TABLE device_state ADD CONSTRAINT odd CHECK (fw <> 'odd')")
    batch = [message(record(1)), message(birth(fw="odd")), message(record(2))]
    outcomes = [outcome for _, outcome in intake.store_parts(batch)]
    assert sum(outcome.quarantined for outcome in outcomes) == 1
    assert sum(outcome.stored for outcome in outcomes) == 2
    assert quarantined(admin) == [("rejected_by_database", batch[1].payload, 1)]


# The registry


def test_a_device_that_nobody_knows_gets_no_answer_until_it_is_registered(intake, database, admin):
    late = message(record(1), "late")
    outcome = intake.store([late, message(record(1))])
    assert counts(outcome) == (2, 1, 0, 1)
    assert set(outcome.acks) == {CHAIR}
    assert ledger(admin, "late") == {}
    register(database, "late")
    assert ledger(admin, "late") == {}
    outcome = intake.store([late])
    assert counts(outcome) == (1, 1, 0, 0)
    assert outcome.acks == {("r1", "late"): Ack(EPOCH, 1)}


@pytest.mark.parametrize("status", ["pending", "revoked"])
def test_a_change_of_status_is_obeyed_by_the_next_batch(intake, database, admin, status):
    assert counts(intake.store([message(record(1))])) == (1, 1, 0, 0)
    with connect(database) as conn:
        assert set_status(conn, "chair-1", status)
    outcome = intake.store([message(record(2))])
    assert (counts(outcome), outcome.acks) == ((1, 0, 0, 1), {})
    assert outcome.refused[0].reason == f"{status}_device"
    with connect(database) as conn:
        set_status(conn, "chair-1", "active")
    assert intake.store([message(record(2))]).acks[CHAIR].hi == 2


# Clocks and states


def state_of(admin, device="chair-1"):
    return admin.execute(
        "SELECT is_online, boot, fw, skew_ms FROM device_state JOIN device USING (device_no)"
        " WHERE id = %s",
        [device],
    ).fetchone()


def test_a_birth_is_written_and_answered(intake, admin):
    told = birth(
        17, oldest=1, next_seq=1, model="permobil-m3", hw="B", fw="2.4.1", clock="drifting"
    )
    outcome = intake.store([message(told)])
    assert (counts(outcome), outcome.states) == ((0, 0, 0, 0), 1)
    assert outcome.acks == {CHAIR: Ack(EPOCH, 0)}
    assert totals(admin) == (0, 0, 0, 0, 1)
    assert admin.execute(
        "SELECT is_online, boot, epoch, clock, skew_ms, model, hw, fw, oldest_seq, next_seq,"
        " born_at, changed_at FROM device_state"
    ).fetchone() == (
        True, 17, EPOCH, "drifting", 0, "permobil-m3", "B", "2.4.1", 1, 1, NOON, NOON,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        pytest.param([birth(5), will(5)], (False, 5), id="a will after its birth"),
        pytest.param([birth(5), will(4)], (True, 5), id="an older will is ignored"),
        pytest.param([birth(5), birth(4)], (True, 5), id="an older birth too"),
        pytest.param([birth(5), will(6)], (False, 6), id="a newer will counts"),
        pytest.param([will(5)], (False, 5), id="a will alone"),
        pytest.param([birth(5), will(5), birth(5)], (True, 5), id="a reconnect in one boot"),
        pytest.param(
            [birth(5), will(5), birth(6), will(5)], (True, 6), id="the old will comes late"
        ),
    ],
)
@pytest.mark.parametrize("is_one_batch", [True, False])
def test_the_newest_boot_wins(intake, admin, states, expected, is_one_batch):
    batch = [message(state) for state in states]
    for part in [batch] if is_one_batch else [[item] for item in batch]:
        intake.store(part)
    assert state_of(admin)[:2] == expected


@pytest.mark.parametrize(
    ("held_up", "is_online"),
    [
        pytest.param({"is_fresh": False}, False, id="a will that waited in a queue counts"),
        pytest.param({"is_retained": True}, True, id="a copy may be older than what is known"),
    ],
)
def test_a_will_that_comes_late(intake, admin, held_up, is_online):
    intake.store([message(birth(5))])
    intake.store([message(will(5), **held_up)])
    assert state_of(admin)[:2] == (is_online, 5)
    intake.store([message(birth(6), **held_up)])
    assert state_of(admin)[:2] == (True, 6)
    intake.store([message(will(6))])
    intake.store([message(birth(6), **held_up)])
    assert state_of(admin)[:2] == (not is_online, 6)


def test_the_skew_is_learnt_per_boot_and_corrects_what_comes_later(intake, admin):
    fast = HOUR_MS
    intake.store([message(birth(1, clock_ms=NOON_MS + fast))])
    assert state_of(admin)[3] == fast
    told = [
        record(1, boot=1, at=NOON_MS + fast - 1000),
        record(2, boot=2, at=NOON_MS - 1000),
        record(3, at=NOON_MS + fast - 2000, faults=[fault(), fault(at=NOON_MS + fast - MINUTE_MS)]),
    ]
    intake.store([message(item) for item in told])
    assert [row[1:5] for row in samples(admin)] == [
        (instant(NOON_MS - 1000), NOON, 2, instant(NOON_MS + fast - 1000)),
        (instant(NOON_MS - 1000), NOON, 0, None),
    ]
    faults = "SELECT at, device_at, clock FROM fault_event ORDER BY idx"
    assert admin.execute(faults).fetchall() == [
        (instant(NOON_MS - 2000), instant(NOON_MS + fast - 2000), 2),
        (instant(NOON_MS - MINUTE_MS), instant(NOON_MS + fast - MINUTE_MS), 2),
    ]


def test_a_record_without_a_boot_belongs_to_the_newest(intake, admin):
    intake.store([message(birth(1, clock_ms=NOON_MS + HOUR_MS))])
    intake.store([message(birth(2, clock_ms=NOON_MS))])
    intake.store([message(record(1, at=NOON_MS - 1000)), message(record(2, boot=1))])
    assert [(row[1], row[3]) for row in samples(admin)] == [
        (instant(NOON_MS - HOUR_MS - 1000), 2),
        (instant(NOON_MS - 1000), 0),
    ]


@pytest.mark.parametrize("held_up", [{"is_retained": True}, {"is_fresh": False}], ids=str)
def test_a_state_that_was_held_up_sets_no_skew(intake, admin, held_up):
    intake.store([message(birth(1, clock_ms=NOON_MS - HOUR_MS), **held_up)])
    assert state_of(admin) == (True, 1, None, None)
    intake.store([message(record(1))])
    assert samples(admin)[0][1:5] == (instant(NOON_MS - 1000), NOON, 0, None)


def test_the_largest_skew_of_a_boot_stands(intake, admin):
    """A delay on the way makes a clock look slower than it is."""
    for skew in (-90_000, -40_000, -70_000):
        intake.store([message(birth(1, clock_ms=NOON_MS + skew))])
    assert admin.execute("SELECT boot, skew_ms FROM device_boot").fetchall() == [(1, -40_000)]


def test_an_unset_clock_without_a_skew_means_receipt(intake, admin):
    told = record(1, at=5000, clock="unset", m={BATTERY: 1}, series=[Series(-4000, {BATTERY: 2})])
    intake.store([message(told)])
    assert [row[1:] for row in samples(admin)] == [
        (instant(NOON_MS - 4000), NOON, 3, instant(1000), 2.0),
        (NOON, NOON, 3, instant(5000), 1.0),
    ]


# What a device no longer has


def test_what_a_device_no_longer_has_is_closed_as_lost(intake, admin):
    intake.store([message(record(seq)) for seq in (1, 4, 8)])
    outcome = intake.store([message(birth(oldest=7))])
    assert ledger(admin)[EPOCH] == ("{[1,7),[8,9)}", "{[2,4),[5,7)}", 3, 3, 0, 0, True)
    assert outcome.acks[CHAIR].hi == 6


def test_a_new_epoch_closes_the_old_one(intake, admin):
    intake.store([message(record(seq)) for seq in (1, 4)])
    intake.store([message(birth(oldest=1, epoch=OTHER_EPOCH))])
    assert ledger(admin) == {
        EPOCH: ("{[1,5)}", "{[2,4)}", 2, 2, 0, 0, False),
        OTHER_EPOCH: ("{}", "{}", 0, 0, 0, 0, False),
    }


def test_a_lost_record_that_arrives_after_all_is_stored(intake, admin):
    intake.store([message(record(3)), message(birth(oldest=3))])
    assert ledger(admin)[EPOCH][1] == "{[1,3)}"
    assert counts(intake.store([message(record(2)), message(record(2))])) == (2, 1, 1, 0)
    assert ledger(admin)[EPOCH] == ("{[1,4)}", "{[1,2)}", 3, 2, 1, 0, False)
    assert len(samples(admin)) == 2


def test_a_lost_record_that_arrives_broken_is_quarantined(intake, admin):
    intake.store([message(record(3)), message(birth(oldest=3))])
    assert counts(intake.store([message(record(2, at=0))])) == (1, 0, 0, 1)
    assert ledger(admin)[EPOCH][:2] == ("{[1,4)}", "{[1,2)}")
    assert [row[0] for row in quarantined(admin)] == ["bad_time"]


def test_a_skipped_marker_closes_one_record(intake, admin):
    outcome = intake.store([message(record(1)), message(Skipped(EPOCH, 2)), message(record(3))])
    assert counts(outcome) == (3, 3, 0, 0)
    assert outcome.acks[CHAIR].hi == 3
    assert ledger(admin)[EPOCH][:2] == ("{[1,4)}", "{[2,3)}")
    assert counts(intake.store([message(record(2))])) == (1, 1, 0, 0)
    assert ledger(admin)[EPOCH][:2] == ("{[1,4)}", "{}")


# How long records are under way


def test_a_way_in_says_how_long_its_last_records_were_under_way(intake, admin):
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    intake.store(
        [
            message(record(n, at=now_ms - ago_s * 1000), received_ms=now_ms - wait_s * 1000)
            for n, ago_s, wait_s in ((1, 900, 2), (2, 300, 7), (3, 60, 1))
        ]
    )
    query = "SELECT receipt_delay_s, age_s FROM intake_total"
    told = admin.execute(query).fetchone()
    assert 7 <= told[0] < 60
    assert 300 <= told[1] < 360
    intake.store([message(record(3, at=now_ms), received_ms=now_ms)])
    assert admin.execute(query).fetchone() == told, "nothing was stored"


# Leases, races and lost connections


def test_a_batch_of_a_slot_that_another_worker_holds_is_not_stored(intake, admin):
    admin.execute("UPDATE ingest_slot SET fence = 5 WHERE slot IN (1, 2)")
    with pytest.raises(LeaseLostError) as caught:
        intake.store([message(record(1))], {1: 5, 2: 4, 3: 0})
    assert caught.value.slots == {2}
    assert samples(admin) == []
    assert ledger(admin) == {}
    assert admin.execute("SELECT count(*) FROM intake_total").fetchone() == (0,)
    assert counts(intake.store([message(record(1))], {1: 5, 3: 0})) == (1, 1, 0, 0)
    assert admin.execute("SELECT source FROM intake_total").fetchall() == [("test/1",)]


def test_a_cut_connection_is_reported_and_then_replaced(intake, admin):
    intake.store([message(record(1))])
    killed = admin.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name = 'fjarrkoll test' AND datname = current_database()"
    ).fetchall()
    assert killed == [(True,)]
    with pytest.raises(DatabaseDownError):
        intake.store([message(record(2))])
    assert counts(intake.store([message(record(2)), message(record(1))])) == (2, 1, 1, 0)
    assert len(samples(admin)) == 2


def store_again(intake, batch):
    """Store as the worker does: a deadlock is tried again."""
    for _ in range(5):
        try:
            return intake.store(batch)
        except DatabaseDownError as exc:
            if "40P01" not in str(exc):
                raise
    raise AssertionError("five deadlocks in a row")


def test_two_writers_on_the_same_devices_store_everything_once(database, admin):
    devices = [f"chair-{n}" for n in range(8)]
    register(database, *devices)
    faulty = [record(seq, faults=[fault()], m={BATTERY: 1}) for seq in range(1, 11)]
    everything = [message(told, device) for device in devices for told in (*faulty, birth())]
    start, failures = threading.Barrier(2), []

    def write(name, order):
        try:
            with Intake(database, name) as intake:
                start.wait()
                for at in range(0, len(order), 11):
                    store_again(intake, order[at : at + 11])
        except BaseException as exc:
            failures.append(exc)
            raise

    threads = [
        threading.Thread(target=write, args=("one", everything)),
        threading.Thread(target=write, args=("two", everything[::-1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert admin.execute("SELECT count(*) FROM sample").fetchone() == (80,)
    assert admin.execute("SELECT count(*) FROM fault_event").fetchone() == (80,)
    assert totals(admin) == (160, 80, 80, 0, 16)
    for device in devices:
        assert ledger(admin, device) == {EPOCH: ("{[1,11)}", "{}", 20, 10, 10, 0, False)}


def test_a_writer_waits_for_another_at_the_same_ledger_row(intake, database, admin):
    """What the other stores meanwhile is a duplicate, and what it noted is not written over."""
    intake.store([message(record(1))])
    outcomes = []
    waiter = threading.Thread(
        target=lambda: outcomes.append(intake.store([message(record(2)), message(record(3))]))
    )
    with connect(database) as other:
        other.execute("SELECT FROM ledger FOR UPDATE")
        waiter.start()
        wait_for_lock(admin)
        other.execute("UPDATE ledger SET received = '{[1,3)}', received_n = 2, stored_n = 2")
    waiter.join(10)
    assert [counts(outcome) for outcome in outcomes] == [(2, 1, 1, 0)]
    assert ledger(admin) == {EPOCH: ("{[1,4)}", "{}", 4, 3, 1, 0, False)}


def wait_for_lock(admin):
    """Until a connection of this database waits for a lock."""
    deadline = time.monotonic() + 10
    waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
    while not admin.execute(waiting, [admin.info.dbname]).fetchall():
        assert time.monotonic() < deadline, "nobody waits for a lock"


def test_two_writers_meeting_new_metrics_agree_on_their_numbers(database, admin):
    devices = ["chair-0", "chair-1"]
    register(database, *devices)
    start = threading.Barrier(2)

    def write(device):
        with Intake(database, device, metrics_per_tenant=40) as intake:
            start.wait()
            for seq in range(1, 11):
                names = {f"new_{seq}_{k}": float(k) for k in range(10)}
                intake.store([message(record(seq, m=names), device)])

    threads = [threading.Thread(target=write, args=(device,)) for device in devices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert admin.execute("SELECT count(*) FROM tenant_metric").fetchone() == (40,)
    assert totals(admin)[0] == 20
    first, second = ([row[0] for row in samples(admin, device)] for device in devices)
    assert first == second
    assert len(first) == 40
