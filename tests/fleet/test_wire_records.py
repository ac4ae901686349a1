"""Records in JSON and CBOR: what is valid comes back whole, all else is a `PayloadError`."""

from __future__ import annotations

import base64
import contextlib
import json
import math
from pathlib import Path

import cbor2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import BATTERY, EPOCH, RECORDS, SEQS, record

from fleet.wire.reasons import PayloadError, Reason
from fleet.wire.records import (
    CBOR,
    JSON,
    MAX_ABS_VALUE,
    MAX_FAULTS,
    MAX_SAMPLES,
    MAX_SEQ,
    Record,
    Skipped,
    decode_record,
    encode_record,
    load_cbor,
    salvage_identity,
)
from fleet.wire.topics import MAX_PAYLOAD_BYTES

VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "cbor_rfc8949_appendix_a.json"
HEAD = {"epoch": EPOCH, "seq": 7, "at": 1_700_000_000_000}
FAULT = {"system": "vr2", "code": "2C00", "state": "raised"}
FORMATS = pytest.mark.parametrize("content_type", [None, JSON, CBOR])


def encoded(body, content_type=None):
    return cbor2.dumps(body) if content_type == CBOR else json.dumps(body).encode()


def refusal(payload, content_type=None):
    with pytest.raises(PayloadError) as caught:
        decode_record(payload, content_type)
    assert len(caught.value.detail) <= 200
    return caught.value.reason


@given(RECORDS)
def test_a_valid_record_comes_back_from_json(known):
    assert decode_record(encode_record(known), JSON) == known
    assert decode_record(encode_record(known)) == known
    assert salvage_identity(encode_record(known)) == (known.epoch, known.seq)


@given(RECORDS)
def test_a_valid_record_comes_back_from_cbor(known):
    assert decode_record(encode_record(known, CBOR), CBOR) == known
    assert salvage_identity(encode_record(known, CBOR), CBOR) == (known.epoch, known.seq)


@given(RECORDS, st.dictionaries(st.text(min_size=9), st.integers() | st.text(), max_size=3))
def test_unknown_fields_are_ignored(known, more):
    body = msgspec.to_builtins(known)
    assert decode_record(msgspec.json.encode(more | body)) == known


@given(st.binary(max_size=300))
def test_any_bytes_decode_or_are_refused(payload):
    for content_type in (None, CBOR, "text/plain"):
        _decode_or_refuse(payload, content_type)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(
    st.dictionaries(
        st.sampled_from([*Record.__struct_fields__, "skipped", "x"]), json_like, max_size=8
    )
)
def test_any_values_in_the_known_fields_decode_or_are_refused(body):
    _decode_or_refuse(msgspec.json.encode(HEAD | body), None)
    _decode_or_refuse(cbor2.dumps(HEAD | body), CBOR)


@given(RECORDS, st.data())
def test_a_damaged_record_decodes_or_is_refused(known, data):
    content_type = data.draw(st.sampled_from([JSON, CBOR]))
    payload = bytearray(encode_record(known, content_type))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    _decode_or_refuse(bytes(payload[: data.draw(st.integers(0, len(payload)))]), content_type)


def _decode_or_refuse(payload, content_type):
    """Anything but a record or a `PayloadError` fails the test by itself."""
    found = None
    with contextlib.suppress(PayloadError):
        found = decode_record(payload, content_type)
    if found is None:
        salvaged = salvage_identity(payload, content_type)
        assert salvaged is None or 1 <= salvaged[1] <= MAX_SEQ
        return
    assert 1 <= found.seq <= MAX_SEQ
    if isinstance(found, Record):
        for values in (found.m, *(item.m for item in found.series)):
            assert all(map(math.isfinite, values.values()))


