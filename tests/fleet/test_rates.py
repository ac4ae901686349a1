"""Rates and their intervals, against published tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.rates import poisson_interval, rate


@pytest.mark.parametrize(
    ("n", "low", "high"),
    [  # Ulm 1990, Am. J. Epidemiol. 131, 373-375, and Haenszel, Loveland and Sirken 1962
        (0, 0.0, 3.689),
        (1, 0.0253, 5.572),
        (2, 0.2422, 7.225),
        (3, 0.6187, 8.767),
        (4, 1.090, 10.242),
        (5, 1.623, 11.668),
        (10, 4.795, 18.390),
        (20, 12.217, 30.888),
        (50, 37.111, 65.919),
        (100, 81.364, 121.627),
    ],
)
def test_the_exact_interval_is_that_of_the_tables(n, low, high):
    found = poisson_interval(n)
    assert found.low == pytest.approx(low, abs=0.001)
    assert found.high == pytest.approx(high, abs=0.001)


def test_the_approximation_meets_the_exact_one_where_it_takes_over():
    exact, approximate = poisson_interval(100), poisson_interval(101)
    assert 0.9 < approximate.low - exact.low < 1.0
    assert 1.0 < approximate.high - exact.high < 1.1


@given(n=st.integers(0, 3000), confidence=st.floats(0.5, 0.999))
def test_an_interval_holds_what_was_seen_and_grows_with_confidence(n, confidence):
    found, wider = poisson_interval(n, confidence), poisson_interval(n, 0.9999)
    assert found.low <= n <= found.high
    assert wider.low <= found.low
    assert wider.high >= found.high


def test_a_rate_is_told_for_each_hundred_device_days():
    found = rate(5, 250.0)
    assert found.value == pytest.approx(2.0)
    assert (found.low, found.high) == (
        pytest.approx(0.649, abs=1e-3),
        pytest.approx(4.667, abs=1e-3),
    )


def test_nothing_watched_has_no_rate():
    assert rate(3, 0.0).value is None
