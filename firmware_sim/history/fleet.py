"""A whole fleet's season, one device after another, and the causes that many devices share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from firmware_sim.history.device import generate_device
from firmware_sim.history.mix import HISTORY_SCENARIOS, HistoryScenario
from firmware_sim.history.shapes import Cause, DeviceHistory
from firmware_sim.history.timeline import Season, to_at, to_ms
from firmware_sim.history.world import CarrierOutage, FleetTrouble, World, build_world
from firmware_sim.plan import PlannedDevice, fleet_plan
from fleet.words import Component

DEFAULT_FROM: Final = datetime(2025, 9, 1, tzinfo=UTC)
"""Autumn: it grows colder, and the clocks go back on a Sunday of it."""
DEFAULT_DAYS: Final = 90
SINGLES_THAT_TELL: Final = 4
"""A lot or version is known to be bad from this single on: the first few could be chance."""


def plan_history(
    devices: int,
    seed: int,
    scenario: HistoryScenario = HISTORY_SCENARIOS["all"],
    from_at: datetime = DEFAULT_FROM,
    days: int = DEFAULT_DAYS,
) -> tuple[World, list[PlannedDevice]]:
    """What `generate` needs; the same in every process that shares the work."""
    plan = fleet_plan(devices, seed)
    return build_world(seed, plan, scenario, Season(to_ms(from_at), days)), plan


def generate(world: World, plan: Iterable[PlannedDevice]) -> Iterator[DeviceHistory]:
    """The devices of `plan` one by one; a process takes the slice of the plan that is its own."""
    return (generate_device(world, device) for device in plan)


def fleet_causes(world: World, histories: Iterable[tuple[str, Sequence[Cause]]]) -> list[Cause]:
    """The causes that many devices share, from every device's id and truth.

    Devices of a storm are told by `storm_members`, those behind a carrier by `outage_members`.
    """
    singles: dict[str, list[Cause]] = {trouble.id: [] for trouble in world.troubles}
    for _, truth in histories:
        for cause in truth:
            if cause.part_of in singles:
                singles[cause.part_of].append(cause)
    return [
        _from_singles(trouble, singles[trouble.id])
        for trouble in world.troubles
        if trouble.kind != "storm"
    ]


def _from_singles(trouble: FleetTrouble, singles: Sequence[Cause]) -> Cause:
    first = sorted(c.detectable_since for c in singles if c.detectable_since is not None)
    tells = len(first) >= SINGLES_THAT_TELL
    return Cause(
        id=trouble.id,
        kind=trouble.kind,
        device=None,
        component=trouble.code.component,
        since=to_at(trouble.from_ms),
        until=None,
        needs_person=tells,
        detectable_since=first[SINGLES_THAT_TELL - 1] if tells else None,
        codes=frozenset({f"{trouble.code.system}/{trouble.code.code}"}),
        members=frozenset(c.device for c in singles if c.device is not None),
        is_ticket_welcome=len(singles) > 1,
    )


def shared_causes(world: World, histories: Iterable[DeviceHistory]) -> list[Cause]:
    raise NotImplementedError(histories)


def _storm(trouble: FleetTrouble, members: frozenset[str]) -> Cause:
    return Cause(
        id=trouble.id,
        kind="storm",
        device=None,
        component=trouble.code.component,
        since=to_at(trouble.from_ms),
        until=to_at(trouble.until_ms),
        needs_person=len(members) > 1,
        detectable_since=to_at(trouble.from_ms),
        codes=frozenset({f"{trouble.code.system}/{trouble.code.code}"}),
        members=members,
        is_ticket_welcome=True,
    )


def _outage(outage: CarrierOutage, members: frozenset[str]) -> Cause:
    return Cause(
        id=outage.id,
        kind="carrier_outage",
        device=None,
        component=Component.RADIO,
        since=to_at(outage.gap.from_ms),
        until=to_at(outage.gap.until_ms),
        needs_person=False,
        detectable_since=None,
        members=members,
    )
