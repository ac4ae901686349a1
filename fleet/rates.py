"""How often something happens, with its uncertainty. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fleet.rules.statistics import Interval, two_sided

_EXACT_TO: Final = 100
"""Above this Wilson and Hilferty's approximation agrees with the exact interval to 1 in 10,000."""

_STEPS: Final = 60


@dataclass(frozen=True, slots=True)
class Rate:
    """Events in a time of watching, for each `per` of it; None where nothing was watched."""

    event_n: int
    exposure: float
    value: float | None
    low: float | None
    high: float | None


def rate(event_n: int, exposure: float, per: float = 100.0, confidence: float = 0.95) -> Rate:
    """A rate with its interval, both for each `per` of the exposure's unit."""
    if exposure <= 0:
        return Rate(event_n, 0.0, None, None, None)
    scale = per / exposure
    found = poisson_interval(event_n, confidence)
    return Rate(event_n, exposure, event_n * scale, found.low * scale, found.high * scale)


@lru_cache(maxsize=4096)
def poisson_interval(n: int, confidence: float = 0.95) -> Interval:
    """The interval of a Poisson mean of which `n` events were seen; exact up to 100 events.

    Source: Garwood 1936, Biometrika 28, 437-442; above that Wilson and Hilferty 1931, Proc. Natl.
    Acad. Sci. 17, 684-688.
    """
    tail = (1 - confidence) / 2
    if n > _EXACT_TO:
        z = two_sided(confidence)
        return Interval(_cubed(n, -z), _cubed(n + 1, z))
    low = 0.0 if n == 0 else _solved(lambda mean: _at_least(n, mean) - tail, n)
    return Interval(low, _solved(lambda mean: tail - (1 - _at_least(n + 1, mean)), n))


def _cubed(n: int, z: float) -> float:
    return n * (1 - 1 / (9 * n) + z / (3 * math.sqrt(n))) ** 3


def _at_least(n: int, mean: float) -> float:
    """The chance of `n` events or more."""
    if mean <= 0:
        return 0.0
    terms = (math.exp(i * math.log(mean) - mean - math.lgamma(i + 1)) for i in range(n))
    return 1.0 - math.fsum(terms)


def _solved(rising: Callable[[float], float], n: int) -> float:
    """Where a rising function of the mean is nought, by halving."""
    low, high = 0.0, 2.0 * n + 30.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if rising(middle) > 0:
            high = middle
        else:
            low = middle
    return (low + high) / 2
