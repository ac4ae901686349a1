"""Did a repair hold? The fault is back, or absent under the use that used to bring it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import numpy as np

from fleet import tickets
from fleet.episodes import Episode
from fleet.metrics import MetricKind
from fleet.rules.counters import steps_of
from fleet.rules.facts import CodedEpisode, Facts, Repair, day_of, day_starts_at, last_closed_day
from fleet.rules.findings import NOTHING, Both, Finding, Need, Said
from fleet.rules.kind import Kind
from fleet.rules.parameters import Duration, MetricName, Number, ParameterError, Value, Whole
from fleet.rules.rule import Needs, Rule, Window
from fleet.rules.statistics import counted, quantity
from fleet.rules.wording import moment
from fleet.words import Component, Severity, label

DAY: Final = timedelta(days=1)

_SURE_BY_CODE: Final = 0.95
_SURE_BY_PART: Final = 0.7
"""How sure it is that the repair did not hold: the same code is back, or another code of the
same part. Ours, without a source; to be tuned on recorded outcomes."""


class Outcome(StrEnum):
    BACK = "back"
    HEALTHY = "healthy"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class RepairVerdict:
    """What is known of one repair.

    Attributes:
        since_at: when the fault was back; when it was proved healthy; else the repair itself.
        used, needed: use without the fault since the repair, and how much proves it, in the
            metric's own unit.
    """

    word: Outcome
    since_at: datetime
    used: float
    needed: float
    said: Both


@dataclass(frozen=True, slots=True)
class NotHealthyAfter:
    """A repair did not hold if its fault starts anew within `watch` after it.

    It held if the device has been used, without the fault, `factor` times as much as used to lie
    between two of them, at least `at_least` and for `days` days. Else nobody can say yet.
    """

    metric: str
    factor: float
    at_least: float
    at_most: float | None
    days: int
    watch: timedelta
    lookback: timedelta

    @property
    def needs(self) -> Needs:
        lookback_days = (self.watch + self.lookback) // DAY
        return Needs(
            episodes=True, metrics=(self.metric,), lookback_days=lookback_days, repairs=True
        )

    def evaluate(self, rule: Rule, facts: Facts, window: Window) -> list[Finding]:
        """One finding for each repair that did not hold; it ends with the next repair."""
        found = (self._finding(rule, repair, facts) for repair in facts.repairs)
        return [
            finding
            for finding in found
            if finding and (finding.ended_at is None or finding.ended_at >= window.from_at)
        ]

    def _finding(self, rule: Rule, repair: Repair, facts: Facts) -> Finding | None:
        back = returned(self, repair, facts)
        if not back:
            return None
        first = back[0]
        asks, fault = rule.asks, first.fault
        return Finding(
            rule_id=rule.id,
            rule_version=rule.version,
            about=f"repair:{repair.ticket_no}",
            cause=repair.cause,
            need=Need.TICKET,
            severity=asks.severity or fault.severity,
            usability=asks.usability or fault.usability,
            fixer=asks.fixer or fault.fixer,
            component=asks.component or fault.component,
            order=asks.order,
            started_at=first.episode.started_at,
            last_at=max(item.episode.last_at for item in back),
            ended_at=_next_repair_at(repair, facts),
            known_at=max(first.episode.first_received_at, repair.solved_at),
            confidence=_SURE_BY_CODE if _has_code(repair, back) else _SURE_BY_PART,
            occurrence_n=len(back),
            said=_said(rule, repair, back, judge_repair(self, repair, facts).said),
            episodes=back,
        )


def returned(condition: NotHealthyAfter, repair: Repair, facts: Facts) -> list[CodedEpisode]:
    """The episodes of the repaired fault that began after the repair, before the next one.

    What the user puts right, and what is minor, comes once in a while on a sound device too: it
    says nothing alone, and `recurrence` sees it if it comes often. Nor does what a technician
    brings about in the workshop.
    """
    until = _next_repair_at(repair, facts) or facts.now + DAY
    until = min(until, repair.solved_at + condition.watch)
    return [
        item
        for item in _same(repair, facts)
        if repair.solved_at < item.episode.started_at < until
        and tickets.is_for_workshop(item.fault)
        and not facts.is_quiet(item.episode.started_at)
    ]


def judge_repair(condition: NotHealthyAfter, repair: Repair, facts: Facts) -> RepairVerdict:
    """Back, healthy or undecided, and why."""
    back = returned(condition, repair, facts)
    needed = _needed(condition, repair, facts)
    until_day = day_of(back[0].episode.started_at) if back else last_closed_day(facts.now)
    uses = list(_use_after(condition.metric, repair, facts, until_day))
    used = uses[-1][1] if uses else 0.0
    if back:
        at = back[0].episode.started_at
        said = _said_back(condition, back[0].episode, used)
        return RepairVerdict(Outcome.BACK, at, used, needed, said)
    proved_day = _proved_day(condition, repair, uses, needed)
    if proved_day is None or _lasts(repair, facts) or not _same(repair, facts):
        said = _said_undecided(condition, used, needed)
        return RepairVerdict(Outcome.UNDECIDED, repair.solved_at, used, needed, said)
    said = _said_healthy(condition, used, proved_day - day_of(repair.solved_at))
    return RepairVerdict(Outcome.HEALTHY, day_starts_at(proved_day + 1), used, needed, said)


def _same(repair: Repair, facts: Facts) -> list[CodedEpisode]:
    """Episodes of the repaired codes, or of the component that the repair was about."""
    return sorted(
        (
            item
            for item in facts.episodes
            if item.about in repair.codes
            or (item.fault.component == repair.cause and item.fault.severity is not Severity.INFO)
        ),
        key=lambda item: (item.episode.started_at, item.about),
    )


def _has_code(repair: Repair, back: Sequence[CodedEpisode]) -> bool:
    return any(item.about in repair.codes for item in back)


def _lasts(repair: Repair, facts: Facts) -> bool:
    """True if the fault never went away: no use without it proves anything."""
    return any(item.episode.is_open for item in _same(repair, facts))


def _next_repair_at(repair: Repair, facts: Facts) -> datetime | None:
    later = [
        other.solved_at
        for other in facts.repairs
        if other.cause == repair.cause and other.solved_at > repair.solved_at
    ]
    return min(later, default=None)


def _needed(condition: NotHealthyAfter, repair: Repair, facts: Facts) -> float:
    """How much use without the fault proves the repair: `factor` mean distances between faults."""
    starts = [
        item.episode.started_at
        for item in _same(repair, facts)
        if repair.solved_at - condition.lookback <= item.episode.started_at <= repair.solved_at
    ]
    needed = condition.at_least
    if len(starts) > 1:
        between = _use_between(condition.metric, facts, day_of(starts[0]), day_of(starts[-1]))
        needed = max(needed, condition.factor * between / (len(starts) - 1))
    return needed if condition.at_most is None else min(needed, condition.at_most)


def _use_between(metric: str, facts: Facts, after_day: int, upto_day: int) -> float:
    series = facts.days.get(metric)
    if series is None:
        return 0.0
    steps = steps_of(series, metric, from_zero=False)
    return float(steps.rise[(steps.before >= after_day) & (steps.day <= upto_day)].sum())


def _use_after(
    metric: str, repair: Repair, facts: Facts, until_day: int
) -> Iterator[tuple[int, float]]:
    """(day, use since the repair) by day. The day of the repair is the technician's own."""
    series = facts.days.get(metric)
    if series is None:
        return
    steps = steps_of(series, metric, from_zero=False)
    inside = (steps.before >= day_of(repair.solved_at)) & (steps.day <= until_day)
    used = np.cumsum(steps.rise[inside])
    yield from zip(steps.day[inside].tolist(), used.tolist(), strict=True)


