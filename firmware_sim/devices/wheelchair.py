"""A powered wheelchair on two 12 V lead batteries: drives by day, charges by night.

It reports each minute of driving in batches of five, every half hour while charging, every
20 minutes while switched on and every three hours when asleep. The RHINO2 (DS90 manual, p. 134)
reports a driving minute at once and an idle hour once: batched here, and idle more often.
Voltages: a full 24 V pack reads 25.3 to 27.5 V (Amylior E-bx manual, p. 28).
"""

from __future__ import annotations

from collections.abc import Set
from random import Random
from typing import Final

import msgspec

from firmware_sim.devices.rhythm import (
    HOUR,
    MINUTE,
    SECOND,
    Memory,
    Reading,
    at_hour,
    local_day,
    local_hour,
)
from fleet.words import Component

_BATCH_MIN: Final = 5
_IDLE_CURRENT_A: Final = 0.25
_CHARGE_CURRENT_A: Final = 8.0
_FULL: Final = 0.985


class Wheelchair(Memory):
    """`drives` are the coming stretches of driving, as (start, end); `soc` is 0 to 1."""

    capacity_ah: float
    resistance_ohm: float
    soc: float
    odometer_m: float
    drive_time_s: float
    powered_time_s: float
    motor_temp_c: float
    power_up_count: int
    charge_count: int
    deep_discharge_count: int
    seat_actuation_count: int
    habit: float
    last_ms: int
    planned_day: int
    charge_from_ms: int
    charging: bool = False
    empty: bool = False
    drives: list[tuple[int, int]] = msgspec.field(default_factory=list)


def start(at_ms: int, rng: Random) -> Wheelchair:
    age = rng.random()
    drive_time_s = rng.uniform(50, 2_500) * 3600 * (0.2 + age)
    return Wheelchair(
        wake_ms=at_ms + rng.randrange(HOUR),
        capacity_ah=round(73 * (1 - 0.3 * age), 1),
        resistance_ohm=0.03 + 0.04 * age,
        soc=rng.uniform(0.6, 0.98),
        odometer_m=drive_time_s * rng.uniform(0.7, 1.0),
        drive_time_s=drive_time_s,
        powered_time_s=drive_time_s * rng.uniform(3, 6),
        motor_temp_c=21.0,
        power_up_count=int(rng.uniform(100, 2_000) * (0.2 + age)),
        charge_count=int(rng.uniform(60, 900) * (0.2 + age)),
        deep_discharge_count=int(rng.uniform(0, 9) * age),
        seat_actuation_count=rng.randrange(50, 9_000),
        habit=rng.uniform(0.6, 1.3),
        last_ms=at_ms,
        planned_day=-1,
        charge_from_ms=0,
    )


def step(chair: Wheelchair, at_ms: int, rng: Random, ailing: Set[Component]) -> list[Reading]:
    """Live until `at_ms`, the chair's own wake time, and report."""
    day = local_day(at_ms)
    if day != chair.planned_day:
        _plan(chair, day, rng)
    while chair.drives and chair.drives[0][1] <= at_ms - _BATCH_MIN * MINUTE:
        chair.drives.pop(0)
    if chair.drives and chair.drives[0][0] < at_ms and not chair.empty:
        reading = _drive(chair, at_ms, rng, ailing)
    elif chair.charging or at_ms >= chair.charge_from_ms:
        reading = _charge(chair, at_ms, rng, ailing)
    else:
        reading = _rest(chair, at_ms, rng)
    chair.last_ms = at_ms
    chair.wake_ms = _next_wake(chair, at_ms)
    return [reading]


def _plan(chair: Wheelchair, day: int, rng: Random) -> None:
    """Plan a day: four to seven outings of five to fifty minutes, and when the charger goes in."""
    chair.planned_day = day
    drives = []
    hour = rng.uniform(7.0, 9.0)
    while hour < 20.5:
        minutes = rng.uniform(5, 42) * chair.habit
        drives.append((at_hour(day, hour), at_hour(day, hour + minutes / 60)))
        hour += minutes / 60 + rng.uniform(0.8, 3.6)
    chair.drives = drives
    chair.charge_from_ms = at_hour(day, rng.uniform(21.0, 23.2))
    chair.charging = False
    chair.empty = False
    chair.power_up_count += 1


def _drive(chair: Wheelchair, at_ms: int, rng: Random, ailing: Set[Component]) -> Reading:
    left = _drag(ailing, Component.LEFT_MOTOR, Component.LEFT_BRAKE)
    right = _drag(ailing, Component.RIGHT_MOTOR, Component.RIGHT_BRAKE)
    series = []
    minutes = max(1, min(_BATCH_MIN, round((at_ms - chair.last_ms) / MINUTE)))
    sample: dict[str, float] = {}
    for minute in range(minutes - 1, -1, -1):
        duty = rng.uniform(0.35, 1.0)
        climb = 2.2 if rng.random() < 0.08 else 1.0
        left_a, right_a = (duty * climb * drag * rng.uniform(3.2, 5.2) for drag in (left, right))
        current_a = left_a + right_a + _IDLE_CURRENT_A
        chair.soc = max(0.02, chair.soc - current_a / 60 / _capacity(chair, ailing))
        heat_to = 22 + 3.0 * max(left_a, right_a)
        chair.motor_temp_c += (heat_to - chair.motor_temp_c) * 0.12
        speed_m_s = duty * 1.45 / (0.6 + 0.4 * max(left, right) * climb)
        chair.odometer_m += speed_m_s * 60
        chair.drive_time_s += 60
        sample = {
            "battery_voltage_v": _voltage(chair, current_a, ailing),
            "motor_left_current_a": round(left_a, 1),
            "motor_right_current_a": round(right_a, 1),
            "motor_current_a": round(left_a + right_a, 1),
            "motor_temp_c": round(chair.motor_temp_c, 1),
            "speed_m_s": round(speed_m_s, 2),
        }
        if minute:
            series.append((-minute * MINUTE, sample))
    chair.powered_time_s += minutes * 60
    if chair.soc < 0.08:
        chair.empty = True
        chair.deep_discharge_count += 1
    if rng.random() < 0.3:
        chair.seat_actuation_count += rng.randrange(1, 5)
    return Reading(at_ms, sample | _counters(chair) | {"drive_state": 1}, series)


