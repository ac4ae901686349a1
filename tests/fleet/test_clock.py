"""Which times are refused, and what the true time is taken to be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import DAY_MS, HOUR_MS, NOON_MS, fault, record

from fleet.clock import ClockQuality, Shift, check_estimates, check_times, estimate
from fleet.wire.reasons import PayloadError, Reason
from fleet.wire.records import EARLIEST_MS, LATEST_AHEAD_MS, Series

AHEAD = NOON_MS + LATEST_AHEAD_MS
YEAR_300000_MS = 9_404_000_000_000_000


@pytest.mark.parametrize(
    ("fields", "is_good"),
    [
        ({"at": NOON_MS}, True),
        ({"at": EARLIEST_MS}, True),
        ({"at": EARLIEST_MS - 1}, False),
        ({"at": 0}, False),
        ({"at": 0, "clock": "drifting"}, False),
        ({"at": 0, "clock": "unset"}, True),
        ({"at": -1, "clock": "unset"}, False),
        ({"at": AHEAD}, True),
        ({"at": AHEAD + 1}, False),
        ({"at": AHEAD + 1, "clock": "unset"}, False),
        ({"at": YEAR_300000_MS}, False),
        ({"at": NOON_MS, "series": [Series(-HOUR_MS, {"a": 1.0})]}, True),
        ({"at": NOON_MS, "series": [Series(LATEST_AHEAD_MS + 1, {"a": 1.0})]}, False),
        ({"at": EARLIEST_MS, "series": [Series(-1, {"a": 1.0})]}, False),
        ({"faults": [fault(at=NOON_MS)]}, True),
        ({"faults": [fault()]}, True),
        ({"faults": [fault(at=0)]}, False),
        ({"faults": [fault(at=AHEAD + 1)]}, False),
    ],
)
def test_times_that_no_working_clock_shows_are_refused(fields, is_good):
    if is_good:
        check_times(record(**fields), NOON_MS)
        return
    with pytest.raises(PayloadError) as caught:
        check_times(record(**fields), NOON_MS)
    assert caught.value.reason is Reason.BAD_TIME


S, MIN = 1000, 60_000


@pytest.mark.parametrize(
    ("at", "clock", "skew", "expected"),
    [
        pytest.param(-S, "synced", None, (0, 0), id="a synced clock is believed"),
        pytest.param(-S, "drifting", None, (0, 1), id="a drifting one too, and it is noted"),
        pytest.param(-S, "synced", 5 * MIN, (0, 0), id="up to five minutes from a synced clock"),
        pytest.param(-S, "synced", 5 * MIN + 1, (-5 * MIN - 1, 2), id="beyond it is corrected"),
        pytest.param(-S, "drifting", 30 * S, (0, 1), id="up to 30 s from a drifting clock"),
        pytest.param(-S, "drifting", 30 * S + 1, (-30 * S - 1, 2), id="beyond it is corrected too"),
        pytest.param(-HOUR_MS, "drifting", -MIN, (MIN, 2), id="a slow clock"),
        pytest.param(-DAY_MS, "unset", None, (DAY_MS, 3), id="unset without a skew: receipt"),
        pytest.param(-DAY_MS, "unset", -DAY_MS, (DAY_MS, 2), id="unset with a skew: corrected"),
        pytest.param(10 * MIN, "synced", None, (-10 * MIN, 3), id="in the future: receipt"),
        pytest.param(4 * MIN, "synced", None, (0, 0), id="a little in the future is believed"),
        pytest.param(HOUR_MS, "drifting", MIN, (-HOUR_MS, 3), id="in the future when corrected"),
        pytest.param(
            EARLIEST_MS - NOON_MS, "synced", HOUR_MS, None, id="before 2015 when corrected"
        ),
    ],
)
def test_the_estimate(at, clock, skew, expected):
    shift = estimate(NOON_MS + at, clock, skew, NOON_MS)
    assert shift == (expected or (NOON_MS - EARLIEST_MS, 3))


@given(
    st.integers(0, AHEAD),
    st.sampled_from(["synced", "drifting", "unset"]),
    st.none() | st.integers(-(2**53), 2**53),
)
def test_no_estimate_is_later_than_receipt_or_before_the_beginning(at, clock, skew):
    shift = estimate(at, clock, skew, NOON_MS)
    assert EARLIEST_MS <= at + shift.shift_ms <= NOON_MS + 300_000
    assert (shift.shift_ms == 0) is (shift.quality <= ClockQuality.DRIFTING) or at == NOON_MS


@pytest.mark.parametrize(
    ("fields", "is_good"),
    [
        ({"series": [Series(-HOUR_MS, {"a": 1.0})]}, True),
        ({"series": [Series(HOUR_MS, {"a": 1.0})]}, True),
        ({"series": [Series(NOON_MS, {"a": 1.0})]}, False),
        ({"faults": [fault(at=HOUR_MS)]}, True),
        ({"faults": [fault()]}, True),
        ({"faults": [fault(at=NOON_MS)]}, False),
    ],
)
def test_a_clock_that_jumped_within_a_record_is_refused(fields, is_good):
    """An unset clock at 1970 and one sample of today: corrected, that would be in 2078."""
    told = record(at=2 * HOUR_MS, clock="unset", **fields)
    check_times(told, NOON_MS)
    shift = Shift(NOON_MS, ClockQuality.RECEIVED)
    if is_good:
        check_estimates(told, shift, NOON_MS)
        return
    with pytest.raises(PayloadError) as caught:
        check_estimates(told, shift, NOON_MS)
    assert caught.value.reason is Reason.BAD_TIME


def test_a_clock_that_jumped_is_refused_also_when_nothing_needs_correcting():
    told = record(at=NOON_MS, clock="unset", series=[Series(-NOON_MS, {"a": 1.0})])
    check_times(told, NOON_MS)
    with pytest.raises(PayloadError):
        check_estimates(told, Shift(0, ClockQuality.RECEIVED), NOON_MS)
