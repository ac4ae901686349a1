"""Key figures of a time, computed from its tickets. Pure.

Every figure is a share of tickets, or a sum over them, and the same predicate that counts a ticket
also lists it, so that a number can always be followed to its rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from statistics import fmean, median
from typing import Final, NamedTuple

from fleet.rules.statistics import Interval, wilson
from fleet.sla.calendar import DAY, is_working_day, local_day
from fleet.sla.policies import Clock, Promise, UnknownPolicyError, load_policies
from fleet.ticket_states import OrderKind
from fleet.words import DeviceClass

REPAIRS: Final = frozenset({OrderKind.REPAIR, OrderKind.URGENT_REPAIR})
FIVE_DAYS: Final = 5
FIVE_DAYS_TARGET: Final = 0.88
"""88 % of repairs within 5 working days: what Västmanland reports, and others are measured by."""

MINUTES_AIM: Final = 0.60
"""By how much one county's plan wants to cut the minutes of troubleshooting."""

BASELINE_TICKETS: Final = 100
BASELINE_LEAST: Final = 30
SMALLEST: Final = 5
"""Fewer devices than this in a municipality are not shown: they may point out their users."""

CLOCKS: Final = tuple(Clock)  # iterating over an enumeration takes a hundred times longer


class TicketFact(NamedTuple):
    """What a ticket is to the key figures. Void tickets are none."""

    ticket_no: int
    device_no: int | None
    centre_id: str | None
    area: str | None
    device_class: str | None
    component: str
    order_kind: str
    state: str
    known_at: datetime
    solved_at: datetime | None
    outcome: str | None
    minutes: int | None
    policy_id: str | None
    policy_version: int | None
    start_due_at: datetime | None
    start_stopped_at: datetime | None
    finish_due_at: datetime | None
    finish_stopped_at: datetime | None
    came_back: bool


class Span(NamedTuple):
    """A half-open time, and the moment it is looked at."""

    low: datetime
    high: datetime
    now: datetime

    def holds(self, at: datetime | None) -> bool:
        return at is not None and self.low <= at < self.high


@dataclass(frozen=True, slots=True)
class Share:
    """`hit_n` of `n` tickets, with the 95 % interval of the share (Wilson)."""

    hit_n: int
    n: int

    @property
    def value(self) -> float | None:
        return self.hit_n / self.n if self.n else None

    @property
    def interval(self) -> Interval:
        return wilson(self.hit_n, self.n)


class PromiseKey(NamedTuple):
    """One promise for one kind of order, as tickets were opened under it."""

    order_kind: str
    policy_id: str
    policy_version: int
    clock: str
    within: int
    unit: str
    target_share: float | None
    is_ours: bool

    @property
    def text(self) -> str:
        """As an address carries it."""
        kind, clock = self.order_kind.replace(" ", "-"), self.clock
        return f"{kind}.{self.policy_id}.{self.policy_version}.{clock}.{self.within}"


@dataclass(frozen=True, slots=True)
class Minutes:
    """Minutes of troubleshooting and repair noted on solved tickets, against what it took before.

    People note both as one; the aim is about troubleshooting alone. `cut` is None without a mean
    and a baseline.
    """

    noted_n: int
    sum_min: int
    mean: float | None
    median: float | None
    baseline: float | None

    @property
    def cut(self) -> float | None:
        if self.mean is None or not self.baseline:
            return None
        return 1 - self.mean / self.baseline


@dataclass(frozen=True, slots=True)
class Figures:
    """The key figures of a time."""

    known_n: int
    solved_n: int
    promises: Mapping[PromiseKey, Share]
    five_days: Share
    causes: Sequence[tuple[str, int]]
    remote: Share
    remote_or_handling: Share
    held: Share
    minutes: Minutes


def figures(facts: Iterable[TicketFact], span: Span, baseline: float | None = None) -> Figures:
    """All key figures of a time."""
    listed = list(facts)
    known = [fact for fact in listed if span.holds(fact.known_at)]
    solved = [fact for fact in listed if is_solved(fact, span)]
    return Figures(
        known_n=len(known),
        solved_n=len(solved),
        promises=_promises(listed, span),
        five_days=_share(is_within_five, (fact for fact in solved if is_repair(fact))),
        causes=sorted(Counter(f.component for f in known).items(), key=lambda c: (-c[1], c[0])),
        remote=_share(is_remote, solved),
        remote_or_handling=_share(is_remote_or_handling, solved),
        held=_share(has_held, (fact for fact in solved if is_repairable(fact))),
        minutes=_minutes(solved, baseline),
    )


