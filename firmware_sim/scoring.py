"""How well tickets tell what is truly wrong: the score of a diagnosed synthetic fleet. Pure.

A ticket hits a cause if it is about that device (or a group with it), about that part or one
that cannot be told from it, and was opened while the cause lasted. Every ticket has at most one
cause, and every further ticket of a cause is a duplicate: it counts against precision too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Final

import numpy as np

from firmware_sim.history.shapes import GRADUAL, Cause, Kind, Pack
from fleet.ticket_states import OrderKind
from fleet.words import Component

CONTACT: Final = "contact"
"""What a ticket about a silence is about, in the place of a component."""

ALIKE: Final[frozenset[frozenset[str]]] = frozenset(
    frozenset(pair)
    for pair in (
        (Component.MOTOR, Component.LEFT_MOTOR),
        (Component.MOTOR, Component.RIGHT_MOTOR),
        (Component.BRAKE, Component.LEFT_BRAKE),
        (Component.BRAKE, Component.RIGHT_BRAKE),
        (Component.MASK, Component.MASK_LEAK),
        (Component.TUBE, Component.MASK_LEAK),
        (Component.BATTERY, Component.POWER_SUPPLY),
        (Component.BATTERY, Component.CHARGER),
        (Component.CHARGER, Component.POWER_SUPPLY),
        (Component.RADIO, CONTACT),
        (Component.POWER_SUPPLY, CONTACT),
        (Component.DEVICE, CONTACT),
    )
)
"""Parts that reports from afar cannot tell apart. Left and right can be told."""

GRACE_BEFORE: Final = timedelta(hours=1)
GRACE_AFTER: Final = timedelta(days=2)
"""A ticket that opens this long after the repair is still about it: the device was out of
contact, or its day had not been judged."""
TOO_LATE_TO_JUDGE: Final = timedelta(days=2)
"""A cause that first shows this near to the end of the history is not judged, found or missed."""

_FORTNIGHT: Final = timedelta(days=14)
SLOW_TO_SHOW: Final[Mapping[Kind, timedelta]] = {
    "battery_sudden": timedelta(days=5),
    "counting": timedelta(days=7),
    "lasting_minor": timedelta(days=7),
    "minor_recurring": _FORTNIGHT,
    "dead_radio": _FORTNIGHT,
    "dead_power": _FORTNIGHT,
}
"""The same for kinds of which the first sign says nothing: one count, one minor fault, one day
without contact. A holiday is two weeks long. A cell takes three days to give in, and shows when
it has been charged twice since."""


@dataclass(frozen=True, slots=True)
class ScoredTicket:
    """One ticket as the engine left it.

    Attributes:
        device: None for a group; then `members` are the devices it is about.
        about: component, or `contact` for a silence; more than one where a ticket names more.
        held: kept under a group's ticket, so no work for a person.
        is_void: withdrawn. reopened_at: when the same ticket was taken up again, or became worse
            by what joined it.
    """

    id: str
    device: str | None
    about: frozenset[str]
    order_kind: str
    rule_ids: frozenset[str]
    opened_at: datetime
    closed_at: datetime | None = None
    is_void: bool = False
    held: bool = False
    members: frozenset[str] = frozenset()
    reopened_at: tuple[datetime, ...] = ()

    @property
    def moments(self) -> tuple[datetime, ...]:
        """When it asked for a person's attention."""
        return (self.opened_at, *self.reopened_at)


@dataclass(frozen=True, slots=True)
class Forecast:
    """When a battery was said to wear out; `confidence` is the stated chance of the interval."""

    device: str
    at: datetime
    earliest: datetime
    latest: datetime
    confidence: float


@dataclass(frozen=True, slots=True)
class Miss:
    cause: Cause
    why: str


