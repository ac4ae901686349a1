"""Devices that report when their user measures: silence is normal. One table, five classes."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from random import Random
from typing import Final

import msgspec

from firmware_sim.devices.rhythm import DAY, SECOND, Memory, Reading, local_day, near, times_of_day
from fleet.words import Component, DeviceClass


class Measuring(Memory):
    """`base` is what is usual for this user; `times` are the coming measurements."""

    base: list[float]
    measured: int
    charge_pct: float
    drain_pct: float
    times: list[int] = msgspec.field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Habit:
    """How a class of device is used.

    `hours`: local hours of a measuring day. `every_days`: days between such days.
    `skips`: share of measurements that are forgotten.
    """

    hours: tuple[float, ...]
    spread_h: float
    every_days: int
    skips: float
    base: Callable[[Random], list[float]]
    measure: Callable[
        [list[float], Random], tuple[dict[str, float], list[tuple[int, dict[str, float]]]]
    ]


_Values = tuple[dict[str, float], list[tuple[int, dict[str, float]]]]


def _pressure(base: list[float], rng: Random) -> _Values:
    systolic = near(rng, base[0], 8, 0)
    diastolic = min(near(rng, base[1], 5, 0), systolic - 20)
    mean = round(diastolic + (systolic - diastolic) / 3)
    pulse = near(rng, base[2], 6, 0)
    values = (systolic, diastolic, mean, pulse)
    names = ("bp_systolic_mmhg", "bp_diastolic_mmhg", "bp_mean_mmhg", "bp_pulse_per_min")
    return dict(zip(names, values, strict=True)), []


def _weight(base: list[float], rng: Random) -> _Values:
    weight = near(rng, base[0], 0.5)
    bmi = round(weight / (base[1] / 100) ** 2, 1)
    return {"body_weight_kg": weight, "bmi_kg_m2": bmi, "body_fat_pct": near(rng, base[2], 0.6)}, []


def _glucose(base: list[float], rng: Random) -> _Values:
    if rng.random() < 0.02:
        return {"glucose_control_mmol_l": near(rng, 6.2, 0.3)}, []
    return {"glucose_mmol_l": max(2.9, near(rng, base[0], 1.6))}, []


def _hba1c(base: list[float], rng: Random) -> _Values:
    ifcc = near(rng, base[0], 1.5, 0)
    return {"hba1c_mmol_mol": ifcc, "hba1c_ngsp_pct": round(0.0915 * ifcc + 2.15, 1)}, []


def _oximetry(base: list[float], rng: Random) -> _Values:
    """A minute on the finger: a sample each five seconds."""
    samples = [
        {
            "spo2_pct": min(100.0, near(rng, base[0], 0.7, 0)),
            "spo2_pulse_per_min": near(rng, base[1], 3, 0),
            "perfusion_index_pct": max(0.3, near(rng, base[2], 0.4)),
        }
        for _ in range(12)
    ]
    series = [
        ((position - 11) * 5 * SECOND, sample) for position, sample in enumerate(samples[:-1])
    ]
    return samples[-1], series


HABITS: Final[dict[DeviceClass, Habit]] = {
    DeviceClass.BLOOD_PRESSURE_MONITOR: Habit(
        (7.5, 13.0, 20.5),
        0.9,
        1,
        0.2,
        lambda rng: [rng.uniform(118, 152), rng.uniform(70, 92), rng.uniform(58, 84)],
        _pressure,
    ),
    DeviceClass.SCALE: Habit(
        (7.2,),
        0.6,
        1,
        0.15,
        lambda rng: [rng.uniform(52, 118), rng.uniform(152, 192), rng.uniform(16, 38)],
        _weight,
    ),
    DeviceClass.GLUCOSE_METER: Habit(
        (6.8, 11.7, 17.2, 21.6), 0.7, 1, 0.15, lambda rng: [rng.uniform(5.6, 10.4)], _glucose
    ),
    DeviceClass.HBA1C_METER: Habit(
        (9.0, 9.4, 10.1, 13.3, 14.0), 0.4, 2, 0.3, lambda rng: [rng.uniform(40, 68)], _hba1c
    ),
    DeviceClass.PULSE_OXIMETER: Habit(
        (8.0, 21.0),
        1.1,
        1,
        0.2,
        lambda rng: [rng.uniform(91, 98), rng.uniform(58, 88), rng.uniform(1.5, 7)],
        _oximetry,
    ),
}


def start_of(habit: Habit) -> Callable[[int, Random], Measuring]:
    """The start of devices of this habit."""

    def start(at_ms: int, rng: Random) -> Measuring:
        device = Measuring(
            wake_ms=at_ms,
            base=[round(value, 1) for value in habit.base(rng)],
            measured=rng.randrange(5, 900),
            charge_pct=rng.uniform(35, 100),
            drain_pct=rng.uniform(0.02, 0.12),
        )
        _plan(device, habit, local_day(at_ms) + rng.randrange(habit.every_days), at_ms, rng)
        return device

    return start


def step_of(habit: Habit) -> Callable[[Measuring, int, Random, Set[Component]], list[Reading]]:
    """The step of devices of this habit."""

    def step(device: Measuring, at_ms: int, rng: Random, ailing: Set[Component]) -> list[Reading]:
        _plan(device, habit, local_day(at_ms) + habit.every_days, at_ms, rng)
        if rng.random() < habit.skips:
            return []
        device.measured += 1
        drain = device.drain_pct * (12 if Component.BATTERY in ailing else 1)
        device.charge_pct = device.charge_pct - drain if device.charge_pct > 6 else 100.0
        m, series = habit.measure(device.base, rng)
        m["measurement_count"] = device.measured
        m["state_of_charge_pct"] = round(device.charge_pct)
        return [Reading(at_ms, m, series)]

    return step


def _plan(device: Measuring, habit: Habit, day: int, after_ms: int, rng: Random) -> None:
    """Set the next measuring time, on `day` or later once today's are done."""
    device.times = [time for time in device.times if time > after_ms]
    while not device.times:
        planned = times_of_day(day, list(habit.hours), habit.spread_h, rng)
        device.times = [time for time in planned if time > after_ms]
        day += habit.every_days
    device.wake_ms = device.times[0]
    assert device.wake_ms - after_ms < 30 * DAY