def _drag(ailing: Set[Component], *parts: Component) -> float:
    """How much harder a side works while one of its parts fails."""
    return (
        1.7 if any(part in ailing for part in (*parts, Component.MOTOR, Component.BRAKE)) else 1.0
    )


def _charge(chair: Wheelchair, at_ms: int, rng: Random, ailing: Set[Component]) -> Reading:
    if not chair.charging:
        chair.charging = True
        chair.charge_count += 1
    series = []
    span_ms = min(at_ms - chair.last_ms, HOUR // 2)
    broken = Component.CHARGER in ailing
    current_a = 0.0
    for part in (2, 1, 0):
        room = max(0.0, 1.0 - chair.soc)
        current_a = 0.0 if broken else min(_CHARGE_CURRENT_A, 45 * room + 0.4)
        gained = current_a * 0.85 * span_ms / 3 / HOUR / _capacity(chair, ailing)
        chair.soc = min(1.0, chair.soc + gained)
        chair.motor_temp_c += (21 - chair.motor_temp_c) * 0.3
        if part:
            sample = {"battery_voltage_v": _voltage(chair, -current_a, ailing)}
            series.append((-part * span_ms // 3, sample))
    m = {
        "battery_voltage_v": _voltage(chair, -current_a, ailing),
        "battery_current_a": round(-current_a, 1),
        "state_of_charge_pct": round(100 * chair.soc),
        "charge_count": chair.charge_count,
        "mains_state": 0 if broken else 1,
        "inhibit_state": 1,
        "drive_state": 0,
        "ambient_temp_c": round(20.5 + rng.uniform(-0.7, 0.7), 1),
    }
    return Reading(at_ms, m, series)


def _rest(chair: Wheelchair, at_ms: int, rng: Random) -> Reading:
    hours = (at_ms - chair.last_ms) / HOUR
    awake = 7 <= local_hour(at_ms) <= 22
    chair.soc = max(
        0.02, chair.soc - hours * (_IDLE_CURRENT_A if awake else 0.02) / chair.capacity_ah
    )
    chair.powered_time_s += hours * 3600 * awake
    chair.motor_temp_c += (21 - chair.motor_temp_c) * min(1.0, hours)
    m = {
        "battery_voltage_v": _voltage(chair, _IDLE_CURRENT_A, frozenset()),
        "motor_temp_c": round(chair.motor_temp_c, 1),
        "ambient_temp_c": round(21 + rng.uniform(-1.5, 1.5), 1),
        "signal_strength_dbm": rng.randrange(-104, -71),
        "drive_state": 0,
        "key_state": 1 if awake else 2,
        "power_up_count": chair.power_up_count,
        "mains_state": 0,
    }
    return Reading(at_ms, m | _counters(chair))


def _counters(chair: Wheelchair) -> dict[str, float]:
    return {
        "state_of_charge_pct": round(100 * chair.soc),
        "drive_time_s": round(chair.drive_time_s),
        "powered_time_s": round(chair.powered_time_s),
        "odometer_m": round(chair.odometer_m),
        "deep_discharge_count": chair.deep_discharge_count,
        "seat_actuation_count": chair.seat_actuation_count,
    }


def _capacity(chair: Wheelchair, ailing: Set[Component]) -> float:
    return chair.capacity_ah * (0.45 if Component.BATTERY in ailing else 1.0)


def _voltage(chair: Wheelchair, current_a: float, ailing: Set[Component]) -> float:
    """Rest voltage less the drop over the inner resistance; a charging current raises it."""
    resistance = chair.resistance_ohm * (3.0 if Component.BATTERY in ailing else 1.0)
    rest_v = 23.5 + 2.2 * chair.soc
    lift_v = 1.6 if current_a < 0 else 0.0
    return round(rest_v + lift_v - resistance * current_a, 2)


def _next_wake(chair: Wheelchair, at_ms: int) -> int:
    drive = next(((first, last) for first, last in chair.drives if last > at_ms), None)
    if drive is not None and drive[0] < at_ms and not chair.empty:
        return at_ms + _BATCH_MIN * MINUTE
    if chair.charging:
        quiet_ms = HOUR // 2 if chair.soc < _FULL else 3 * HOUR
    else:
        quiet_ms = 20 * MINUTE if 6 <= local_hour(at_ms) <= 23 else 3 * HOUR
    candidates = [at_ms + quiet_ms, at_hour(local_day(at_ms) + 1, 0.0) + 11 * SECOND]
    if drive is not None and not chair.empty and drive[0] >= at_ms:
        candidates.append(drive[0] + _BATCH_MIN * MINUTE)
    if not chair.charging and chair.charge_from_ms > at_ms:
        candidates.append(chair.charge_from_ms + 10 * SECOND)
    return min(candidates)
