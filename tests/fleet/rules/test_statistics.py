"""Estimates with intervals against known truth, exact tests against counting, words by tables."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.rules import statistics
from fleet.rules.wording import moment

CONFIDENCE = 0.8


def _covered(memory: float, runs: int = 400) -> tuple[float, float]:
    """How often the slope and the height at the end are within their intervals."""
    rng = np.random.default_rng(11)
    slope_n = height_n = 0
    for _ in range(runs):
        noise = rng.normal(0, 1, 60)
        for at in range(1, 60):
            noise[at] = memory * noise[at - 1] + math.sqrt(1 - memory**2) * noise[at]
        x = np.sort(rng.choice(60, 40, replace=False))
        line = statistics.theil_sen(x.astype(float), 0.05 * x + noise[x], CONFIDENCE)
        slope_n += line.slopes.holds(0.05)
        height_n += line.heights(60).holds(3.0)
    return slope_n / runs, height_n / runs


def test_slope_and_height_are_within_their_intervals_at_the_stated_rate() -> None:
    assert _covered(0.0) == pytest.approx((CONFIDENCE, CONFIDENCE), abs=0.06)


def test_days_that_resemble_each_other_do_not_make_the_interval_a_lie() -> None:
    slope, height = _covered(0.5)
    assert slope > CONFIDENCE - 0.1
    assert height > CONFIDENCE - 0.1


def test_a_quarter_of_wild_days_does_not_turn_the_slope() -> None:
    x = np.arange(40.0)
    y = 2 * x
    y[::4] = 1e6
    assert statistics.theil_sen(x, y, CONFIDENCE).slope == pytest.approx(2, rel=0.05)


@given(st.floats(-50, 50), st.floats(-1e3, 1e3), st.integers(8, 60))
def test_points_on_a_line_give_that_line(slope: float, start: float, n: int) -> None:
    x = np.arange(n, dtype=float) + 738_000
    line = statistics.theil_sen(x, slope * (x - x[0]) + start, CONFIDENCE)
    assert line.slope == pytest.approx(slope, abs=1e-6)
    assert line.at(x[0] + 100) == pytest.approx(slope * 100 + start, abs=1e-3)


def test_a_line_that_rises_crosses_between_the_edges_of_its_band() -> None:
    line = statistics.Line(0.5, 0.05, 0.0, 10.0, 0.3, 1.28, 40)
    when = statistics.crossing(line, 20.0, 0.0)
    assert when.best == 20
    assert when.earliest < when.best < when.latest < math.inf
    assert line.heights(when.latest).low >= 20 > line.heights(when.latest - 1).low


@pytest.mark.parametrize(
    ("middle", "limit", "expected"),
    [(10.0, 5.0, (0, 0, 0)), (10.0, 1e9, (math.inf, math.inf, math.inf))],
)
def test_what_is_crossed_already_or_out_of_reach(
    middle: float, limit: float, expected: tuple[float, float, float]
) -> None:
    line = statistics.Line(0.1, 0.01, 0.0, middle, 0.1, 1.28, 40)
    assert statistics.crossing(line, limit, 0.0) == expected


@pytest.mark.parametrize(("hit_n", "group_n", "all_hit_n"), [(2, 3, 4), (0, 3, 4), (3, 3, 3)])
def test_hypergeometric_tail_counts_the_draws(hit_n: int, group_n: int, all_hit_n: int) -> None:
    draws = list(combinations(range(8), group_n))
    hits = sum(sum(one < all_hit_n for one in draw) >= hit_n for draw in draws)
    assert statistics.hypergeometric_tail(hit_n, group_n, all_hit_n, 8) == pytest.approx(
        hits / len(draws)
    )


@given(st.integers(1, 40), st.data())
def test_hypergeometric_tail_falls_with_the_hits(group_n: int, data: st.DataObject) -> None:
    all_n = group_n + data.draw(st.integers(0, 60))
    all_hit_n = data.draw(st.integers(0, all_n))
    tails = [
        statistics.hypergeometric_tail(hit, group_n, all_hit_n, all_n) for hit in range(group_n + 2)
    ]
    assert tails[0] == pytest.approx(1.0)
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(tails))


@pytest.mark.parametrize(
    ("hit_n", "n", "share", "expected"),
    [(1, 2, 0.5, 0.75), (2, 2, 0.5, 0.25), (0, 9, 0.1, 1.0), (3, 2, 0.5, 0.0), (1, 3, 0.0, 0.0)],
)
def test_binomial_tail(hit_n: int, n: int, share: float, expected: float) -> None:
    assert statistics.binomial_tail(hit_n, n, share) == pytest.approx(expected)


def test_holm_is_stricter_the_smaller_and_never_turns_the_order() -> None:
    assert statistics.holm([0.01, 0.04, 0.03], 4) == pytest.approx([0.04, 0.09, 0.09])


def test_wilson_matches_the_textbook_and_stays_within_0_and_1() -> None:
    assert statistics.wilson(1, 10) == pytest.approx((0.0179, 0.4042), abs=1e-4)
    assert statistics.wilson(0, 5).low == 0
    assert statistics.wilson(5, 5).high == 1
    assert statistics.wilson(0, 0) == (0, 1)


@pytest.mark.parametrize(
    ("value", "decimals", "sv", "en"),
    [(1234.56, 1, "1\u00a0234,6", "1,234.6"), (-0.04, 1, "0,0", "0.0"), (-3, 0, "−3", "−3")],
)
def test_numbers_are_said(value: float, decimals: int, sv: str, en: str) -> None:
    assert statistics.number(value, decimals) == (sv, en)


def test_a_stored_value_is_said_in_the_unit_that_people_read() -> None:
    assert statistics.quantity("drive_time_s", 5400) == ("1,5\u00a0h", "1.5\u00a0h")


@pytest.mark.parametrize(
    ("first", "last", "sv"),
    [
        (date(2026, 3, 3), date(2026, 4, 30), "mars–april"),
        (date(2026, 3, 3), date(2026, 3, 30), "mars"),
        (date(2026, 12, 3), date(2027, 1, 30), "december – januari 2027"),
        (date(2027, 1, 3), date(2027, 2, 3), "januari–februari 2027"),
    ],
)
def test_stretches_of_time_are_said_in_months(first: date, last: date, sv: str) -> None:
    assert statistics.months(first, last, date(2026, 1, 9)).sv == sv


@pytest.mark.parametrize(
    ("hours", "sv", "en"),
    [(0.75, "45\u00a0minuter", "45 minutes"), (12, "12\u00a0timmar", "12 hours")],
)
def test_durations_are_said(hours: float, sv: str, en: str) -> None:
    assert statistics.duration(timedelta(hours=hours)) == (sv, en)


def test_moments_are_said_in_local_time() -> None:
    at = datetime(2026, 11, 20, 13, 5, tzinfo=UTC)
    assert moment(at, at) == ("fre 20\u00a0nov 14.05", "Fri 20\u00a0Nov 14:05")
    later = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
    assert moment(at, later) == ("fre 20\u00a0nov 2026 14.05", "Fri 20\u00a0Nov 2026 14:05")


def test_a_reset_counter_rises_by_nothing() -> None:
    assert statistics.rises(np.array([5.0, 9.0, 1.0, 3.0])).tolist() == [4, 0, 2]
