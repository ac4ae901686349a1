"""Devices that stand in a home and report by themselves: activity meter, personal alarm,
medication dispenser and gateway.
"""

from __future__ import annotations

from collections.abc import Set
from random import Random
from typing import Final

import msgspec

from firmware_sim.devices.rhythm import (
    DAY,
    HOUR,
    MINUTE,
    Memory,
    Reading,
    at_hour,
    local_day,
    local_hour,
    near,
    times_of_day,
)
from fleet.words import Component


class Activity(Memory):
    steps: int
    active_time_s: int
    liveliness: float
    charge_pct: float


def start_activity(at_ms: int, rng: Random) -> Activity:
    return Activity(
        wake_ms=at_ms + rng.randrange(2 * HOUR),
        steps=rng.randrange(20_000, 3_000_000),
        active_time_s=rng.randrange(50_000, 2_000_000),
        liveliness=rng.uniform(0.3, 1.6),
        charge_pct=rng.uniform(20, 100),
    )


def step_activity(
    meter: Activity, at_ms: int, rng: Random, ailing: Set[Component]
) -> list[Reading]:
    """Two hours in one record, with the pulse each quarter of an hour; nothing by night."""
    hour = local_hour(at_ms)
    if hour < 7 or hour > 22:
        meter.wake_ms = at_hour(local_day(at_ms) + (hour > 22), 7.2 + rng.random())
        return []
    meter.wake_ms = at_ms + 2 * HOUR
    walked = int(max(0.0, rng.gauss(620, 300)) * meter.liveliness)
    meter.steps += walked
    meter.active_time_s += int(walked * 0.62)
    worn = 1.2 * (4 if Component.BATTERY in ailing else 1)
    meter.charge_pct = meter.charge_pct - worn if meter.charge_pct > 12 else 98.0
    series = [
        (-quarter * 15 * MINUTE, {"heart_rate_per_min": near(rng, 74, 9, 0)})
        for quarter in range(7, 0, -1)
    ]
    m = {
        "step_count": meter.steps,
        "active_time_s": meter.active_time_s,
        "heart_rate_per_min": near(rng, 74, 9, 0),
        "state_of_charge_pct": round(meter.charge_pct),
    }
    return [Reading(at_ms, m, series)]


class Alarm(Memory):
    check_in_count: int
    alarm_count: int
    check_in_h: float
    checked_day: int = 0


def start_alarm(at_ms: int, rng: Random) -> Alarm:
    return Alarm(
        wake_ms=at_ms + rng.randrange(6 * HOUR),
        check_in_count=rng.randrange(10, 1_500),
        alarm_count=rng.randrange(0, 40),
        check_in_h=rng.uniform(8, 16),
    )


def step_alarm(alarm: Alarm, at_ms: int, rng: Random, ailing: Set[Component]) -> list[Reading]:
    """Four reports a day; the first after the set hour is the automatic check-in."""
    alarm.wake_ms = at_ms + 6 * HOUR + rng.randrange(-2 * MINUTE, 2 * MINUTE)
    if local_day(at_ms) != alarm.checked_day and local_hour(at_ms) >= alarm.check_in_h:
        alarm.checked_day = local_day(at_ms)
        alarm.check_in_count += 1
    if rng.random() < 0.004:
        alarm.alarm_count += 1
    without_mains = Component.POWER_SUPPLY in ailing
    battery_v = 3.35 if without_mains or Component.BATTERY in ailing else 4.08
    m = {
        "battery_voltage_v": near(rng, battery_v, 0.02, 2),
        "base_battery_voltage_v": near(rng, battery_v + 2.4, 0.05, 2),
        "state_of_charge_pct": near(rng, 35, 4, 0) if battery_v < 4 else 100,
        "mains_state": 0 if without_mains else 1,
        "check_in_count": alarm.check_in_count,
        "alarm_count": alarm.alarm_count,
        "signal_strength_dbm": near(rng, -109 if Component.RADIO in ailing else -86, 4, 0),
    }
    return [Reading(at_ms, m)]


