"""One verdict per message: who speaks is judged before what is said."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import DAY_MS, EPOCH, NOON_MS, RECORDS, birth, entry, message, record, will

from fleet.clock import ClockQuality
from fleet.intake import Accepted, Refused, StateReport, judge
from fleet.wire.records import CBOR, Skipped, encode_record
from fleet.wire.topics import UpChannel, shard_of

KNOWN = {
    "chair-1": entry(1),
    "chair-2": entry(2, "chair-2", tenant="r2"),
    "new": entry(3, "new", status="pending"),
    "old": entry(4, "old", status="revoked"),
}
SHARD = f"{shard_of('chair-1'):02x}"
OTHER_SHARD = f"{shard_of('chair-1') ^ 1:02x}"


def verdict(*args, **fields):
    return judge(message(*args, **fields), KNOWN.get)


@pytest.mark.parametrize("content_type", [None, "application/json", CBOR])
@pytest.mark.parametrize("channel", [UpChannel.BULK, UpChannel.URGENT])
def test_a_good_record_is_accepted(channel, content_type):
    found = verdict(record(4), channel=channel, content_type=content_type)
    assert isinstance(found, Accepted)
    assert (found.device, found.record) == (KNOWN["chair-1"], record(4))
    assert found.shift == (0, ClockQuality.SYNCED)


def test_a_marker_and_a_state_are_taken():
    assert isinstance(verdict(Skipped(EPOCH, 4)), Accepted)
    for state in (birth(), will()):
        found = verdict(state)
        assert isinstance(found, StateReport)
        assert found.state == state


BAD = b'{"epoch":"%s","seq":4,"m":NaN}' % EPOCH.encode()


@pytest.mark.parametrize(
    ("what", "fields", "reason", "identity"),
    [
        (record(), {"topic": "elsewhere"}, "unknown_channel", None),
        (record(), {"topic": f"fk/1/{SHARD}/r1/chair-1/up/gossip"}, "unknown_channel", None),
        (record(), {"topic": f"fk/1/{SHARD}/r1/chair-1/down/bulk"}, "unknown_channel", None),
        (record(), {"topic": f"fk/1/{OTHER_SHARD}/r1/chair-1/up/bulk"}, "wrong_shard", None),
        (record(), {"device": "nobody"}, "unknown_device", None),
        (record(), {"device": "new"}, "pending_device", None),
        (record(), {"device": "old"}, "revoked_device", None),
        (record(), {"device": "chair-2"}, "wrong_tenant", None),
        (record(4, device="chair-2"), {}, "identity_mismatch", (EPOCH, 4)),
        (birth(device="chair-2"), {}, "identity_mismatch", None),
        (BAD, {}, "malformed", (EPOCH, 4)),
        (BAD + b" " * 70_000, {}, "too_large", (EPOCH, 4)),
        (record(4, m={"a": 2e12}), {}, "out_of_range", (EPOCH, 4)),
        (record(4, at=0), {}, "bad_time", (EPOCH, 4)),
        (record(4, at=NOON_MS + 2 * DAY_MS), {}, "bad_time", (EPOCH, 4)),
        (b"[]", {"channel": UpChannel.SENML}, "no_decoder", None),
        (b"{}", {"channel": UpChannel.GATT}, "no_decoder", None),
        (b"{}", {"channel": UpChannel.STATE}, "malformed", None),
    ],
)
def test_a_refusal_has_its_reason_and_what_the_ledger_may_count(what, fields, reason, identity):
    found = verdict(what, **fields)
    assert isinstance(found, Refused)
    assert (found.reason, found.identity) == (reason, identity)
    if identity is not None:
        assert found.device is KNOWN["chair-1"]


def test_who_speaks_is_judged_before_what_is_said():
    wrong = f"fk/1/{OTHER_SHARD}/r2/old/up/gossip"
    assert judge(message(BAD, topic=wrong), KNOWN.get).reason in ("wrong_shard", "revoked_device")
    assert verdict(BAD, device="nobody").reason == "unknown_device"
    assert verdict(BAD, device="old", tenant="r2").reason == "wrong_tenant"


@given(st.text(max_size=60), st.binary(max_size=60), st.none() | st.text(max_size=20))
def test_any_message_has_one_verdict(topic, payload, content_type):
    assert isinstance(
        judge(message(payload, topic=topic, content_type=content_type), KNOWN.get), Refused
    )
    judge(message(payload, content_type=content_type), KNOWN.get)
    judge(message(payload, channel=UpChannel.STATE), KNOWN.get)


@given(RECORDS)
def test_no_accepted_sample_is_dated_after_receipt(told):
    found = judge(message(encode_record(told)), KNOWN.get)
    if isinstance(found, Accepted):
        for item in (told, *told.series):
            device_ms = told.at + getattr(item, "dt", 0)
            assert device_ms + found.shift.shift_ms <= NOON_MS + 300_000


@pytest.mark.parametrize(
    ("skews", "boot", "expected"),
    [
        ({}, None, None),
        ({}, 3, None),
        ({3: 500}, None, 500),
        ({3: 500, 4: 600}, None, 600),
        ({3: 500, 4: 600}, 3, 500),
        ({3: 500, 4: None}, None, None),
        ({3: 500}, 2, None),
    ],
)
def test_the_skew_of_a_boot(skews, boot, expected):
    assert entry(skews=skews).skew_for(boot) == expected


def test_a_message_is_timely_when_nothing_held_it_up():
    now = message(record())
    assert now.is_timely
    assert not msgspec.structs.replace(now, is_fresh=False).is_timely
    assert not msgspec.structs.replace(now, is_retained=True).is_timely
