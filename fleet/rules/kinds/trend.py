"""A slow drift of one metric towards a limit, seen in good time. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet.metrics import Metric, MetricKind, load_metrics
from fleet.rules.bends import bent_line
from fleet.rules.facts import DaySeries, Facts, day_of, day_starts_at
from fleet.rules.findings import NOTHING, Both, Finding, Point, Said
from fleet.rules.kind import Kind
from fleet.rules.parameters import (
    Duration,
    MetricName,
    Number,
    ParameterError,
    Value,
    Whole,
    Word,
)
from fleet.rules.rule import Needs, Rule, Verdict, Window, cause_of_rule, fold_days
from fleet.rules.statistics import (
    LASTING_N,
    RECENT_N,
    Crossing,
    Floats,
    Line,
    counted,
    crossing,
    halves_slope,
    is_lasting_above,
    median,
    quantity,
    theil_sen,
)

DAY: Final = timedelta(days=1)
UNSAID: Final = Said(NOTHING, NOTHING, NOTHING)
"""In a verdict whose words are written once, when the run of days is known."""

LATELY_SURE: Final = 0.97
"""One less the chance of five days of five above a limit that is the usual value."""

_ROUGH_SLACK: Final = 2.0
"""The rough slope may be wrong by half before a day is dismissed unseen. Ours."""

_LET_GO: Final = 1.5
"""A finding is kept while the limit is within this many horizons. Ours, without a source."""

_STILL_MOVING: Final = 0.5
"""Which part of its slope a line must keep in its newer half. Ours, without a source."""

_ROSE_BEFORE: Final = 0.5
"""Which part of its slope a line must have had before the last days. Ours, without a source."""

_SHOWN_N: Final = 12


class DayValue(StrEnum):
    """Which value of a day stands for it."""

    MEAN = "mean"
    LOW = "low"
    HIGH = "high"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class Trend:
    """The robust line through a metric's daily values is at the limit within the horizon.

    It must rise beyond doubt, and is drawn no further ahead than it looks back; or be at the
    limit already beyond doubt; or nearly all days of the last fortnight are beyond it: a step,
    which a line sees late, and which needs fewer days. Where values have begun to rise within the
    window, the line is drawn from there. Once it holds, it holds until it is clear of the limit
    beyond doubt.

    Attributes:
        sign: 1 for a limit above, -1 for one below: all is judged upwards.
        limit: the limit in the metric's own unit.
    """

    metric: str
    of: DayValue
    sign: int
    limit: float
    window: timedelta
    min_days: int
    horizon: timedelta
    confidence: float

    @property
    def needs(self) -> Needs:
        return Needs(metrics=(self.metric,), lookback_days=self.window // DAY, repairs=True)

    def evaluate(self, rule: Rule, facts: Facts, window: Window) -> list[Finding]:
        series = facts.days.get(self.metric)
        if series is None or len(series) < LASTING_N:
            return []
        values = getattr(series, self.of)
        starts = starts_of(rule, facts, series.day, self.window)
        judge = self._judge(series, values, starts)
        decided = self._decided(series, window)
        found = fold_days(rule, self.metric, window, judge, decided)
        return [self._worded(rule, facts, finding, values) for finding in found]

    def _decided(self, series: DaySeries, window: Window) -> list[int]:
        """Days with data, and enough before them: after a long absence nothing is decided."""
        enough = np.searchsorted(series.day, series.day - self.window // DAY, side="right")
        known = np.arange(1, len(series) + 1) - enough >= LASTING_N
        inside = (series.day >= window.first_day) & (series.day <= window.last_day)
        days: list[int] = series.day[known & inside].tolist()
        return days

    def _judge(
        self, series: DaySeries, values: Floats, starts: list[int]
    ) -> Callable[[int, bool], Verdict | None]:
        x = series.day.astype(np.float64)
        y = self.sign * values
        index_of = {day: index for index, day in enumerate(series.day.tolist())}

        def judge(day: int, was_on: bool) -> Verdict | None:
            index = index_of[day]
            part = slice(starts[index], index + 1)
            day_n = part.stop - part.start
            if day_n < LASTING_N:
                return None
            has_enough = day_n >= (RECENT_N if was_on else self.min_days)
            return self._verdict(x[part], y[part], was_on=was_on, has_enough=has_enough)

        return judge

    def _verdict(self, x: Floats, y: Floats, *, was_on: bool, has_enough: bool) -> Verdict | None:
        """`has_enough` days for a line to speak; a step needs fewer."""
        limit = self.sign * self.limit
        horizon = self.horizon / DAY
        if not was_on and _is_far(x, y, limit, horizon):
            return None
        line, is_rising, begun = self._line(x, y)
        has_enough |= begun > x[0]
        now = float(x[-1])
        when = crossing(line, limit, now)
        is_lately = is_lasting_above(x, y, limit)
        if is_lately:
            when = Crossing(0, 0, 0)
        is_there = is_lately or line.is_above(limit, now)
        is_coming = is_rising and when.best <= min(horizon, now - begun)
        stays = was_on and (when.best <= horizon * _LET_GO or not line.is_below(limit, now))
        if not (is_lately or (has_enough and (is_there or is_coming or stays))):
            return None
        sureness = LATELY_SURE if is_lately else self._sureness(line, now + horizon)
        level = median(y[-RECENT_N:]) if is_lately else line.at(now)
        return Verdict(UNSAID, sureness, measures=self._measures(line, level, when))

    def _line(self, x: Floats, y: Floats) -> tuple[Line, bool, float]:
        """The line, whether it goes on rising, and since when it does."""
        bent = bent_line(x, y, self.confidence)
        if bent is not None:
            return bent, True, bent.middle_x
        line = theil_sen(x, y, self.confidence)
        is_rising = line.is_rising and goes_on(line, x, y) and was_rising(line, x, y)
        return line, is_rising, float(x[0])

    def _sureness(self, line: Line, at: float) -> float:
        """How likely the line is at the limit by then, if its errors are normal."""
        spread = line.sd_at(at)
        beyond = line.at(at) - self.sign * self.limit
        chance = NormalDist().cdf(beyond / spread) if spread > 0 else float(beyond >= 0)
        return round(min(max(chance, 0.01), 0.99), 3)

    def _measures(self, line: Line, level: float, when: Crossing) -> tuple[tuple[str, float], ...]:
        """The line in the metric's own direction; days that nobody can tell are left out."""
        low, high = sorted(self.sign * slope for slope in line.slopes)
        days = {"crosses_in_d": when.best, "earliest_d": when.earliest, "latest_d": when.latest}
        return (
            ("level", self.sign * level),
            ("slope_per_d", self.sign * line.slope),
            ("slope_low_per_d", low),
            ("slope_high_per_d", high),
            ("limit", self.limit),
            ("day_n", float(line.point_n)),
            *((name, days_n) for name, days_n in days.items() if np.isfinite(days_n)),
        )

    def _worded(self, rule: Rule, facts: Facts, finding: Finding, values: Floats) -> Finding:
        series = facts.days[self.metric]
        last_day = day_of(finding.last_at) - 1
        end = int(np.searchsorted(series.day, last_day + 1))
        shown = spread_out(end - int(finding.measures["day_n"]), end)
        points = [
            Point(day_starts_at(int(series.day[i])), self.metric, float(values[i])) for i in shown
        ]
        return replace(finding, said=self._said(rule, finding.measures), points=points)

    def _said(self, rule: Rule, measures: Mapping[str, float]) -> Said:
        limit = quantity(self.metric, self.limit)
        when = _when(measures, limit)
        title = Both(f"{rule.title.sv}: {when.sv}", f"{rule.title.en}: {when.en}")
        return Said(title, self._happened(measures), rule.asks.action or _ACTION, _USER)

    def _happened(self, measures: Mapping[str, float]) -> Both:
        label = load_metrics().get(self.metric)
        assert label is not None
        level = quantity(self.metric, measures["level"])
        if measures.get("crosses_in_d") == 0:
            return _is_there_said(label, level, quantity(self.metric, self.limit))
        slopes = [measures[name] * 7 for name in ("slope_per_d", "slope_low_per_d")]
        slopes.append(measures["slope_high_per_d"] * 7)
        slope, low, high = (
            quantity(self.metric, slope, " i veckan", " a week") for slope in slopes
        )
        days = counted(int(measures["day_n"]), "dygn", "dygn", "day")
        return Both(
            f"{_capital(label.label_sv)} är {level.sv} och ändras med {slope.sv} "
            f"(troligen mellan {low.sv} och {high.sv}), räknat på {days.sv} med mätningar.",
            f"{_capital(label.label_en)} is {level.en} and changes by {slope.en} "
            f"(probably between {low.en} and {high.en}), from {days.en} with measurements.",
        )


