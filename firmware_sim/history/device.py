"""One device's season, put together: a pure function of the world and the planned device."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final, NamedTuple

import numpy as np

from firmware_sim.devices.rhythm import DAY, HOUR, MINUTE, at_hour
from firmware_sim.history import chair, household, sleep
from firmware_sim.history.battery import PackLife, draw_pack, new_pack
from firmware_sim.history.codes import Codes, codes_for, name_of
from firmware_sim.history.mix import SERVICE_EVERY_H
from firmware_sim.history.script import (
    OWN_FAULTS,
    Change,
    Planned,
    Script,
    draw_script,
    workshop_changes,
)
from firmware_sim.history.shapes import (
    Cause,
    Contacts,
    DeviceHistory,
    HourSeries,
    Pack,
    Placement,
    Profile,
    ReportedFault,
    SampleSeries,
)
from firmware_sim.history.silence import (
    Silence,
    draw_silences,
    reach_of,
    silence_cause,
    storage_of,
)
from firmware_sim.history.timeline import (
    DayGrid,
    Grid,
    Reach,
    Season,
    after_working_days,
    day_grid,
    to_at,
    within,
)
from firmware_sim.history.world import World, profile_of
from firmware_sim.plan import PlannedDevice
from fleet.episodes import FaultEvent
from fleet.faults import FaultCode
from fleet.models import load_models
from fleet.rules.facts import DaySeries
from fleet.words import Component, DeviceClass, Usability

_STOPS_CHAIR: Final = frozenset({"lasting", "storm"})


@dataclass(frozen=True, slots=True)
class _Lived:
    """What the metrics of a class come to, and the causes that only they can tell."""

    series: dict[str, HourSeries]
    samples: dict[str, SampleSeries]
    packs: tuple[PackLife, ...] = ()
    earlier: Mapping[str, DaySeries] = field(default_factory=dict)


def generate_device(world: World, device: PlannedDevice) -> DeviceHistory:
    """The season of one device. Any process may make it: nothing depends on other devices."""
    profile = profile_of(world, device)
    rng = world.rng("life", device.id)
    script = draw_script(world, profile, rng)
    silences = draw_silences(world, profile)
    reach = reach_of(world, profile, silences)
    lived = _live(world, script, reach, rng)
    events, shown = _report(script, reach, rng)
    contacts = _contacts(lived.series, events, reach, rng)
    known = contacts.hour
    return DeviceHistory(
        profile=profile,
        events=events,
        hours={name: _received(series, known) for name, series in lived.series.items()},
        samples=_received_samples(lived.samples, known),
        placements=_placements(script, silences, world),
        contacts=contacts,
        truth=(
            *_causes(script, _measured(script, shown, contacts)),
            *_silence_causes(profile, silences, world),
        ),
        packs=tuple(Pack(to_at(p.fitted_ms), to_at(p.end_ms)) for p in lived.packs),
        earlier=lived.earlier,
    )


def _live(world: World, script: Script, reach: Reach, rng: np.random.Generator) -> _Lived:
    model = load_models().get(script.profile.model)
    metrics = model.metrics if model is not None else ()
    match script.profile.device_class:
        case DeviceClass.POWERED_WHEELCHAIR:
            return _drive(world, script, reach, metrics, rng)
        case DeviceClass.APAP:
            return _sleep(world, script, reach, metrics, rng)
        case other:
            grid = day_grid(world.season, household.FIRST_HOUR)
            on = ~reach.off(grid.hour)
            return _Lived(household.live(grid, on, other, metrics, rng), {})


def _drive(
    world: World, script: Script, reach: Reach, metrics: Sequence[str], rng: np.random.Generator
) -> _Lived:
    packs = _plan_packs(world, script, rng)
    dead_charger = _plan_charger(world, script, rng)
    season = world.season
    since_ms = season.from_ms - chair.EARLIER_DAYS * DAY
    grid = day_grid(Season(since_ms, season.days + chair.EARLIER_DAYS), chair.FIRST_HOUR)
    state = chair.ChairState(
        on=~reach.off(grid.hour),
        at_home=~within(grid.hour, script.away),
        driveable=~within(grid.hour, _stopped(script)),
        charger_works=~within(grid.hour, dead_charger),
        packs=packs,
    )
    year = chair.live(grid, state, world.scenario, rng, metrics, season.from_ms)
    _plan_low_battery(script, year.low_spells, rng)
    start_s, gained_s = year.drive_time_s
    served = _served_earlier(script, year.earlier.get("drive_time_s"), rng)
    _plan_service(script, grid, start_s, gained_s, rng, served)
    return _Lived(year.series, year.samples, tuple(packs), year.earlier)


def _stopped(script: Script) -> Iterator[tuple[int, int]]:
    """Stretches in which a fault keeps the chair from driving."""
    for cause in script.planned:
        stops = cause.kind in _STOPS_CHAIR and bool(cause.changes)
        if stops and cause.changes[0].code.usability is Usability.UNUSABLE:
            yield cause.since_ms, cause.until_ms or script.season.until_ms


def _plan_packs(world: World, script: Script, rng: np.random.Generator) -> list[PackLife]:
    """The pack in service, and the one that replaces it once it has worn out."""
    pack = draw_pack(world.scenario, world.season, rng)
    season = world.season
    if pack.end_ms >= season.until_ms + 60 * DAY:
        return [pack]
    ended = pack.end_ms < season.until_ms
    fitted_ms = script.repair(max(pack.end_ms, season.from_ms), rng) if ended else None
    script.planned.append(
        Planned(
            "battery_wear" if pack.fails_ms is None else "battery_sudden",
            Component.BATTERY,
            pack.worn_ms(),
            fitted_ms,
            needs_person=ended,
            detectable_ms=pack.end_ms if ended else None,
            battery_end_ms=pack.end_ms,
            is_welcome=True,
        )
    )
    return [pack] if fitted_ms is None else [pack, new_pack(fitted_ms, pack.rated_ah, rng)]


def _plan_charger(world: World, script: Script, rng: np.random.Generator) -> list[tuple[int, int]]:
    """A charger that does nothing any more. It shows when the battery is low."""
    since_ms = world.season.from_ms + int(rng.uniform(0.02, 0.95) * world.season.days * DAY)
    drawn = rng.random() < world.chance(world.scenario.dead_chargers)
    if not drawn or not script.is_free(Component.BATTERY, since_ms, since_ms + 20 * DAY):
        return []
    # Nobody asks for a repair before the battery has run low, some days after.
    until_ms = script.repair(since_ms + 2 * DAY, rng)
    script.planned.append(
        Planned("charger_dead", Component.CHARGER, since_ms, until_ms, needs_person=True)
    )
    return [(since_ms, until_ms or world.season.until_ms)]


def _plan_low_battery(
    script: Script, spells: Iterable[chair.LowSpell], rng: np.random.Generator
) -> None:
    """Warnings of a low battery, and what follows from them. Under a worn pack or a dead
    charger they are its signs, not causes of their own.
    """
    codes = codes_for(script.profile.model)
    for spell in spells:
        changes = _while(codes.low[0], spell.since_ms, spell.until_ms) if codes.low else []
        children = _starved(script, codes, rng) if spell.deep_ms is not None else []
        if spell.deep_ms is not None and len(codes.low) > 1:
            changes += _while(codes.low[-1], spell.deep_ms, spell.until_ms)
        for child in children:
            first_ms = (spell.deep_ms or spell.since_ms) + int(rng.uniform(1, 15) * MINUTE)
            changes += _while(child, first_ms, spell.until_ms)
        _note_low(script, spell, tuple(changes), frozenset(map(name_of, children)))


def _starved(script: Script, codes: Codes, rng: np.random.Generator) -> list[FaultCode]:
    """In two of five times a module resets or a brake drops for want of voltage. Controllers
    that show this warn of the low battery too; where the catalogue lacks that code, neither.
    Parts with a fault of their own are left out: its episodes would be cut short.
    """
    shows, chosen = rng.random() < 0.4, rng.random()
    faulty = {cause.component for cause in script.planned if cause.kind in OWN_FAULTS}
    free = [code for code in codes.starved if code.component not in faulty]
    return [free[int(chosen * len(free))]] if shows and free and codes.low else []


def _while(code: FaultCode, from_ms: int, until_ms: int) -> list[Change]:
    return [Change(from_ms, code, "raised"), Change(until_ms, code, "cleared")]


def _note_low(
    script: Script, spell: chair.LowSpell, changes: tuple[Change, ...], children: frozenset[str]
) -> None:
    for number, cause in enumerate(script.planned):
        is_parent = cause.kind in ("battery_wear", "battery_sudden", "charger_dead")
        end_ms = cause.until_ms or script.season.until_ms + DAY
        if is_parent and cause.since_ms <= spell.since_ms < end_ms:
            script.planned[number] = replace(
                cause, changes=(*cause.changes, *changes), children=cause.children | children
            )
            return
    script.planned.append(
        Planned(
            "low_battery",
            Component.BATTERY,
            spell.since_ms,
            spell.until_ms,
            needs_person=False,
            changes=changes,
            children=children,
        )
    )


_PLANNED_AHEAD: Final = 45 * DAY
"""Service is ordered some weeks before it is due: so long before, an order is welcome."""


class _Service(NamedTuple):
    """A service that was done, and what the meter said then."""

    at_ms: int
    meter_s: float


def _served_earlier(
    script: Script, meter: DaySeries | None, rng: np.random.Generator
) -> _Service | None:
    """The last service by use of the year before. Older ones nobody has noted."""
    every_s = SERVICE_EVERY_H[script.profile.device_class] * 3600
    if meter is None:
        return None
    passed = np.flatnonzero(np.diff(meter.last // every_s) > 0) + 1
    passed = passed[meter.day[passed] >= script.profile.in_service_on.toordinal()]
    if not len(passed):
        return None
    place = int(passed[-1])
    due_ms = at_hour(int(meter.day[place]) - date(1970, 1, 1).toordinal(), 20.0)
    at_ms = after_working_days(due_ms, int(rng.integers(2, 13)), 14.0)
    script.planned.append(
        Planned(
            "service_due", Component.SERVICE, due_ms - _PLANNED_AHEAD, at_ms, False, is_welcome=True
        )
    )
    return _Service(at_ms, float(meter.last[place]))


def _plan_service(  # noqa: PLR0913, PLR0917 - what a service depends on
    script: Script,
    grid: DayGrid,
    start_s: float,
    gained_s: Grid,
    rng: np.random.Generator,
    served: _Service | None = None,
) -> None:
    """Service falls due by use since the last one, or by date. Where none is noted: when the
    meter passes a multiple of the agreed hours, or on the day it came into service.
    """
    every_s = SERVICE_EVERY_H[script.profile.device_class] * 3600
    mark_s = served.meter_s + every_s if served else (start_s // every_s + 1) * every_s
    begun_on = to_at(served.at_ms).date() if served else script.profile.in_service_on
    passes_ms = _passes_ms(script, grid, start_s, gained_s, mark_s)
    due_ms = min(passes_ms, _due_by_date(script, begun_on))
    season = script.season
    if due_ms >= season.until_ms + _PLANNED_AHEAD:
        return
    is_due = due_ms < season.until_ms
    until_ms = script.repair(due_ms, rng) if is_due else None
    codes = codes_for(script.profile.model).service
    end_ms = until_ms or season.until_ms + DAY
    script.planned.append(
        Planned(
            "service_due",
            Component.SERVICE,
            due_ms - _PLANNED_AHEAD,
            until_ms,
            needs_person=is_due,
            changes=tuple(_while(codes[-1], due_ms, end_ms - MINUTE)) if codes and is_due else (),
            detectable_ms=due_ms if is_due else None,
            is_welcome=True,
        )
    )


def _passes_ms(script: Script, grid: DayGrid, start_s: float, gained_s: Grid, mark_s: float) -> int:
    """When the meter passes the mark; after the season at the season's own pace."""
    total = start_s + np.cumsum(gained_s.ravel())
    passed = np.flatnonzero(total >= mark_s)
    if len(passed):
        return int(grid.hour.ravel()[passed[0]]) * HOUR + 50 * MINUTE
    a_day_s = max(1.0, (total[-1] - start_s) / script.season.days)
    return script.season.until_ms + int((mark_s - total[-1]) / a_day_s * DAY)


