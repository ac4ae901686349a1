"""What goes wrong on one device and when it is repaired: causes with codes, before any metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np

from firmware_sim.devices.rhythm import DAY, HOUR, MINUTE, SECOND, at_hour, local_day
from firmware_sim.history.codes import Codes, codes_for, pick
from firmware_sim.history.shapes import Kind, Placement, Profile
from firmware_sim.history.timeline import Season, after_working_days, daytime, to_at
from firmware_sim.history.world import FleetTrouble, World
from fleet.faults import FaultCode
from fleet.wire.records import FaultState
from fleet.words import Component, DeviceClass, Severity

_WORKSHOP: Final = frozenset({DeviceClass.POWERED_WHEELCHAIR, DeviceClass.APAP})
"""Repaired in the workshop. All else is repaired, or swapped, where it stands."""
NEEDS_PERSON: Final[frozenset[Kind]] = frozenset({
    "lasting", "lasting_minor", "flapping", "counting", "minor_recurring"})  # fmt: skip
OWN_FAULTS: Final = NEEDS_PERSON | {"storm", "mended", "passing"}
_BRAKES: Final = frozenset({Component.BRAKE, Component.LEFT_BRAKE, Component.RIGHT_BRAKE})
_UNNOTICED: Final[frozenset[Kind]] = frozenset({"lasting_minor", "counting", "minor_recurring"})
"""The user hardly minds these: they are mended at a later visit, or for a ticket."""
_CLEAR_OF: Final = 14 * DAY
"""No second cause of one part this near to another: nobody could say whose ticket it was."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a device says of one code at one true moment."""

    at_ms: int
    code: FaultCode
    state: FaultState
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """A cause as the script has it; `until_ms` is when it is over, None: not in this season."""

    kind: Kind
    component: Component
    since_ms: int
    until_ms: int | None
    needs_person: bool
    changes: tuple[Change, ...] = ()
    children: frozenset[str] = frozenset()
    detectable_ms: int | None = None
    battery_end_ms: int | None = None
    is_welcome: bool = False
    repeats: int | None = None
    part_of: str | None = None


class Visit(NamedTuple):
    """One stay away from the user: fetched, worked on, brought back."""

    fetched_ms: int
    in_ms: int
    out_ms: int
    back_ms: int


@dataclass(slots=True)
class Script:
    """The planned causes of one device and the visits that end them, while it is being drawn."""

    profile: Profile
    season: Season
    planned: list[Planned] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)

    def is_free(self, component: Component, since_ms: int, until_ms: int | None) -> bool:
        """True if a cause there would not blur with another one of this device."""
        end_ms = self.season.until_ms if until_ms is None else until_ms
        at_work = any(v.fetched_ms - DAY <= since_ms < v.back_ms for v in self.visits)
        return not at_work and not any(
            other.component is component
            and since_ms < (other.until_ms or self.season.until_ms) + _CLEAR_OF
            and other.since_ms < end_ms + _CLEAR_OF
            for other in self.planned
        )

    def repair(
        self, since_ms: int, rng: np.random.Generator, *, is_noticed: bool = True
    ) -> int | None:
        """Repair what began at `since_ms`, 2 to 12 working days later; None: after the season.

        What no user reports by phone waits for 10 to 30 working days.

        A wheelchair or breathing device goes to the workshop; one that is about to go there
        anyway is done at the same visit.
        """
        days = wait_days(int(rng.integers(2, 13)), is_noticed=is_noticed)
        at_ms = after_working_days(since_ms, days, float(rng.uniform(9, 15)))
        stay_ms = int(rng.choice([4, 20, 30]) * HOUR)
        if self.profile.device_class not in _WORKSHOP:
            return at_ms if at_ms < self.season.until_ms else None
        visit = next((v for v in self.visits if abs(v.in_ms - at_ms) < 2 * DAY), None)
        visit = visit if visit is not None and visit.in_ms > since_ms + HOUR else None
        if visit is None:
            visit = self.visit(at_ms, stay_ms, rng)
        return visit.out_ms if visit is not None else None

    def visit(self, at_ms: int, stay_ms: int, rng: np.random.Generator) -> Visit | None:
        """Take it to the workshop; None if it would not be done within the season."""
        way_ms = int(rng.uniform(0.5, 3) * HOUR)
        while any(other.fetched_ms - DAY < at_ms < other.back_ms + DAY for other in self.visits):
            at_ms += 3 * DAY
        visit = Visit(at_ms - way_ms, at_ms, at_ms + stay_ms, at_ms + stay_ms + way_ms)
        if visit.back_ms >= self.season.until_ms:
            return None
        self.visits.append(visit)
        return visit

    @property
    def placements(self) -> Iterator[Placement]:
        for visit in sorted(self.visits):
            yield Placement("transport", to_at(visit.fetched_ms), to_at(visit.in_ms))
            yield Placement("workshop", to_at(visit.in_ms), to_at(visit.out_ms))
            yield Placement("transport", to_at(visit.out_ms), to_at(visit.back_ms))

    @property
    def away(self) -> list[tuple[int, int]]:
        """Stretches without its user, in milliseconds."""
        return [(visit.fetched_ms, visit.back_ms) for visit in self.visits]