def _share(is_hit: Callable[[TicketFact], bool], facts: Iterable[TicketFact]) -> Share:
    hits = [is_hit(fact) for fact in facts]
    return Share(sum(hits), len(hits))


def is_solved(fact: TicketFact, span: Span) -> bool:
    """Solved in the time, for the first time."""
    return fact.outcome is not None and span.holds(fact.solved_at)


def is_repair(fact: TicketFact) -> bool:
    return fact.order_kind in REPAIRS


def is_within_five(fact: TicketFact) -> bool:
    """Solved within 5 working days of the day it became known; waiting is not taken off."""
    assert fact.solved_at is not None
    return working_days(local_day(fact.known_at), local_day(fact.solved_at)) <= FIVE_DAYS


def is_remote(fact: TicketFact) -> bool:
    return fact.outcome == "solved_remotely"


def is_remote_or_handling(fact: TicketFact) -> bool:
    """What may have needed no visit: people do not note whether they went for a user's mistake."""
    return fact.outcome in {"solved_remotely", "user_error"}


def is_repairable(fact: TicketFact) -> bool:
    """A user's mistake is no repair, so it cannot hold."""
    return fact.outcome != "user_error"


def has_held(fact: TicketFact) -> bool:
    return not fact.came_back


def _minutes(solved: Sequence[TicketFact], baseline: float | None) -> Minutes:
    noted = [fact.minutes for fact in solved if fact.minutes is not None]
    if not noted:
        return Minutes(0, 0, None, None, baseline)
    return Minutes(len(noted), sum(noted), fmean(noted), median(noted), baseline)


@lru_cache(maxsize=100_000)
def working_days(after: date, until: date) -> int:
    """How many working days lie after one day, up to and including another."""
    days = (until - after).days
    return sum(is_working_day(after + number * DAY) for number in range(1, days + 1))


def decided(fact: TicketFact, clock: Clock, span: Span) -> bool | None:
    """Whether a deadline was kept, if that was decided in the time; None if it was not.

    A kept one belongs to when the work was done, a missed one to when it was due: so a late repair
    counts as late before it is done, and once.
    """
    due_at, stopped_at = (
        (fact.start_due_at, fact.start_stopped_at)
        if clock is Clock.START
        else (fact.finish_due_at, fact.finish_stopped_at)
    )
    if due_at is None:
        return None
    if stopped_at is not None and stopped_at <= due_at:
        return True if span.holds(stopped_at) else None
    is_late = stopped_at is not None or due_at < span.now
    return False if is_late and span.holds(due_at) else None


def _promises(facts: Iterable[TicketFact], span: Span) -> dict[PromiseKey, Share]:
    kept: Counter[PromiseKey] = Counter()
    counted: Counter[PromiseKey] = Counter()
    for fact in facts:
        for clock in CLOCKS:
            is_kept = decided(fact, clock, span)
            key = None if is_kept is None else promise_of(fact, clock)
            if key is not None:
                counted[key] += 1
                kept[key] += bool(is_kept)
    return {key: Share(kept[key], counted[key]) for key in sorted(counted, key=_by_promise)}


def _by_promise(key: PromiseKey) -> tuple[object, ...]:
    order = [str(kind) for kind in OrderKind].index(key.order_kind)
    return (order, key.policy_id, key.policy_version, key.clock != "start", key.within)


def promise_of(fact: TicketFact, clock: Clock) -> PromiseKey | None:
    """The promise behind a ticket's deadline; None where this release does not know the policy."""
    if fact.policy_id is None or fact.policy_version is None:
        return None
    return _promise_key(
        fact.order_kind, fact.device_class, fact.policy_id, fact.policy_version, clock
    )


@lru_cache(maxsize=4096)
def _promise_key(
    order_kind: str, device_class: str | None, policy_id: str, version: int, clock: Clock
) -> PromiseKey | None:
    try:
        policy = load_policies().get(policy_id, version)
    except UnknownPolicyError:
        return None
    of_class = DeviceClass(device_class) if device_class in set(DeviceClass) else None
    found = {p.clock: p for p in policy.promises_for(OrderKind(order_kind), of_class)}.get(clock)
    return None if found is None else _key(order_kind, policy_id, version, found)


