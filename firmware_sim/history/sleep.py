"""An APAP unit by the hour: nothing by day, samples by night, a summary in the morning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from firmware_sim.devices.rhythm import DAY, HOUR
from firmware_sim.history.shapes import HourSeries
from firmware_sim.history.sheet import Sheet
from firmware_sim.history.timeline import DayGrid, Grid, Mask

FIRST_HOUR: Final = 12
LARGE_LEAK_L_MIN: Final = 24.0
"""ResMed calls a 95th percentile above this a large leak; therapy suffers from there on."""


@dataclass(frozen=True, slots=True)
class LeakDrift:
    """A cushion that gives way: `rise` more litres a minute each night, until it is replaced."""

    since_ms: int
    rise: float

    def at(self, at_ms: Grid, replaced_ms: int | None) -> Grid:
        gone = at_ms >= (np.inf if replaced_ms is None else replaced_ms)
        nights = np.clip((at_ms - self.since_ms) / DAY, 0, None)
        return np.where(gone, 0.0, np.minimum(nights * self.rise, 45.0))

    def shows_ms(self, usual_p95: float) -> int:
        """When the usual night has become a large leak."""
        return self.since_ms + int(max(1.0, (LARGE_LEAK_L_MIN - usual_p95) / self.rise) * DAY)


@dataclass(frozen=True, slots=True)
class Sleeper:
    """One person's nights. Leaks in l/min; `p95` is that of a usual night."""

    bedtime_h: float
    sleep_h: float
    skips: float
    leak: float
    pressure: float
    blower_start_s: float

    @property
    def p95(self) -> float:
        return self.leak * 1.3 + 2


def draw_sleeper(rng: np.random.Generator) -> Sleeper:
    """Every fifth one uses it on half of the nights or fewer, which adherence studies find."""
    return Sleeper(
        bedtime_h=float(rng.uniform(21.5, 24.0)),
        sleep_h=float(rng.uniform(5.5, 8.5)),
        skips=float(rng.uniform(0.4, 0.8) if rng.random() < 0.2 else rng.uniform(0, 0.12)),
        leak=float(np.clip(rng.lognormal(np.log(6), 0.5), 1, 16)),
        pressure=float(rng.uniform(6.5, 11.5)),
        blower_start_s=float(rng.uniform(100, 22_000) * 3600),
    )


@dataclass(frozen=True, slots=True)
class Nights:
    series: dict[str, HourSeries]
    blower_start_s: float
    blower_gain_s: Grid


def live(  # noqa: PLR0913, PLR0917 - one person's nights in all their circumstances
    grid: DayGrid,
    on: Mask,
    sleeper: Sleeper,
    drift: Grid,
    metrics: Iterable[str],
    rng: np.random.Generator,
) -> Nights:
    """`drift` is what the mask leaks beyond its usual, in each cell of the grid."""
    share = _used(grid, on, sleeper, rng)
    sheet = Sheet(grid.hour, grid.inside & on, frozenset(metrics))
    _by_night(sheet, share, sleeper, drift, rng)
    gained = share * 3600 * 1.03
    _summary(sheet, share, sleeper, drift, rng)
    return Nights(sheet.series, sleeper.blower_start_s, gained)


def _used(grid: DayGrid, on: Mask, sleeper: Sleeper, rng: np.random.Generator) -> Grid:
    """The share of each hour in which the mask is on; columns are hours from noon."""
    nights = grid.shape[0]
    begin = sleeper.bedtime_h - FIRST_HOUR + rng.uniform(-0.6, 0.6, nights)
    end = begin + sleeper.sleep_h + rng.uniform(-0.9, 0.9, nights)
    column = np.arange(24.0)[None, :]
    share = np.clip(np.minimum(end[:, None], column + 1) - np.maximum(begin[:, None], column), 0, 1)
    used = (rng.random(nights) >= sleeper.skips)[:, None]
    return np.asarray(share * used * (on & grid.inside))


def _by_night(
    sheet: Sheet, share: Grid, sleeper: Sleeper, drift: Grid, rng: np.random.Generator
) -> None:
    """Three samples in a quarter of an hour."""
    sample_n = np.round(share * 12)
    shape = share.shape
    leak = np.clip(sleeper.leak + drift * 0.8 + rng.normal(0, 1.5, shape), 0, None).round(1)
    low, high = np.clip(leak - 4, 0, None), leak + 5 + drift * 0.3
    sheet.gauge("mask_leak_l_min", sample_n, leak, low, high.round(1))
    pressure = np.clip(rng.normal(sleeper.pressure, 0.4, shape), 4, None).round(1)
    sheet.gauge("pressure_cmh2o", sample_n, pressure, pressure - 1, pressure + 1)
    quarter_n = np.round(share * 4)
    sheet.gauge("blower_temp_c", quarter_n, rng.normal(36, 1, shape).round(1))
    sheet.gauge("ambient_temp_c", quarter_n, rng.normal(19.5, 0.5, shape).round(1))


def _summary(
    sheet: Sheet, share: Grid, sleeper: Sleeper, drift: Grid, rng: np.random.Generator
) -> None:
    """One sample of each total and percentile, in the hour after the mask came off."""
    last = share.shape[1] - 1 - np.argmax(share[:, ::-1] > 0, axis=1)
    once = np.zeros(share.shape)
    used = share.any(axis=1)
    once[np.flatnonzero(used), np.minimum(last[used] + 1, 23)] = 1
    colds = _colds(len(share), rng)
    leak = sleeper.p95 + drift + (rng.normal(0, 2.6, len(share)) + colds)[:, None]
    sheet.gauge("mask_leak_p95_l_min", once, np.clip(leak, 0, None).round(1))
    sheet.gauge("pressure_p95_cmh2o", once, np.full(share.shape, round(sleeper.pressure * 1.15, 1)))
    gained = share * 3600
    start_s = sleeper.blower_start_s
    sheet.counter("therapy_time_s", once, start_s / 1.04, gained)
    sheet.counter("blower_time_s", once, start_s, gained * 1.03)
    sheet.counter("humidifier_time_s", once, start_s * 0.8, gained)
    sheet.counter("powered_time_s", once, start_s * 2, np.full(share.shape, 3600.0))
    signal = rng.integers(-108, -75, share.shape).astype(float)
    sheet.gauge("signal_strength_dbm", once, signal)


def _colds(nights: int, rng: np.random.Generator) -> np.ndarray:
    """A blocked nose leaks at the mouth for a week and then no more: no fault of the mask."""
    extra = np.zeros(nights)
    if rng.random() < 0.25:
        first = int(rng.integers(0, nights))
        extra[first : first + int(rng.integers(4, 10))] = rng.uniform(6, 18)
    return extra


def draw_drift(from_ms: int, days: int, rng: np.random.Generator) -> LeakDrift:
    since_ms = from_ms + int(rng.uniform(-10, days * 0.85) * DAY)
    return LeakDrift(since_ms - since_ms % HOUR, float(rng.uniform(0.4, 1.6)))
