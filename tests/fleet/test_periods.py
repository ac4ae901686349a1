"""Months, quarters and years in Swedish time."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise

import pytest

from fleet.periods import around, latest, period_of


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2026-11", datetime(2026, 10, 31, 23, tzinfo=UTC), datetime(2026, 11, 30, 23, tzinfo=UTC)),
        ("2026-03", datetime(2026, 2, 28, 23, tzinfo=UTC), datetime(2026, 3, 31, 22, tzinfo=UTC)),
        ("2026-Q4", datetime(2026, 9, 30, 22, tzinfo=UTC), datetime(2026, 12, 31, 23, tzinfo=UTC)),
        ("2026", datetime(2025, 12, 31, 23, tzinfo=UTC), datetime(2026, 12, 31, 23, tzinfo=UTC)),
    ],
)
def test_a_period_begins_and_ends_at_swedish_midnight(text, low, high):
    period = period_of(text)
    assert (period.low, period.high, period.text) == (low, high, text)


@pytest.mark.parametrize(
    "text", ["", "2026-13", "2026-Q5", "1999", "2026-1", "20261", "2026-11-01"]
)
def test_what_is_no_period_is_none(text):
    assert period_of(text) is None


def test_periods_follow_each_other_without_a_gap():
    for length in ("month", "quarter", "year"):
        listed = list(latest(date(2026, 2, 3), length, 15))
        assert listed[0] == around(date(2026, 2, 3), length)
        assert all(after.low == before.high for after, before in pairwise(listed))
