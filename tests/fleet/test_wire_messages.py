"""State and acknowledgement: round trips, limits, and any bytes at all."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import CLEAN_TEXT, EPOCH, EPOCHS

from fleet.wire.messages import (
    Ack,
    OutboxSpan,
    State,
    decode_ack,
    decode_state,
    encode_ack,
    encode_state,
)
from fleet.wire.reasons import PayloadError, Reason
from fleet.wire.records import MAX_SEQ
from fleet.wire.topics import MAX_PAYLOAD_BYTES

BOOTS = st.integers(0, 2**53 - 1)
SPANS = st.tuples(st.integers(1, MAX_SEQ), st.integers(1, MAX_SEQ)).map(
    lambda pair: OutboxSpan(min(pair), max(pair))
)
STATES = st.builds(
    State,
    online=st.booleans(),
    boot=BOOTS,
    epoch=st.none() | EPOCHS,
    clock_ms=st.none() | BOOTS,
    clock=st.sampled_from(["synced", "drifting", "unset"]),
    model=st.none() | CLEAN_TEXT,
    hw=st.none() | CLEAN_TEXT,
    fw=st.none() | CLEAN_TEXT,
    outbox=st.none() | SPANS,
    device=st.none() | CLEAN_TEXT,
)
ACKS = st.builds(
    Ack,
    epoch=EPOCHS,
    hi=st.none() | st.integers(0, MAX_SEQ),
    gaps=st.lists(st.tuples(st.integers(1, MAX_SEQ), st.integers(1, MAX_SEQ)), max_size=5),
    rewind=st.none() | st.integers(1, MAX_SEQ),
)


@given(STATES)
def test_a_valid_state_comes_back(state):
    assert decode_state(encode_state(state)) == state


@given(ACKS)
def test_an_acknowledgement_comes_back(ack):
    assert decode_ack(encode_ack(ack)) == ack


def test_an_acknowledgement_reads_as_the_contract_shows_it():
    assert json.loads(encode_ack(Ack(EPOCH, 4711, [(4702, 4704)]))) == {
        "epoch": EPOCH,
        "hi": 4711,
        "gaps": [[4702, 4704]],
    }
    assert json.loads(encode_ack(Ack(EPOCH, rewind=4000))) == {"epoch": EPOCH, "rewind": 4000}


@given(st.binary(max_size=200) | STATES.map(encode_state) | ACKS.map(encode_ack))
def test_any_bytes_decode_or_are_refused(payload):
    for decode in (decode_state, decode_ack):
        with contextlib.suppress(PayloadError):
            decode(payload)


@given(STATES | ACKS, st.data())
def test_damaged_ones_decode_or_are_refused(known, data):
    encode, decode = (
        (encode_state, decode_state) if isinstance(known, State) else (encode_ack, decode_ack)
    )
    payload = bytearray(encode(known))
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PayloadError):
        decode(bytes(payload[: data.draw(st.integers(0, len(payload)))]))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"online": "yes"}, "malformed"),
        ({"online": 1}, "malformed"),
        ({"boot": -1}, "out_of_range"),
        ({"boot": 2**53}, "out_of_range"),
        ({"boot": 10**400}, "out_of_range"),
        ({"boot": 1.5}, "malformed"),
        ({"epoch": "x"}, "malformed"),
        ({"epoch": EPOCH + "\n"}, "malformed"),
        ({"clock_ms": -1}, "out_of_range"),
        ({"clock_ms": 2**53}, "out_of_range"),
        ({"clock": "sundial"}, "malformed"),
        ({"model": "a\0"}, "malformed"),
        ({"fw": "x" * 201}, "malformed"),
        ({"hw": "a\nb"}, "malformed"),
        ({"outbox": {"oldest_seq": 0, "next_seq": 1}}, "out_of_range"),
        ({"outbox": {"oldest_seq": 5, "next_seq": 4}}, "out_of_range"),
        ({"outbox": {"oldest_seq": 1, "next_seq": MAX_SEQ + 2}}, "out_of_range"),
        ({"outbox": {"oldest_seq": 1}}, "malformed"),
    ],
    ids=str,
)
def test_a_bad_state_is_refused_with_its_reason(change, reason):
    payload = json.dumps({"online": True, "boot": 1} | change).encode()
    with pytest.raises(PayloadError) as caught:
        decode_state(payload)
    assert caught.value.reason == reason


@pytest.mark.parametrize("payload", [b"", b"null", b"[]", b"{}", b"[" * 30_000, b'{"a":' * 10_000])
def test_what_is_no_state_is_malformed(payload):
    for decode in (decode_state, decode_ack):
        with pytest.raises(PayloadError) as caught:
            decode(payload)
        assert caught.value.reason is Reason.MALFORMED


def test_a_large_state_is_too_large():
    with pytest.raises(PayloadError) as caught:
        decode_state(b" " * (MAX_PAYLOAD_BYTES + 1))
    assert caught.value.reason is Reason.TOO_LARGE
