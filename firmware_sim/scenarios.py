"""What goes wrong, as a table: a scenario is the shares of a fleet that have each trouble."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from firmware_sim.devices.rhythm import DAY, HOUR, SECOND
from firmware_sim.plan import PlannedDevice
from firmware_sim.truth import HiddenFault, draw_fault, draw_live_fault

ClockTrouble = Literal["right", "unset", "slow", "fast", "drifting", "set_late"]
CLOCK_TROUBLES: Final[tuple[ClockTrouble, ...]] = ("unset", "slow", "fast", "drifting", "set_late")


@dataclass(frozen=True, slots=True)
class Scenario:
    """Shares are of the fleet, 0 to 1; a device may draw more than one trouble.

    `live_faults`: faults that begin soon after the live part has begun, the first after
    `live_faults_after_s` of wall time and then one each 20 s.
    """

    name: str
    description: str
    faults: float = 0.12
    live_faults: int = 0
    live_faults_after_s: float = 10.0
    outages: float = 0.0
    wrong_clocks: float = 0.0
    duplicates: float = 0.0
    malformed: float = 0.0
    lossy: float = 0.0


SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.name: scenario
    for scenario in (
        Scenario("quiet", "everything works: no faults, no trouble on the way", faults=0.0),
        Scenario("faults", "many hidden faults of every pattern", faults=0.4, live_faults=2),
        Scenario(
            "outage", "half of the fleet is out of reach for hours, then flushes", outages=0.5
        ),
        Scenario("wrong_clock", "clocks unset, hours slow or fast, or drifting", wrong_clocks=0.5),
        Scenario("duplicates", "half of the fleet sends records more than once", duplicates=0.5),
        Scenario("malformed", "some send payloads that break the contract", malformed=0.3),
        Scenario("lossy", "some lose part of their outbox before it is sent", lossy=0.3),
        Scenario(
            "demo",
            "a bit of everything, and faults that begin while one watches",
            faults=0.2,
            live_faults=3,
            outages=0.08,
            wrong_clocks=0.08,
            duplicates=0.08,
            malformed=0.04,
            lossy=0.04,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Quirks:
    """The trouble of one device. `outages` are stretches of true time without a connection."""

    clock: ClockTrouble = "right"
    outages: tuple[tuple[int, int], ...] = ()
    duplicate_share: float = 0.0
    malformed_share: float = 0.0
    loses_records: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """The simulated time of a first start, in true milliseconds.

    History is made up from `from_ms` to `live_ms`; from there on time runs `speed` times as
    fast until it has caught up.
    """

    from_ms: int
    live_ms: int
    speed: float

    def after(self, wall_s: float) -> int:
        """The simulated moment `wall_s` seconds after the live part has begun."""
        return self.live_ms + int(wall_s * self.speed * SECOND)


def draw_quirks(
    scenario: Scenario, plan: Sequence[PlannedDevice], span: Span, seed: int
) -> dict[str, Quirks]:
    """Give out the troubles. At least one device has each trouble that the scenario names."""
    rng = Random(f"quirks {seed}")  # noqa: S311 - a simulation, not a secret
    chosen = {
        trouble: _choose(plan, getattr(scenario, trouble), rng)
        for trouble in ("outages", "wrong_clocks", "duplicates", "malformed", "lossy")
    }
    clocks = {id_: CLOCK_TROUBLES[n % 5] for n, id_ in enumerate(chosen["wrong_clocks"])}
    return {
        device.id: Quirks(
            clock=clocks.get(device.id, "right"),
            outages=_outages(span, rng) if device.id in chosen["outages"] else (),
            duplicate_share=0.12 if device.id in chosen["duplicates"] else 0.0,
            malformed_share=0.03 if device.id in chosen["malformed"] else 0.0,
            loses_records=device.id in chosen["lossy"],
        )
        for device in plan
    }


def _choose(plan: Sequence[PlannedDevice], share: float, rng: Random) -> list[str]:
    count = min(len(plan), max(1, round(share * len(plan)))) if share > 0 else 0
    return rng.sample([device.id for device in plan], count)


def _outages(span: Span, rng: Random) -> tuple[tuple[int, int], ...]:
    """One outage that ends soon after the start, and two later ones."""
    first = (span.live_ms - rng.randrange(4, 48) * HOUR, span.after(rng.uniform(15, 60)))
    later = []
    at_ms = first[1]
    for _ in range(2):
        at_ms += rng.randrange(6 * HOUR, DAY)
        later.append((at_ms, at_ms + rng.randrange(HOUR, 5 * HOUR)))
        at_ms = later[-1][1]
    return (first, *later)


def draw_faults(
    scenario: Scenario, plan: Sequence[PlannedDevice], span: Span, seed: int
) -> list[HiddenFault]:
    """The hidden faults of a first start, at most one per device, oldest first."""
    rng = Random(f"faults {seed}")  # noqa: S311 - a simulation, not a secret
    count = round(scenario.faults * len(plan))
    troubled = rng.sample(list(plan), min(len(plan), count + 3 * scenario.live_faults))
    faults = []
    for position, device in enumerate(troubled[:count]):
        fault = draw_fault(device, position, (span.from_ms, span.live_ms), rng)
        if fault is not None:
            faults.append(fault)
    faults += draw_live_faults(scenario, troubled[count:] or list(plan), span, rng)
    return sorted(faults, key=lambda fault: (fault.since_ms, fault.device))


def draw_live_faults(
    scenario: Scenario, candidates: Sequence[PlannedDevice], span: Span, rng: Random
) -> list[HiddenFault]:
    """Faults that begin while one watches, each on another device."""
    faults: list[HiddenFault] = []
    for device in candidates:
        if len(faults) == scenario.live_faults:
            break
        since_ms = span.after(scenario.live_faults_after_s + 20 * len(faults))
        fault = draw_live_fault(device, since_ms, rng)
        if fault is not None:
            faults.append(fault)
    return faults