def _proved_day(
    condition: NotHealthyAfter,
    repair: Repair,
    uses: Sequence[tuple[int, float]],
    needed: float,
) -> int | None:
    """The first day with enough use and enough days behind it."""
    first_day = day_of(repair.solved_at) + condition.days
    return next((day for day, used in uses if used >= needed and day >= first_day), None)


def _said_back(condition: NotHealthyAfter, first: Episode, used: float) -> Both:
    since = moment(first.started_at, first.first_received_at)
    use = quantity(condition.metric, used)
    return Both(
        f"Felet är tillbaka sedan {since.sv}, efter {use.sv} användning.",
        f"The fault has been back since {since.en}, after {use.en} of use.",
    )


def _said_healthy(condition: NotHealthyAfter, used: float, days: int) -> Both:
    use, span = quantity(condition.metric, used), counted(days, "dygn", "dygn", "day")
    return Both(
        f"Felet har inte kommit tillbaka på {use.sv} användning och {span.sv}. "
        "Det är mer än vad som tidigare brukade utlösa det.",
        f"The fault has not come back in {use.en} of use and {span.en}. "
        "That is more than what used to bring it.",
    )


def _said_undecided(condition: NotHealthyAfter, used: float, needed: float) -> Both:
    use, need = quantity(condition.metric, used), quantity(condition.metric, needed)
    return Both(
        f"För tidigt att säga: {use.sv} användning sedan åtgärden, {need.sv} behövs.",
        f"Too early to say: {use.en} of use since the repair, {need.en} needed.",
    )


