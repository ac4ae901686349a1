"""Backtest: one rule over the stored history of the devices it covers, on all cores.

The parent cuts the devices into parts; each child reads and judges parts on a connection of its
own and gives back only what a report needs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from multiprocessing import get_context
from typing import Final

from diagnostics.judgement import Owner
from diagnostics.replay import WouldBe, device_findings, hold_storms, would_be_tickets
from fleet.rules.engine import Rulebook, joint_needs
from fleet.rules.facts import day_of, last_closed_day
from fleet.rules.inhibition import load_inhibitions
from fleet.rules.reader import parse_rule
from fleet.rules.rule import Rule, Window
from storage import backtests, diagnosis, lending
from storage.backtests import PastTicket
from storage.connection import Connection, connect
from storage.facts import load_facts

PART: Final = 100
"""Devices a child takes at a time: the bar moves often, and queries are few."""

PILOT: Final = 25
"""Devices that are tried first to say how long a rule that reads raw samples will take."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to backtest: a rule's text over [from_at, to_at)."""

    body: str
    from_at: datetime
    to_at: datetime
    tenant: str | None = None

    @property
    def rule(self) -> Rule:
        return parse_rule(self.body)


@dataclass(frozen=True, slots=True)
class Replayed:
    """One would-be ticket beside what really happened to that device and cause.

    Attributes:
        duplicate_of: an existing ticket that was open: it would have got evidence instead.
        outcome: what people found, from the ticket that existed around that time.
    """

    ticket: WouldBe
    duplicate_of: int | None
    outcome: str | None


def covered(conn: Connection, asked: Asked) -> list[int]:
    return backtests.covered_devices(conn, asked.rule, asked.tenant)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a rule that needs raw samples will cost, from a try on a few devices."""

    sample_hours: int
    seconds: float


def estimate(
    url: str, conn: Connection, asked: Asked, devices: Sequence[int], clock_s: Callable[[], float]
) -> Estimate | None:
    """How long a rule that needs raw samples will take; None for one that does not, or is quick.

    Args:
        clock_s: a running clock in seconds.
    """
    if not asked.rule.condition.needs.samples or len(devices) <= PILOT:
        return None
    pilot = list(devices)[:: max(1, len(devices) // PILOT)][:PILOT]
    began_s = clock_s()
    replay_part(url, asked, pilot)
    each_s = (clock_s() - began_s) / len(pilot)
    hours = backtests.suspicious_hours(conn, asked.rule, devices, asked.from_at, asked.to_at)
    return Estimate(hours, each_s * len(devices) / _workers())


def replay(
    url: str, asked: Asked, devices: Sequence[int], on_done: Callable[[int], None]
) -> list[Replayed]:
    """Run the rule over the history of `devices`; `on_done` is told how many each part had.

    Storms are held as live: their singles carry the incident's name.
    """
    parts = list(_parts(devices))
    found: list[Replayed] = []
    for part, replayed in zip(parts, _in_children(url, asked, parts), strict=True):
        found += replayed
        on_done(len(part))
    held = hold_storms([item.ticket for item in found])
    return [
        Replayed(ticket, item.duplicate_of, item.outcome)
        for ticket, item in zip(held, found, strict=True)
    ]


def _parts(devices: Sequence[int]) -> Iterator[list[int]]:
    rest = iter(devices)
    while part := list(islice(rest, PART)):
        yield part


def _workers() -> int:
    return os.cpu_count() or 1


def _in_children(
    url: str, asked: Asked, parts: Sequence[Sequence[int]]
) -> Iterator[list[Replayed]]:
    """Each part's result, in order; a single part stays in this process."""
    if len(parts) <= 1:
        yield from (replay_part(url, asked, part) for part in parts)
        return
    # Spawned, not forked: a child must not share its parent's connections.
    with ProcessPoolExecutor(_workers(), mp_context=get_context("spawn")) as pool:
        yield from pool.map(_Part(url, asked), parts)


@dataclass(frozen=True, slots=True)
class _Part:
    """A part's work as something that can be sent to a child."""

    url: str
    asked: Asked

    def __call__(self, devices: Sequence[int]) -> list[Replayed]:
        return replay_part(self.url, self.asked, devices)


def replay_part(url: str, asked: Asked, devices: Sequence[int]) -> list[Replayed]:
    """Read and judge some devices. Reads only, with the rights of diagnostics."""
    with connect(url, role=diagnosis.ROLE, name="backtest") as conn:
        try:
            return _judged(conn, asked, devices)
        finally:
            conn.rollback()


def _judged(conn: Connection, asked: Asked, devices: Sequence[int]) -> list[Replayed]:
    rule = asked.rule
    book = Rulebook([rule], load_inhibitions())
    needs = joint_needs([rule])
    facts = load_facts(conn, dict.fromkeys(devices, asked.from_at), needs, asked.to_at)
    past = backtests.past_tickets(conn, devices, asked.to_at)
    basic_needs = lending.current_needs(conn, devices)
    window = Window(asked.from_at, day_of(asked.from_at), last_closed_day(asked.to_at))
    found: list[Replayed] = []
    for no, known in facts.items():
        findings = device_findings(book, [rule], known, window)
        owner = Owner(known.device.device_class, basic_needs.get(no))
        known_past = past.get(no, [])
        tickets = would_be_tickets(owner, known.device, findings, _repairs(known_past))
        found += [_beside(ticket, known_past) for ticket in tickets]
    return found


def _repairs(past: Sequence[PastTicket]) -> dict[str, list[datetime]]:
    repairs: dict[str, list[datetime]] = {}
    for ticket in past:
        if ticket.solved_at is not None:
            repairs.setdefault(ticket.cause, []).append(ticket.solved_at)
    return {cause: sorted(times) for cause, times in repairs.items()}


ABOUT_THE_SAME: Final = timedelta(days=14)
"""How far apart a would-be ticket and a real one may open and still be about the same thing."""


def _beside(ticket: WouldBe, past: Sequence[PastTicket]) -> Replayed:
    same = [p for p in past if p.cause == ticket.draft.cause]
    open_then = next((p for p in same if _was_open(p, ticket.opened_at)), None)
    near = min(same, key=lambda p: abs(p.opened_at - ticket.opened_at), default=None)
    if near is not None and abs(near.opened_at - ticket.opened_at) > ABOUT_THE_SAME:
        near = None
    meant = open_then or near
    return Replayed(
        ticket,
        None if open_then is None else open_then.ticket_no,
        None if meant is None else meant.outcome,
    )


def _was_open(past: PastTicket, at: datetime) -> bool:
    return past.opened_at < at and (past.solved_at is None or at < past.solved_at)
