"""`recurrence`: what comes back too often, by days with a fault or by a count that grows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np

from fleet import tickets
from fleet.metrics import MetricKind
from fleet.rules.counters import Use, steps_of, use_of
from fleet.rules.facts import CodedEpisode, Facts, day_closes_at, day_of, day_starts_at
from fleet.rules.findings import (
    LIMIT_DAYS,
    LIMIT_LASTING_DAYS,
    LIMIT_RISE,
    MAX_EVIDENCE,
    NOTHING,
    Both,
    Finding,
    Need,
    Point,
    Said,
)
from fleet.rules.kind import Kind
from fleet.rules.kinds.fault import cause_for, in_time
from fleet.rules.parameters import (
    Duration,
    Flag,
    MetricName,
    Parameter,
    ParameterError,
    Value,
    Whole,
    Word,
)
from fleet.rules.rule import Condition, Needs, Rule, Verdict, Window, fold_days
from fleet.rules.selection import PARAMETERS, Selection, selection_of, worse_usability
from fleet.rules.statistics import counted, quantity
from fleet.rules.wording import both, capitalised, meaning_of, named, sentence, told_to_user
from fleet.ticket_text import local, spoken_time, times
from fleet.words import Component, Fixer, Lang, Usability, label

_DAY: Final = timedelta(days=1)


class Counting(StrEnum):
    DAYS = "days"
    RISE = "rise"


class By(StrEnum):
    """What must be the same for faults to be counted together."""

    COMPONENT = "component"
    CODE = "code"


class _Stretch(NamedTuple):
    """Where a recurrence holds: from the deciding moment to where it no longer does."""

    started_at: datetime
    ended_at: datetime | None
    known_at: datetime
    evidence: Sequence[CodedEpisode]
    measure: str
    counted: float
    limit: tuple[str, int]


@dataclass(frozen=True, slots=True)
class FaultDays:
    """Faults on at least `days` of any `within` local days in a row, at most one a day counted.

    A day counts by the episodes that began on it, outside the workshop; with `lasting` also by
    those that began before and were reported on it or later. Whether it holds on a day is decided
    by that whole day and those before it, but for what a later report says of a fault that stayed.
    """

    selection: Selection
    by: By
    days: int
    within_days: int
    lasting: bool = False

    @property
    def needs(self) -> Needs:
        return Needs(episodes=True, lookback_days=self.within_days)

    def evaluate(self, rule: Rule, facts: Facts, window: Window) -> list[Finding]:
        groups = _grouped(rule, facts, self.selection, self.by)
        return _reaching(
            window,
            (
                _finding(rule, about, stretch, self._said(rule, stretch), facts.now)
                for about, items in groups.items()
                for stretch in self._stretches(items, facts.now)
            ),
        )

    def _stretches(self, items: Sequence[CodedEpisode], now: datetime) -> Iterator[_Stretch]:
        by_day = _by_day(items, lasting=self.lasting)
        for first, end in _runs(self._holding(sorted(by_day))):
            seen = [day for day in by_day if first - self.within_days < day < end]
            deciding = [day for day in seen if day <= first]
            heard = sorted(min(_known_on(day, item) for item in by_day[day]) for day in deciding)
            evidence = {id(item): item for day in sorted(seen) for item in by_day[day]}
            yield _Stretch(
                started_at=max(by_day[first][0].episode.started_at, day_starts_at(first)),
                ended_at=day_starts_at(end) if day_closes_at(end) <= now else None,
                known_at=heard[self.days - 1],
                evidence=sorted(evidence.values(), key=in_time),
                measure="day_count",
                counted=float(len(seen)),
                limit=(LIMIT_LASTING_DAYS if self.lasting else LIMIT_DAYS, self.days),
            )

    def _holding(self, days: Sequence[int]) -> Iterator[tuple[int, int]]:
        """(first, end) of the days on which it holds, thanks to each day with a fault in turn.

        The `self.days` days that end with it are enough until the first of them is too old.
        """
        for oldest, newest in zip(days, days[self.days - 1 :], strict=False):
            if newest - oldest < self.within_days:
                yield newest, oldest + self.within_days

    def _said(self, rule: Rule, stretch: _Stretch) -> Said:
        days_n = counted(int(stretch.counted), "dag", "dagar", "day")
        within = counted(self.within_days, "dygn", "dygn", "day")
        return _said(
            rule,
            stretch,
            Both(
                f"fel {days_n.sv}, gräns {self.days} på {within.sv}",
                f"faults on {days_n.en}, limit {self.days} in {within.en}",
            ),
        )


def _by_day(items: Iterable[CodedEpisode], *, lasting: bool) -> dict[int, list[CodedEpisode]]:
    """The episodes that began on each day; `lasting`: up to the day of their last report."""
    by_day: dict[int, list[CodedEpisode]] = {}
    for item in items:
        first_day = day_of(item.episode.started_at)
        last_day = day_of(item.episode.last_at) if lasting else first_day
        for day in range(first_day, last_day + 1):
            by_day.setdefault(day, []).append(item)
    return by_day


def _known_on(day: int, item: CodedEpisode) -> datetime:
    """When it was known of at the earliest that it was there on this day."""
    return max(item.episode.first_received_at, day_starts_at(day))


def _runs(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans of days in order of their start, joined where they touch or overlap."""
    first = end = 0
    for start, stop in spans:
        if start > end:
            if end:
                yield first, end
            first = start
        end = max(end, stop)
    if end:
        yield first, end


