from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.contact import Contact, contact

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
HALF_DAY = 12 * HOUR
TWO_DAYS = NOW - 48 * HOUR


def heard(*ago):
    """The whole hours in which something came, so many hours ago."""
    return [(NOW - hours * HOUR).replace(minute=0) for hours in ago]


@pytest.mark.parametrize(
    ("ago", "quiet", "expected"),
    [
        ((1, 13, 25, 37), (), (4, 4)),
        ((1, 2, 3, 25), (), (2, 4)),
        ((), (), (0, 4)),
        ((12,), (), (2, 4)),  # an hour that reaches across two stretches was heard in both
        ((1,), ((NOW - 30 * HOUR, NOW - 20 * HOUR),), (1, 2)),
        ((1,), ((NOW - 13 * HOUR, None),), None),
        ((1,), ((NOW - 60 * HOUR, NOW - 48 * HOUR),), (1, 4)),
    ],
)
def test_contact_is_counted_in_stretches_of_the_longest_normal_silence(ago, quiet, expected):
    low = TWO_DAYS if expected else NOW - 20 * HOUR
    found = contact(heard(*ago), HALF_DAY, low, NOW, quiet)
    assert found == (expected and Contact(*expected, HALF_DAY))


def test_a_device_too_new_to_judge_is_not_judged():
    assert contact(heard(1), HALF_DAY, NOW - 11 * HOUR, NOW) is None


@given(st.sets(st.integers(0, 335)), st.integers(1, 96))
def test_a_device_heard_every_hour_has_full_contact_and_less_never_more(hours, silence_h):
    low, silence = NOW - 336 * HOUR, timedelta(hours=silence_h)
    every = contact(heard(*range(336)), silence, low, NOW)
    some = contact(heard(*hours), silence, low, NOW)
    assert every.share == 1
    assert 0 <= some.share <= 1
    assert some.stretch_n == every.stretch_n == 336 // silence_h