def _due_by_date(script: Script, begun_on: date) -> int:
    """The next anniversary: the yearly service that the agreement asks for."""
    today = to_at(script.season.from_ms).date()
    years = range(today.year, today.year + 2)
    coming = [_anniversary(begun_on, year) for year in years if year > begun_on.year]
    due_on = next((day for day in coming if day > today), date.max)
    return at_hour((due_on - date(1970, 1, 1)).days, 8.0)


def _anniversary(day: date, year: int) -> date:
    return date(year, day.month, min(day.day, monthrange(year, day.month)[1]))


def _sleep(
    world: World, script: Script, reach: Reach, metrics: Sequence[str], rng: np.random.Generator
) -> _Lived:
    grid = day_grid(world.season, sleep.FIRST_HOUR)
    sleeper = sleep.draw_sleeper(rng)
    drift = _plan_leak(world, script, grid, sleeper, rng)
    on = ~reach.off(grid.hour) & ~within(grid.hour, script.away)
    nights = sleep.live(grid, on, sleeper, drift, metrics, rng)
    _plan_service(script, grid, nights.blower_start_s, nights.blower_gain_s, rng)
    return _Lived(nights.series, {})


def _plan_leak(
    world: World,
    script: Script,
    grid: DayGrid,
    sleeper: sleep.Sleeper,
    rng: np.random.Generator,
) -> Grid:
    """What the mask leaks beyond its usual, in every cell; the cause goes into the script."""
    drift = sleep.draw_drift(world.season.from_ms, world.season.days, rng)
    codes = codes_for(script.profile.model).leak
    if rng.random() >= world.chance(world.scenario.mask_leaks):
        return np.zeros(grid.shape)
    shown_ms = max(drift.shows_ms(sleeper.p95), world.season.from_ms)
    shows = shown_ms < world.season.until_ms
    replaced_ms = _mask_replaced(script, shown_ms, rng) if shows else None
    changes = _leak_codes(codes, shown_ms, replaced_ms, script, rng) if codes else ()
    script.planned.append(
        Planned(
            "mask_leak",
            Component.MASK_LEAK,
            drift.since_ms,
            replaced_ms,
            needs_person=shows,
            changes=changes,
            detectable_ms=shown_ms if shows else None,
            is_welcome=True,
        )
    )
    return drift.at(grid.hour.astype(np.float64) * HOUR, replaced_ms)


