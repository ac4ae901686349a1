"""How often what happens, as a table. No number here was taken from a rule's limits.

Anchor for powered wheelchairs: 63.8 % of 591 users needed a repair within six months, so 0.50
needs per chair in 90 days; faults of electronics, power and control lead. About half of the
needs show in telemetry in this table, the rest (tyres, upholstery, frames) has no sensor.
Where no source is named in a field, the number is our assumption.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from firmware_sim.history.shapes import Kind
from fleet.words import DeviceClass

_CLASSES: Final = DeviceClass
RATE_DAYS: Final = 90
"""Rates are per device and 90 days; shares are of the devices they apply to."""

SERVICE_EVERY_H: Final[Mapping[DeviceClass, float]] = {
    DeviceClass.POWERED_WHEELCHAIR: 1_000,
    DeviceClass.APAP: 20_000,
}
"""Agreed service intervals, in hours of driving or of the blower: a contract, not physics. The
rules that are scored must name the same. A RHINO2's own default is 5,000 h of driving."""

_FAULTS: Final[Mapping[DeviceClass, float]] = {
    _CLASSES.POWERED_WHEELCHAIR: 0.30,
    _CLASSES.APAP: 0.07,
    _CLASSES.PERSONAL_ALARM: 0.06,
    _CLASSES.MEDICATION_DISPENSER: 0.08,
}
_NOISE: Final[Mapping[DeviceClass, float]] = {
    _CLASSES.POWERED_WHEELCHAIR: 2.0,
    _CLASSES.APAP: 0.6,
    _CLASSES.PERSONAL_ALARM: 1.5,
    _CLASSES.MEDICATION_DISPENSER: 2.0,
}
_PATTERNS: Final[Mapping[Kind, float]] = {
    "lasting": 0.42,
    "lasting_minor": 0.04,
    "flapping": 0.14,
    "counting": 0.08,
    "minor_recurring": 0.08,
    "passing": 0.08,
    "mended": 0.10,
    "handling": 0.06,
}


@dataclass(frozen=True, slots=True)
class HistoryScenario:
    """How often what happens to a fleet. Rates are per device and 90 days.

    Attributes:
        faults: causes with codes, by class; other classes have `faults_other`. patterns: what
            share of them takes which course.
        repeats: share of repairs that do not hold; the same fault is back within a week.
        noise: single codes that mean nothing, by class; other classes have `noise_other`.
        stale_counters: share of wheelchairs whose controller keeps an old total of a code and
            reports it now and then, without it growing.
        worn_batteries: share of packs that wear out between the beginning and 60 days after the
            end. Packs last 600 to 1,400 days, so about 145 / 1,000.
        sudden_batteries: share whose cell fails from one day to the next.
        dead_chargers: rate of chargers that stop charging.
        forgets_charger: chance that a night goes by without the charger; some users' is tenfold.
        mask_leaks: rate of masks that begin to leak more each night.
        dead_radios, dead_power: rates of devices that fall silent for good.
        hospital_stays: half of Swedish stays are over in 4 days; one in four devices a year.
        away: weeks without coverage or abroad; sent afterwards.
        weekend_users: share of scooters used and switched on only from Friday to Sunday.
        in_storage: share of scooters put away for the winter; half of them are registered so.
        poor_coverage: rate of stretches without a connection, half of them over 4 hours, one in
            twelve over 12.
        carrier_outages: of one carrier in one area, in the whole fleet.
        storms: one code on every device of a model within an hour; in the whole fleet.
        bad_batches, bad_firmware: a lot or a version with one code far above its peers.
        visits: rate of workshop visits without a fault (adjustment, inspection).
    """

    name: str
    description: str
    faults: Mapping[DeviceClass, float] = field(default_factory=lambda: _FAULTS)
    faults_other: float = 0.03
    patterns: Mapping[Kind, float] = field(default_factory=lambda: _PATTERNS)
    repeats: float = 0.12
    noise: Mapping[DeviceClass, float] = field(default_factory=lambda: _NOISE)
    noise_other: float = 1.5
    stale_counters: float = 0.04
    worn_batteries: float = 0.14
    sudden_batteries: float = 0.01
    dead_chargers: float = 0.008
    forgets_charger: float = 0.015
    mask_leaks: float = 0.06
    dead_radios: float = 0.012
    dead_power: float = 0.010
    hospital_stays: float = 0.06
    away: float = 0.04
    weekend_users: float = 0.12
    in_storage: float = 0.08
    poor_coverage: float = 1.0
    carrier_outages: int = 3
    storms: int = 2
    bad_batches: int = 2
    bad_firmware: int = 1
    visits: float = 0.05


def _only(name: str, description: str, **rates: object) -> HistoryScenario:
    """A scenario in which nothing happens but what is named."""
    return replace(_NOTHING, name=name, description=description, **rates)  # type: ignore[arg-type]


_ALL: Final = HistoryScenario("all", "everything together, most devices healthy")
_NOTHING: Final = HistoryScenario(
    "quiet",
    "nothing is wrong: no faults, no noise, no silence, fresh batteries",
    faults={},
    faults_other=0.0,
    repeats=0.0,
    noise={},
    noise_other=0.0,
    stale_counters=0.0,
    worn_batteries=0.0,
    sudden_batteries=0.0,
    dead_chargers=0.0,
    forgets_charger=0.0,
    mask_leaks=0.0,
    dead_radios=0.0,
    dead_power=0.0,
    hospital_stays=0.0,
    away=0.0,
    weekend_users=0.0,
    in_storage=0.0,
    poor_coverage=0.0,
    carrier_outages=0,
    storms=0,
    bad_batches=0,
    bad_firmware=0,
    visits=0.0,
)

HISTORY_SCENARIOS: Final[Mapping[str, HistoryScenario]] = {
    scenario.name: scenario
    for scenario in (
        _ALL,
        _NOTHING,
        _only("faults", "hidden faults of every course", faults=_FAULTS, repeats=0.12),
        _only(
            "noise",
            "single codes, workshop visits and poor coverage, and nothing wrong",
            noise=_NOISE,
            noise_other=1.5,
            stale_counters=0.04,
            poor_coverage=1.0,
            visits=0.05,
        ),
        _only(
            "batteries",
            "packs of every age, forgotten and broken chargers",
            worn_batteries=0.3,
            sudden_batteries=0.02,
            dead_chargers=0.02,
            forgets_charger=0.02,
        ),
        _only("leaks", "masks that leak more each night", mask_leaks=0.3),
        _only(
            "silence",
            "devices that fall silent, most of them for harmless reasons",
            dead_radios=0.02,
            dead_power=0.02,
            hospital_stays=0.06,
            away=0.04,
            weekend_users=0.12,
            in_storage=0.08,
            poor_coverage=1.0,
            carrier_outages=3,
        ),
        _only("storm", "one cause, many devices", storms=2, bad_batches=2, bad_firmware=1),
    )
}