def wait_days(days: int, *, is_noticed: bool) -> int:
    """Working days until a repair: as drawn where a user calls, else 10 to 30."""
    return days if is_noticed else 2 * days + 6


def draw_script(world: World, profile: Profile, rng: np.random.Generator) -> Script:
    """Everything that shows in codes, oldest first, and plain visits."""
    script = Script(profile, world.season)
    for trouble in world.troubles:
        if trouble.covers(profile):
            _share_trouble(script, trouble, world, rng)
    for _ in range(int(rng.poisson(world.chance(world.scenario.visits)))):
        if profile.device_class in _WORKSHOP:
            script.visit(_working_moment(world, rng), int(rng.choice([4, 20]) * HOUR), rng)
    _draw_own(script, world, rng)
    _draw_noise(script, world, rng)
    return script


def _working_moment(world: World, rng: np.random.Generator) -> int:
    return after_working_days(any_moment(world.season, rng), 1, float(rng.uniform(9, 15)))


def any_moment(season: Season, rng: np.random.Generator, until: float = 0.98) -> int:
    """A time of day at which people are up, anywhere in the season."""
    return daytime(season.from_ms + int(rng.uniform(0.01, until) * season.days * DAY), rng)


def _share_trouble(
    script: Script, trouble: FleetTrouble, world: World, rng: np.random.Generator
) -> None:
    if rng.random() >= trouble.share:
        return
    if trouble.kind == "storm":
        script.planned.append(_storm(trouble, rng))
        return
    since_ms = any_moment(world.season, rng)
    _add_repairable(script, "lasting", trouble.code, since_ms, world, rng, part_of=trouble.id)


def _storm(trouble: FleetTrouble, rng: np.random.Generator) -> Planned:
    since_ms = trouble.from_ms + int(rng.uniform(0, 55) * MINUTE)
    gone_ms = trouble.until_ms + int(rng.uniform(0, 90) * MINUTE)
    code = trouble.code
    changes = (Change(since_ms, code, "raised"), Change(gone_ms, code, "cleared"))
    return Planned("storm", code.component, since_ms, gone_ms, False, changes, part_of=trouble.id)


def _draw_own(script: Script, world: World, rng: np.random.Generator) -> None:
    scenario, profile = world.scenario, script.profile
    rate = scenario.faults.get(profile.device_class, scenario.faults_other)
    kinds = list(scenario.patterns)
    weights = np.array(list(scenario.patterns.values()))
    for _ in range(int(rng.poisson(world.chance(rate)))):
        kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
        since_ms = any_moment(world.season, rng)
        chosen = _choose(kind, codes_for(profile.model), rng)
        if chosen is None:
            continue
        kind, code = chosen
        if kind in NEEDS_PERSON:
            _add_repairable(script, kind, code, since_ms, world, rng)
        else:
            _add_passing(script, kind, code, since_ms, rng)


_SOURCES: Final[Mapping[Kind, Callable[[Codes], tuple[FaultCode, ...]]]] = {
    "lasting": lambda codes: codes.grave,
    "lasting_minor": lambda codes: codes.slight,
    "flapping": lambda codes: codes.grave,
    "counting": lambda codes: codes.grave,
    "minor_recurring": lambda codes: codes.minor,
    "passing": lambda codes: codes.grave,
    "mended": lambda codes: codes.user,
    "handling": lambda codes: codes.harmless,
}


def _choose(kind: Kind, codes: Codes, rng: np.random.Generator) -> tuple[Kind, FaultCode] | None:
    """A code for the course; a model without such codes shows the nearest other course."""
    for other in (kind, "lasting_minor", "handling"):
        source = _SOURCES[other](codes)
        if source:
            return other, pick(source, rng)
    return None