def _mask_replaced(script: Script, shown_ms: int, rng: np.random.Generator) -> int | None:
    """A new cushion comes by post, two to five weeks later."""
    at_ms = shown_ms + int(rng.uniform(14, 35) * DAY)
    return at_ms if at_ms < script.season.until_ms else None


def _leak_codes(
    codes: Sequence[FaultCode],
    shown_ms: int,
    replaced_ms: int | None,
    script: Script,
    rng: np.random.Generator,
) -> tuple[Change, ...]:
    """On some nights the unit itself complains, for minutes."""
    changes: list[Change] = []
    for at_ms in range(shown_ms, replaced_ms or script.season.until_ms, DAY):
        if rng.random() < 0.3:
            first_ms = at_ms + int(rng.uniform(0, 5) * HOUR)
            changes += _while(codes[0], first_ms, first_ms + 12 * MINUTE)
    return tuple(changes)


def _report(
    script: Script, reach: Reach, rng: np.random.Generator
) -> tuple[tuple[ReportedFault, ...], dict[int, int]]:
    """All fault events by time, and for each planned cause the first receipt that shows it."""
    shop = list(workshop_changes(script.visits, codes_for(script.profile.model), rng))
    told = [(n, change) for n, cause in enumerate(script.planned) for change in cause.changes]
    told += [(-1, change) for change in shop]
    told.sort(key=lambda item: item[1].at_ms)
    events: list[ReportedFault] = []
    shown: dict[int, int] = {}
    for number, change in told:
        received_ms = reach.received(change.at_ms, rng)
        if received_ms is None or not script.season.holds(change.at_ms):
            continue
        events.append(_event(change, len(events), received_ms))
        if change.state != "cleared":
            shown[number] = min(shown.get(number, received_ms), received_ms)
    return tuple(events), shown


