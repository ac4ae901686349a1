"""When a device is out of reach, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from firmware_sim.devices.rhythm import DAY, HOUR, SECOND, at_hour, local_day
from firmware_sim.history.script import wait_days
from firmware_sim.history.shapes import Cause, Kind, Placement, Profile
from firmware_sim.history.timeline import Gap, Reach, after_working_days, to_at
from firmware_sim.history.world import World
from fleet.models import load_models
from fleet.words import Component, DeviceClass

_SCOOTERS: Final = frozenset({"handicare-trophy", "dynamic-rhino2"})
_WITH_THE_PERSON: Final = frozenset({DeviceClass.APAP, DeviceClass.ACTIVITY_METER})
"""They fall silent when their person does not use them. Chairs and alarms still report."""
_WATCHED: Final = frozenset({DeviceClass.PERSONAL_ALARM, DeviceClass.MEDICATION_DISPENSER})
"""The alarm centre or home care misses these within days, whatever has failed."""
_MISSED_BY_USER: Final = frozenset({DeviceClass.POWERED_WHEELCHAIR, DeviceClass.APAP}) | _WATCHED
"""Its user calls when it is without power. That a radio is dead no user sees."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Why nothing comes: `gaps` of one cause, the last one open to the end if unrepaired."""

    kind: Kind
    component: Component
    gaps: tuple[Gap, ...]
    needs_person: bool = False
    detectable_ms: int | None = None
    placed: bool = False


class _Who(NamedTuple):
    """As much of a device as its own silences depend on, so that its meters can draw them too."""

    id: str
    model: str
    device_class: DeviceClass


def draw_silences(world: World, profile: Profile) -> list[Silence]:
    """All silences of one device, drawn on their own, so that others can ask for them."""
    found = _own(world, _Who(profile.id, profile.model, profile.device_class))
    if profile.gateway is not None:
        found += _behind(world, profile.gateway)
    return found


def _own(world: World, who: _Who) -> list[Silence]:
    rng = world.rng("silence", who.id)
    harmless = [
        *_poor_coverage(world, rng),
        *_habits(world, who, rng),
        *_away(world, who, rng),
    ]
    return [*harmless, *(_once_missed(dead, harmless) for dead in _dead(world, who, rng))]


def _once_missed(dead: Silence, harmless: Iterable[Silence]) -> Silence:
    """What fails while the device is out of reach anyway shows when it would have spoken again."""
    since_ms, shown_ms = dead.gaps[0].from_ms, dead.detectable_ms
    assert shown_ms is not None
    back_ms = since_ms
    for gap in sorted(gap for silence in harmless for gap in silence.gaps):
        if gap.from_ms <= back_ms < gap.until_ms:
            back_ms = gap.until_ms
    return replace(dead, detectable_ms=shown_ms + back_ms - since_ms)


def reach_of(world: World, profile: Profile, silences: list[Silence]) -> Reach:
    """All gaps of a device, its carrier's outages among them."""
    gaps = [gap for silence in silences for gap in silence.gaps]
    gaps += [outage.gap for outage in world.outages if outage.covers(profile)]
    return Reach(tuple(sorted(gaps)), world.season)


def _moment(world: World, rng: np.random.Generator) -> int:
    return world.season.from_ms + int(rng.uniform(0.03, 0.97) * world.season.days * DAY)


def _poor_coverage(world: World, rng: np.random.Generator) -> Iterator[Silence]:
    for _ in range(int(rng.poisson(world.chance(world.scenario.poor_coverage)))):
        from_ms = _moment(world, rng)
        hours = min(30.0, float(rng.lognormal(np.log(4), 0.8)))
        gap = Gap(from_ms, from_ms + int(hours * HOUR), keeps=True)
        yield Silence("poor_coverage", Component.RADIO, (gap,))


def _habits(world: World, who: _Who, rng: np.random.Generator) -> Iterator[Silence]:
    """Scooters that stand still by habit: all but weekends, or all winter."""
    habit, start = rng.random(), _moment(world, rng)
    told = bool(rng.random() < 0.5)
    if who.model not in _SCOOTERS:
        return
    scenario = world.scenario
    if habit < scenario.weekend_users:
        yield Silence("weekend_user", Component.DEVICE, tuple(_weeks(world)))
    elif habit < scenario.weekend_users + scenario.in_storage:
        gap = Gap(start, world.season.until_ms + 60 * DAY, keeps=False)
        yield Silence("in_storage", Component.DEVICE, (gap,), placed=told)


