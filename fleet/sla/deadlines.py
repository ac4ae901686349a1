"""How a promise becomes an instant, and the account of it line by line. Pure.

Working hours count open time from the moment the backend knew. Working days count from the day
after it (the day itself is day 0), and the deadline is the closing time of the last one.

A pause gives back exactly the open time it took. Of a working day that is paused for a part, only
the share that was open and not paused counts, so the deadline may fall in the middle of a day.
Whole days would be unfair both ways: a day lost to a pause of five minutes could be had at will,
and a day counted although nobody could work would be taken from the workshop. It also makes no
difference whether one pause or two that meet are recorded, and a longer pause never brings a
deadline forward.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from typing import Final, NamedTuple

from fleet.sla.calendar import (
    DAY,
    Opening,
    OpeningHours,
    is_red,
    local_day,
    opening_on,
    openings_back_from,
    openings_from,
    red_days,
    starts_at,
)
from fleet.sla.policies import SOLVED, Clock, Policy, Promise, Unit
from fleet.ticket_states import State
from fleet.words import Lang

_HOUR: Final = timedelta(hours=1)
_TICK: Final = timedelta(microseconds=1)

STOPS: Final[dict[State, frozenset[Clock]]] = {
    State.NEW: frozenset(),
    State.TRIAGED: frozenset(),
    State.ASSIGNED: frozenset({Clock.START}),
    State.WAITING: frozenset(),
    State.SOLVED: frozenset(Clock),
    State.VERIFIED: frozenset(Clock),
    State.CLOSED: frozenset(Clock),
    State.VOID: frozenset(Clock),
}
"""Which clocks a ticket stops by coming into a state."""


class Pause(NamedTuple):
    """A time that does not count, and why. The end is not in it."""

    from_at: datetime
    until_at: datetime
    reason: str


class Counted(NamedTuple):
    """Open time that counts, as a number of the promise's units."""

    from_at: datetime
    until_at: datetime
    counted: int | Fraction


class Why(StrEnum):
    """Why a stretch of time counts, or does not."""

    COUNTED = "counted"
    ORDER_DAY = "order_day"
    CLOSED = "closed"
    WEEKEND = "weekend"
    RED_DAY = "red_day"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Line:
    """One stretch of an account. `counted` is 0 unless `why` is COUNTED."""

    from_at: datetime
    until_at: datetime
    counted: Fraction
    why: Why
    sv: str
    en: str


@dataclass(frozen=True, slots=True)
class Account:
    """How one deadline came about.

    The lines follow each other from `known_at` to `due_at` without a gap, and what they count
    adds up to `promise.within`.
    """

    promise: Promise
    known_at: datetime
    due_at: datetime
    notify_at: datetime
    lines: tuple[Line, ...]


def due_at(
    hours: OpeningHours, promise: Promise, known_at: datetime, pauses: Sequence[Pause] = ()
) -> datetime:
    """When the promise is due. Meeting it at that very instant is in time.

    Args:
        hours: when the workshop is open.
        promise: what was promised.
        known_at: when the backend knew; nothing before it counts.
        pauses: by allowed reasons, in any order; one that still lasts ends now.
    """
    last = known_at
    for counted in _count(hours, promise, known_at, sorted(pauses)):
        last = counted.until_at
    return last


def notify_at(
    hours: OpeningHours,
    promise: Promise,
    known_at: datetime,
    due: datetime,
    pauses: Sequence[Pause] = (),
) -> datetime:
    """When the prescriber's notice is drafted: open time before `due`, never before we knew."""
    missing, ordered = promise.notify_before, sorted(pauses)
    for opening in openings_back_from(hours, local_day(due)):
        for from_at, until_at in _reversed_stretches(opening, due, ordered):
            if until_at - from_at >= missing:
                return max(known_at, until_at - missing)
            missing -= until_at - from_at
        if opening.opens_at <= known_at:
            break
    return known_at


def _reversed_stretches(
    opening: Opening, end: datetime, pauses: Sequence[Pause]
) -> list[tuple[datetime, datetime]]:
    return list(_unpaused(opening.opens_at, min(opening.closes_at, end), pauses))[::-1]


