"""What devices of one fleet share: places, carriers, lots, and troubles that hit many at once.

All of it follows from the seed and a device's own id, never from the order of a list, so that
several processes can each make their part of the fleet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal
from zlib import crc32

import numpy as np

from firmware_sim.devices.rhythm import DAY, HOUR
from firmware_sim.history.codes import codes_for, pick
from firmware_sim.history.mix import RATE_DAYS, HistoryScenario
from firmware_sim.history.shapes import Profile
from firmware_sim.history.timeline import Gap, Season, after_working_days, to_at
from firmware_sim.plan import PlannedDevice
from fleet.faults import FaultCode
from fleet.models import load_models
from fleet.words import DeviceClass

AREAS: Final = {
    "Falun": "Dalarna",
    "Borlänge": "Dalarna",
    "Mora": "Dalarna",
    "Ludvika": "Dalarna",
    "Västerås": "Västmanland",
    "Köping": "Västmanland",
    "Sala": "Västmanland",
    "Göteborg": "Västra Götaland",
    "Borås": "Västra Götaland",
    "Skövde": "Västra Götaland",
}
NETWORKS: Final = ("carrier-a", "carrier-b", "carrier-c")
_NETWORK_SHARES: Final = (0.5, 0.3, 0.2)
_LOT_SHARES: Final = (0.4, 0.3, 0.2, 0.1)
"""A centre buys in lots; the youngest is the biggest here."""
_NEEDS: Final = {
    DeviceClass.POWERED_WHEELCHAIR: (
        "sole_mobility", "toilet", "transfer", "eating", "position_change"),
    DeviceClass.APAP: ("breathing_support",),
}  # fmt: skip
_BEHIND_GATEWAY: Final = frozenset({
    DeviceClass.BLOOD_PRESSURE_MONITOR, DeviceClass.SCALE, DeviceClass.GLUCOSE_METER,
    DeviceClass.PULSE_OXIMETER, DeviceClass.ACTIVITY_METER,
})  # fmt: skip
_STORM_CLASSES: Final = (DeviceClass.PERSONAL_ALARM, DeviceClass.POWERED_WHEELCHAIR)

FleetKind = Literal["storm", "bad_batch", "bad_firmware"]


@dataclass(frozen=True, slots=True)
class FleetTrouble:
    """One cause on many devices: those of `model`, and of `batch` or `firmware` where given.

    In a storm all of them show `code` within an hour of `from_ms`, until `until_ms`. A bad
    batch or firmware gives each a `share` chance of a fault of its own in the season.
    """

    id: str
    kind: FleetKind
    model: str
    code: FaultCode
    from_ms: int
    until_ms: int
    share: float
    batch: str | None = None
    firmware: str | None = None

    def covers(self, profile: Profile) -> bool:
        return (
            self.model == profile.model
            and self.batch in (None, profile.batch)
            and self.firmware in (None, profile.firmware)
        )


@dataclass(frozen=True, slots=True)
class CarrierOutage:
    id: str
    network: str
    area: str
    gap: Gap

    def covers(self, profile: Profile) -> bool:
        return (self.network, self.area) == (profile.network, profile.area)


@dataclass(frozen=True, slots=True)
class World:
    """Everything that devices share. `gateways` are device ids, in order of id."""

    seed: int
    season: Season
    scenario: HistoryScenario
    gateways: tuple[str, ...]
    troubles: tuple[FleetTrouble, ...]
    outages: tuple[CarrierOutage, ...]

    def rng(self, *about: str) -> np.random.Generator:
        """A generator of its own for each device and subject."""
        return np.random.default_rng([self.seed, crc32(" ".join(about).encode())])

    def chance(self, rate: float) -> float:
        """A rate per `RATE_DAYS` as a number for this season."""
        return rate * self.season.days / RATE_DAYS


def build_world(
    seed: int, plan: Sequence[PlannedDevice], scenario: HistoryScenario, season: Season
) -> World:
    """The shared part of a fleet. `plan` may stand in any order."""
    gateways = tuple(sorted(d.id for d in plan if d.device_class is DeviceClass.GATEWAY))
    bare = World(seed, season, scenario, gateways, (), ())
    troubles = (
        *(_storm(bare, number) for number in range(scenario.storms)),
        *(_bad(bare, "bad_batch", number) for number in range(scenario.bad_batches)),
        *(_bad(bare, "bad_firmware", number) for number in range(scenario.bad_firmware)),
    )
    outages = tuple(_outage(bare, number) for number in range(scenario.carrier_outages))
    return World(seed, season, scenario, gateways, troubles, outages)


def _storm(world: World, number: int) -> FleetTrouble:
    """Each storm hits another class, first the one with the biggest models."""
    rng = world.rng("storm", str(number))
    model = _model_with_codes((_STORM_CLASSES[number % len(_STORM_CLASSES)],), rng)
    from_ms = world.season.from_ms + int(rng.uniform(0.15, 0.85) * world.season.days * DAY)
    return FleetTrouble(
        id=f"storm-{number}",
        kind="storm",
        model=model,
        code=pick(codes_for(model).grave, rng),
        from_ms=from_ms,
        until_ms=after_working_days(from_ms, int(rng.integers(1, 4)), 13.0),
        share=0.97,
    )


def _bad(world: World, kind: FleetKind, number: int) -> FleetTrouble:
    rng = world.rng(kind, str(number))
    classes = (DeviceClass.POWERED_WHEELCHAIR, DeviceClass.PERSONAL_ALARM, DeviceClass.APAP)
    model = _model_with_codes(classes, rng)
    is_batch = kind == "bad_batch"
    return FleetTrouble(
        id=f"{kind.replace('_', '-')}-{number}",
        kind=kind,
        model=model,
        code=pick(codes_for(model).grave, rng),
        from_ms=world.season.from_ms,
        until_ms=world.season.until_ms,
        share=0.45 if is_batch else 0.35,
        batch=_lot(model, 0) if is_batch else None,
        firmware=None if is_batch else "3.0.2",
    )


def _model_with_codes(classes: Iterable[DeviceClass], rng: np.random.Generator) -> str:
    models = [m.id for kind in classes for m in load_models().of(kind) if codes_for(m.id).grave]
    return models[int(rng.integers(len(models)))]


def _outage(world: World, number: int) -> CarrierOutage:
    """The bigger carriers in the bigger half of the areas, 8 to 40 hours."""
    rng = world.rng("outage", str(number))
    from_ms = world.season.from_ms + int(rng.uniform(0.05, 0.9) * world.season.days * DAY)
    gap = Gap(from_ms, from_ms + int(rng.uniform(8, 40) * HOUR), keeps=True)
    area = list(AREAS)[int(rng.integers(len(AREAS)))]
    return CarrierOutage(f"carrier-outage-{number}", NETWORKS[number % 2], area, gap)


def _lot(model: str, number: int) -> str:
    return f"{model}-L{number + 1}"


def profile_of(world: World, device: PlannedDevice) -> Profile:
    rng = world.rng("profile", device.id)
    area = list(AREAS)[int(rng.integers(len(AREAS)))]
    lot = int(rng.choice(len(_LOT_SHARES), p=_LOT_SHARES))
    number = int(device.id.rsplit("-", 1)[1])
    bought = to_at(world.season.from_ms).date() - timedelta(days=120 + 420 * lot)
    return Profile(
        number=number,
        id=device.id,
        tenant=device.tenant,
        model=device.model,
        device_class=device.device_class,
        firmware=device.fw,
        batch=_lot(device.model, lot),
        centre=AREAS[area],
        area=area,
        network=NETWORKS[int(rng.choice(3, p=_NETWORK_SHARES))],
        gateway=_gateway(world, device, rng),
        in_service_on=_in_service(bought, rng),
        basic_needs=_needs(device.device_class, rng),
    )


def _in_service(bought: date, rng: np.random.Generator) -> date:
    return bought + timedelta(days=int(rng.integers(0, 100)))


def _gateway(world: World, device: PlannedDevice, rng: np.random.Generator) -> str | None:
    """Three of four meters send through a gateway, the others through a phone."""
    chosen = rng.random()
    if device.device_class not in _BEHIND_GATEWAY or not world.gateways or chosen > 0.75:
        return None
    return world.gateways[int(chosen / 0.75 * len(world.gateways)) % len(world.gateways)]


def _needs(device_class: DeviceClass, rng: np.random.Generator) -> tuple[str, ...]:
    possible = _NEEDS.get(device_class, ())
    return tuple(need for need in possible if rng.random() < 0.35)
