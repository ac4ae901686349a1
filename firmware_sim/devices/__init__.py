"""How devices behave, one kind per device class: pure generators of readings."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from firmware_sim.devices import apap, household, measuring, wheelchair
from firmware_sim.devices.rhythm import Memory, Reading
from fleet.words import Component, DeviceClass


@dataclass(frozen=True, slots=True)
class Kind:
    """A behaviour. `step` is called at the memory's own `wake_ms` and sets the next, later one.

    The memory is kept with the outbox; randomness and time are arguments.
    """

    memory: type[Memory]
    start: Callable[[int, Random], Memory]
    step: Callable[[Any, int, Random, Set[Component]], list[Reading]]


KINDS: Final[dict[DeviceClass, Kind]] = {
    DeviceClass.POWERED_WHEELCHAIR: Kind(wheelchair.Wheelchair, wheelchair.start, wheelchair.step),
    DeviceClass.APAP: Kind(apap.Apap, apap.start, apap.step),
    DeviceClass.ACTIVITY_METER: Kind(
        household.Activity, household.start_activity, household.step_activity
    ),
    DeviceClass.PERSONAL_ALARM: Kind(household.Alarm, household.start_alarm, household.step_alarm),
    DeviceClass.MEDICATION_DISPENSER: Kind(
        household.Dispenser, household.start_dispenser, household.step_dispenser
    ),
    DeviceClass.GATEWAY: Kind(household.Gateway, household.start_gateway, household.step_gateway),
} | {
    device_class: Kind(measuring.Measuring, measuring.start_of(habit), measuring.step_of(habit))
    for device_class, habit in measuring.HABITS.items()
}
