"""Settings in a birth: what is kept, and that nothing in them costs the birth."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import CLEAN_TEXT

from fleet.wire.messages import State, decode_state, encode_state
from fleet.wire.settings import MAX_SETTING_TEXT, MAX_SETTINGS, Told, encoded, sound

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,62}", fullmatch=True)
VALUES = (
    st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(-1e12, 1e12)
    | CLEAN_TEXT.map(lambda text: text[:MAX_SETTING_TEXT])
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


def told(settings: object, raw: str | None = None) -> Told | None:
    text = json.dumps(settings) if raw is None else raw
    birth = decode_state(f'{{"online": true, "boot": 7, "settings": {text}}}'.encode())
    assert (birth.online, birth.boot) == (True, 7)
    return sound(birth.settings)


@given(st.dictionaries(NAMES, VALUES, max_size=MAX_SETTINGS))
def test_sound_settings_come_back(settings):
    birth = decode_state(encode_state(State(True, 1, settings=encoded(settings))))
    assert sound(birth.settings) == Told(settings, 0)


@given(st.dictionaries(NAMES, VALUES, max_size=9), st.dictionaries(st.text(), ANYTHING))
def test_what_is_bad_never_costs_what_is_sound(good, other):
    found = told(other | good)
    assert found is not None
    assert found.values.items() >= good.items()
    assert len(found.values) + found.left_out_n == len(other | good)


@given(ANYTHING)
def test_anything_at_all_leaves_the_birth(anything):
    assert (told(anything) is None) == (not isinstance(anything, dict))


@pytest.mark.parametrize(
    "value",
    [
        "null", "[1]", '{"a": 1}', "1e13", "-1000000000001", "1e400", "9" * 5000, '"a\\u0000b"',
        f'"{"x" * 65}"', '"a\\nb"',
    ],
    ids=lambda value: value[:20],
)  # fmt: skip
def test_a_bad_value_is_left_out_and_counted(value):
    assert told(None, f'{{"a": {value}, "b": 2}}') == Told({"b": 2}, 1)


@pytest.mark.parametrize("name", ["", "A", "9a", "a-b", "å", "a" * 64, "a b", "a\\n"])
def test_a_bad_name_is_left_out_and_counted(name):
    assert told(None, f'{{"{name}": 1, "b": 2}}') == Told({"b": 2}, 1)


def test_what_is_at_the_limits_is_kept():
    whole = {"a" * 63: 1e12, "b": -1e12, "c": "å" * 64, "d": "", "e": True, "f": 0.1}
    assert told(whole) == Told(whole, 0)


def test_no_more_than_the_first_are_kept():
    many = {f"n{number}": number for number in range(MAX_SETTINGS + 6)}
    first = dict(list(many.items())[:MAX_SETTINGS])
    assert told(many) == Told(first, 6)
    assert told({"BAD": 1} | many) == Told(first, 7), "a bad one takes no room"


def test_none_are_not_the_same_as_nothing_said():
    assert told({}) == Told({}, 0)
    assert sound(decode_state(b'{"online": true, "boot": 1}').settings) is None
    assert sound(msgspec.Raw(b"[]")) is None
