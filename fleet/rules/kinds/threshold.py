"""`threshold`: a value beyond a limit for long enough, perhaps only while another one says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from fleet.rules.facts import Facts, Sample, day_closes_at, day_of, day_starts_at
from fleet.rules.findings import NOTHING, Both, Finding, Need, Point, Said
from fleet.rules.kind import Kind
from fleet.rules.parameters import Duration, MetricName, ParameterError, Value, Whole
from fleet.rules.rule import Needs, Rule, Window, cause_of_rule
from fleet.rules.statistics import HARD_SPACE, duration, quantity
from fleet.rules.wording import both, capitalised, named, told_to_user
from fleet.ticket_text import local, spoken_time, times
from fleet.words import Component, Fixer, Lang, Severity, Usability

_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)

MAX_POINTS: Final = 60
"""Values that a finding carries as evidence, spread over all it rests on, the worst among them."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One side of a value. `sign` 1: bad above `value`; -1: bad below it."""

    sign: int
    value: float

    def is_beyond(self, value: float) -> bool:
        return self.sign * value > self.sign * self.value


@dataclass(frozen=True, slots=True)
class While:
    """Only samples count at whose time this other metric is beyond its limit."""

    metric: str
    limit: Limit


@dataclass(slots=True)
class _Stretch:
    """Samples beyond the limit without a gap, while they are being gathered."""

    samples: list[Sample] = field(default_factory=list)
    holds_from: datetime | None = None

    @property
    def last_at(self) -> datetime:
        return self.samples[-1].at


