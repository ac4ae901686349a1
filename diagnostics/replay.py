"""Rules over history: what they would have concluded, and the tickets that would have followed.

The same engine as live (`fleet.rules.engine.conclude`) over all of a device's history at once.
Live and replay end in the same findings, since a finding is a function of what is stored. What
people would have done is not stored, so a would-be ticket ends with the repair that was recorded
for its cause, or else when what it was about had ended.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final, NamedTuple

from diagnostics.judgement import Candidate, Owner, judge_new
from fleet.drafts import Draft
from fleet.rules.engine import Rulebook, conclude
from fleet.rules.facts import Contact, DeviceProfile, Facts
from fleet.rules.findings import Finding, Need
from fleet.rules.kinds.silence import ABOUT, EVERYBODY, Group, SilentDevice, groups_of, outages
from fleet.rules.rule import Rule, Window
from fleet.rules.storms import STORM_DEVICES, STORM_WITHIN, may_storm
from fleet.ticket_states import State
from storage.findings import Settled

_HOUR: Final = timedelta(hours=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SHORTEST_SILENCE_H: Final = 6
"""Shorter gaps between hours with samples are never looked at: no model promises less."""

LOOKED_AT_AFTER: Final = timedelta(days=7)
"""How long a fault must have stayed away before people close its ticket without a repair: tickets
do not close by themselves. Five working days, the middle of the agreements."""


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


class Gap(NamedTuple):
    """No contact from `last_at`, for longer than the model explains; `until_at` None: it lasts."""

    device: DeviceProfile
    last_at: datetime
    until_at: datetime | None

    @property
    def explained_until(self) -> datetime:
        model = self.device.model
        return self.last_at + timedelta(seconds=(model and model.longest_silence_s) or 0)

    def is_silent_at(self, at: datetime) -> bool:
        return self.explained_until <= at and (self.until_at is None or at < self.until_at)


def gaps_of(facts: Facts) -> list[Gap]:
    """The silences of a device that its model does not explain, by its hours with contact."""
    model = facts.device.model
    if facts.contact is None or model is None or model.longest_silence_s is None:
        return []
    longest_h = max(SHORTEST_SILENCE_H, model.longest_silence_s / 3600)
    end_h = int((facts.now - _EPOCH) / _HOUR) + 1
    return [
        Gap(facts.device, _at(last_h + 1), None if next_h == end_h else _at(next_h))
        for last_h, next_h in pairwise([*facts.contact.active_hours, end_h])
        if next_h - last_h - 1 > longest_h
    ]


def _at(hour: float) -> datetime:
    return _EPOCH + hour * _HOUR


def _past_silences(book: Rulebook, rule: Rule, facts: Facts, window: Window) -> list[Finding]:
    """Silences as the hours with contact show them: receipts are not kept for ever."""
    found: list[Finding] = []
    for gap in gaps_of(facts):
        now = gap.until_at or facts.now
        assert facts.contact is not None
        hours = facts.contact.active_hours
        known = hours[: bisect_left(hours, (gap.last_at - _EPOCH) / _HOUR)]
        then = replace(facts, now=now, contact=Contact(gap.last_at, known))
        found += [
            f if gap.until_at is None else replace(f, ended_at=max(now, f.started_at))
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
    silences: list[Finding] = []
    for finding in findings:
        by_cause[finding.cause].append(finding)
        if finding.about == ABOUT:
            silences.append(finding)
    silences.sort(key=_started)
    return [
        ticket
        for cause, found in sorted(by_cause.items())
        for ticket in _of_one_cause(
            owner, device, found, _Answers(repairs.get(cause, ()), silences)
        )
    ]


def _started(finding: Finding) -> datetime:
    return finding.started_at


class _Answers(NamedTuple):
    """What ends a ticket: repairs of its cause, and time in which its device could be heard."""

    repairs: Sequence[datetime]
    silences: Sequence[Finding]

    def gone_at(self, opened_at: datetime, finding: Finding) -> datetime | None:
        """When people would take it to be gone; None: it lasts, or nobody can tell.

        A device that is not heard does not show that its fault stays away.
        """
        if finding.ended_at is None:
            return None
        seen_until = max(opened_at, finding.ended_at)
        gone_at = seen_until + LOOKED_AT_AFTER
        for silence in self.silences:
            silent_from = max(silence.started_at, seen_until)
            if silence is finding or silent_from >= gone_at:
                continue
            if silence.ended_at is None:
                return None
            gone_at += max(timedelta(0), silence.ended_at - silent_from)
            seen_until = max(seen_until, silence.ended_at)
        return gone_at


class _Asking(NamedTuple):
    """A finding and when it asks for a ticket; `settled`: which ticket answered it before."""

    finding: Finding
    at: datetime
    settled: Settled | None = None

    def after_repair(self, repaired_at: datetime) -> _Asking | None:
        """What began before a repair is answered by it, unless it came back: live, it joins the
        solved ticket. That goes for all that is counted, some of which was seen before.
        """
        if self.finding.started_at > repaired_at and not self.finding.is_counted:
            return self
        back_at = self.finding.back_at(repaired_at)
        return None if back_at is None else self._replace(at=max(self.at, back_at))

    @property
    def as_then(self) -> Finding:
        """What was answered before comes back only while it lasts, which it did at `at`."""
        return self.finding if self.settled is None else replace(self.finding, ended_at=None)


def _of_one_cause(
    owner: Owner, device: DeviceProfile, findings: Sequence[Finding], answers: _Answers
) -> list[WouldBe]:
    tickets: list[WouldBe] = []
    left = [_Asking(f, f.known_at) for f in findings if f.need is Need.TICKET]
    while left:
        first, *left = sorted(left, key=lambda asking: asking.at)
        opening = judge_new(owner, [Candidate(1, first.as_then, first.settled)])
        if opening is None:
            continue
        ended_at = _end(first.at, first.finding, left, answers)
        inside = [a for a in left if ended_at is None or a.at <= ended_at]
        joined = [first.finding, *(a.finding for a in inside)]
        tickets.append(WouldBe(device, opening.draft, joined, first.at, ended_at))
        if ended_at is None:
            break
        later = left[len(inside) :]
        if ended_at in answers.repairs:
            later = [asks for a in later if (asks := a.after_repair(ended_at)) is not None]
        left = later + list(_come_back(joined, ended_at))
    return tickets


def _come_back(findings: Iterable[Finding], closed_at: datetime) -> Iterator[_Asking]:
    """What was seen again after its ticket had been closed, each with when that was known."""
    settled = Settled(State.CLOSED, closed_at)
    for finding in findings:
        back_at = finding.back_at(closed_at)
        if back_at is not None:
            yield _Asking(finding, back_at, settled)


def _end(
    opened_at: datetime, first: Finding, others: Iterable[_Asking], answers: _Answers
) -> datetime | None:
    """The next repair of the cause; without one, a while after the last that was seen of it.

    A reported fault that has stayed away is not mended by a repair of weeks later. What was
    measured waits for its repair: a worn battery does not get well on a warm day.
    """
    repairs = answers.repairs
    position = bisect_right(repairs, opened_at)
    repaired_at = repairs[position] if position < len(repairs) else None
    end = answers.gone_at(opened_at, first)
    for other in others:
        if end is None or other.at > end:
            break
        gone_at = answers.gone_at(opened_at, other.finding)
        end = None if gone_at is None else max(end, gone_at)
    if repaired_at is not None and (end is None or repaired_at <= end or not first.episodes):
        return repaired_at
    return end


def hold_storms(tickets: Sequence[WouldBe]) -> list[WouldBe]:
    """The same tickets, those of a storm marked with what they would have been held by."""
    storms = Storms((t.device, finding) for t in tickets for finding in t.findings)
    return [_held(ticket, storms) for ticket in tickets]


class Storms:
    """Which reported faults, whether or not they opened a ticket, are part of a storm."""

    def __init__(self, faults: Iterable[tuple[DeviceProfile, Finding]]) -> None:
        self._starts: dict[tuple[int, str], list[tuple[datetime, int]]] = defaultdict(list)
        for device, finding in faults:
            if may_storm(finding):
                key = (device.tenant_no, finding.about)
                self._starts[key].append((finding.started_at, device.device_no))
        for starts in self._starts.values():
            starts.sort()

    def holds(self, device: DeviceProfile, finding: Finding) -> bool:
        if not may_storm(finding):
            return False
        starts = self._starts.get((device.tenant_no, finding.about), [])
        first = bisect_left(starts, (finding.started_at - STORM_WITHIN, -1))
        end = bisect_right(starts, (finding.started_at + STORM_WITHIN, _LAST_DEVICE))
        near = starts[first:end]
        if len(near) < STORM_DEVICES:
            return False
        return len({device_no for _, device_no in near}) >= STORM_DEVICES


_LAST_DEVICE: Final = 2**31


def _held(ticket: WouldBe, storms: Storms) -> WouldBe:
    """Held by what was known when it would have opened, whichever rule spoke first."""
    known = (f for f in ticket.findings if f.known_at <= ticket.opened_at)
    stormy = next((f for f in known if storms.holds(ticket.device, f)), None)
    return ticket if stormy is None else replace(ticket, incident=f"storm:{stormy.about}")


def hold_outages(
    tickets: Sequence[WouldBe], gaps: Sequence[Gap], devices: Sequence[DeviceProfile]
) -> list[WouldBe]:
    """The same tickets, those of a silence that a group explains marked with the group.

    A meter behind a silent gateway has none. Devices whose silence says nothing are in no census.
    """
    census: Counter[Group] = Counter(
        group
        for device in devices
        if device.model is not None and device.model.longest_silence_s is not None
        for group in (EVERYBODY, *groups_of(_places(device)))
    )
    tickets = [ticket for ticket in tickets if not _is_behind_silent(ticket, gaps)]
    timeline = sorted(gaps, key=lambda gap: gap.explained_until)
    starts = [gap.explained_until for gap in timeline]
    longest = max((_length(gap) for gap in timeline), default=timedelta(0))
    return [
        ticket
        if ticket.findings[0].about != ABOUT
        else _explained(ticket, _silent_at(ticket.opened_at, timeline, starts, longest), census)
        for ticket in tickets
    ]


def _is_behind_silent(ticket: WouldBe, gaps: Sequence[Gap]) -> bool:
    """True if its gateway had fallen silent before it was missed: live, that explains it."""
    gateway = ticket.device.gateway
    return (
        ticket.findings[0].about == ABOUT
        and gateway is not None
        and any(g.device.device_id == gateway and g.is_silent_at(ticket.opened_at) for g in gaps)
    )


_NEVER_ENDED: Final = timedelta(days=400)


def _length(gap: Gap) -> timedelta:
    return _NEVER_ENDED if gap.until_at is None else gap.until_at - gap.explained_until


def _silent_at(
    at: datetime, timeline: Sequence[Gap], starts: Sequence[datetime], longest: timedelta
) -> list[Gap]:
    low, high = bisect_left(starts, at - longest), bisect_right(starts, at)
    return [gap for gap in timeline[low:high] if gap.is_silent_at(at)]


def _explained(ticket: WouldBe, silent: Sequence[Gap], census: Mapping[Group, int]) -> WouldBe:
    peers = [
        SilentDevice(
            gap.device.device_no,
            gap.last_at,
            gap.explained_until - gap.last_at,
            groups_of(_places(gap.device)),
        )
        for gap in silent
        if gap.device.tenant_no == ticket.device.tenant_no
    ]
    for outage in outages(peers, census):
        if ticket.device.device_no in outage.device_nos:
            return replace(ticket, incident=outage.subject)
    return ticket


def _places(device: DeviceProfile) -> tuple[tuple[str, str | None], ...]:
    return (
        ("gateway", device.gateway),
        ("area", device.area),
        ("network", device.network),
        ("centre", device.centre),
    )