def _is_there_said(metric: Metric, level: Both, limit: Both) -> Both:
    return Both(
        f"{_capital(metric.label_sv)} är nu {level.sv} och har nått gränsen {limit.sv}.",
        f"{_capital(metric.label_en)} is now {level.en} and has reached the limit of {limit.en}.",
    )


_ACTION: Final = Both(
    "Kontrollera delen vid nästa besök, innan gränsen nås.",
    "Check the part at the next visit, before the limit is reached.",
)
_USER: Final = Both(
    "Vi har sett att något i ditt hjälpmedel förändras långsamt. Du kan använda det som vanligt. "
    "En tekniker tittar på det i god tid.",
    "We have seen a slow change in your device. You can use it as usual. "
    "A technician will look at it in good time.",
)


def _is_far(x: Floats, y: Floats, limit: float, horizon: float) -> bool:
    """True if even a generous forecast is nowhere near: most days, at little cost."""
    recent = median(y[-RECENT_N:])
    if recent >= limit:
        return False
    return recent + _ROUGH_SLACK * horizon * max(0.0, halves_slope(x, y)) < limit


def starts_of(rule: Rule, facts: Facts, days: NDArray[np.int64], window: timedelta) -> list[int]:
    """For each day, the index of the first day that speaks with it.

    That is the first in the window, and none up to the day of a repair of what the rule is
    about: a new part owes nothing to the old one.
    """
    first_days = days - (window // DAY - 1)
    for solved_day in renewed_days(rule, facts):
        after = np.maximum(first_days, solved_day + 1)
        first_days = np.where(days >= solved_day, after, first_days)
    starts: list[int] = np.searchsorted(days, first_days).tolist()
    return starts


def goes_on(line: Line, x: Floats, y: Floats) -> bool:
    """True if the newer half of the points still rises about as the line does.

    What only settles, a new battery or a new mask, moves fast and then no more.
    """
    half = len(x) // 2
    return halves_slope(x[half:], y[half:]) >= _STILL_MOVING * line.slope


def was_rising(line: Line, x: Floats, y: Floats) -> bool:
    """True if the points rose before the last days too: a cold lasts a week and bends a line."""
    before = int(np.searchsorted(x, x[-1] - RECENT_N))
    if before < RECENT_N:
        return False
    return halves_slope(x[:before], y[:before]) >= _ROSE_BEFORE * line.slope


def renewed_days(rule: Rule, facts: Facts) -> list[int]:
    """The days on which somebody mended what the rule is about."""
    cause = cause_of_rule(rule)
    return [day_of(repair.solved_at) for repair in facts.repairs if repair.cause == cause]


def spread_out(first: int, end: int) -> list[int]:
    """At most a dozen indices from `first` to `end`, the last among them."""
    picked: list[int] = np.unique(np.linspace(max(0, first), end - 1, _SHOWN_N).round()).tolist()
    return [int(index) for index in picked]


def _when(measures: Mapping[str, float], limit: Both) -> Both:
    in_d = measures.get("crosses_in_d")
    if in_d is None:
        return Both(f"är nära gränsen {limit.sv}", f"is near the limit of {limit.en}")
    if in_d == 0:
        return Both(f"har nått gränsen {limit.sv}", f"has reached the limit of {limit.en}")
    days = counted(round(in_d), "dygn", "dygn", "day")
    return Both(
        f"når om ungefär {days.sv} gränsen {limit.sv}",
        f"will reach the limit of {limit.en} in about {days.en}",
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _build(values: Mapping[str, Any]) -> Trend:
    above, below = values["above"], values["below"]
    if (above is None) == (below is None):
        raise ParameterError("a trend needs one limit", "Give above or below, not both")
    if values["min_days"] > values["window"] // DAY:
        problem = f"{values['min_days']} days do not fit in a window of {values['window'] // DAY}"
        raise ParameterError(problem, "Lower min_days or widen window")
    return Trend(
        metric=values["metric"],
        of=values["of"],
        sign=1 if below is None else -1,
        limit=above if below is None else below,
        window=values["window"],
        min_days=values["min_days"],
        horizon=values["horizon"],
        confidence=values["confidence"],
    )


KIND: Final = Kind(
    name="trend",
    purpose=(
        "A robust line through the daily values of a metric is at a limit, or will be within the "
        "horizon. It must rise (or fall) beyond doubt, from where it began to, and is kept until "
        "it is clear of the limit."
    ),
    source=(
        "Slope: Theil 1950; its interval: Sen 1968, J. Am. Stat. Assoc. 63, widened for days that "
        "resemble the day before. Line since a knee: least absolute deviations, Bassett and "
        "Koenker 1978, J. Am. Stat. Assoc. 73, 618-622. Slack, release, odds against a step and "
        "number of recent days: ours, without a source; to be tuned on recorded fleets."
    ),
    parameters=(
        MetricName("metric", "What is followed.", kind=MetricKind.GAUGE),
        Word("of", "Which value of a day stands for it.", DayValue.MEAN, of=DayValue),
        Value("above", "The limit, if it is bad to be at or above it.", None),
        Value("below", "The limit, if it is bad to be at or below it.", None),
        Duration("window", "How far back the line looks.", 42 * DAY, low=7 * DAY, high=180 * DAY),
        Whole("min_days", "How many days must have measurements.", 21, low=7, high=180),
        Duration("horizon", "How far ahead the line looks.", 30 * DAY, high=180 * DAY),
        Number("confidence", "How sure the interval of the line is.", 0.9, low=0.5, high=0.99),
    ),
    build=_build,
)