@dataclass(frozen=True, slots=True)
class Threshold:
    """`metric` is beyond `limit` for `hold`, in at least `min_samples` samples.

    It holds from the sample at which that is so, until one is at `release` or better, or the
    samples are further apart than `max_gap`: nothing proves what was in between. A finding is over
    `apart` after its last stretch, and takes in every stretch that begins before.

    It looks only at hours in which a value was beyond the limit, whatever else is loaded: what it
    says must not depend on the other rules. Only closed local days are looked at.
    """

    metric: str
    limit: Limit
    release: float
    hold: timedelta
    min_samples: int
    max_gap: timedelta
    apart: timedelta
    only: While | None = None
    given: While | None = None

    @property
    def needs(self) -> Needs:
        low, high = (None, self.limit.value) if self.limit.sign > 0 else (self.limit.value, None)
        others = tuple(other.metric for other in (self.only, self.given) if other)
        return Needs(
            samples=(self.metric, *others),
            bounds=((self.metric, low, high),),
            lookback_days=-(-(self.hold + self.min_samples * self.max_gap + _HOUR) // _DAY),
        )

    def evaluate(self, rule: Rule, facts: Facts, window: Window) -> list[Finding]:
        decided_to = day_starts_at(window.last_day + 1)
        findings = [
            self._finding(rule, group, decided_to)
            for group in self._groups(self._stretches(self._samples(facts, decided_to)))
        ]
        return [f for f in findings if f.ended_at is None or f.ended_at >= window.from_at]

    def _samples(self, facts: Facts, decided_to: datetime) -> list[Sample]:
        """What is to be judged, by time: in suspicious hours, before the end of the last day."""
        samples = [s for s in facts.samples.get(self.metric, ()) if s.at < decided_to]
        hours = {_hour(s.at) for s in samples if self.limit.is_beyond(s.value)}
        suspicious = sorted(s for s in samples if _hour(s.at) in hours)
        if self.given is not None:
            suspicious = self._given(facts, self.given, suspicious)
        if self.only is None:
            return suspicious
        times_under = self._times_under(facts, self.only)
        return [s for s in suspicious if s.at in times_under]

    @staticmethod
    def _given(facts: Facts, given: While, samples: Iterable[Sample]) -> list[Sample]:
        """Those in an hour in which the slow value was beyond its limit all the time."""
        hours: dict[int, bool] = {}
        for at, value in facts.samples.get(given.metric, ()):
            hour = _hour(at)
            hours[hour] = hours.get(hour, True) and given.limit.is_beyond(value)
        return [sample for sample in samples if hours.get(_hour(sample.at), False)]

    @staticmethod
    def _times_under(facts: Facts, only: While) -> set[datetime]:
        others = facts.samples.get(only.metric, ())
        return {s.at for s in others if only.limit.is_beyond(s.value)}

    def _stretches(self, samples: Iterable[Sample]) -> Iterator[_Stretch]:
        """Every stretch that held, in order of time."""
        current = _Stretch()
        for sample in samples:
            if current.samples and not self._goes_on(current, sample):
                if current.holds_from:
                    yield current
                current = _Stretch()
            if current.holds_from or self.limit.is_beyond(sample.value):
                self._add(current, sample)
        if current.holds_from:
            yield current

    def _goes_on(self, stretch: _Stretch, sample: Sample) -> bool:
        """Until it holds every value must be beyond the limit, then each short of the release."""
        if sample.at - stretch.last_at > self.max_gap:
            return False
        until = self.release if stretch.holds_from else self.limit.value
        return Limit(self.limit.sign, until).is_beyond(sample.value)

    def _add(self, stretch: _Stretch, sample: Sample) -> None:
        stretch.samples.append(sample)
        is_long = sample.at - stretch.samples[0].at >= self.hold
        if not stretch.holds_from and is_long and len(stretch.samples) >= self.min_samples:
            stretch.holds_from = sample.at

    def _groups(self, stretches: Iterable[_Stretch]) -> Iterator[list[_Stretch]]:
        """Stretches that make one finding: each holds before the one before it counts as over."""
        group: list[_Stretch] = []
        for stretch in stretches:
            assert stretch.holds_from is not None
            if group and stretch.holds_from > group[-1].last_at + self.apart:
                yield group
                group = []
            group.append(stretch)
        if group:
            yield group

    def _finding(self, rule: Rule, group: Sequence[_Stretch], decided_to: datetime) -> Finding:
        asks = rule.asks
        started_at = group[0].holds_from
        assert started_at is not None
        over_at = group[-1].last_at + self.apart
        return Finding(
            rule_id=rule.id,
            rule_version=rule.version,
            about=self.metric,
            cause=cause_of_rule(rule),
            need=Need.CARE if rule.care else Need.TICKET,
            severity=asks.severity or Severity.MINOR,
            usability=asks.usability or Usability.USABLE,
            fixer=asks.fixer or Fixer.TECHNICIAN,
            component=asks.component or Component.UNKNOWN,
            order=asks.order,
            started_at=started_at,
            last_at=group[-1].last_at,
            ended_at=over_at if over_at <= decided_to else None,
            known_at=day_closes_at(day_of(started_at)),
            confidence=_confidence(group),
            occurrence_n=len(group),
            points=[Point(s.at, self.metric, s.value) for s in self._shown(group)],
            measures=self._measures(group),
            said=self._said(rule, group),
        )

    def _measures(self, group: Sequence[_Stretch]) -> dict[str, float]:
        return {
            f"worst_{self.metric}": self._worst(group),
            f"limit_{self.metric}": self.limit.value,
            "stretch_count": float(len(group)),
            "sample_count": float(sum(len(stretch.samples) for stretch in group)),
            "longest_s": _longest(group).total_seconds(),
        }

    def _worst(self, group: Sequence[_Stretch]) -> float:
        values = (s.value for stretch in group for s in stretch.samples)
        return max(values, key=lambda value: self.limit.sign * value)

    def _shown(self, group: Sequence[_Stretch]) -> list[Sample]:
        samples = [s for stretch in group for s in stretch.samples]
        worst = self._worst(group)
        step = -(-len(samples) // MAX_POINTS)
        found = {s.at: s for s in samples[::step]}
        first_worst = next(s for s in samples if s.value == worst)
        return sorted((found | {first_worst.at: first_worst}).values())

    def _said(self, rule: Rule, group: Sequence[_Stretch]) -> Said:
        asks = rule.asks
        worst = quantity(self.metric, self._worst(group))
        peak = Both("lägst", "lowest") if self.limit.sign < 0 else Both("högst", "highest")
        return Said(
            title=Both(
                f"{rule.title.sv} · {peak.sv} {worst.sv}", f"{rule.title.en} · {peak.en} {worst.en}"
            ),
            happened=both(self._happened(group, "sv"), self._happened(group, "en")),
            action=asks.action or NOTHING,
            user=told_to_user(
                asks.component or Component.UNKNOWN,
                asks.usability or Usability.USABLE,
                asks.fixer or Fixer.TECHNICIAN,
                lasts=True,
            ),
        )

    def _happened(self, group: Sequence[_Stretch], lang: Lang) -> str:
        first = group[0].samples[0].at
        since = spoken_time(first, lang, local(first).year)
        side = _SIDES[lang][self.limit.sign]
        limit = quantity(self.metric, self.limit.value).in_(lang)
        what = f"{capitalised(named(self.metric, lang))} {side} {limit} {times(len(group), lang)}"
        started = f"först {since}." if lang == "sv" else f"first {since}."
        parts = (f"{what}{self._lasting(group, lang)},", started, self._under(lang))
        return " ".join(filter(None, parts))

    def _lasting(self, group: Sequence[_Stretch], lang: Lang) -> str:
        if not self.hold:
            return ""
        longest = _spoken_length(_longest(group)).in_(lang)
        return f", som längst {longest}" if lang == "sv" else f", for up to {longest}"

    def _under(self, lang: Lang) -> str:
        """Which samples were looked at."""
        others = [_is_beyond_said(other, lang) for other in (self.only, self.given) if other]
        if not others:
            return ""
        if lang == "sv":
            return f"Bara värden när {' och '.join(others)} räknas."
        return f"Only values while {' and '.join(others)} count."


_SIDES: Final[Mapping[Lang, Mapping[int, str]]] = {
    "sv": {-1: "under", 1: "över"},
    "en": {-1: "below", 1: "above"},
}


def _is_beyond_said(other: While, lang: Lang) -> str:
    limit = quantity(other.metric, other.limit.value).in_(lang)
    is_said = "var" if lang == "sv" else "was"
    return f"{named(other.metric, lang)} {is_said} {_SIDES[lang][other.limit.sign]} {limit}"


def _spoken_length(span: timedelta) -> Both:
    seconds = round(span.total_seconds())
    if seconds >= 120:
        return duration(span)
    return Both(f"{seconds}{HARD_SPACE}s", f"{seconds}{HARD_SPACE}s")


def _hour(at: datetime) -> int:
    return int(at.timestamp() // _HOUR.total_seconds())


def _longest(group: Sequence[_Stretch]) -> timedelta:
    return max(stretch.last_at - stretch.samples[0].at for stretch in group)


def _confidence(group: Sequence[_Stretch]) -> float:
    """Each stretch makes it surer. Ours, without a source; to be tuned on recorded fleets."""
    return round(1 - 0.3 / len(group), 3)


def _build(values: Mapping[str, Any]) -> Threshold:
    limit = _limit(values, "")
    release = limit.value if values["release"] is None else values["release"]
    if limit.is_beyond(release):
        raise ParameterError(
            "release is on the bad side of the limit",
            f"Write a release {'below' if limit.sign > 0 else 'above'} the limit, or leave it out",
        )
    if values["apart"] < values["max_gap"]:
        raise ParameterError("apart is shorter than max_gap", "Make apart at least max_gap")
    return Threshold(
        metric=values["metric"],
        limit=limit,
        release=release,
        hold=values["hold"],
        min_samples=values["min_samples"],
        max_gap=values["max_gap"],
        apart=values["apart"],
        only=_while(values, "while_"),
        given=_while(values, "given_"),
    )


def _limit(values: Mapping[str, Any], prefix: str) -> Limit:
    below, above = values[f"{prefix}below"], values[f"{prefix}above"]
    if (below is None) == (above is None):
        raise ParameterError(
            f"{prefix}below and {prefix}above: exactly one is needed", "Give one of the two"
        )
    return Limit(-1, below) if above is None else Limit(1, above)


def _while(values: Mapping[str, Any], prefix: str) -> While | None:
    metric = values[f"{prefix}metric"]
    if metric is None:
        return None
    if metric == values["metric"]:
        raise ParameterError(f"{prefix}metric is the metric itself", "Name another metric")
    return While(metric, _limit(values, prefix))


KIND: Final = Kind(
    name="threshold",
    purpose=(
        "A value is beyond a limit for a time, with hysteresis, perhaps only while another metric "
        "in the same record says that the device works. Silence proves nothing, and one sample "
        "has no length. Judged when the local day has closed."
    ),
    source="Ours, without a source; to be tuned on recorded fleets. Limits come from the rule.",
    parameters=(
        MetricName("metric", "What is looked at."),
        Value("below", "The limit, if it is bad to be below it.", default=None),
        Value("above", "The limit, if it is bad to be above it.", default=None),
        Value("release", "The value at which it is over; without it, the limit.", default=None),
        Duration(
            "hold",
            "For how long every value must be beyond the limit.",
            default=timedelta(0),
            high=7 * _DAY,
        ),
        Whole("min_samples", "In how many samples at least.", default=1, low=1, high=1000),
        Duration(
            "max_gap",
            "Samples further apart do not prove what was in between.",
            default=timedelta(minutes=5),
            low=timedelta(seconds=1),
            high=_DAY,
        ),
        Duration(
            "apart",
            "Stretches closer than this are one finding, which is over this long after the last.",
            default=timedelta(hours=1),
            high=timedelta(days=30),
        ),
        MetricName(
            "while_metric",
            "Only samples count at whose time this other metric is beyond a value.",
            default=None,
        ),
        Value("while_above", "The value that it must be above.", default=None, of="while_metric"),
        Value("while_below", "The value that it must be below.", default=None, of="while_metric"),
        MetricName(
            "given_metric",
            "Only hours count in which this slow metric was told, and always beyond a value.",
            default=None,
        ),
        Value("given_above", "The value that it must be above.", default=None, of="given_metric"),
        Value("given_below", "The value that it must be below.", default=None, of="given_metric"),
    ),
    build=_build,
)
