"""What a device is set to: much the same for years, and changed by somebody now and then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from fleet.wire.settings import Setting
from fleet.words import DeviceClass

_BOOTS_BETWEEN_CHANGES: Final = 5

_Chosen = dict[str, Setting]


def settings_at(device_class: DeviceClass, serial: str, boot: int) -> Mapping[str, Setting]:
    """The settings of one individual at a boot; none of a class that reports none.

    The same for the same individual, but for one that somebody turns up or down every few boots.
    """
    choose = _CHOICES.get(device_class)
    if choose is None:
        return {}
    rng = Random(f"settings {serial}")  # noqa: S311 - a simulation, not a secret
    chosen = choose(rng)
    name = rng.choice([name for name, value in chosen.items() if not isinstance(value, str)])
    if boot // _BOOTS_BETWEEN_CHANGES % 2:
        chosen[name] = _changed(chosen[name])
    return chosen


def _changed(value: Setting) -> Setting:
    if isinstance(value, bool):
        return not value
    assert not isinstance(value, str), "only what can be turned is changed"
    return value - 5 if value > 20 else value + 1


def _chair(rng: Random) -> _Chosen:
    return {
        "drive_profile": rng.randrange(1, 6),
        "forward_speed_max_pct": rng.randrange(60, 101, 5),
        "reverse_speed_max_pct": rng.randrange(25, 55, 5),
        "turn_speed_max_pct": rng.randrange(20, 45, 5),
        "acceleration_pct": rng.randrange(30, 75, 5),
        "deceleration_pct": rng.randrange(50, 95, 5),
        "seat_tilted_speed_max_pct": rng.randrange(15, 35, 5),
        "joystick_throw_pct": rng.randrange(60, 101, 10),
        "joystick_deadband_pct": rng.randrange(5, 16),
    }


def _apap(rng: Random) -> _Chosen:
    low = rng.randrange(8, 17) / 2
    return {
        "pressure_min_cmh2o": low,
        "pressure_max_cmh2o": low + rng.randrange(6, 15) / 2,
        "ramp_min": rng.choice((0, 5, 10, 20)),
        "humidifier_level": rng.randrange(0, 9),
        "mask_type": rng.choice(("nasal", "pillows", "full_face")),
        "tube_type": rng.choice(("standard", "slim", "heated")),
    }


def _meter(unit: str) -> Callable[[Random], _Chosen]:
    return lambda rng: {"display_unit": unit, "reminder_on": rng.random() < 0.5}


_CHOICES: Final[Mapping[DeviceClass, Callable[[Random], _Chosen]]] = {
    DeviceClass.POWERED_WHEELCHAIR: _chair,
    DeviceClass.APAP: _apap,
    DeviceClass.BLOOD_PRESSURE_MONITOR: _meter("mmHg"),
    DeviceClass.SCALE: _meter("kg"),
    DeviceClass.GLUCOSE_METER: _meter("mmol/L"),
    DeviceClass.PULSE_OXIMETER: lambda rng: {"reminder_on": rng.random() < 0.5},
    DeviceClass.ACTIVITY_METER: lambda rng: {"reminder_on": rng.random() < 0.5},
    DeviceClass.PERSONAL_ALARM: lambda rng: {"alarm_volume_pct": rng.randrange(40, 101, 10)},
    DeviceClass.MEDICATION_DISPENSER: lambda rng: {
        "alarm_volume_pct": rng.randrange(40, 101, 10),
        "doses_per_day": rng.randrange(1, 5),
    },
}