@FORMATS
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"epoch": "9F2C61D0A4B7E813"}, "malformed"),
        ({"epoch": EPOCH + "\n"}, "malformed"),
        ({"epoch": EPOCH[1:]}, "malformed"),
        ({"epoch": 5}, "malformed"),
        ({"seq": 0}, "out_of_range"),
        ({"seq": -1}, "out_of_range"),
        ({"seq": MAX_SEQ + 1}, "out_of_range"),
        ({"seq": 1.0}, "malformed"),
        ({"seq": "1"}, "malformed"),
        ({"seq": True}, "malformed"),
        ({"seq": 10**400}, "malformed"),
        ({"at": 10**400}, "malformed"),
        ({"at": None}, "malformed"),
        ({"boot": -1}, "out_of_range"),
        ({"up": 2**53}, "out_of_range"),
        ({"boot": 10**400}, "malformed"),
        ({"clock": "sundial"}, "malformed"),
        ({"m": {BATTERY: "24"}}, "malformed"),
        ({"m": {BATTERY: None}}, "malformed"),
        ({"m": {BATTERY: True}}, "malformed"),
        ({"m": {BATTERY: 10**400}}, "malformed"),
        ({"m": {BATTERY: -(10**400)}}, "malformed"),
        ({"m": {BATTERY: 10**600}}, "malformed"),
        ({"m": {BATTERY: MAX_ABS_VALUE * 1.01}}, "out_of_range"),
        ({"m": {"Battery": 1}}, "malformed"),
        ({"m": {"": 1}}, "malformed"),
        ({"m": {"a" * 64: 1}}, "malformed"),
        ({"m": {"a\n": 1}}, "malformed"),
        ({"m": {"spänning_v": 1}}, "malformed"),
        ({"m": {f"m{n}": 1 for n in range(MAX_SAMPLES + 1)}}, "out_of_range"),
        ({"series": [{"dt": 0, "m": {}}] * (MAX_SAMPLES + 1)}, "out_of_range"),
        ({"series": [{"dt": n, "m": {"a": 1, "b": 2}} for n in range(257)]}, "out_of_range"),
        ({"series": [{"dt": 2**45, "m": {}}]}, "bad_time"),
        ({"series": [{"dt": 10**400, "m": {}}]}, "malformed"),
        ({"series": [{"m": {}}]}, "malformed"),
        ({"faults": [FAULT] * (MAX_FAULTS + 1)}, "out_of_range"),
        ({"faults": [FAULT | {"state": "maybe"}]}, "malformed"),
        ({"faults": [FAULT | {"system": "VR2"}]}, "malformed"),
        ({"faults": [FAULT | {"code": ""}]}, "malformed"),
        ({"faults": [FAULT | {"code": "x" * 81}]}, "malformed"),
        ({"faults": [FAULT | {"code": "a\0b"}]}, "malformed"),
        ({"faults": [FAULT | {"code": "a\nb"}]}, "malformed"),
        ({"faults": [FAULT | {"count": -1}]}, "out_of_range"),
        ({"faults": [FAULT | {"count": 2**31}]}, "out_of_range"),
        ({"faults": [FAULT | {"count": 10**400}]}, "malformed"),
        ({"faults": [FAULT | {"at": 10**400}]}, "malformed"),
        ({"faults": [FAULT | {"ctx": {"a\0": 1}}]}, "out_of_range"),
        ({"faults": [FAULT | {"ctx": {"a": "b\0"}}]}, "out_of_range"),
        ({"faults": [FAULT | {"ctx": {"a": "x" * 201}}]}, "out_of_range"),
        ({"faults": [FAULT | {"ctx": {"a": 10**300}}]}, "out_of_range"),
        ({"faults": [FAULT | {"ctx": {"a": -(10**400)}}]}, "out_of_range"),
        ({"faults": [FAULT | {"ctx": {str(n): n for n in range(33)}}]}, "out_of_range"),
        ({"faults": [FAULT | {"ctx": {"a": {"b": 1}}}]}, "malformed"),
        ({"m": []}, "malformed"),
        ({"faults": {}}, "malformed"),
        ({"device": 5}, "malformed"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_breaks_the_contract_is_refused_with_its_reason(change, reason, content_type):
    assert refusal(encoded(HEAD | change, content_type), content_type) == reason


@pytest.mark.parametrize("number", [10**5000, -(10**5000)], ids=["positive", "negative"])
@pytest.mark.parametrize("field", ["seq", "at", "boot", "up"])
def test_a_number_too_long_to_print_is_refused(field, number):
    payload = cbor2.dumps(HEAD | {field: number})
    assert refusal(payload, CBOR) is Reason.MALFORMED
    assert salvage_identity(payload, CBOR) in (None, (EPOCH, 7))


@FORMATS
def test_the_limits_themselves_are_allowed(content_type):
    body = HEAD | {
        "seq": MAX_SEQ,
        "boot": 2**53 - 1,
        "m": {f"m{n}": MAX_ABS_VALUE for n in range(MAX_SAMPLES - 1)},
        "series": [{"dt": -(2**45) + 1, "m": {"a" * 63: -MAX_ABS_VALUE}}],
        "faults": [FAULT | {"code": "x" * 80, "count": 2**31 - 1}] * MAX_FAULTS,
    }
    found = decode_record(encoded(body, content_type), content_type)
    assert (len(found.m), len(found.faults), found.seq) == (MAX_SAMPLES - 1, MAX_FAULTS, MAX_SEQ)


@pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400"])
def test_json_knows_no_number_that_is_none(word):
    payload = b'{"epoch":"%s","seq":7,"at":1,"m":{"a":%s}}' % (EPOCH.encode(), word)
    assert refusal(payload) is Reason.MALFORMED
    assert salvage_identity(payload) == (EPOCH, 7)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_cbor_numbers_that_are_none_are_refused(number):
    assert refusal(cbor2.dumps(HEAD | {"m": {"a": number}}), CBOR) is Reason.OUT_OF_RANGE
    body = HEAD | {"faults": [FAULT | {"ctx": {"a": number}}]}
    assert refusal(cbor2.dumps(body), CBOR) is Reason.OUT_OF_RANGE


def test_the_size_limit_comes_before_decoding():
    assert refusal(b" " * (MAX_PAYLOAD_BYTES + 1)) is Reason.TOO_LARGE
    padded = encode_record(record())
    padded += b" " * (MAX_PAYLOAD_BYTES - len(padded))
    assert decode_record(padded) == record()
    assert refusal(padded + b" ") is Reason.TOO_LARGE
    assert salvage_identity(padded + b" ") == (EPOCH, 1)


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "application/CBOR"])
def test_another_content_type_is_refused(content_type):
    assert refusal(encode_record(record()), content_type) is Reason.MALFORMED