def _weeks(world: World) -> Iterator[Gap]:
    """From Sunday evening to Friday noon."""
    first = local_day(world.season.from_ms) - 7
    for day in range(first, local_day(world.season.until_ms) + 1):
        if (day + 4) % 7 == 0:
            yield Gap(at_hour(day, 20.0), at_hour(day + 5, 12.0), keeps=False)


def _away(world: World, who: _Who, rng: np.random.Generator) -> Iterator[Silence]:
    in_hospital, abroad = rng.random(2)
    from_ms = _moment(world, rng)
    stay_d = min(30.0, float(rng.lognormal(np.log(4), 0.8)))
    weeks_d = float(rng.uniform(5, 16))
    if who.device_class not in _WITH_THE_PERSON:
        return
    if in_hospital < world.chance(world.scenario.hospital_stays):
        gap = Gap(from_ms, from_ms + int(stay_d * DAY), keeps=False)
        yield Silence("hospital_stay", Component.DEVICE, (gap,))
    elif abroad < world.chance(world.scenario.away):
        gap = Gap(from_ms, from_ms + int(weeks_d * DAY), keeps=True)
        yield Silence("away", Component.RADIO, (gap,))


def _dead(world: World, who: _Who, rng: np.random.Generator) -> Iterator[Silence]:
    """The radio or the power fails for good. Where the model's silence says nothing, nothing
    is drawn: nobody could know, and its user would say so by phone.
    """
    drawn, since_ms = rng.random(), _moment(world, rng)
    days, hour = int(rng.integers(2, 13)), float(rng.uniform(9, 15))
    model = load_models().get(who.model)
    if model is None or model.longest_silence_s is None:
        return
    radio = world.chance(world.scenario.dead_radios)
    if drawn >= radio + world.chance(world.scenario.dead_power):
        return
    shown_ms = since_ms + model.longest_silence_s * SECOND
    lives = drawn < radio
    is_noticed = who.device_class in (_WATCHED if lives else _MISSED_BY_USER)
    days = wait_days(days, is_noticed=is_noticed)
    repaired_ms = after_working_days(shown_ms, days, hour)
    yield Silence(
        "dead_radio" if lives else "dead_power",
        Component.RADIO if lives else Component.POWER_SUPPLY,
        (Gap(since_ms, repaired_ms, keeps=lives),),
        needs_person=True,
        detectable_ms=shown_ms,
    )


def _behind(world: World, gateway: str) -> Iterator[Silence]:
    """While its gateway is silent, a meter keeps what it measured."""
    for silence in _own(world, _Who(gateway, "fjarrkoll-gateway", DeviceClass.GATEWAY)):
        if silence.kind in ("dead_radio", "dead_power"):
            gaps = tuple(gap._replace(keeps=True) for gap in silence.gaps)
            yield Silence("behind_gateway", Component.RADIO, gaps)


def silence_cause(profile: Profile, number: int, silence: Silence, until_ms: int) -> Cause:
    """The truth of one silence; `until_ms` is the end of the season."""
    first, last = silence.gaps[0], silence.gaps[-1]
    seen = silence.detectable_ms is not None and silence.detectable_ms < until_ms
    return Cause(
        id=f"{profile.id}/{silence.kind}-{number}",
        kind=silence.kind,
        device=profile.id,
        component=silence.component,
        since=to_at(first.from_ms),
        until=to_at(last.until_ms) if last.until_ms < until_ms else None,
        needs_person=silence.needs_person,
        detectable_since=to_at(silence.detectable_ms or 0) if seen else None,
    )


def storage_of(silence: Silence, until_ms: int) -> Iterator[Placement]:
    """A scooter put away for the winter, where somebody registered it."""
    if silence.placed:
        for gap in silence.gaps:
            end = to_at(gap.until_ms) if gap.until_ms < until_ms else None
            yield Placement("storage", to_at(gap.from_ms), end)
