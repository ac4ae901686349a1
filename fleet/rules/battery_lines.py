"""The two lines of evidence of a battery's wear: range per charge, and voltage under load. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleet.rules.battery_words import VOLTAGE
from fleet.rules.facts import DaySeries
from fleet.rules.statistics import RECENT_N, Floats, median

Days = NDArray[np.int64]

CHARGE: Final = "state_of_charge_pct"
ODOMETER: Final = "odometer_m"
DRIVE_TIME: Final = "drive_time_s"

_LEAST_DROP_PCT: Final = 10.0
_LEAST_DRIVE: Final = {ODOMETER: 300.0, DRIVE_TIME: 300.0}
"""Below these a day's range is mostly rounding. Ours, without a source."""

_GOOD_CHARGE_PCT: Final = 50.0
"""Any battery is low near the end of its charge. Sag tells of wear above half of it. Ours."""

NOT_WORN: Final = 0.77
"""A battery that has more than this of its best is not worn, however far its user drives: one that
is too small is no end of life. IEEE 450 replaces at 80 % of the rated capacity."""


class Way(NamedTuple):
    """How far each day went, in `metric`; a chair without an odometer counts time."""

    metric: str
    driven: tuple[Days, Floats] | None


class EvidenceLine(NamedTuple):
    """One line of evidence by day, the higher the better. No limit is above `ceiling`.

    `drop` and `driven` are what a range comes from, in percent and in the unit of the distance.
    """

    name: str
    day: Days
    value: Floats
    ceiling: float
    drop: Floats | None = None
    driven: Floats | None = None

    def values(self, start: int, end: int) -> Floats:
        """The values of these days; a range is freed from what standing costs in these days."""
        if self.drop is None or self.driven is None:
            return self.value[start:end]
        drop, driven = self.drop[start:end], self.driven[start:end]
        ranges: Floats = 100 * (driven + _standing(drop, driven)) / drop
        return ranges


def range_line(series: Mapping[str, DaySeries], way: Way, worn_share: float) -> EvidenceLine | None:
    """Distance over the drop in charge, on days that had enough of both."""
    charge = series.get(CHARGE)
    if charge is None or way.driven is None:
        return None
    days, at_charge, at_drive = np.intersect1d(
        charge.day, way.driven[0], assume_unique=True, return_indices=True
    )
    drop = (charge.high - charge.low)[at_charge]
    driven = way.driven[1][at_drive]
    told = (drop >= _LEAST_DROP_PCT) & (driven >= _LEAST_DRIVE[way.metric])
    drop, driven = drop[told], driven[told]
    ranges = 100 * driven / drop
    # Standing at most doubles a range.
    ceiling = 2 * float(ranges.max(initial=0.0)) * max(NOT_WORN, worn_share)
    return EvidenceLine("range", days[told], ranges, ceiling, drop, driven)


def load_line(series: Mapping[str, DaySeries], way: Way, limit_v: float) -> EvidenceLine | None:
    """The lowest voltage of the days on which it drove, and never on a low charge."""
    voltage = series.get(VOLTAGE)
    if voltage is None:
        return None
    if way.driven is None:
        return EvidenceLine("load", voltage.day, voltage.low, limit_v)
    days = way.driven[0][way.driven[1] >= _LEAST_DRIVE[way.metric]]
    if (charge := series.get(CHARGE)) is not None:
        days = np.intersect1d(days, charge.day[charge.low >= _GOOD_CHARGE_PCT])
    loaded = np.isin(voltage.day, days, assume_unique=True)
    return EvidenceLine("load", voltage.day[loaded], voltage.low[loaded], limit_v)


def _standing(drop: Floats, driven: Floats) -> float:
    """How far could be driven with what a day of standing switched on costs.

    Where the straight line through drop over distance meets a day without driving. Without it, a
    week at home would look like a worn battery.
    """
    if len(drop) < 2 * RECENT_N:
        return 0.0
    order = np.argsort(driven, kind="stable")
    x, y = driven[order], drop[order]
    half = len(x) // 2
    run = x[half:] - x[: len(x) - half]
    if not (run > 0).all() or (slope := median((y[half:] - y[: len(y) - half]) / run)) <= 0:
        return 0.0
    return min(max(0.0, median(y - slope * x) / slope), median(x))


def distances(odometer: DaySeries | None) -> tuple[Days, Floats] | None:
    """How far each day went; a day on which the counter was set back is left out."""
    if odometer is None:
        return None
    sound = odometer.last >= odometer.high
    return odometer.day[sound], (odometer.high - odometer.low)[sound]
