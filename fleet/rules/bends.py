"""A level that begins to rise: the straight line after a knee, told from a step and a spell. Pure.

A part that begins to wear in the middle of a window bends the values, and no line through all of
them shows it in time. A cold, or another mask, lifts them too, but to a level and not ever higher.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from fleet.rules.statistics import Floats, Line, median, memory_factor, two_sided

_BEFORE_N: Final = 5
_AFTER_N: Final = 3
"""How many values must lie before the knee, and after it. Ours, without a source."""

SPELL_D: Final = 10
"""How long a passing cause lasts at most, and a rise at least. Most colds are over in 7 to 10 days
(Heikkinen and Järvinen 2003, Lancet 361, 51-59)."""

_ODDS: Final = 50.0
"""How many times likelier the rise must be than the likeliest step or spell: it is asked each day
of each device. Ours; to be tuned on recorded fleets."""

_COST_OF_LAD: Final = math.sqrt(math.pi / 2)
"""How much less sure least absolute deviations are than least squares, if errors are normal
(Bassett and Koenker 1978, J. Am. Stat. Assoc. 73, 618-622)."""


def bent_line(x: Floats, y: Floats, confidence: float) -> Line | None:
    """The line since the knee, by least absolute deviations, if the values rise since one.

    Args:
        x: days, ascending, without ties.

    Returns:
        None if they do not rise, or if a step or a spell explains them nearly as well.
    """
    line, loss = _best_knee(x, y, confidence)
    if line is None or not line.is_rising:
        return None
    other = min(_losses_of_levels(x, y), default=math.inf)
    return line if _is_likelier(loss, other, len(x)) else None


def _is_likelier(loss: float, other: float, n: int) -> bool:
    """By the ratio of likelihoods, if errors are double exponential; both have three numbers."""
    return loss < other * math.exp(-math.log(_ODDS) / n)


def _best_knee(x: Floats, y: Floats, confidence: float) -> tuple[Line | None, float]:
    best: Line | None = None
    least = math.inf
    for knee in range(_BEFORE_N - 1, len(x) - _AFTER_N):
        if x[-1] - x[knee] < SPELL_D:
            break
        base = median(y[: knee + 1])
        since, above = x[knee + 1 :] - x[knee], y[knee + 1 :] - base
        slope = _slope_from_origin(since, above)
        residuals = np.concatenate((y[: knee + 1] - base, above - slope * since))
        loss = float(np.abs(residuals).sum())
        if slope > 0 and loss < least:
            best, least = _line(x, knee, base, slope, residuals, confidence), loss
    return best, least


def _slope_from_origin(u: Floats, v: Floats) -> float:
    """The slope with the least absolute deviations: the median of the slopes, weighed by `u`."""
    slopes = v / u
    order = np.argsort(slopes)
    weight = np.cumsum(u[order])
    return float(slopes[order[np.searchsorted(weight, weight[-1] / 2)]])


def _line(  # noqa: PLR0913, PLR0917 - a line and all that it rests on
    x: Floats, knee: int, base: float, slope: float, residuals: Floats, confidence: float
) -> Line:
    since = x[knee + 1 :] - x[knee]
    error = _COST_OF_LAD**2 * float(np.abs(residuals).mean()) * memory_factor(residuals)
    return Line(
        slope=slope,
        slope_sd=error / math.sqrt(float(np.square(since).sum())),
        middle_x=float(x[knee]),
        middle=base,
        middle_sd=error / math.sqrt(knee + 1),
        z=two_sided(confidence),
        point_n=len(since),
    )


def _losses_of_levels(x: Floats, y: Floats) -> Iterator[float]:
    """The absolute deviations from one level and another, lasting or for a spell, by its start."""
    for start in range(_BEFORE_N, len(x)):
        yield _loss(y[:start]) + _loss(y[start:])
        end = int(np.searchsorted(x, x[start] + SPELL_D))
        if end < len(x):
            yield _loss(np.concatenate((y[:start], y[end:]))) + _loss(y[start:end])


def _loss(values: Floats) -> float:
    return float(np.abs(values - median(values)).sum())