class Dispenser(Memory):
    dispensed: int
    missed: int
    early: int
    turns: int
    errors: int
    doses_left: int
    times: list[int] = msgspec.field(default_factory=list)


_DOSE_HOURS: Final = [8.0, 12.0, 18.0, 21.0]


def start_dispenser(at_ms: int, rng: Random) -> Dispenser:
    device = Dispenser(
        wake_ms=at_ms,
        dispensed=rng.randrange(100, 6_000),
        missed=rng.randrange(0, 60),
        early=rng.randrange(0, 30),
        turns=rng.randrange(200, 8_000),
        errors=rng.randrange(0, 4),
        doses_left=rng.randrange(8, 56),
    )
    _plan_doses(device, at_ms, rng)
    return device


def _plan_doses(device: Dispenser, after_ms: int, rng: Random) -> None:
    device.times = [time for time in device.times if time > after_ms]
    day = local_day(after_ms)
    while not device.times:
        device.times = [t for t in times_of_day(day, _DOSE_HOURS, 0.1, rng) if t > after_ms]
        day += 1
    device.wake_ms = device.times[0]


def step_dispenser(
    device: Dispenser, at_ms: int, rng: Random, ailing: Set[Component]
) -> list[Reading]:
    """One record per dose."""
    _plan_doses(device, at_ms, rng)
    if Component.DISPENSING_MECHANISM in ailing:
        device.errors += 1
        device.missed += 1
    elif rng.random() < 0.03:
        device.missed += 1
    else:
        device.dispensed += 1
        device.early += rng.random() < 0.05
    device.turns += 1
    device.doses_left = device.doses_left - 1 if device.doses_left > 2 else 56
    on_mains = Component.POWER_SUPPLY not in ailing
    m = {
        "dose_dispensed_count": device.dispensed,
        "dose_missed_count": device.missed,
        "dose_early_count": device.early,
        "tray_turn_count": device.turns,
        "system_error_count": device.errors,
        "medication_left_d": device.doses_left // 4,
        "mains_state": 1 if on_mains else 0,
        "battery_voltage_v": near(rng, 6.1 if on_mains else 5.4, 0.05, 2),
        "state_of_charge_pct": 100 if on_mains else near(rng, 55, 10, 0),
        "signal_strength_dbm": near(rng, -88, 5, 0),
    }
    return [Reading(at_ms, m)]


class Gateway(Memory):
    started_ms: int
    reconnect_count: int
    child_count: int
    disk_used_pct: float
    power_up_count: int


def start_gateway(at_ms: int, rng: Random) -> Gateway:
    return Gateway(
        wake_ms=at_ms + rng.randrange(30 * MINUTE),
        started_ms=at_ms - rng.randrange(60 * DAY),
        reconnect_count=rng.randrange(0, 90),
        child_count=rng.randrange(1, 5),
        disk_used_pct=rng.uniform(11, 46),
        power_up_count=rng.randrange(1, 30),
    )


def step_gateway(
    gateway: Gateway, at_ms: int, rng: Random, ailing: Set[Component]
) -> list[Reading]:
    """Half an hour in one record, a sample each five minutes."""
    gateway.wake_ms = at_ms + 30 * MINUTE
    gateway.disk_used_pct = min(90.0, gateway.disk_used_pct + 0.001)
    gateway.reconnect_count += rng.random() < (0.3 if Component.RADIO in ailing else 0.01)
    series = [
        (
            -part * 5 * MINUTE,
            {"cpu_temp_c": near(rng, 47, 1.5), "signal_strength_dbm": near(rng, -79, 3, 0)},
        )
        for part in range(5, 0, -1)
    ]
    m = {
        "uptime_s": (at_ms - gateway.started_ms) // 1000,
        "reconnect_count": gateway.reconnect_count,
        "child_count": gateway.child_count,
        "disk_used_pct": round(gateway.disk_used_pct, 1),
        "cpu_temp_c": near(rng, 47, 1.5),
        "ambient_temp_c": near(rng, 21, 0.6),
        "mains_state": 1,
        "power_up_count": gateway.power_up_count,
        "signal_strength_dbm": near(rng, -79, 3, 0),
    }
    return [Reading(at_ms, m, series)]