_BY_MEASURE: Final = frozenset({"battery_wear", "battery_sudden", "mask_leak"})
"""What only values tell, which a device out of reach does not send."""


def _measured(script: Script, shown: Mapping[int, int], contacts: Contacts) -> dict[int, int]:
    """For each planned cause the first receipt that shows it: a code, or what was measured once it
    was so. A date needs no report.
    """
    found = dict(shown)
    for number, cause in enumerate(script.planned):
        if cause.detectable_ms is None:
            continue
        found[number] = cause.detectable_ms
        if cause.kind in _BY_MEASURE:
            heard = contacts.receipts_ms
            place = int(np.searchsorted(heard, cause.detectable_ms))
            if place < len(heard):
                found[number] = int(heard[place])
            else:
                del found[number]
    return found


def _event(change: Change, seq: int, received_ms: int) -> ReportedFault:
    event = FaultEvent(
        at=to_at(change.at_ms),
        epoch="1",
        seq=seq,
        idx=0,
        state=change.state,
        count=change.count,
        received_at=to_at(received_ms),
    )
    return ReportedFault(change.code.system, change.code.code, event)


def _contacts(
    series: dict[str, HourSeries],
    events: Sequence[ReportedFault],
    reach: Reach,
    rng: np.random.Generator,
) -> Contacts:
    """Hours of which nothing got through are not in it, nor in what the backend has."""
    parts = [one.hour for one in series.values()]
    hour = np.unique(np.concatenate(parts)) if parts else np.empty(0, dtype=np.int64)
    received = reach.received_hours(hour, rng)
    hour, received = hour[received >= 0], received[received >= 0]
    faults = [round(fault.event.received_at.timestamp() * 1000) for fault in events]
    receipts = np.sort(np.concatenate([received, np.array(faults, dtype=np.int64)]))
    return Contacts(hour, received, receipts)