def _add_repairable(  # noqa: PLR0913, PLR0917 - a fault in all its circumstances
    script: Script,
    kind: Kind,
    code: FaultCode,
    since_ms: int,
    world: World,
    rng: np.random.Generator,
    part_of: str | None = None,
) -> None:
    """A fault that stays until its repair, and perhaps the same one again a few days after."""
    is_noticed = kind not in _UNNOTICED
    longest = 20 * DAY if is_noticed else 50 * DAY
    if not script.is_free(code.component, since_ms, since_ms + longest):
        return
    until_ms = script.repair(since_ms, rng, is_noticed=is_noticed)
    changes = _course(kind, code, since_ms, until_ms, script.season, rng)
    first = Planned(kind, code.component, since_ms, until_ms, True, changes, part_of=part_of)
    script.planned.append(first)
    if until_ms is None or rng.random() >= world.scenario.repeats:
        return
    again_ms = daytime(until_ms + int(rng.uniform(1, 6) * DAY), rng)
    if script.season.holds(again_ms):
        number = len(script.planned) - 1
        until_ms = script.repair(again_ms, rng, is_noticed=is_noticed)
        changes = _course(kind, code, again_ms, until_ms, script.season, rng)
        script.planned.append(
            replace(first, since_ms=again_ms, until_ms=until_ms, changes=changes, repeats=number)
        )


def _add_passing(
    script: Script, kind: Kind, code: FaultCode, since_ms: int, rng: np.random.Generator
) -> None:
    changes = tuple(_BRIEF[kind](code, since_ms, rng))
    until_ms = changes[-1].at_ms
    if not script.is_free(code.component, since_ms, until_ms):
        return
    # When it comes nobody can tell that it will not come back, and the maker's table sends for a
    # technician: where the user may come to harm, one look is right, and none is no loss.
    is_welcome = kind == "passing" and (
        code.severity is Severity.CRITICAL or code.component in _BRAKES
    )
    script.planned.append(
        Planned(kind, code.component, since_ms, until_ms, False, changes, is_welcome=is_welcome)
    )


def _course(  # noqa: PLR0913, PLR0917 - a fault in all its circumstances
    kind: Kind,
    code: FaultCode,
    since_ms: int,
    until_ms: int | None,
    season: Season,
    rng: np.random.Generator,
) -> tuple[Change, ...]:
    end_ms = season.until_ms if until_ms is None else until_ms
    changes = list(_COURSES[kind](code, since_ms, end_ms, rng))
    if until_ms is not None and kind != "counting":
        changes.append(Change(until_ms - 10 * MINUTE, code, "cleared"))
    return tuple(changes)


def _lasting(
    code: FaultCode, since_ms: int, end_ms: int, rng: np.random.Generator
) -> Iterator[Change]:
    """Raised, and raised anew at most power-ups; never cleared while it lasts."""
    yield Change(since_ms, code, "raised")
    for day in range(local_day(since_ms) + 1, local_day(end_ms)):
        if rng.random() < 0.7:
            yield Change(at_hour(day, float(rng.uniform(7, 9))), code, "raised")


def _flapping(
    code: FaultCode, since_ms: int, end_ms: int, rng: np.random.Generator
) -> Iterator[Change]:
    """A loose contact: a few bouts a day of makes and breaks within a minute or two."""
    at_ms = float(since_ms)
    while at_ms < end_ms - HOUR:
        for _ in range(int(rng.integers(1, 6))):
            yield Change(int(at_ms), code, "raised")
            at_ms += rng.uniform(3, 40) * SECOND
            yield Change(int(at_ms), code, "cleared")
            at_ms += rng.uniform(5, 90) * SECOND
        at_ms += rng.uniform(2, 16) * HOUR


def _counting(
    code: FaultCode, since_ms: int, end_ms: int, rng: np.random.Generator
) -> Iterator[Change]:
    """Only the controller's own total grows; it is read out once or twice a day."""
    count = int(rng.integers(0, 4))
    at_ms = float(since_ms)
    while at_ms < end_ms - HOUR:
        count += int(rng.integers(1, 5))
        yield Change(int(at_ms), code, "logged", count)
        at_ms += rng.uniform(6, 30) * HOUR


