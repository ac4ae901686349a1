"""The diagnostics scored on a labelled synthetic fleet: the engine's tickets against the truth.

The engine is the live one, over each device's whole season at once (`diagnostics.replay`); the
rules are those that ship. Nothing of the truth reaches it but what people would have recorded:
which device was in the workshop when, and that a part was repaired.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing import get_context
from typing import Final

import numpy as np

from diagnostics.judgement import Owner
from diagnostics.replay import (
    Gap,
    Storms,
    WouldBe,
    device_findings,
    gaps_of,
    hold_outages,
    hold_storms,
    would_be_tickets,
)
from firmware_sim.history.fleet import all_causes, generate, plan_history
from firmware_sim.history.shapes import Cause, DeviceHistory, Pack, Profile
from firmware_sim.history.timeline import to_at
from firmware_sim.scoring import CONTACT, Forecast, ScoredTicket, SeedScore, score
from fleet.episodes import FaultEvent, fold
from fleet.faults import load_catalogue
from fleet.models import load_models
from fleet.rules.engine import Rulebook, conclude
from fleet.rules.facts import (
    CodedEpisode,
    Contact,
    DaySeries,
    DeviceProfile,
    Facts,
    Repair,
    Sample,
    Span,
    day_closes_at,
    day_of,
    day_starts_at,
    last_closed_day,
)
from fleet.rules.findings import Finding, Need
from fleet.rules.inhibition import load_inhibitions
from fleet.rules.kinds.fleet import FleetDevice, FleetFacts, GroupFinding, family_of, group_findings
from fleet.rules.kinds.silence import ABOUT
from fleet.rules.reader import shipped_rules
from fleet.rules.rule import Rule, Window

HISTORY_FROM: Final = datetime(2025, 9, 1, tzinfo=UTC)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Season:
    """What is scored: a fleet of `devices` over `days`, drawn from `seed`."""

    seed: int
    devices: int = 2_000
    days: int = 90


def shipped_book() -> Rulebook:
    """The rules that a new installation has on."""
    return Rulebook([rule for rule, _ in shipped_rules().values()], load_inhibitions())


@dataclass(slots=True)
class _Diagnosed:
    """One device as the engine saw it, and the truth about it."""

    history: Profile
    truth: Sequence[Cause]
    packs: Sequence[Pack]
    device: DeviceProfile
    tickets: Sequence[WouldBe]
    forecasts: Sequence[Forecast]
    gaps: Sequence[Gap]
    faults: Sequence[Finding] = field(default=())


def score_season(season: Season, on_device: Callable[[int], None]) -> SeedScore:
    """Make the fleet, diagnose it on all cores, and score it; `on_device` is told how many."""
    world, plan = plan_history(season.devices, season.seed, from_at=HISTORY_FROM, days=season.days)
    until = to_at(world.season.until_ms)
    diagnosed: list[_Diagnosed] = []
    parts = [plan[start::_PARTS] for start in range(_PARTS)]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for found in pool.map(partial(_diagnose_part, season, until), range(_PARTS)):
            diagnosed += found
            on_device(len(found))
    assert len(diagnosed) == sum(map(len, parts))
    diagnosed.sort(key=lambda one: one.device.device_no)
    causes = all_causes(world, [(one.history, one.truth) for one in diagnosed])
    result = score(
        _scored(diagnosed, until),
        causes,
        until,
        [forecast for one in diagnosed for forecast in one.forecasts],
        {one.history.id: one.packs for one in diagnosed},
    )
    return SeedScore(season.seed, season.devices, season.days, "all", result)


_PARTS: Final = 20


def _diagnose_part(season: Season, until: datetime, part: int) -> list[_Diagnosed]:
    """In a child: every twentieth device."""
    world, plan = plan_history(season.devices, season.seed, from_at=HISTORY_FROM, days=season.days)
    book = shipped_book()
    return [_diagnose(book, h, until) for h in generate(world, plan[part::_PARTS])]


def _diagnose(book: Rulebook, history: DeviceHistory, until: datetime) -> _Diagnosed:
    facts = facts_of(history, until, book.on_device)
    window = Window(HISTORY_FROM, day_of(HISTORY_FROM), last_closed_day(until))
    findings = device_findings(book, book.on_device, facts, window)
    owner = Owner(facts.device.device_class, frozenset(history.profile.basic_needs))
    return _Diagnosed(
        history.profile,
        history.truth,
        history.packs,
        facts.device,
        would_be_tickets(owner, facts.device, findings, _repairs_by_cause(history)),
        list(_forecasts(book, facts, findings)),
        gaps_of(facts),
        [f for f in findings if f.episodes and f.need is Need.TICKET and "/" in f.about],
    )


def facts_of(history: DeviceHistory, until: datetime, rules: Iterable[Rule]) -> Facts:
    """What the backend would know of the device at the end of its season."""
    metrics = {name for rule in rules for name in rule.condition.needs.metrics}
    return Facts(
        device=profile_of(history.profile),
        now=until,
        episodes=_episodes(history),
        days={
            name: _with_earlier(history.earlier.get(name), hours.by_day())
            for name, hours in history.hours.items()
            if name in metrics and len(hours)
        },
        samples={name: _samples(series) for name, series in history.samples.items()},
        quiet=[Span(place.from_at, place.until_at) for place in history.placements],
        repairs=_repairs(history),
        contact=_contact(history),
    )


def _with_earlier(earlier: DaySeries | None, days: DaySeries) -> DaySeries:
    if earlier is None:
        return days
    first = int(np.searchsorted(earlier.day, days.day[0]))
    names = ("day", "sample_n", "low", "high", "total", "last")
    columns = ((getattr(earlier, name)[:first], getattr(days, name)) for name in names)
    return DaySeries(*(np.concatenate(pair) for pair in columns))


def profile_of(profile: Profile) -> DeviceProfile:
    return DeviceProfile(
        device_no=profile.number,
        device_id=profile.id,
        tenant_no=1,
        tenant_id=profile.tenant,
        device_class=profile.device_class,
        model_id=profile.model,
        model=load_models().get(profile.model),
        firmware=profile.firmware,
        batch=profile.batch,
        centre=profile.centre,
        area=profile.area,
        network=profile.network,
        gateway=profile.gateway,
        in_service_on=profile.in_service_on,
    )


def _episodes(history: DeviceHistory) -> list[CodedEpisode]:
    events: dict[tuple[str, str], list[FaultEvent]] = defaultdict(list)
    for system, code, event in history.events:
        events[system, code].append(event)
    catalogue = load_catalogue()
    folded = [
        (catalogue.look_up(*key), episode)
        for key, reported in sorted(events.items())
        for episode in fold(reported)
    ]
    folded.sort(key=lambda item: item[1].started_at)
    return [CodedEpisode(number, *item) for number, item in enumerate(folded, start=1)]


def _samples(series: tuple[np.ndarray, np.ndarray]) -> list[Sample]:
    at_ms, values = series
    return [
        Sample(_EPOCH + timedelta(milliseconds=at), value)
        for at, value in zip(at_ms.tolist(), values.tolist(), strict=True)
    ]


def _contact(history: DeviceHistory) -> Contact | None:
    receipts = history.contacts.receipts_ms
    if not len(receipts):
        return None
    hours = np.unique(receipts // 3_600_000).tolist()
    return Contact(to_at(int(receipts[-1])), hours)


def _repaired(history: DeviceHistory) -> list[tuple[Cause, datetime]]:
    """What was repaired, and service of the year before the season, which nobody needs now."""
    done = (c for c in history.truth if c.needs_person or c.kind == "service_due")
    return [(cause, cause.until) for cause in done if cause.until is not None]


def _repairs(history: DeviceHistory) -> list[Repair]:
    """What a technician would have recorded; the number stands for the work order."""
    done = sorted(_repaired(history), key=lambda item: item[1])
    return [
        Repair(number, _recorded_as(cause), at, cause.codes)
        for number, (cause, at) in enumerate(done, start=1)
    ]


def _recorded_as(cause: Cause) -> str:
    return "service" if cause.kind == "service_due" else str(cause.component)


def _repairs_by_cause(history: DeviceHistory) -> dict[str, list[datetime]]:
    found: dict[str, list[datetime]] = defaultdict(list)
    for cause, at in _repaired(history):
        found[_recorded_as(cause)].append(at)
    return {name: sorted(times) for name, times in found.items()}


def _forecasts(book: Rulebook, facts: Facts, findings: Iterable[Finding]) -> Iterator[Forecast]:
    """What each battery forecast said on its first day."""
    rules = {rule.id: rule for rule in book.on_device if rule.kind == "battery_end_of_life"}
    for finding in findings:
        if finding.rule_id not in rules:
            continue
        day = day_of(finding.started_at)
        then = replace(facts, now=day_closes_at(day))
        window = Window(HISTORY_FROM, day_of(HISTORY_FROM), day)
        for first in conclude(book, [rules[finding.rule_id]], then, window):
            if first.started_at == finding.started_at and "earliest_d" in first.measures:
                yield _forecast(facts, first, then.now)


def _forecast(facts: Facts, first: Finding, at: datetime) -> Forecast:
    earliest, latest = first.measures["earliest_d"], first.measures["latest_d"]
    return Forecast(
        facts.device.device_id,
        at,
        at + timedelta(days=earliest),
        at + timedelta(days=latest),
        first.confidence,
    )


def _scored(diagnosed: Sequence[_Diagnosed], until: datetime) -> list[ScoredTicket]:
    tickets = hold_storms([ticket for one in diagnosed for ticket in one.tickets])
    gaps = [gap for one in diagnosed for gap in one.gaps]
    devices = [one.device for one in diagnosed]
    held = hold_outages(tickets, gaps, devices)
    singles = [_single(number, ticket) for number, ticket in enumerate(held)]
    return [*singles, *_incidents(held), *_fleet_tickets(diagnosed, until)]


def _about(ticket: WouldBe) -> frozenset[str]:
    return frozenset(
        CONTACT if finding.about == ABOUT else str(finding.component) for finding in ticket.findings
    )


def _single(number: int, ticket: WouldBe) -> ScoredTicket:
    return ScoredTicket(
        id=f"t{number}",
        device=ticket.device.device_id,
        about=_about(ticket),
        order_kind=str(ticket.draft.order_kind),
        rule_ids=frozenset(finding.rule_id for finding in ticket.findings),
        opened_at=ticket.opened_at,
        closed_at=ticket.ended_at,
        held=ticket.incident is not None,
        reopened_at=tuple(_worsened(ticket)),
    )


def _worsened(ticket: WouldBe) -> Iterator[datetime]:
    """When findings joined it that are worse than all before: live, its severity rises then."""
    worst = -1
    for finding in sorted(ticket.findings, key=lambda finding: finding.known_at):
        if finding.severity.rank > worst and finding.known_at > ticket.opened_at:
            yield finding.known_at
        worst = max(worst, finding.severity.rank)


_ONE_INCIDENT: Final = timedelta(days=2)
"""Singles of one group that began further apart belong to two incidents."""


def _incidents(tickets: Sequence[WouldBe]) -> Iterator[ScoredTicket]:
    groups: dict[str, list[WouldBe]] = defaultdict(list)
    for ticket in tickets:
        if ticket.incident is not None:
            groups[ticket.incident].append(ticket)
    for subject, members in sorted(groups.items()):
        members.sort(key=_began)
        for number, part in enumerate(_close_together(members)):
            yield _incident(f"{subject}#{number}", part)


def _close_together(members: Sequence[WouldBe]) -> Iterator[list[WouldBe]]:
    part: list[WouldBe] = []
    for ticket in members:
        if part and _began(ticket) - _began(part[-1]) > _ONE_INCIDENT:
            yield part
            part = []
        part.append(ticket)
    if part:
        yield part


def _began(ticket: WouldBe) -> datetime:
    """A device of a storm that was out of reach joins its incident when it is heard again."""
    lead = ticket.findings[0]
    return lead.started_at if lead.episodes else ticket.opened_at


def _incident(name: str, members: Sequence[WouldBe]) -> ScoredTicket:
    return ScoredTicket(
        id=name,
        device=None,
        about=frozenset().union(*(_about(ticket) for ticket in members)),
        order_kind="support",
        rule_ids=frozenset(f.rule_id for ticket in members for f in ticket.findings),
        opened_at=min(ticket.opened_at for ticket in members),
        members=frozenset(ticket.device.device_id for ticket in members),
    )


def _fleet_tickets(diagnosed: Sequence[_Diagnosed], until: datetime) -> Iterator[ScoredTicket]:
    """The group rules, day by day, over what was known by the end of each day.

    What an incident holds has its ticket: a storm is no bad batch as well.
    """
    ids = {one.device.device_no: one.device.device_id for one in diagnosed}
    devices = [
        FleetDevice(d.device_no, d.tenant_id, d.model_id, d.firmware, d.batch, d.device_class)
        for d in (one.device for one in diagnosed)
        if d.device_class is not None
    ]
    storms = Storms((one.device, f) for one in diagnosed for f in one.faults)
    faults = [
        (one.device.device_no, f)
        for one in diagnosed
        for f in one.faults
        if not storms.holds(one.device, f)
    ]
    for rule in shipped_book().on_fleet:
        opened: dict[tuple[str, str], dict[str, GroupFinding]] = defaultdict(dict)
        held: Mapping[tuple[str, str], datetime] = {}
        for day in range(day_of(HISTORY_FROM), last_closed_day(until) + 1):
            found = group_findings(rule, _fleet_facts(rule, day, devices, faults, held))
            held = {(g.subject, g.finding.about): g.finding.started_at for g in found}
            for group in found:
                family = (family_of(group.subject), group.finding.about)
                opened[family].setdefault(group.subject, group)
        for groups in opened.values():
            yield _group_ticket(rule, list(groups.values()), ids)


def _fleet_facts(
    rule: Rule,
    day: int,
    devices: Sequence[FleetDevice],
    faults: Sequence[tuple[int, Finding]],
    held: Mapping[tuple[str, str], datetime],
) -> FleetFacts:
    from_at = day_starts_at(day + 1 - rule.condition.needs.lookback_days)
    to_at_ = day_starts_at(day + 1)
    faulted: dict[str, set[int]] = defaultdict(set)
    for device_no, finding in faults:
        if finding.started_at >= from_at and from_at <= finding.known_at < to_at_:
            faulted[str(finding.component)].add(device_no)
    frozen = {name: frozenset(nos) for name, nos in faulted.items()}
    return FleetFacts(day, devices, frozen, held)


def _group_ticket(
    rule: Rule, groups: Sequence[GroupFinding], ids: Mapping[int, str]
) -> ScoredTicket:
    """One ticket for the groups of a family, opened for the first; the others joined it."""
    group = groups[0]
    return ScoredTicket(
        id=f"{group.subject} {group.finding.about}",
        device=None,
        about=frozenset({str(group.finding.component)}),
        order_kind="supplier",
        rule_ids=frozenset({rule.id}),
        opened_at=group.finding.known_at,
        members=frozenset(ids[number] for one in groups for number in one.device_nos),
    )
