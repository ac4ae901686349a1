"""Hour series from grids: what an hour's samples of one metric add up to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import SupportsFloat

import numpy as np

from firmware_sim.history.shapes import HourSeries
from firmware_sim.history.timeline import Grid, Hours, Mask


@dataclass(slots=True)
class Sheet:
    """The metrics of one device. `kept` are the cells of the grid that are reported at all.

    Only what the model reports is kept.
    """

    hour: Hours
    kept: Mask
    metrics: frozenset[str]
    series: dict[str, HourSeries] = field(default_factory=dict)

    def gauge(  # noqa: PLR0913, PLR0917 - the columns of a rollup
        self,
        metric: str,
        sample_n: Grid,
        mean: Grid,
        low: Grid | None = None,
        high: Grid | None = None,
        last: Grid | None = None,
    ) -> None:
        """A measured value; `low`, `high` and `last` are the mean where not given."""
        if metric not in self.metrics:
            return
        mask = self.kept & (sample_n > 0)
        count, middle = sample_n[mask], mean[mask]
        self.series[metric] = HourSeries(
            self.hour[mask],
            count,
            middle if low is None else low[mask],
            middle if high is None else high[mask],
            middle * count,
            middle if last is None else last[mask],
        )

    def counter(self, metric: str, sample_n: Grid, start: SupportsFloat, gained: Grid) -> None:
        """A total that starts at `start` and grows by `gained` in each cell, row by row."""
        if metric not in self.metrics:
            return
        after = np.floor(float(start) + np.cumsum(gained.ravel()).reshape(gained.shape))
        before = np.maximum(np.floor(float(start)), after - np.ceil(gained))
        alone = sample_n <= 1
        low = np.where(alone, after, before)
        self.gauge(
            metric, sample_n, np.where(alone, after, (before + after) / 2), low, after, after
        )
