"""What a person decides, reckoned: days that are not shared, samples for a spot check."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.metrics import Purpose, load_metrics
from fleet.privacy import (
    Unshared,
    chunks,
    is_always_shared,
    sent,
    shared_days,
    shared_samples,
    spot_check,
)
from fleet.rules.facts import Sample, day_of, day_series, day_starts_at
from fleet.words import DeviceClass

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TODAY = day_of(NOON)
MIDNIGHT = day_starts_at(TODAY).astimezone(UTC)


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        (NOON, NOON + HOUR, [TODAY]),
        (NOON, NOON + DAY, [TODAY, TODAY + 1]),
        (MIDNIGHT, MIDNIGHT + DAY, [TODAY]),
        (NOON, None, [TODAY, TODAY + 1, TODAY + 2]),
        (NOON, NOON, [TODAY]),
        (MIDNIGHT, MIDNIGHT, [TODAY]),
    ],
)
def test_every_day_that_is_touched_is_left_out(start, end, days):
    unshared = Unshared.during([(start, end)])
    found = [day for day in range(TODAY - 3, TODAY + 3) if unshared.covers(day)]
    assert found == days


def test_days_and_samples_that_are_shared_stay_as_they_are():
    series = day_series([(TODAY + n, 2, 1.0 + n, 2.0 + n, 3.0, 4.0) for n in range(-2, 3)])
    unshared = Unshared.during([(NOON, NOON + HOUR)])
    kept = shared_days(series, unshared)
    assert kept.day.tolist() == [TODAY - 2, TODAY - 1, TODAY + 1, TODAY + 2]
    assert kept.low.tolist() == [-1.0, 0.0, 2.0, 3.0]
    samples = [Sample(NOON - DAY, 1.0), Sample(NOON - 2 * HOUR, 2.0), Sample(NOON + DAY, 3.0)]
    assert [sample.value for sample in shared_samples(samples, unshared)] == [1.0, 3.0]


def test_safety_is_always_shared_and_what_nobody_knows_is_not_for_safety():
    assert is_always_shared("battery_voltage_v")
    assert not is_always_shared("odometer_m")
    assert not is_always_shared("bp_systolic_mmhg")
    assert not is_always_shared("teapot_c")


def test_every_class_says_why_it_sends_and_care_is_what_is_about_the_person():
    for device_class in DeviceClass:
        found = sent(device_class)
        assert Purpose.SAFETY in found, device_class
        listed = [metric for metrics in found.values() for metric in metrics]
        assert len(listed) == len(load_metrics().of(device_class))
    for metric in load_metrics():
        assert metric.patient is (metric.purpose is Purpose.CARE)


@given(st.integers(1, 10**9), st.integers(0, 10**9), st.integers(0, 50), st.integers(0, 2**31))
def test_a_spot_check_is_within_the_log_without_repeats_and_repeatable(low, more, wanted_n, seed):
    found = spot_check(low, low + more, wanted_n, seed)
    assert found == sorted(set(found)) == spot_check(low, low + more, wanted_n, seed)
    assert len(found) == min(wanted_n, more + 1)
    assert all(low <= number <= low + more for number in found)


def test_a_spot_check_reaches_every_entry():
    drawn = {number for seed in range(200) for number in spot_check(1, 20, 5, seed)}
    assert drawn == set(range(1, 21))


@given(st.integers(-5, 400), st.integers(1, 90))
def test_pieces_of_time_cover_it_without_overlap(days, length):
    end = NOON + days * DAY
    pieces = list(chunks(NOON, end, length * DAY))
    assert [low for low, _ in pieces] == [NOON, *(high for _, high in pieces)][: len(pieces)]
    assert all(DAY * 0 < high - low <= length * DAY for low, high in pieces)
    assert not pieces if days <= 0 else pieces[-1][1] == end
