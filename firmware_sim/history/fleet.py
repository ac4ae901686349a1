"""A whole fleet's season, one device after another, and the causes that many devices share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from firmware_sim.history.codes import name_of
from firmware_sim.history.device import generate_device
from firmware_sim.history.mix import HISTORY_SCENARIOS, HistoryScenario
from firmware_sim.history.shapes import Cause, DeviceHistory, Profile
from firmware_sim.history.timeline import Season, to_at, to_ms
from firmware_sim.history.world import CarrierOutage, FleetTrouble, World, build_world
from firmware_sim.plan import PlannedDevice, fleet_plan
from fleet.rules.statistics import hypergeometric_tail
from fleet.words import Component

DEFAULT_FROM: Final = datetime(2025, 9, 1, tzinfo=UTC)
"""Autumn: it grows colder, and the clocks go back on a Sunday of it."""
DEFAULT_DAYS: Final = 90
SINGLES_THAT_TELL: Final = 4
"""A lot or version is known to be bad from this single on at the earliest."""
PROVEN: Final = 0.001
"""A lot or version must have a ticket if it could be told from chance: if somebody who knew where
to look, and met no such fault elsewhere, would find its singles that unlikely among the devices of
its model (Fisher's exact test). Four of twelve prove nothing when another fifty have no fault."""


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


def all_causes(world: World, truths: Iterable[tuple[Profile, Sequence[Cause]]]) -> list[Cause]:
    """The whole truth of a fleet, from every device's profile and truth.

    What a storm did to a device is folded into the one cause of the storm. A bad lot or version
    is a cause of its own beside its single faults, which each need a repair.
    """
    known = list(truths)
    causes = [cause for _, truth in known for cause in truth]
    shared: dict[str, list[Cause]] = {trouble.id: [] for trouble in world.troubles}
    for cause in causes:
        if cause.part_of is not None:
            shared[cause.part_of].append(cause)
    profiles = [profile for profile, _ in known]
    return [
        *(cause for cause in causes if cause.kind != "storm"),
        *(_shared(trouble, shared[trouble.id], profiles) for trouble in world.troubles),
        *(_outage(outage, profiles) for outage in world.outages),
    ]


def _shared(trouble: FleetTrouble, singles: Sequence[Cause], profiles: Sequence[Profile]) -> Cause:
    """One cause of many; a storm is over when its supplier has mended it, a bad lot stays bad."""
    is_storm = trouble.kind == "storm"
    shown = _first_shown(singles)
    needed = 2 if is_storm else _proving_n(trouble, profiles)
    tells = len(shown) >= needed
    return Cause(
        id=trouble.id,
        kind=trouble.kind,
        device=None,
        component=trouble.code.component,
        since=to_at(trouble.from_ms),
        until=to_at(trouble.until_ms) if is_storm else None,
        needs_person=tells,
        detectable_since=shown[needed - 1] if tells else None,
        codes=frozenset({name_of(trouble.code)}),
        members=frozenset(c.device for c in singles if c.device is not None),
        is_ticket_welcome=len(singles) > 1,
    )


def _first_shown(singles: Sequence[Cause]) -> list[datetime]:
    """When each device first showed it, ascending: a repair that did not hold proves no more."""
    first: dict[str | None, datetime] = {}
    for cause in singles:
        if cause.detectable_since is not None:
            known = first.get(cause.device, cause.detectable_since)
            first[cause.device] = min(known, cause.detectable_since)
    return sorted(first.values())


def _proving_n(trouble: FleetTrouble, profiles: Sequence[Profile]) -> int:
    """From which single on chance is ruled out."""
    whole_n = sum(profile.model == trouble.model for profile in profiles)
    group_n = sum(map(trouble.covers, profiles))
    chances = (hypergeometric_tail(n, group_n, n, whole_n) for n in range(1, group_n + 1))
    unlikely = (n for n, chance in enumerate(chances, start=1) if chance <= PROVEN)
    return max(SINGLES_THAT_TELL, next(unlikely, group_n + 1))


def _outage(outage: CarrierOutage, profiles: Sequence[Profile]) -> Cause:
    """Harmless to each device; one notice about the area is welcome."""
    return Cause(
        id=outage.id,
        kind="carrier_outage",
        device=None,
        component=Component.RADIO,
        since=to_at(outage.gap.from_ms),
        until=to_at(outage.gap.until_ms),
        needs_person=False,
        detectable_since=None,
        members=frozenset(profile.id for profile in profiles if outage.covers(profile)),
    )