def _key(order_kind: str, policy_id: str, version: int, found: Promise) -> PromiseKey:
    return PromiseKey(
        order_kind, policy_id, version, str(found.clock), found.within, str(found.unit),
        found.target_share, found.is_ours,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class PlaceFigures:
    """The key figures of one centre or municipality. `figures` None: too few devices to show."""

    name: str | None
    device_n: int
    figures: Figures | None


def by_centre(facts: Iterable[TicketFact], span: Span) -> list[PlaceFigures]:
    """Each centre of tickets that are `counted`."""
    return _by_place(facts, span, lambda fact: fact.centre_id)


def by_municipality(facts: Iterable[TicketFact], span: Span) -> list[PlaceFigures]:
    """Each municipality of tickets that are `counted`; the small ones without their figures.

    Where only one is small, the next one is left out too: else it could be had by subtraction.
    """
    rows = _by_place(facts, span, lambda fact: fact.area)
    hidden = {row.name for row in rows if row.device_n < SMALLEST}
    shown = [row for row in rows if row.name not in hidden]
    if len(hidden) == 1 and shown:
        hidden.add(min(shown, key=lambda row: (row.device_n, row.name or "")).name)
    return [
        PlaceFigures(row.name, row.device_n, None) if row.name in hidden else row for row in rows
    ]


def _by_place(
    facts: Iterable[TicketFact], span: Span, place: Callable[[TicketFact], str | None]
) -> list[PlaceFigures]:
    found: defaultdict[str | None, list[TicketFact]] = defaultdict(list)
    for fact in facts:
        found[place(fact)].append(fact)
    rows = [
        PlaceFigures(name, len({f.device_no for f in listed}), figures(listed, span))
        for name, listed in found.items()
    ]
    return sorted(rows, key=lambda row: (row.name is None, row.name or ""))


def counted(facts: Iterable[TicketFact], span: Span) -> list[TicketFact]:
    """The tickets that some figure of the time counts: what places are compared by."""
    return [fact for fact in facts if is_counted(fact, span)]


def is_counted(fact: TicketFact, span: Span) -> bool:
    """True if any figure of the time counts the ticket."""
    return (
        span.holds(fact.known_at)
        or is_solved(fact, span)
        or any(decided(fact, clock, span) is not None for clock in CLOCKS)
    )


Counts = Callable[[TicketFact, Span, str], bool]


def _decided_as(fact: TicketFact, span: Span, key: str, *, kept: bool) -> bool:
    return any(
        decided(fact, clock, span) is kept
        and (found := promise_of(fact, clock)) is not None
        and found.text == key
        for clock in CLOCKS
    )


BEHIND: Final[Mapping[str, Counts]] = {
    "known": lambda f, s, _: s.holds(f.known_at),
    "cause": lambda f, s, key: s.holds(f.known_at) and f.component == key,
    "solved": lambda f, s, _: is_solved(f, s),
    "kept": lambda f, s, key: _decided_as(f, s, key, kept=True),
    "missed": lambda f, s, key: _decided_as(f, s, key, kept=False),
    "five_kept": lambda f, s, _: is_solved(f, s) and is_repair(f) and is_within_five(f),
    "five_missed": lambda f, s, _: is_solved(f, s) and is_repair(f) and not is_within_five(f),
    "remote": lambda f, s, _: is_solved(f, s) and is_remote(f),
    "handling": lambda f, s, _: is_solved(f, s) and f.outcome == "user_error",
    "held": lambda f, s, _: is_solved(f, s) and is_repairable(f) and has_held(f),
    "came_back": lambda f, s, _: is_solved(f, s) and is_repairable(f) and not has_held(f),
    "minutes": lambda f, s, _: is_solved(f, s) and f.minutes is not None,
    "all": lambda f, s, _: is_counted(f, s),
}
"""The tickets behind each number, by the number's name and, where it has several, its key."""


def behind(facts: Iterable[TicketFact], span: Span, figure: str, key: str = "") -> list[int]:
    """The tickets that a number counts, the newest first."""
    counts = BEHIND[figure]
    return sorted((fact.ticket_no for fact in facts if counts(fact, span, key)), reverse=True)