def _recurring(
    code: FaultCode, since_ms: int, end_ms: int, rng: np.random.Generator
) -> Iterator[Change]:
    """Minor each time, gone in minutes, back on two of three days."""
    at_ms = float(since_ms)
    while at_ms < end_ms - HOUR:
        yield Change(int(at_ms), code, "raised")
        gone_ms = at_ms + rng.uniform(0.5, 25) * MINUTE
        yield Change(int(gone_ms), code, "cleared")
        wait_ms = rng.uniform(2, 8) * HOUR if rng.random() < 0.3 else rng.uniform(14, 44) * HOUR
        at_ms = daytime(int(gone_ms + wait_ms), rng)
        if at_ms <= gone_ms:  # an evening moved into the day before it: it is the next day's
            at_ms += DAY


_COURSES: Final = {
    "lasting": _lasting,
    "lasting_minor": _lasting,
    "flapping": _flapping,
    "counting": _counting,
    "minor_recurring": _recurring,
}


def _once(code: FaultCode, at_ms: int, gone_s: float) -> Iterator[Change]:
    yield Change(at_ms, code, "raised")
    yield Change(at_ms + int(gone_s * SECOND), code, "cleared")


def _passes(code: FaultCode, at_ms: int, rng: np.random.Generator) -> Iterator[Change]:
    yield from _once(code, at_ms, float(rng.uniform(20, 480)))


def _mended(code: FaultCode, at_ms: int, rng: np.random.Generator) -> Iterator[Change]:
    yield from _once(code, at_ms, float(rng.uniform(1, 30)) * 3600)


def _handled(code: FaultCode, at_ms: int, rng: np.random.Generator) -> Iterator[Change]:
    """The user tries again a few times."""
    for number in range(int(rng.integers(1, 4))):
        start_ms = at_ms + number * int(rng.uniform(12, 25) * MINUTE)
        yield from _once(code, start_ms, float(rng.uniform(20, 600)))


_BRIEF: Final = {
    "passing": _passes,
    "mended": _mended,
    "handling": _handled,
    "noise": _passes,
}


def _draw_noise(script: Script, world: World, rng: np.random.Generator) -> None:
    """Single codes that mean nothing, codes the workshop provokes, totals from long ago."""
    scenario, profile = world.scenario, script.profile
    codes = codes_for(profile.model)
    rate = scenario.noise.get(profile.device_class, scenario.noise_other)
    quiet_codes = codes.harmless + codes.minor
    for _ in range(int(rng.poisson(world.chance(rate))) if quiet_codes else 0):
        at_ms = any_moment(world.season, rng)
        code = pick(quiet_codes, rng)
        changes = tuple(_passes(code, at_ms, rng))
        script.planned.append(
            Planned("noise", code.component, at_ms, changes[-1].at_ms, False, changes)
        )
    is_chair = profile.device_class is DeviceClass.POWERED_WHEELCHAIR
    if is_chair and codes.grave and rng.random() < scenario.stale_counters:
        code = pick(codes.grave, rng)
        if not _is_counted(script, code):
            script.planned.append(_stale(code, world.season, rng))


def _is_counted(script: Script, code: FaultCode) -> bool:
    """True if the controller's total of the code grows: it has only one."""
    counting = (cause for cause in script.planned if cause.kind == "counting")
    return any(change.code == code for cause in counting for change in cause.changes)


def _stale(code: FaultCode, season: Season, rng: np.random.Generator) -> Planned:
    """An old total that is read out every week or two and does not grow."""
    count = int(rng.integers(1, 12))
    days = np.cumsum(rng.uniform(4, 14, season.days // 4))
    times = [season.from_ms + int(day * DAY) for day in days[days < season.days - 1]]
    changes = tuple(Change(daytime(at_ms, rng), code, "logged", count) for at_ms in times)
    last_ms = changes[-1].at_ms if changes else season.from_ms
    return Planned("noise", code.component, season.from_ms, last_ms, False, changes)


def workshop_changes(
    visits: Sequence[Visit], codes: Codes, rng: np.random.Generator
) -> Iterator[Change]:
    """What technicians provoke while they work: any code, gone again before it goes home."""
    for visit in visits:
        for _ in range(int(rng.integers(0, 6)) if codes.all else 0):
            at_ms = visit.in_ms + int(rng.uniform(0.05, 0.7) * (visit.out_ms - visit.in_ms))
            yield from _once(pick(codes.all, rng), at_ms, float(rng.uniform(10, 900)))
