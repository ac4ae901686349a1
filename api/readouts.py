"""The points of a drawing as a page carries them, for a script that reads them out. Pure.

A drawing has hundreds of points and a page has room for little, so each is told by how it differs
from the one before: seconds, then the value in the last decimal that people see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.scales import ValueScale
from api.series import Point
from api.typography import metric_unit
from fleet.metrics import load_metrics

UNKNOWN_DECIMALS = 2


@dataclass(frozen=True, slots=True)
class Readout:
    """What a script needs to say when and how much at any point of a drawing.

    Attributes:
        points: `seconds,value` for each point, with `,down,up` to the least and greatest value
            where a point stands for a stretch. All are differences; the first is from 1970 and 0.
        low, high: the values at the bottom and at the top of the drawing.
    """

    points: str
    decimals: int
    unit: str
    low: float
    high: float


def readout(
    metric: str, points: Sequence[Point], scale: ValueScale, *, is_of_stretches: bool
) -> Readout:
    """`points` in the units that people see, oldest first."""
    known = load_metrics().get(metric)
    decimals = known.decimals if known else UNKNOWN_DECIMALS
    told = _told(points, 10**decimals, is_of_stretches=is_of_stretches)
    return Readout(" ".join(told), decimals, metric_unit(metric), scale.low, scale.high)


def _told(points: Sequence[Point], scale: int, *, is_of_stretches: bool) -> list[str]:
    told = []
    last_at = last = 0
    for point in points:
        at, value = round(point.at.timestamp()), round(point.value * scale)
        text = f"{at - last_at},{value - last}"
        if is_of_stretches:
            text += f",{value - round(point.low * scale)},{round(point.high * scale) - value}"
        told.append(text)
        last_at, last = at, value
    return told