def test_bytes_after_a_record_are_refused():
    assert refusal(encode_record(record()) + b"{}") is Reason.MALFORMED
    assert refusal(encode_record(record(), CBOR) + b"\0", CBOR) is Reason.MALFORMED


@FORMATS
@given(seq=SEQS)
def test_a_skipped_marker_comes_back(content_type, seq):
    marker = Skipped(EPOCH, seq)
    assert decode_record(encode_record(marker, content_type or JSON), content_type) == marker


@FORMATS
def test_a_marker_needs_an_identity_and_says_so(content_type):
    for body, reason in (
        ({"epoch": EPOCH, "seq": 0, "skipped": True}, Reason.OUT_OF_RANGE),
        ({"epoch": "x", "seq": 1, "skipped": True}, Reason.MALFORMED),
        ({"epoch": EPOCH, "seq": 1, "skipped": False}, Reason.MALFORMED),
        ({"epoch": EPOCH, "seq": 1, "skipped": "yes"}, Reason.MALFORMED),
        ({"epoch": EPOCH, "seq": 1}, Reason.MALFORMED),
    ):
        assert refusal(encoded(body, content_type), content_type) is reason


@pytest.mark.parametrize(
    ("payload", "identity"),
    [
        (b"", None),
        (b"\xff", None),
        (b'{"epoch": "9f2c61d0a4b7e813", "seq": 12, "m": ', (EPOCH, 12)),
        (b'{"epoch":"9f2c61d0a4b7e813","seq":12', None),
        (b'{"epoch":"9f2c61d0a4b7e813","at":5,"seq":12,"m":NaN}', (EPOCH, 12)),
        (b'{"epoch":"9f2c61d0a4b7e813","seq":0,"m":NaN}', None),
        (b'{"epoch":"9f2c61d0a4b7e813","seq":9999999999999999,"m":NaN}', None),
        (b'{"epoch":"9f2c61d0a4b7e813","seq":12.5,"m":NaN}', None),
        (b'{"epoch":"9f2c61d0a4b7e813","seq":12,"x":"\xff"}', (EPOCH, 12)),
    ],
)
def test_what_can_be_salvaged_of_a_broken_record(payload, identity):
    assert salvage_identity(payload) == identity