class _Gain(NamedTuple):
    """A rise of a controller's own count, and the stretch of time in which it is fresh.

    It is known to be of the last days only while the reading before it is of those days too.
    """

    from_at: datetime
    until_at: datetime
    known_at: datetime
    rise: int
    before: CodedEpisode
    item: CodedEpisode


@dataclass(frozen=True, slots=True)
class LoggedRise:
    """Counts in controllers' own logs rose by at least `rise` between readings of one window.

    The first reading that is known says how much there ever was, not when; it counts for nothing.
    """

    selection: Selection
    by: By
    rise: int
    within: timedelta

    @property
    def needs(self) -> Needs:
        return Needs(episodes=True, lookback_days=-(-self.within // _DAY))

    def evaluate(self, rule: Rule, facts: Facts, window: Window) -> list[Finding]:
        groups = _grouped(rule, facts, self.selection, self.by)
        return _reaching(
            window,
            (
                _finding(rule, about, stretch, self._said(rule, stretch), facts.now)
                for about, items in groups.items()
                for stretch in self._stretches(_gains(items, self.within), facts.now)
            ),
        )

    def _stretches(self, gains: Sequence[_Gain], now: datetime) -> Iterator[_Stretch]:
        for start, end in self._spans(gains):
            seen = [g for g in gains if g.from_at <= end and g.until_at > start]
            fresh = [g for g in seen if g.from_at <= start]
            items = {id(item): item for g in seen for item in (g.before, g.item)}
            yield _Stretch(
                started_at=start,
                ended_at=end if end <= now else None,
                known_at=self._known_at(fresh),
                evidence=sorted(items.values(), key=in_time),
                measure="rise_count",
                counted=float(sum(gain.rise for gain in seen)),
                limit=(LIMIT_RISE, self.rise),
            )

    def _spans(self, gains: Iterable[_Gain]) -> Iterator[tuple[datetime, datetime]]:
        """From where to where the fresh gains add up to the limit. Gains come before losses."""
        changes = [(gain.from_at, 0, gain.rise) for gain in gains]
        changes += [(gain.until_at, 1, -gain.rise) for gain in gains]
        level, start = 0, None
        for at, _, change in sorted(changes):
            level += change
            if level >= self.rise and start is None:
                start = at
            elif level < self.rise and start is not None:
                yield start, at
                start = None

    def _known_at(self, gains: Iterable[_Gain]) -> datetime:
        """When enough of the gains had been received."""
        level = 0
        for gain in sorted(gains, key=lambda gain: gain.known_at):
            level += gain.rise
            if level >= self.rise:
                return gain.known_at
        raise AssertionError("a stretch without enough gains")

    def _said(self, rule: Rule, stretch: _Stretch) -> Said:
        within = counted(round(self.within / _DAY), "dygn", "dygn", "day")
        risen = int(stretch.counted)
        return _said(
            rule,
            stretch,
            Both(
                f"räknaren i loggen ökade med {risen}, gräns {self.rise} på {within.sv}",
                f"the count in the log rose by {risen}, limit {self.rise} in {within.en}",
            ),
        )


def _gains(items: Iterable[CodedEpisode], within: timedelta) -> list[_Gain]:
    by_code: dict[str, list[CodedEpisode]] = {}
    for item in items:
        if item.episode.logged_n:
            by_code.setdefault(item.about, []).append(item)
    return [
        gain
        for logged in by_code.values()
        for before, item in pairwise(logged)
        if (gain := _gain(before, item, within)).until_at > gain.from_at
    ]


def _gain(before: CodedEpisode, item: CodedEpisode, within: timedelta) -> _Gain:
    heard = max(before.episode.first_received_at, item.episode.first_received_at)
    until_at = before.episode.started_at + within
    rise = item.episode.logged_n
    return _Gain(item.episode.started_at, until_at, heard, rise, before, item)


def _grouped(
    rule: Rule, facts: Facts, selection: Selection, by: By
) -> dict[str, list[CodedEpisode]]:
    """The faults that count, in time, by what must be the same. The workshop's own are left out."""
    groups: dict[str, list[CodedEpisode]] = {}
    for item in sorted(facts.episodes, key=in_time):
        if selection.takes(item.fault, care=rule.care) and not facts.is_quiet(
            item.episode.started_at
        ):
            key = item.about if by is By.CODE else tickets.cause_of(item.fault)
            groups.setdefault(key, []).append(item)
    return groups


def _reaching(window: Window, findings: Iterable[Finding]) -> list[Finding]:
    reaching = [f for f in findings if f.ended_at is None or f.ended_at >= window.from_at]
    return sorted(reaching, key=lambda finding: (finding.started_at, finding.about))


def _finding(rule: Rule, about: str, stretch: _Stretch, said: Said, now: datetime) -> Finding:
    asks = rule.asks
    lead = _lead(stretch.evidence)
    return Finding(
        rule_id=rule.id,
        rule_version=rule.version,
        about=about,
        cause=cause_for(asks, lead),
        need=_need(rule, stretch),
        severity=asks.severity or lead.fault.severity,
        usability=asks.usability or _worst_usability(stretch.evidence),
        fixer=_fixer(rule, lead),
        component=asks.component or lead.fault.component,
        order=asks.order,
        started_at=stretch.started_at,
        last_at=_last_at(stretch, now),
        ended_at=stretch.ended_at,
        known_at=stretch.known_at,
        confidence=_confidence(stretch),
        occurrence_n=sum(item.episode.occurrence_n for item in stretch.evidence),
        episodes=tuple(stretch.evidence[-MAX_EVIDENCE:]),
        measures={
            stretch.measure: stretch.counted,
            stretch.limit[0]: float(stretch.limit[1]),
            "episode_count": float(len(stretch.evidence)),
            "raised_count": float(sum(item.episode.raised_n for item in stretch.evidence)),
            "logged_count": float(sum(item.episode.logged_n for item in stretch.evidence)),
        },
        said=said,
    )


def _need(rule: Rule, stretch: _Stretch) -> Need:
    """What was over before we knew of it is history."""
    if stretch.ended_at is not None and stretch.ended_at <= stretch.known_at:
        return Need.HISTORY
    return Need.CARE if rule.care else Need.TICKET


def _last_at(stretch: _Stretch, now: datetime) -> datetime:
    """When one of the faults was last seen, within the stretch."""
    last_at = max(item.episode.last_at for item in stretch.evidence)
    return max(stretch.started_at, min(last_at, stretch.ended_at or now))


def _lead(evidence: Sequence[CodedEpisode]) -> CodedEpisode:
    """The worst fault; among equals the first."""
    return max(evidence, key=lambda item: item.fault.severity.rank)


def _worst_usability(evidence: Iterable[CodedEpisode]) -> Usability:
    worst = Usability.USABLE
    for item in evidence:
        worst = worse_usability(worst, item.fault.usability)
    return worst


def _fixer(rule: Rule, lead: CodedEpisode) -> Fixer:
    """What the user has put right again and again is beyond the user."""
    if rule.asks.fixer is not None:
        return rule.asks.fixer
    return Fixer.TECHNICIAN if lead.fault.fixer is Fixer.USER else lead.fault.fixer


def _confidence(stretch: _Stretch) -> float:
    """The more episodes, the surer. Ours, without a source; to be tuned on recorded fleets."""
    return round(1 - 0.9 / (2 + len(stretch.evidence)), 3)


def _said(rule: Rule, stretch: _Stretch, what: Both) -> Said:
    lead = _lead(stretch.evidence)
    fault = lead.fault
    action = rule.asks.action or Both(fault.action_sv, fault.action_en)
    return Said(
        title=both(f"{_subject(lead, 'sv')} · {what.sv}", f"{_subject(lead, 'en')} · {what.en}"),
        happened=both(_happened(stretch, "sv"), _happened(stretch, "en")),
        action=both(sentence(action.sv), sentence(action.en)),
        user=told_to_user(
            rule.asks.component or fault.component,
            rule.asks.usability or _worst_usability(stretch.evidence),
            _fixer(rule, lead),
            lasts=any(item.episode.is_open for item in stretch.evidence),
        ),
    )


def _subject(lead: CodedEpisode, lang: Lang) -> str:
    if lead.fault.component is Component.UNKNOWN:
        return f"{lead.fault.code} · {meaning_of(lead.fault, lang)}"
    return capitalised(label(lead.fault.component, lang))


def _happened(stretch: _Stretch, lang: Lang) -> str:
    """Each code with how often, and since when."""
    year = local(stretch.known_at).year
    by_code: dict[str, list[CodedEpisode]] = {}
    for item in stretch.evidence:
        by_code.setdefault(item.about, []).append(item)
    return " ".join(_line(items, lang, year) for items in by_code.values())


def _line(items: Sequence[CodedEpisode], lang: Lang, year: int) -> str:
    fault = items[0].fault
    first = spoken_time(items[0].episode.started_at, lang, year)
    occurrence_n = sum(item.episode.occurrence_n for item in items)
    since = "," if occurrence_n == 1 else " sedan" if lang == "sv" else " since"
    how_often = times(occurrence_n, lang)
    return sentence(f"{fault.code} · {meaning_of(fault, lang)} · {how_often}{since} {first}")


@dataclass(frozen=True, slots=True)
class MetricRise:
    """A counter metric rose by at least `rise` between readings of `within_days` local days.

    A fall is a restart from zero. A rise over a silence longer than that is of unknown age.
    """

    metric: str
    rise: float
    within_days: int

    @property
    def needs(self) -> Needs:
        return Needs(metrics=(self.metric,), lookback_days=self.within_days + 1)

    def evaluate(self, rule: Rule, facts: Facts, window: Window) -> list[Finding]:
        series = facts.days.get(self.metric)
        if series is None or len(series) < 2 or window.last_day < window.first_day:
            return []
        first_day = window.first_day - self.within_days
        steps = steps_of(series, self.metric, from_zero=True)
        use = use_of(series, steps, first_day, window.last_day)
        days = np.arange(window.first_day, window.last_day + 1)
        risen = use.between(days - self.within_days, days)
        if not (risen >= self.rise).any():
            return []

        def judge(day: int, was_on: bool) -> Verdict | None:  # noqa: ARG001
            amount = float(risen[day - window.first_day])
            return self._verdict(rule, day, amount, use) if amount >= self.rise else None

        return fold_days(rule, self.metric, window, judge)

    def _verdict(self, rule: Rule, day: int, amount: float, use: Use) -> Verdict:
        swaps = use.swaps_between(day - self.within_days, day)
        return Verdict(
            said=self._said(rule, amount),
            confidence=0.9 if not swaps else 0.7,
            points=(Point(day_starts_at(day + 1), self.metric, amount),),
            measures=(("rise", amount), ("restart_count", float(swaps))),
        )

    def _said(self, rule: Rule, amount: float) -> Said:
        risen, limit = quantity(self.metric, amount), quantity(self.metric, self.rise)
        within = counted(self.within_days, "dygn", "dygn", "day")
        asks = rule.asks
        return Said(
            title=rule.title,
            happened=Both(
                f"Räknaren {named(self.metric, 'sv')} ökade med {risen.sv} på {within.sv}; "
                f"gränsen är {limit.sv}.",
                f"The counter {named(self.metric, 'en')} rose by {risen.en} in {within.en}; "
                f"the limit is {limit.en}.",
            ),
            action=asks.action or NOTHING,
            user=told_to_user(
                asks.component or Component.UNKNOWN,
                asks.usability or Usability.USABLE,
                asks.fixer or Fixer.TECHNICIAN,
                lasts=True,
            ),
        )


@dataclass(frozen=True, slots=True)
class Rise(Parameter):
    """A rise: a bare number of log entries, or a value with the unit of `metric` where given."""

    @property
    def written(self) -> str:
        return "1–1000000, or a value with the unit of `metric`"

    def read(self, value: object, given: Mapping[str, Any]) -> float:
        if "metric" in given and given["metric"] is None:
            return Whole(self.name, self.meaning, low=1).read(value, given)
        rise = Value(self.name, self.meaning).read(value, given)
        if rise <= 0:
            raise ParameterError(f"{value!r} is no rise", "Write a value above zero")
        return rise


def _build(values: Mapping[str, Any]) -> Condition:
    if values["counting"] is Counting.DAYS:
        return _fault_days(values)
    if values["lasting"]:
        raise ParameterError("lasting is not used when rises are counted", "Remove lasting")
    if values["rise"] is None:
        raise ParameterError("counting rises, but no rise is given", "Write rise = 5")
    if values["days"] is not None:
        raise ParameterError("days is not used when rises are counted", "Remove days")
    if values["metric"] is None:
        return LoggedRise(selection_of(values), values["by"], values["rise"], values["within"])
    _refuse_selection(values)
    return MetricRise(values["metric"], values["rise"], _whole_days(values["within"]))


def _fault_days(values: Mapping[str, Any]) -> FaultDays:
    if values["days"] is None:
        raise ParameterError("counting days, but no number of days is given", "Write days = 3")
    for name in ("rise", "metric"):
        if values[name] is not None:
            raise ParameterError(f"{name} is not used when days are counted", f"Remove {name}")
    within_days = _whole_days(values["within"])
    if values["days"] > within_days:
        problem = f"{values['days']} days do not fit in a window of {within_days}"
        raise ParameterError(problem, "Lower days or widen within")
    return FaultDays(
        selection_of(values), values["by"], values["days"], within_days, values["lasting"]
    )


def _whole_days(within: timedelta) -> int:
    if within % _DAY:
        raise ParameterError("within is no whole number of days", 'Write it as "7 d"')
    return within // _DAY


def _refuse_selection(values: Mapping[str, Any]) -> None:
    for parameter in PARAMETERS:
        if values[parameter.name] != parameter.default:
            problem = f"{parameter.name} chooses faults, but a metric is counted"
            raise ParameterError(problem, f"Remove {parameter.name}, or metric")


KIND: Final = Kind(
    name="recurrence",
    purpose=(
        "Something comes back too often: faults of one component or code on several local days, "
        "or a count that grows, in a controller's log or in a metric. It holds from the fault "
        "that decides until the count is low again, and sees faults that are too mild for `fault`."
    ),
    source="Ours, without a source; to be tuned on recorded fleets.",
    parameters=(
        Word("counting", "What is counted: days with a fault, or a rise.", of=Counting),
        Duration("within", "The length of the window.", low=_DAY, high=timedelta(days=180)),
        Whole("days", "On how many different local days.", default=None, low=2, high=180),
        Flag(
            "lasting", "A fault that stays counts on each day up to its last report.", default=False
        ),
        MetricName(
            "metric",
            "The counter that rises; without it the counts in controllers' logs.",
            default=None,
            kind=MetricKind.COUNTER,
        ),
        Rise("rise", "By how much the count rises.", default=None),
        Word("by", "What faults must share to be counted together.", default=By.COMPONENT, of=By),
        *PARAMETERS,
    ),
    build=_build,
)
