"""Rules over history: what they would have concluded, and the tickets that would have followed.

The same engine as live (`fleet.rules.engine.conclude`) over all of a device's history at once.
Live and replay end in the same findings, since a finding is a function of what is stored. What
people would have done is not stored, so a would-be ticket ends with the repair that was recorded
for its cause, or else when what it was about had ended.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from diagnostics.judgement import Candidate, Owner, judge_new
from fleet.drafts import Draft
from fleet.rules.engine import Rulebook, conclude
from fleet.rules.facts import Contact, DeviceProfile, Facts
from fleet.rules.findings import Finding, Need
from fleet.rules.rule import Rule, Window
from fleet.rules.storms import STORM_DEVICES, STORM_WITHIN, may_storm
from fleet.ticket_states import State
from storage.findings import Settled

_HOUR = timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SHORTEST_SILENCE_H = 12
"""Shorter gaps between hours with samples are never looked at: no model promises more."""


@dataclass(frozen=True, slots=True)
class WouldBe:
    """A ticket that rules would have opened.

    Attributes:
        ended_at: None: it would still be open at the end of the history.
        incident: what many devices had in common, where one incident would have held it.
    """

    device: DeviceProfile
    draft: Draft
    findings: Sequence[Finding]
    opened_at: datetime
    ended_at: datetime | None
    incident: str | None = None


def device_findings(
    book: Rulebook, rules: Iterable[Rule], facts: Facts, window: Window
) -> list[Finding]:
    """All findings of one device in the window."""
    rules = list(rules)
    plain = [rule for rule in rules if not rule.condition.needs.contact]
    found = conclude(book, plain, facts, window)
    for rule in rules:
        if rule.condition.needs.contact and rule.covers(facts.device):
            found += _past_silences(book, rule, facts, window)
    return sorted(found, key=lambda f: (f.known_at, f.started_at, f.rule_id, f.about))


def _past_silences(book: Rulebook, rule: Rule, facts: Facts, window: Window) -> list[Finding]:
    """Silences as the hours with samples show them: receipts are not kept for ever."""
    if facts.contact is None or not facts.contact.active_hours:
        return []
    hours = sorted(facts.contact.active_hours)
    end_h = int((facts.now - _EPOCH) / _HOUR) + 1
    found: list[Finding] = []
    for position, (last_h, next_h) in enumerate(pairwise([*hours, end_h]), start=1):
        if next_h - last_h < SHORTEST_SILENCE_H:
            continue
        seen = _EPOCH + (last_h + 1) * _HOUR
        now = min(facts.now, _EPOCH + next_h * _HOUR)
        then = replace(facts, now=now, contact=Contact(seen, hours[:position]))
        is_over = next_h != end_h
        found += [
            replace(f, ended_at=max(now, f.started_at)) if is_over else f
            for f in conclude(book, [rule], then, window)
            if f.is_open
        ]
    return found


def would_be_tickets(
    owner: Owner,
    device: DeviceProfile,
    findings: Iterable[Finding],
    repairs: Mapping[str, Sequence[datetime]],
) -> list[WouldBe]:
    """The tickets that findings of one device would have opened, one open per cause at a time.

    Args:
        repairs: by cause, when repairs were done, ascending.
    """
    by_cause: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_cause[finding.cause].append(finding)
    return [
        ticket
        for cause, found in sorted(by_cause.items())
        for ticket in _of_one_cause(owner, device, found, repairs.get(cause, ()))
    ]


def _of_one_cause(
    owner: Owner, device: DeviceProfile, findings: Sequence[Finding], repairs: Sequence[datetime]
) -> list[WouldBe]:
    tickets: list[WouldBe] = []
    settled: Settled | None = None
    left = sorted((f for f in findings if f.need is Need.TICKET), key=lambda f: f.known_at)
    while left:
        first = left.pop(0)
        opening = judge_new(owner, [Candidate(1, first, settled)])
        if opening is None:
            continue
        opened_at = first.known_at if settled is None else max(first.known_at, settled.at)
        ended_at = _end(opened_at, first, left, repairs)
        inside = [f for f in left if ended_at is None or f.known_at <= ended_at]
        left = [f for f in left if f not in inside]
        tickets.append(WouldBe(device, opening.draft, [first, *inside], opened_at, ended_at))
        if ended_at is None:
            break
        settled = Settled(State.CLOSED, ended_at)
        left = [f for f in [first, *inside] if f.is_open and f.last_at > ended_at] + left
    return tickets


def _end(
    opened_at: datetime, first: Finding, others: Sequence[Finding], repairs: Sequence[datetime]
) -> datetime | None:
    """The next repair of the cause; without one, when all that was known by then had ended."""
    position = bisect_right(repairs, opened_at)
    if position < len(repairs):
        return repairs[position]
    end = first.ended_at
    for finding in others:
        if end is None or finding.known_at > end:
            break
        end = None if finding.ended_at is None else max(end, finding.ended_at)
    return None if end is None else max(end, opened_at)


def hold_storms(tickets: Sequence[WouldBe]) -> list[WouldBe]:
    """The same tickets, those of a storm marked with what they would have been held by."""
    starts: dict[tuple[int, str], list[datetime]] = defaultdict(list)
    for ticket in tickets:
        if (key := _storm_of(ticket)) is not None:
            starts[key].append(ticket.findings[0].started_at)
    for times in starts.values():
        times.sort()
    return [_held(ticket, starts) for ticket in tickets]


def _storm_of(ticket: WouldBe) -> tuple[int, str] | None:
    finding = ticket.findings[0]
    return (ticket.device.tenant_no, finding.about) if may_storm(finding) else None


def _held(ticket: WouldBe, starts: Mapping[tuple[int, str], Sequence[datetime]]) -> WouldBe:
    key = _storm_of(ticket)
    if key is None:
        return ticket
    at, times = ticket.findings[0].started_at, starts[key]
    near_n = bisect_right(times, at + STORM_WITHIN) - bisect_left(times, at - STORM_WITHIN)
    if near_n < STORM_DEVICES:
        return ticket
    return replace(ticket, incident=f"storm:{key[1]}")
