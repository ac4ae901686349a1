"""A level that begins to rise, told from one that steps up and from a spell that passes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.rules.bends import bent_line
from fleet.rules.statistics import Floats


def values(x: Floats, above: Floats, seed: int, noise: float = 2.0) -> Floats:
    drawn: Floats = 10 + above + np.random.default_rng(seed).normal(0, noise, len(x))
    return drawn


def found_of(x: Floats, above: Floats) -> int:
    """On how many of forty devices a bend is seen."""
    return sum(bent_line(x, values(x, above, seed), 0.9) is not None for seed in range(40))


NIGHTLY = np.arange(60.0)
SELDOM = np.arange(0.0, 60.0, 4)


@pytest.mark.parametrize(("x", "slope", "least"), [(NIGHTLY, 0.8, 38), (SELDOM, 2.0, 30)])
def test_a_rise_of_three_weeks_is_seen_and_drawn_from_where_it_began(
    x: Floats, slope: float, least: int
) -> None:
    above = slope * np.maximum(0.0, x - 39)
    lines = [bent_line(x, values(x, above, seed), 0.9) for seed in range(40)]
    seen = [line for line in lines if line is not None]
    assert len(seen) >= least
    assert abs(np.median([line.middle_x for line in seen]) - 39) < 5
    assert np.median([line.slope for line in seen]) == pytest.approx(slope, rel=0.2)
    assert np.median([line.at(x[-1]) for line in seen]) == pytest.approx(10 + above[-1], rel=0.1)


@pytest.mark.parametrize("x", [NIGHTLY, SELDOM], ids=["nightly", "seldom"])
@pytest.mark.parametrize(
    ("begin", "end", "height"),
    [(60, 60, 0), (51, 60, 15), (44, 53, 15), (40, 60, 12)],
    ids=["nothing", "a cold", "a cold that is over", "another mask"],
)
def test_what_stands_at_a_level_is_no_rise(x: Floats, begin: int, end: int, height: float) -> None:
    above = np.where((x >= begin) & (x < end), height, 0.0)
    assert found_of(x, above) <= 1


def test_too_few_values_on_either_side_say_nothing() -> None:
    x = np.arange(9.0)
    assert bent_line(x, np.maximum(0.0, x - 3), 0.9) is None
    late = np.append(np.arange(20.0), (22.0, 31.0))
    assert bent_line(late, np.maximum(0.0, late - 20) * 3, 0.9) is None


@settings(max_examples=30, deadline=None)
@given(st.floats(-50, 50), st.floats(0.1, 10), st.integers(0, 30))
def test_neither_the_unit_nor_the_zero_of_a_value_matters(
    zero: float, unit: float, seed: int
) -> None:
    y = values(NIGHTLY, np.maximum(0.0, NIGHTLY - 39), seed)
    plain, other = bent_line(NIGHTLY, y, 0.9), bent_line(NIGHTLY, zero + unit * y, 0.9)
    assert (plain is None) == (other is None)
    if plain is not None and other is not None:
        assert other.middle_x == plain.middle_x
        assert other.slope == pytest.approx(unit * plain.slope)