@given(RECORDS, st.binary(max_size=20))
def test_a_cbor_record_that_was_cut_short_can_be_salvaged(known, rest):
    payload = encode_record(known, CBOR)
    head = payload[: payload.index(b"bat")] + rest
    assert salvage_identity(head, CBOR) == (known.epoch, known.seq)


def test_what_is_too_large_can_be_salvaged():
    for content_type in (JSON, CBOR):
        padding = {"x": "x" * MAX_PAYLOAD_BYTES}
        payload = encoded(HEAD | padding, content_type)
        assert salvage_identity(payload, content_type) == (EPOCH, 7)


@given(st.binary(max_size=200), st.sampled_from([None, JSON, CBOR, "x"]))
def test_salvaging_never_raises(payload, content_type):
    found = salvage_identity(payload, content_type)
    assert found is None or (len(found[0]) == 16 and 1 <= found[1] <= MAX_SEQ)


@pytest.mark.parametrize("depth", [1_000, 10_000, 30_000])
@pytest.mark.parametrize(
    ("opening", "closing", "content_type"),
    [
        (b"[", b"]", None),
        (b'{"a":', b"}", None),
        (b"\x81", b"", CBOR),
        (b"\x9f", b"", CBOR),
        (b"\xa1\x01", b"", CBOR),
        (b"\xc1", b"", CBOR),
    ],
)
def test_depth_without_end_is_refused(opening, closing, content_type, depth):
    for payload in (opening * depth, opening * depth + b"1" + closing * depth):
        assert refusal(payload, content_type) in (Reason.MALFORMED, Reason.TOO_LARGE)
        assert salvage_identity(payload, content_type) is None


@pytest.mark.parametrize("major", [0x5B, 0x7B, 0x9B, 0xBB])
@pytest.mark.parametrize("length", [2**31, 2**40, 2**63, 2**64 - 1])
def test_a_huge_declared_length_is_refused_at_once(major, length):
    assert refusal(bytes([major]) + length.to_bytes(8, "big") + b"abc", CBOR) is Reason.MALFORMED


@pytest.mark.parametrize("tag", [0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260])
def test_tags_do_nothing_but_decode_or_be_refused(tag):
    insides = [0, 2**64, -1, b"", b"\xff" * 300, "", "a(", "(a+)+$", [], [1, 2], [2**62, 1], [1, 0]]
    insides += [[[0] * 3, 5], {}, {"a": 1}, math.nan, None]
    for inside in insides:
        tagged = cbor2.CBORTag(tag, inside)
        for body in (
            tagged,
            HEAD | {"m": tagged},
            HEAD | {"m": {"a": tagged}},
            HEAD | {"at": tagged},
        ):
            _decode_or_refuse(cbor2.dumps(body), CBOR)


def test_a_record_that_holds_itself_is_refused():
    itself = bytes.fromhex("d81c81d81d00")
    assert refusal(itself, CBOR) is Reason.MALFORMED
    body = cbor2.dumps(HEAD | {"series": 0})[:-1] + bytes.fromhex("d81c81d81d00")
    assert refusal(body, CBOR) is Reason.MALFORMED


def test_the_examples_of_the_standard_decode_or_are_refused():
    if not VECTORS.exists():
        print(f"no test vectors at {VECTORS}")
        pytest.skip("the CBOR vectors of RFC 8949 are not on this machine")
    vectors = json.loads(VECTORS.read_text("utf-8"))["vectors"]
    assert len(vectors) > 50
    for vector in vectors:
        payload = base64.b64decode(vector["cbor"])
        try:
            item = load_cbor(payload)
        except PayloadError:
            pass
        else:
            if "decoded" in vector and isinstance(vector["decoded"], int | str | list):
                assert item == vector["decoded"] or vector["hex"].startswith(("c", "d"))
        _decode_or_refuse(payload, CBOR)
        _decode_or_refuse(cbor2.dumps(HEAD)[:-9] + payload, CBOR)