@dataclass(frozen=True, slots=True)
class FalseAlarm:
    ticket: ScoredTicket
    why: str


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of one kind of cause or of one rule; `delays_h` from detectable to ticket."""

    needed_n: int = 0
    found_n: int = 0
    ticket_n: int = 0
    right_n: int = 0
    duplicate_n: int = 0
    delays_h: tuple[float, ...] = ()

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.needed_n + other.needed_n,
            self.found_n + other.found_n,
            self.ticket_n + other.ticket_n,
            self.right_n + other.right_n,
            self.duplicate_n + other.duplicate_n,
            self.delays_h + other.delays_h,
        )

    @property
    def recall(self) -> float | None:
        return _share(self.found_n, self.needed_n)

    @property
    def precision(self) -> float | None:
        return _share(self.right_n, self.ticket_n)


@dataclass(frozen=True, slots=True)
class Band:
    """Forecasts whose stated confidence is from `low` up to `high`, and how many came true."""

    low: float
    high: float
    forecast_n: int
    right_n: int
    stated_sum: float

    @property
    def stated(self) -> float | None:
        return self.stated_sum / self.forecast_n if self.forecast_n else None

    @property
    def measured(self) -> float | None:
        return _share(self.right_n, self.forecast_n)


@dataclass(frozen=True, slots=True)
class BatteryScore:
    """The forecasts of one fleet against the true ends.

    Attributes:
        ended_n: packs that wore out slowly within the history. foretold_n: of these, with a
            forecast made before the end.
        lead_days: from the first forecast of each to its true end; negative: made after it.
        forecast_n, covered_n: all forecasts, and those whose interval holds the true end.
        first_n, first_covered_n: only the first forecast of each pack.
    """

    ended_n: int
    foretold_n: int
    lead_days: tuple[float, ...]
    forecast_n: int
    covered_n: int
    first_n: int
    first_covered_n: int
    bands: tuple[Band, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """The score of one fleet. `total` counts tickets once, `by_kind` by the cause they hit."""

    total: Tally
    cause_n: int
    """Causes that got at least one ticket."""
    void_n: int
    held_n: int
    judged_late_n: int
    never_shown_n: int
    storm_tickets: tuple[int, ...]
    """Tickets that each storm made, held ones left out."""
    by_kind: Mapping[str, Tally]
    by_rule: Mapping[str, Tally]
    misses: tuple[Miss, ...]
    false_alarms: tuple[FalseAlarm, ...]
    battery: BatteryScore

    @property
    def tickets_per_cause(self) -> float | None:
        """Right tickets and duplicates over the causes they are about."""
        made = self.total.right_n + self.total.duplicate_n
        return made / self.cause_n if self.cause_n else None

    @property
    def precision_with_void(self) -> float | None:
        """As if every withdrawn ticket had been a false alarm."""
        return _share(self.total.right_n, self.total.ticket_n + self.void_n)


def score(
    tickets: Sequence[ScoredTicket],
    causes: Sequence[Cause],
    until: datetime,
    forecasts: Sequence[Forecast] = (),
    packs: Mapping[str, Sequence[Pack]] | None = None,
) -> Score:
    """Compare.

    Args:
        causes: `firmware_sim.history.fleet.all_causes`. until: the end of the history.
        packs: of every wheelchair, by device, in order of fitting.
    """
    worked = [ticket for ticket in tickets if not ticket.is_void and not ticket.held]
    hits = _Hits(causes, sorted(worked, key=lambda ticket: (ticket.opened_at, ticket.id)))
    judged, late, hidden = _judged(causes, until)
    misses = tuple(_miss(c, tickets) for c in judged if not hits.is_found(c))
    by_kind = _by_kind(judged, hits)
    return Score(
        total=sum(by_kind.values(), Tally()) + Tally(ticket_n=len(hits.wrong)),
        cause_n=len(hits.of_cause),
        void_n=sum(ticket.is_void for ticket in tickets),
        held_n=sum(ticket.held and not ticket.is_void for ticket in tickets),
        judged_late_n=late,
        never_shown_n=hidden,
        storm_tickets=tuple(len(hits.of_cause.get(c.id, ())) for c in causes if c.kind == "storm"),
        by_kind=by_kind,
        by_rule=_by_rule(hits),
        misses=misses,
        false_alarms=tuple(FalseAlarm(t, _why_wrong(t, hits)) for t in hits.wrong),
        battery=_battery(forecasts, packs or {}, causes, until),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _judged(causes: Sequence[Cause], until: datetime) -> tuple[list[Cause], int, int]:
    """The causes that must have a ticket; how many show too late, how many never.

    What was repaired before any report of it came in has not shown: the device was out of contact.
    """
    needed = [cause for cause in causes if cause.needs_person]
    shown = [c for c in needed if c.detectable_since and c.detectable_since <= (c.until or until)]
    in_time = [c for c in shown if (c.detectable_since or until) <= until - _patience(c)]
    return in_time, len(shown) - len(in_time), len(needed) - len(shown)


def _patience(cause: Cause) -> timedelta:
    return SLOW_TO_SHOW.get(cause.kind, TOO_LATE_TO_JUDGE)


class _Hits:
    """Which ticket is about which cause. Tickets are taken in order of opening.

    A ticket of a group is about the cause of a group whose devices are most nearly its own, a
    single one about a cause of its own device before one it shares. A supplier's ticket says that
    a whole group is bad: where none is, it is wrong, and no second ticket of one of its singles.
    """

    def __init__(self, causes: Sequence[Cause], tickets: Sequence[ScoredTicket]) -> None:
        self.tickets = tickets
        self.of_cause: dict[str, list[ScoredTicket]] = {}
        self.cause_of: dict[str, Cause] = {}
        self.near: dict[str, list[Cause]] = _by_device(causes)
        self.wrong: list[ScoredTicket] = []
        self._also: set[str] = set()
        for ticket in tickets:
            self._place(ticket)

    def is_found(self, cause: Cause) -> bool:
        return cause.id in self.of_cause or cause.id in self._also

    def first_at(self, cause: Cause) -> datetime | None:
        """When the first ticket of the cause asked for attention within its time."""
        tickets = self.of_cause.get(cause.id, [])
        return min((at for t in tickets for at in t.moments if _is_during(at, cause)), default=None)

    def of(self, ticket: ScoredTicket) -> list[Cause]:
        devices = ticket.members or {ticket.device or ""}
        found = {c.id: c for device in sorted(devices) for c in self.near.get(device, ())}
        return list(found.values())

    def _place(self, ticket: ScoredTicket) -> None:
        fitting = [c for c in self.of(ticket) if _is_welcome(c, ticket) and fits(ticket, c)]
        if not fitting:
            self.wrong.append(ticket)
            return
        best = min(fitting, key=lambda cause: self._rank(cause, ticket))
        self.cause_of[ticket.id] = best
        self.of_cause.setdefault(best.id, []).append(ticket)
        self._also |= {cause.id for cause in fitting if _shows_too(ticket, cause, best)}

    def _rank(self, cause: Cause, ticket: ScoredTicket) -> tuple[object, ...]:
        """The first is meant: what nobody has been told of, what lasts, and what the ticket names.

        Two parts of one device may be at fault together, a dead power supply and a worn battery:
        the second ticket is about the second, though the first can be taken for it.
        """
        return (
            (cause.device is None) != (ticket.device is None),
            -_shared(cause, ticket),
            not cause.needs_person or self.is_found(cause),
            _is_over(cause, ticket.opened_at),
            str(cause.component) not in ticket.about,
            not cause.needs_person,
            cause.id in self.of_cause,
            cause.since,
        )


def _shows_too(ticket: ScoredTicket, cause: Cause, best: Cause) -> bool:
    """True if a ticket that is about another cause shows this one to a person as well.

    A group's ticket shows its singles, a reopened one the repeat, and one that worse news of the
    same part has joined shows what that news is about.
    """
    if ticket.device is None:
        return cause.device is not None
    worse = any(_is_during(at, cause) for at in ticket.reopened_at)
    return cause.repeat_of == best.id or (worse and str(cause.component) in ticket.about)


def _shared(cause: Cause, ticket: ScoredTicket) -> float:
    """Which part of the devices of either group both have; of no account for a single device."""
    if cause.device is not None or ticket.device is not None:
        return 0.0
    return len(cause.members & ticket.members) / len(cause.members | ticket.members)


def _by_device(causes: Iterable[Cause]) -> dict[str, list[Cause]]:
    near: dict[str, list[Cause]] = {}
    for cause in causes:
        for device in cause.members if cause.device is None else (cause.device,):
            near.setdefault(device, []).append(cause)
    return near


_OF_THE_GROUP: Final[frozenset[Kind]] = frozenset({"bad_batch", "bad_firmware", "carrier_outage"})
"""What a ticket of one device is never about, though its device is a member."""


def _is_welcome(cause: Cause, ticket: ScoredTicket) -> bool:
    """An outage needs nobody, but one notice about the whole area is right."""
    if cause.kind in _OF_THE_GROUP and ticket.device is not None:
        return False
    if cause.device is not None and ticket.order_kind == OrderKind.SUPPLIER and ticket.members:
        return False
    return cause.needs_person or cause.is_ticket_welcome or cause.kind == "carrier_outage"


def fits(ticket: ScoredTicket, cause: Cause) -> bool:
    """The same part at the same time; the devices are taken to agree."""
    alike = any(are_alike(about, cause.component) for about in ticket.about)
    return alike and any(_is_during(at, cause) for at in ticket.moments)


def are_alike(one: str, other: str) -> bool:
    return one == other or frozenset((str(one), str(other))) in ALIKE


def _is_during(at: datetime, cause: Cause) -> bool:
    is_over = cause.until is not None and at > cause.until + GRACE_AFTER
    return at >= cause.since - GRACE_BEFORE and not is_over


def _is_over(cause: Cause, at: datetime) -> bool:
    return cause.until is not None and at > cause.until


def _by_kind(judged: Sequence[Cause], hits: _Hits) -> dict[str, Tally]:
    tallies: dict[str, Tally] = {}
    for cause in judged:
        delay = _delay_h(cause, hits.first_at(cause))
        found = hits.is_found(cause)
        tally = Tally(needed_n=1, found_n=int(found), delays_h=() if delay is None else (delay,))
        tallies[cause.kind] = tallies.get(cause.kind, Tally()) + tally
    kinds = {cause.id: cause.kind for cause in hits.cause_of.values()}
    for cause_id, tickets in hits.of_cause.items():
        kind = kinds[cause_id]
        tally = Tally(ticket_n=len(tickets), right_n=1, duplicate_n=len(tickets) - 1)
        tallies[kind] = tallies.get(kind, Tally()) + tally
    return tallies


def _delay_h(cause: Cause, at: datetime | None) -> float | None:
    if at is None or cause.detectable_since is None:
        return None
    return (at - cause.detectable_since) / timedelta(hours=1)


def _by_rule(hits: _Hits) -> dict[str, Tally]:
    """A ticket counts for every rule that speaks in it; recall is no property of one rule."""
    tallies: dict[str, Tally] = {}
    firsts = {tickets[0].id for tickets in hits.of_cause.values()}
    for ticket in hits.tickets:
        hit = hits.cause_of.get(ticket.id)
        first = ticket.id in firsts
        delay = _delay_h(hit, ticket.opened_at) if hit is not None and first else None
        tally = Tally(
            ticket_n=1,
            right_n=int(first),
            duplicate_n=int(hit is not None and not first),
            delays_h=() if delay is None else (delay,),
        )
        for rule in sorted(ticket.rule_ids):
            tallies[rule] = tallies.get(rule, Tally()) + tally
    return tallies


def _miss(cause: Cause, tickets: Sequence[ScoredTicket]) -> Miss:
    """Why nothing was found, as far as the tickets can tell."""
    devices = cause.members if cause.device is None else {cause.device}
    near = [t for t in tickets if (t.members or {t.device}) & devices]
    alike = [t for t in near if any(are_alike(about, cause.component) for about in t.about)]
    if any(ticket.is_void for ticket in alike):
        why = "its ticket was withdrawn"
    elif any(ticket.held for ticket in alike):
        why = "its ticket was held under a group that is about something else"
    elif alike:
        why = f"only tickets outside its time, {alike[0].opened_at:%Y-%m-%d %H:%M}"
    elif near:
        why = f"only tickets about {', '.join(sorted({a for t in near for a in t.about}))}"
    else:
        why = "no ticket at all"
    return Miss(cause, why)


def _why_wrong(ticket: ScoredTicket, hits: _Hits) -> str:
    """What was truly going on, nearest first: the same part, the same time, or nothing."""
    near = [c for c in hits.of(ticket) if ticket.device is None or c.kind not in _OF_THE_GROUP]
    during = [c for c in near if _is_during(ticket.opened_at, c)]
    alike = [c for c in during if any(are_alike(a, c.component) for a in ticket.about)]
    children = [c for c in during if c.children]
    for found, words in (
        (alike, "needs nobody: {}"),
        (children, "only follows from {}"),
        ([c for c in during if c.needs_person], "another part: {}"),
        (during, "meanwhile only {}"),
        ([c for c in near if c.needs_person], "outside the time of {}"),
    ):
        if found:
            return words.format(", ".join(sorted({c.kind for c in found})))
    return "nothing was wrong"


_EDGES: Final = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def _battery(
    forecasts: Sequence[Forecast],
    packs: Mapping[str, Sequence[Pack]],
    causes: Sequence[Cause],
    until: datetime,
) -> BatteryScore:
    ends = [(f, _end_of(packs.get(f.device, ()), f.at)) for f in forecasts]
    known = [(f, end) for f, end in sorted(ends, key=lambda pair: pair[0].at) if end is not None]
    first: dict[tuple[str, datetime], Forecast] = {}
    for forecast, end in known:
        first.setdefault((forecast.device, end), forecast)
    ended = {
        (c.device, c.battery_end_at)
        for c in causes
        if c.kind == "battery_wear" and c.battery_end_at is not None and c.battery_end_at < until
    }
    leads = {key: (key[1] - f.at) / timedelta(days=1) for key, f in first.items() if key in ended}
    return BatteryScore(
        ended_n=len(ended),
        foretold_n=sum(lead > 0 for lead in leads.values()),
        lead_days=tuple(leads.values()),
        forecast_n=len(known),
        covered_n=sum(_covers(f, end) for f, end in known),
        first_n=len(first),
        first_covered_n=sum(_covers(f, end) for (_, end), f in first.items()),
        bands=tuple(_band(low, high, known) for low, high in pairwise(_EDGES)),
    )


def _end_of(packs: Sequence[Pack], at: datetime) -> datetime | None:
    """The true end of the pack that was in service at `at`."""
    fitted = [pack for pack in packs if pack.fitted_at <= at]
    return fitted[-1].end_at if fitted else None


def _covers(forecast: Forecast, end: datetime) -> bool:
    return forecast.earliest <= end <= forecast.latest


def _band(low: float, high: float, known: Sequence[tuple[Forecast, datetime]]) -> Band:
    inside = [(f, e) for f, e in known if low <= f.confidence < high or f.confidence == high == 1]
    right = sum(_covers(f, end) for f, end in inside)
    return Band(low, high, len(inside), right, sum(f.confidence for f, _ in inside))


def delays_of(tallies: Mapping[str, Tally]) -> list[float]:
    """Hours from the first sign to the ticket, of all kinds that come at once."""
    gradual: frozenset[Kind] = GRADUAL
    return [h for kind, tally in tallies.items() if kind not in gradual for h in tally.delays_h]


def p50(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def p90(values: Sequence[float]) -> float | None:
    return float(np.percentile(values, 90)) if values else None


@dataclass(frozen=True, slots=True)
class SeedScore:
    """One fleet's score and what it was made with."""

    seed: int
    devices: int
    days: int
    scenario: str
    score: Score = field(repr=False)