def _received(series: HourSeries, known: np.ndarray) -> HourSeries:
    return series.where(np.isin(series.hour, known, assume_unique=True))


def _received_samples(
    samples: dict[str, SampleSeries], known: np.ndarray
) -> dict[str, SampleSeries]:
    kept = {}
    for metric, series in samples.items():
        mask = np.isin(series.at_ms // HOUR, known)
        kept[metric] = SampleSeries(series.at_ms[mask], series.value[mask])
    return kept


def _placements(script: Script, silences: Iterable[Silence], world: World) -> tuple[Placement, ...]:
    stored = [place for s in silences for place in storage_of(s, world.season.until_ms)]
    return tuple(sorted((*script.placements, *stored), key=lambda place: place.from_at))


def _causes(script: Script, shown: dict[int, int]) -> Iterator[Cause]:
    ids = [f"{script.profile.id}/{cause.kind}-{n}" for n, cause in enumerate(script.planned)]
    for number in range(len(script.planned)):
        yield _cause(script, ids, number, shown.get(number))


def _cause(script: Script, ids: Sequence[str], number: int, shown_ms: int | None) -> Cause:
    planned = script.planned[number]
    names = frozenset(name_of(change.code) for change in planned.changes)
    end_ms = planned.battery_end_ms
    return Cause(
        id=ids[number],
        kind=planned.kind,
        device=script.profile.id,
        component=planned.component,
        since=to_at(planned.since_ms),
        until=None if planned.until_ms is None else to_at(planned.until_ms),
        needs_person=planned.needs_person,
        detectable_since=None if shown_ms is None else to_at(shown_ms),
        codes=names - planned.children,
        children=planned.children,
        is_ticket_welcome=planned.is_welcome or planned.needs_person,
        battery_end_at=None if end_ms is None else to_at(end_ms),
        repeat_of=None if planned.repeats is None else ids[planned.repeats],
        part_of=planned.part_of,
    )


def _silence_causes(profile: Profile, silences: Sequence[Silence], world: World) -> Iterator[Cause]:
    for number, silence in enumerate(silences):
        yield silence_cause(profile, number, silence, world.season.until_ms)