def _said(rule: Rule, repair: Repair, back: Sequence[CodedEpisode], said: Both) -> Said:
    first = back[0]
    part = first.fault.component
    times = counted(len(back), "gång", "gånger", "time")
    solved = moment(repair.solved_at, first.episode.first_received_at)
    return Said(
        title=Both(
            f"Felet är tillbaka efter åtgärden: {label(part, 'sv')}",
            f"The fault is back after the repair: {label(part, 'en')}",
        ),
        happened=Both(
            f"{first.fault.code} · {first.fault.meaning_sv} · {times.sv} sedan ärende "
            f"{repair.ticket_no} åtgärdades {solved.sv}. {said.sv}",
            f"{first.fault.code} · {first.fault.meaning_en} · {times.en} since ticket "
            f"{repair.ticket_no} was solved {solved.en}. {said.en}",
        ),
        action=rule.asks.action or _ACTION,
        user=_USER if part is not Component.UNKNOWN else NOTHING,
    )


_ACTION: Final = Both(
    "Läs den förra åtgärden innan du börjar. Sök orsaken bakom delen som byttes: kabel, kontakt, "
    "fukt, inställning.",
    "Read the last repair before you begin. Look for the cause behind the part that was replaced: "
    "cable, connector, moisture, setting.",
)
_USER: Final = Both(
    "Felet som nyss åtgärdades har kommit tillbaka. Ärendet är öppnat igen, och en tekniker hör "
    "av sig. Du behöver inte felanmäla.",
    "The fault that was just repaired has come back. The ticket is open again, and a technician "
    "will contact you. You do not need to report it.",
)


def _build(values: Mapping[str, Any]) -> NotHealthyAfter:
    at_most = values["at_most"]
    if at_most is not None and at_most < values["at_least"]:
        raise ParameterError("at_most is less than at_least", "Lower at_least or raise at_most")
    if values["days"] * DAY > values["watch"]:
        raise ParameterError("days is longer than watch", "Lower days or raise watch")
    return NotHealthyAfter(**values)


KIND: Final = Kind(
    name="not_healthy_after",
    purpose=(
        "After a repair: its fault is back, and the ticket is opened again; or it is absent under "
        "several times the use that used to bring it, and the repair is verified."
    ),
    source=(
        "Three mean distances without an event leave 5 % for a repair that did nothing (rule of "
        "three, Hanley and Lippman-Hand 1983, JAMA 249, 1743-1745). Least use and days: ours, "
        "without a source; to be tuned on recorded outcomes."
    ),
    parameters=(
        MetricName("metric", "The counter that measures use.", kind=MetricKind.COUNTER),
        Number("factor", "How many mean distances between faults prove it.", 3.0, low=1, high=20),
        Value("at_least", "No less use than this proves anything."),
        Value("at_most", "No more use than this is asked for.", None),
        Whole("days", "No fewer days than this prove anything.", 7, low=1, high=90),
        Duration("watch", "A fault later than this is a new one.", 60 * DAY, low=DAY),
        Duration("lookback", "How far back earlier faults are looked for.", 90 * DAY, low=DAY),
    ),
    build=_build,
)
