"""Which devices there are: the same list for the same number and seed, on any machine."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from firmware_sim.devices.configured import settings_at
from firmware_sim.protocol import Identity
from fleet.models import Model, load_models
from fleet.words import DeviceClass

DEFAULT_TENANT: Final = "demo"


@dataclass(frozen=True, slots=True)
class PlannedDevice:
    """One individual. `individual_no` is the centre's own marking on the device.

    `cbor` devices encode their records as CBOR, the others as JSON.
    """

    id: str
    tenant: str
    model: str
    device_class: DeviceClass
    serial: str
    individual_no: str
    hw: str
    fw: str
    cbor: bool = False

    def identity(self, boot: int) -> Identity:
        """What it says of itself at a boot; its settings change now and then."""
        set_to = settings_at(self.device_class, self.serial, boot)
        return Identity(self.model, self.hw, self.fw, set_to)


@dataclass(frozen=True, slots=True)
class _Share:
    prefix: str
    weight: float


_SHARES: Final[dict[DeviceClass, _Share]] = {
    DeviceClass.POWERED_WHEELCHAIR: _Share("wc", 0.29),
    DeviceClass.APAP: _Share("apap", 0.14),
    DeviceClass.BLOOD_PRESSURE_MONITOR: _Share("bp", 0.11),
    DeviceClass.PERSONAL_ALARM: _Share("alarm", 0.10),
    DeviceClass.GLUCOSE_METER: _Share("glu", 0.09),
    DeviceClass.SCALE: _Share("scale", 0.07),
    DeviceClass.MEDICATION_DISPENSER: _Share("disp", 0.06),
    DeviceClass.PULSE_OXIMETER: _Share("oxi", 0.05),
    DeviceClass.ACTIVITY_METER: _Share("act", 0.05),
    DeviceClass.GATEWAY: _Share("gw", 0.02),
    DeviceClass.HBA1C_METER: _Share("hba1c", 0.02),
}

_CBOR_MODELS: Final = frozenset({"dynamic-rhino2", "fjarrkoll-gateway", "nonin-3150"})
_HARDWARE: Final = ("A", "B", "C")
_FIRMWARE: Final = ("1.9.0", "2.3.7", "2.4.1", "2.4.1", "3.0.2")


def fleet_plan(devices: int, seed: int, tenant: str = DEFAULT_TENANT) -> list[PlannedDevice]:
    """The first `devices` individuals of the fleet of `seed`.

    A longer fleet begins with the shorter one, and a short one already holds most classes.
    """
    given = dict.fromkeys(_SHARES, 0)
    plan = []
    for index in range(devices):
        device_class = max(
            _SHARES, key=lambda kind: _SHARES[kind].weight * (index + 1) - given[kind]
        )
        models = load_models().of(device_class)
        model = models[given[device_class] % len(models)]
        given[device_class] += 1
        plan.append(_individual(index, seed, tenant, model))
    return plan


def _individual(index: int, seed: int, tenant: str, model: Model) -> PlannedDevice:
    rng = Random(f"individual {seed} {index}")  # noqa: S311 - a simulation, not a secret
    prefix = _SHARES[model.device_class].prefix
    initials = "".join(word[0] for word in model.id.split("-")).upper()
    made = f"{rng.randrange(16, 26)}{rng.randrange(1, 53):02d}"
    return PlannedDevice(
        id=f"{prefix}-{index + 1:06d}",
        tenant=tenant,
        model=model.id,
        device_class=model.device_class,
        serial=f"{initials}{made}-{rng.randrange(10**5):05d}",
        individual_no=f"{rng.randrange(10, 99)}{index + 1:06d}",
        hw=rng.choice(_HARDWARE),
        fw=rng.choice(_FIRMWARE),
        cbor=model.id in _CBOR_MODELS,
    )
