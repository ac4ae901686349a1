"""Payloads laid out to read: faithful, harmless, and never longer than a page can be."""

from __future__ import annotations

import json

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.preview import visible
from api.readable import CHARS_MAX, DEPTH_MAX, readable
from fleet.wire.records import CBOR


def laid_out(payload, content_type=None):
    found = readable(payload, len(payload), content_type)
    return found and found.text


def test_json_is_laid_out_as_it_was_written():
    payload = b'{"a":1.50,"a":-0,"m":{"v":[24.60,1e999]},"n":null,"t":true,"s":"\\u00e5\\u202e"}'
    assert laid_out(payload).splitlines() == [
        "{",
        '  "a": 1.50,',
        '  "a": -0,',
        '  "m": {',
        '    "v": [24.60, 1e999]',
        "  },",
        '  "n": null,',
        '  "t": true,',
        '  "s": "å\\u202e"',
        "}",
    ]


def test_cbor_is_decoded_with_its_own_words_for_what_json_lacks():
    payload = cbor2.dumps({"epoch": "ab", 1: b"\x00\xff", "big": 2**400, "list": [{}, []]})
    assert laid_out(payload, CBOR).splitlines() == [
        "{",
        '  "epoch": "ab",',
        "  1: h'00ff',",
        f'  "big": {hex(2**400)},',
        '  "list": [',
        "    {},",
        "    []",
        "  ]",
        "}",
    ]
    assert laid_out(payload) == laid_out(payload, CBOR), "also where nobody said that it is CBOR"


@pytest.mark.parametrize(
    "payload", [b"", b"no json", b"17", b'"text"', b'{"seq": ', bytes(range(256)), b"\xff\xfe"]
)
def test_what_is_neither_is_left_as_it_is(payload):
    assert laid_out(payload) is None


def test_what_was_not_kept_whole_is_left_as_it_is():
    assert readable(b"[1]", 4) is None


def test_depth_and_length_have_an_end():
    deep = laid_out(b"[" * 400 + b"]" * 400)
    assert len(deep.splitlines()) == 2 * DEPTH_MAX + 1
    long = readable(json.dumps(["x" * 60_000, 1]).encode(), 60_007)
    assert long.is_cut
    assert len(long.text) <= CHARS_MAX


def test_cbor_that_grows_by_references_to_itself_ends_too():
    cyclic: list[object] = []
    cyclic += [cyclic] * 40
    found = readable(payload := cbor2.dumps(cyclic, value_sharing=True), len(payload), CBOR)
    assert found.is_cut


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(NESTED)
def test_whatever_it_is_nothing_hides_in_it(value):
    found = readable(payload := cbor2.dumps(value), len(payload), CBOR)
    assert found is None or visible(found.text) == found.text


@given(st.binary(max_size=200))
def test_any_bytes_are_laid_out_or_not(payload):
    for content_type in (None, CBOR):
        readable(payload, len(payload), content_type)
