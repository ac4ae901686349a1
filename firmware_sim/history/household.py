"""Meters, alarms, dispensers and gateways by the hour. What a patient measured is left out:
no rule for repairs may look at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from firmware_sim.history.shapes import HourSeries
from firmware_sim.history.sheet import Sheet
from firmware_sim.history.timeline import DayGrid, Grid, Mask
from fleet.words import DeviceClass

FIRST_HOUR: Final = 0
Habit = Callable[[Sheet, DayGrid, np.random.Generator], None]

_MEASURED_AT: Final = {
    DeviceClass.BLOOD_PRESSURE_MONITOR: (7, 13, 20),
    DeviceClass.SCALE: (7,),
    DeviceClass.GLUCOSE_METER: (7, 12, 17, 21),
    DeviceClass.HBA1C_METER: (9, 10, 13, 14),
    DeviceClass.PULSE_OXIMETER: (8, 21),
}


def live(
    grid: DayGrid, on: Mask, device_class: DeviceClass, metrics: Iterable[str],
    rng: np.random.Generator,
) -> dict[str, HourSeries]:  # fmt: skip
    sheet = Sheet(grid.hour, grid.inside & on, frozenset(metrics))
    habit = _HABITS.get(device_class)
    if habit is None:
        _measure(sheet, grid, _MEASURED_AT[device_class], rng)
    else:
        habit(sheet, grid, rng)
    return sheet.series


def _measure(sheet: Sheet, grid: DayGrid, hours: tuple[int, ...], rng: np.random.Generator) -> None:
    """A record for each measurement; weeks go by without one for those who measure seldom."""
    eager = float(rng.uniform(0.15, 0.95))
    sample_n = np.isin(grid.local, hours) * (rng.random(grid.shape) < eager).astype(float)
    sheet.counter("measurement_count", sample_n, rng.integers(5, 900), sample_n)
    charge = _worn_down(sample_n, float(rng.uniform(0.05, 0.3)), rng)
    sheet.gauge("state_of_charge_pct", sample_n, charge)
    sheet.gauge("battery_voltage_v", sample_n, (2.4 + 0.7 * charge / 100).round(2))


def _worn_down(used: Grid, step: float, rng: np.random.Generator) -> Grid:
    """A charge that falls with use, and is full again when it came near empty."""
    spent = np.cumsum(used.ravel()).reshape(used.shape) * step + rng.uniform(0, 90)
    return np.asarray(np.round(100 - spent % 90))


def _activity(sheet: Sheet, grid: DayGrid, rng: np.random.Generator) -> None:
    """Two hours in one record, by day."""
    odd = (grid.local % 2 == 1) & (grid.local >= 7) & (grid.local <= 21)
    worn = rng.random(grid.shape[0]) < rng.uniform(0.5, 1.0)
    sample_n = (odd & worn[:, None]).astype(np.float64)
    steps = np.clip(rng.normal(620, 300, grid.shape), 0, None) * rng.uniform(0.3, 1.6) * sample_n
    sheet.counter("step_count", sample_n, rng.integers(20_000, 3_000_000), steps)
    sheet.counter("active_time_s", sample_n, rng.integers(50_000, 2_000_000), steps * 0.62)
    sheet.gauge("state_of_charge_pct", sample_n, _worn_down(sample_n, 1.2, rng))


def _alarm(sheet: Sheet, grid: DayGrid, rng: np.random.Generator) -> None:
    """Four reports a day; the one after the set hour is the automatic check-in."""
    first = int(rng.integers(0, 6))
    sample_n = (grid.local % 6 == first).astype(np.float64)
    checks = (grid.local == first + 12).astype(np.float64)
    sheet.counter("check_in_count", sample_n, rng.integers(10, 1_500), checks)
    sheet.gauge("battery_voltage_v", sample_n, rng.normal(4.08, 0.02, grid.shape).round(2))
    sheet.gauge("base_battery_voltage_v", sample_n, rng.normal(6.48, 0.05, grid.shape).round(2))
    sheet.gauge("state_of_charge_pct", sample_n, np.full(grid.shape, 100.0))
    sheet.gauge("mains_state", sample_n, np.ones(grid.shape))
    sheet.gauge("signal_strength_dbm", sample_n, _signal(grid, -86, rng))


def _dispenser(sheet: Sheet, grid: DayGrid, rng: np.random.Generator) -> None:
    """One record per dose."""
    sample_n = np.isin(grid.local, (8, 12, 18, 21)).astype(np.float64)
    missed = sample_n * (rng.random(grid.shape) < 0.03)
    sheet.counter("dose_dispensed_count", sample_n, rng.integers(100, 6_000), sample_n - missed)
    sheet.counter("dose_missed_count", sample_n, rng.integers(0, 60), missed)
    sheet.counter("tray_turn_count", sample_n, rng.integers(200, 8_000), sample_n)
    sheet.counter("system_error_count", sample_n, rng.integers(0, 4), np.zeros(grid.shape))
    sheet.gauge("mains_state", sample_n, np.ones(grid.shape))
    sheet.gauge("battery_voltage_v", sample_n, rng.normal(6.1, 0.05, grid.shape).round(2))
    sheet.gauge("state_of_charge_pct", sample_n, np.full(grid.shape, 100.0))
    sheet.gauge("signal_strength_dbm", sample_n, _signal(grid, -88, rng))


def _gateway(sheet: Sheet, grid: DayGrid, rng: np.random.Generator) -> None:
    """Two records an hour, with a sample each five minutes."""
    records_n, sample_n = np.full(grid.shape, 2.0), np.full(grid.shape, 12.0)
    dropped = rng.poisson(0.02, grid.shape).astype(np.float64)
    sheet.counter("reconnect_count", records_n, rng.integers(0, 90), dropped)
    sheet.gauge("uptime_s", records_n, grid.hour * 3600.0 - grid.hour.min() * 3600.0)
    sheet.gauge("disk_used_pct", records_n, np.full(grid.shape, float(rng.uniform(11, 46))))
    sheet.gauge("cpu_temp_c", sample_n, rng.normal(47, 1.5, grid.shape).round(1))
    sheet.gauge("mains_state", records_n, np.ones(grid.shape))
    sheet.gauge("signal_strength_dbm", sample_n, _signal(grid, -79, rng))


def _signal(grid: DayGrid, usual: float, rng: np.random.Generator) -> Grid:
    return np.asarray(np.round(rng.normal(usual, 4, grid.shape)))


_HABITS: Final[dict[DeviceClass, Habit]] = {
    DeviceClass.ACTIVITY_METER: _activity,
    DeviceClass.PERSONAL_ALARM: _alarm,
    DeviceClass.MEDICATION_DISPENSER: _dispenser,
    DeviceClass.GATEWAY: _gateway,
}
