"""Which stretch of time a page shows, days of 23 and 25 hours, and how points are thinned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.series import daily, thinned, whole_days
from api.windows import RANGES, SHORTEST, moves, window_of
from storage.reading import HourRow, SampleRow, Span

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def hours(ago):
    return NOW - ago * HOUR


@pytest.mark.parametrize(
    ("query", "low", "high", "chosen", "looks_back"),
    [
        ({}, hours(24), NOW, "24h", False),
        ({"range": "7d"}, hours(168), NOW, "7d", False),
        ({"range": "what"}, hours(24), NOW, "24h", False),
        ({"at": "2026-11-19T12:00Z"}, hours(36), hours(12), "24h", True),
        ({"at": "2026-11-19T13:00"}, hours(36), hours(12), "24h", True),  # Swedish time
        ({"at": "2026-11-20T11:00Z"}, hours(24), NOW, "24h", True),
        ({"at": "2027-01-01T00:00Z"}, hours(24), NOW, "24h", False),
        ({"at": "0001-01-01T00:00"}, hours(24), NOW, "24h", False),
        ({"from": "2026-11-19T00:00Z", "to": "2026-11-19T07:00Z"}, hours(36), hours(29), "6h",
            True),
        ({"from": "2026-11-19T12:00Z", "to": "2026-11-21T12:00Z"}, hours(24), NOW, "24h", False),
        ({"from": "2026-11-19T12:00Z", "to": "2026-11-19T12:05Z"}, hours(24), NOW, "24h", False),
        ({"from": "2026-11-19T12:00Z"}, hours(24), NOW, "24h", False),
    ],
)  # fmt: skip
def test_the_address_says_what_is_shown(query, low, high, chosen, looks_back):
    window = window_of(query, NOW)
    assert (window.span, window.chosen) == (Span(low, high), chosen)
    assert (window.at is not None) is looks_back


def follow(query, word):
    address = getattr(moves(window_of(query, NOW), NOW), word)
    return address and window_of(address, NOW).span


def test_moving_goes_half_a_window_and_zooming_keeps_the_middle():
    assert follow({}, "earlier") == Span(hours(36), hours(12))
    assert follow({}, "later") is None
    assert follow({"at": "2026-11-19T12:00Z"}, "later") == Span(hours(24), NOW)
    assert follow({"at": "2026-11-10T12:00Z"}, "closer") == Span(hours(243), hours(237))
    assert follow({"at": "2026-11-10T12:00Z"}, "wider").high - NOW == -(240 - 84) * HOUR
    assert follow({"range": "1h"}, "closer") is None
    assert follow({"range": "1y"}, "wider") is None


@given(st.text(max_size=30), st.text(max_size=30), st.sampled_from(["", *RANGES]))
def test_any_address_shows_a_stretch_of_the_past(first, second, chosen):
    for query in ({"at": first, "range": chosen}, {"from": first, "to": second}):
        window = window_of(query, NOW)
        assert window.span.low < window.span.high <= NOW
        assert window.span.high - window.span.low >= SHORTEST


def of_hours(low, count):
    return [HourRow(low + n * HOUR, 2, n, n + 1, 2 * n + 1, n) for n in range(count)]


@pytest.mark.parametrize(
    ("low", "high", "hours_of_days"),
    [
        (datetime(2026, 3, 28, 8, tzinfo=UTC), datetime(2026, 3, 30, 8, tzinfo=UTC), [24, 23, 24]),
        (datetime(2026, 10, 24, 8, tzinfo=UTC), datetime(2026, 10, 26, 8, tzinfo=UTC),
            [24, 25, 24]),
        (datetime(2026, 7, 1, 22, tzinfo=UTC), datetime(2026, 7, 2, 22, tzinfo=UTC), [24]),
    ],
)  # fmt: skip
def test_local_days_have_23_to_25_hours(low, high, hours_of_days):
    whole = whole_days(Span(low, high))
    assert (whole.high - whole.low) / HOUR == sum(hours_of_days)
    found = daily(of_hours(whole.low, sum(hours_of_days)), whole, 100)
    assert [point.sample_n / 2 for point in found.points] == hours_of_days
    assert found.points[0].at == whole.low
    assert found.points[0].high == hours_of_days[0]  # the greatest of the day is kept


@given(st.integers(10, 40), st.integers(1, 120))
@settings(deadline=None, max_examples=40)
def test_days_keep_to_the_budget_and_to_the_extremes(budget, day_n):
    low = datetime(2026, 1, 4, 23, tzinfo=UTC)
    whole = whole_days(Span(low, low + timedelta(days=day_n)))
    rows = of_hours(whole.low, round((whole.high - whole.low) / HOUR))
    found = daily(rows, whole, budget)
    assert len(found.points) <= budget
    assert max(point.high for point in found.points) == len(rows)
    assert sum(point.sample_n for point in found.points) == 2 * len(rows)


@given(st.lists(st.floats(-50, 50), min_size=11, max_size=300), st.integers(10, 60),
    st.integers(1, 3_599_999_999))  # fmt: skip
def test_thinning_keeps_to_the_budget_and_to_the_extremes(values, budget, width_us):
    span = Span(NOW, NOW + timedelta(microseconds=width_us) * len(values))
    step = timedelta(microseconds=width_us)
    rows = [SampleRow(NOW + step * n, value, 0) for n, value in enumerate(values)]
    points = thinned(rows, span, budget).points
    assert len(points) <= budget
    shown = [point.value for point in points]
    assert (min(shown), max(shown)) == (min(values), max(values))
    assert [point.at for point in points] == sorted(point.at for point in points)
