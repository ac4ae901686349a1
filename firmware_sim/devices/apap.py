"""An APAP unit: silent by day, a record per quarter of an hour by night, a summary in the morning.

Quantities as in the ResMed daily summary; usual values from device manuals, not from patients.
"""

from __future__ import annotations

from collections.abc import Set
from random import Random
from typing import Final

from firmware_sim.devices.rhythm import HOUR, MINUTE, Memory, Reading, at_hour, local_day, near
from fleet.words import Component

_BATCH: Final = 15 * MINUTE


class Apap(Memory):
    """`on_ms` to `off_ms` is the coming or present night."""

    on_ms: int
    off_ms: int
    bedtime_h: float
    sleep_h: float
    pressure_cmh2o: float
    leak_l_min: float
    ahi_per_h: float
    therapy_time_s: int
    blower_time_s: int
    humidifier_time_s: int
    powered_time_s: int
    power_up_count: int
    mask_event_count: int = 0


def start(at_ms: int, rng: Random) -> Apap:
    therapy_time_s = int(rng.uniform(100, 9_000) * 3600)
    unit = Apap(
        wake_ms=at_ms,
        on_ms=0,
        off_ms=0,
        bedtime_h=rng.uniform(21.5, 24.0),
        sleep_h=rng.uniform(6.0, 8.5),
        pressure_cmh2o=rng.uniform(6.5, 11.5),
        leak_l_min=rng.uniform(2, 11),
        ahi_per_h=rng.uniform(0.8, 4.5),
        therapy_time_s=therapy_time_s,
        blower_time_s=int(therapy_time_s * 1.04),
        humidifier_time_s=int(therapy_time_s * 0.8),
        powered_time_s=int(therapy_time_s * rng.uniform(1.5, 2.9)),
        power_up_count=rng.randrange(5, 400),
    )
    _plan_night(unit, local_day(at_ms), at_ms, rng)
    return unit


def _plan_night(unit: Apap, day: int, after_ms: int, rng: Random) -> None:
    on_ms = at_hour(day, unit.bedtime_h + rng.uniform(-0.6, 0.6))
    while on_ms <= after_ms or rng.random() < 0.04:  # a night without the mask
        day += 1
        on_ms = at_hour(day, unit.bedtime_h + rng.uniform(-0.6, 0.6))
    unit.on_ms = on_ms
    unit.off_ms = on_ms + int((unit.sleep_h + rng.uniform(-0.9, 0.9)) * HOUR)
    unit.mask_event_count = 0
    unit.wake_ms = on_ms + _BATCH


def step(unit: Apap, at_ms: int, rng: Random, ailing: Set[Component]) -> list[Reading]:
    """Report the last quarter of an hour, or the night when it is over."""
    if at_ms < unit.off_ms:
        unit.wake_ms = min(at_ms + _BATCH, unit.off_ms)
        return [_therapy(unit, at_ms, rng, ailing)]
    summary = _summary(unit, at_ms, rng, ailing)
    _plan_night(unit, local_day(at_ms), at_ms, rng)
    return [summary]


def _therapy(unit: Apap, at_ms: int, rng: Random, ailing: Set[Component]) -> Reading:
    series = []
    sample: dict[str, float] = {}
    for minute in (10, 5, 0):
        leak = _leak(unit, rng, ailing)
        pressure = max(4.0, near(rng, unit.pressure_cmh2o * _push(ailing), 0.8))
        sample = {
            "pressure_cmh2o": pressure,
            "mask_leak_l_min": leak,
            "respiratory_rate_per_min": near(rng, 14.5, 1.2),
            "blower_flow_l_min": round(28 + leak + rng.uniform(-4, 4), 1),
        }
        if minute:
            series.append((-minute * MINUTE, sample))
    extra = {
        "blower_temp_c": near(rng, 52 if Component.BLOWER in ailing else 36, 1.5),
        "humidifier_temp_c": near(rng, 22 if Component.HUMIDIFIER in ailing else 29, 0.8),
        "tube_temp_c": near(rng, 21 if Component.TUBE in ailing else 27, 0.6),
        "ambient_temp_c": near(rng, 19.5, 0.5),
        "ambient_humidity_pct": near(rng, 38, 4, 0),
    }
    if rng.random() < (0.25 if _leaks(ailing) else 0.03):
        unit.mask_event_count += 1
    return Reading(at_ms, sample | extra, series)


def _leaks(ailing: Set[Component]) -> bool:
    return not ailing.isdisjoint({Component.MASK_LEAK, Component.MASK, Component.TUBE})


def _leak(unit: Apap, rng: Random, ailing: Set[Component]) -> float:
    if _leaks(ailing):
        return round(rng.uniform(28, 62), 1)
    return round(max(0.0, rng.gauss(unit.leak_l_min, 2.2)), 1)


def _push(ailing: Set[Component]) -> float:
    """A worn blower or a blind pressure sensor does not reach the pressure."""
    worn = {Component.BLOWER, Component.PRESSURE_SENSOR}
    return 1.0 if ailing.isdisjoint(worn) else 0.7


def _summary(unit: Apap, at_ms: int, rng: Random, ailing: Set[Component]) -> Reading:
    used_s = (unit.off_ms - unit.on_ms) // 1000
    unit.therapy_time_s += used_s
    unit.blower_time_s += int(used_s * 1.03)
    unit.humidifier_time_s += used_s
    unit.powered_time_s += 86_400
    ahi = max(0.0, near(rng, unit.ahi_per_h, 0.9))
    central = round(ahi * rng.uniform(0.05, 0.3), 1)
    m = {
        "therapy_time_s": unit.therapy_time_s,
        "blower_time_s": unit.blower_time_s,
        "humidifier_time_s": unit.humidifier_time_s,
        "powered_time_s": unit.powered_time_s,
        "power_up_count": unit.power_up_count,
        "mask_event_count": unit.mask_event_count + 1,
        "mask_leak_p95_l_min": round(_leak(unit, rng, ailing) * 1.3 + 2, 1),
        "pressure_p95_cmh2o": round(unit.pressure_cmh2o * 1.15 * _push(ailing), 1),
        "ahi_per_h": ahi,
        "ahi_central_per_h": central,
        "ahi_obstructive_per_h": round(ahi - central, 1),
        "signal_strength_dbm": rng.randrange(-108, -75),
    }
    return Reading(at_ms, m)