def _count(
    hours: OpeningHours, promise: Promise, known_at: datetime, pauses: Sequence[Pause]
) -> Iterator[Counted]:
    """What counts, in order, up to the deadline. `pauses` are sorted."""
    missing: int | Fraction = promise.within
    in_days = promise.unit is Unit.WORKING_DAYS
    order_day = local_day(known_at)
    for opening in openings_from(hours, order_day + DAY if in_days else order_day):
        whole = opening.closes_at - opening.opens_at
        unit = whole if in_days else _HOUR
        for from_at, until_at in _unpaused(
            max(opening.opens_at, known_at), opening.closes_at, pauses
        ):
            length = until_at - from_at
            worth = 1 if length == unit else Fraction(length // _TICK, unit // _TICK)
            if worth >= missing:
                yield Counted(from_at, from_at + _length(missing, unit), missing)
                return
            missing -= worth
            yield Counted(from_at, until_at, worth)


def _length(counted: int | Fraction, unit: timedelta) -> timedelta:
    """The time that counts as that many units; rounded up, so never short of the promise."""
    return -(-counted * (unit // _TICK) // 1) * _TICK


def _unpaused(
    from_at: datetime, until_at: datetime, pauses: Sequence[Pause]
) -> Iterator[tuple[datetime, datetime]]:
    """What is left of a stretch outside all pauses, which are sorted and may overlap."""
    for pause in pauses:
        if pause.from_at >= until_at:
            break
        if pause.from_at > from_at:
            yield from_at, pause.from_at
        from_at = max(from_at, pause.until_at)
    if from_at < until_at:
        yield from_at, until_at


def explain(
    policy: Policy, promise: Promise, known_at: datetime, pauses: Sequence[Pause] = ()
) -> Account:
    """The account of a deadline: every stretch that counted, and every one that did not."""
    ordered = sorted(pauses)
    lines: list[Line] = []
    at = known_at
    for from_at, until_at, counted in _count(policy.hours, promise, known_at, ordered):
        lines += _skipped(policy, promise, known_at, (at, from_at), ordered)
        lines.append(Line(from_at, until_at, Fraction(counted), Why.COUNTED, "räknas", "counts"))
        at = until_at
    notified = notify_at(policy.hours, promise, known_at, at, pauses)
    return Account(promise, known_at, at, notified, tuple(_merged(lines)))


def _skipped(
    policy: Policy,
    promise: Promise,
    known_at: datetime,
    span: tuple[datetime, datetime],
    pauses: Sequence[Pause],
) -> Iterator[Line]:
    """Lines for a span in which nothing counts, cut where the reason may change."""
    order_day = local_day(known_at) if promise.unit is Unit.WORKING_DAYS else None
    cuts = sorted(_cuts(policy.hours, span, pauses))
    for from_at, until_at in pairwise(cuts):
        why, sv, en = _reason(policy, order_day, from_at, pauses)
        yield Line(from_at, until_at, Fraction(0), why, sv, en)


def _cuts(
    hours: OpeningHours, span: tuple[datetime, datetime], pauses: Sequence[Pause]
) -> set[datetime]:
    first, last = span
    cuts = {first, last, *(at for pause in pauses for at in (pause.from_at, pause.until_at))}
    day = local_day(first)
    while (midnight := starts_at(day)) < last:
        opening = opening_on(hours, day)
        cuts |= {midnight} if opening is None else {midnight, opening.opens_at, opening.closes_at}
        day += DAY
    return {at for at in cuts if first <= at <= last}


_TEXTS: Final[dict[Why, tuple[str, str]]] = {
    Why.ORDER_DAY: ("dagen då felet blev känt är dag 0", "the day the fault became known is day 0"),
    Why.CLOSED: ("stängt", "closed"),
    Why.WEEKEND: ("helg", "weekend"),
}


def _reason(
    policy: Policy, order_day: date | None, at: datetime, pauses: Sequence[Pause]
) -> tuple[Why, str, str]:
    """Why the time from `at` on does not count."""
    day = local_day(at)
    opening = opening_on(policy.hours, day)
    if opening is None:
        if is_red(day):
            name = red_days(day.year)[day]
            return Why.RED_DAY, name["sv"], name["en"]
        return Why.WEEKEND, *_TEXTS[Why.WEEKEND]
    if not opening.opens_at <= at < opening.closes_at:
        return Why.CLOSED, *_TEXTS[Why.CLOSED]
    if day == order_day:
        return Why.ORDER_DAY, *_TEXTS[Why.ORDER_DAY]
    reason = next(pause.reason for pause in pauses if pause.from_at <= at < pause.until_at)
    return Why.PAUSED, pause_label(policy, reason, "sv"), pause_label(policy, reason, "en")


_SOLVED: Final[dict[Lang, str]] = {
    "sv": "Åtgärdat, tills felet kom tillbaka",
    "en": "Solved, until the fault came back",
}


def pause_label(policy: Policy, reason: str, lang: Lang) -> str:
    """What people read for a pause; a reason the policy does not know stays as it is stored."""
    if reason == SOLVED:
        return _SOLVED[lang]
    known = policy.pause(reason)
    return reason if known is None else known.label(lang)


def _merged(lines: Sequence[Line]) -> Iterator[Line]:
    """Neighbours that say the same become one line; what counts stays a line a stretch."""
    held: Line | None = None
    for line in lines:
        if held is None:
            held = line
        elif line.why is not Why.COUNTED and (held.why, held.sv) == (line.why, line.sv):
            held = Line(held.from_at, line.until_at, held.counted, held.why, held.sv, held.en)
        else:
            yield held
            held = line
    if held is not None:
        yield held
