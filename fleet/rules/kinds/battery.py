"""When a battery will no longer do: a date interval from what the device happens to report. Pure.

Two lines can speak: range per charge (distance over the drop in charge) and the voltage under
load. Deep discharges and more frequent charging only make them more credible. What is not
reported leaves the rest to speak, with less confidence and never with a narrower interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, NamedTuple

import numpy as np

from fleet.rules.battery_lines import (
    CHARGE,
    DRIVE_TIME,
    NOT_WORN,
    ODOMETER,
    Days,
    EvidenceLine,
    Way,
    distances,
    load_line,
    range_line,
)
from fleet.rules.battery_words import COLD_C, REACH_D, VOLTAGE, ruled_out, said_of
from fleet.rules.facts import DaySeries, Facts, day_of, day_starts_at
from fleet.rules.findings import Finding, Point
from fleet.rules.kind import Kind
from fleet.rules.kinds.trend import UNSAID, goes_on, renewed_days, spread_out
from fleet.rules.parameters import Duration, MetricName, Number, ParameterError, Value, Whole
from fleet.rules.rule import Needs, Rule, Verdict, Window, fold_days
from fleet.rules.statistics import (
    RECENT_N,
    Crossing,
    Floats,
    crossing,
    halves_slope,
    is_lately_above,
    median,
    rises,
    theil_sen,
    two_sided,
)

DAY: Final = timedelta(days=1)

_CHARGES: Final = "charge_count"
_DEEP: Final = "deep_discharge_count"
_AMBIENT: Final = "ambient_temp_c"

_BEST_SHARE: Final = 4
"""The best of a battery is the mean of this part of its fortnights, the best of them: a quarter.
The single best of many is the luckiest. Ours."""

_LIMIT_SD: Final = 0.01
"""Standard deviation of where a battery ends, as a share of its best: what is driven and how
differs from fortnight to fortnight. Ours; to be tuned on recorded fleets."""

_PACE: Final = 1.5
"""The least pace to come, in that since its best. A pace that grows evenly is now twice its mean;
half of that growth is counted on. Ours; to be tuned on recorded fleets."""

_LEVEL_DOUBT: Final = 1.0
"""Standard deviations by which the line must be past its limit: fewer than of a slope, since no
sound battery comes near the limit by chance. Ours; to be tuned on recorded fleets."""

_BEND_SD: Final = 0.35
"""Standard deviation of the slope to come, as a share of the one seen: wear is no straight line.
Ours; to be tuned on recorded fleets."""

_ROUGH_SLACK: Final = 1.5
"""How much steeper than its rough slope a line may fall before it is looked at. Ours."""

_BLOCK_N: Final = 15
_LET_GO: Final = 1.5
_CLEAR: Final = 1.15
"""What was found is kept while its end is within this many horizons, or it is below this many
times its limit: no battery gets well by itself, and a ticket must not come and go with the
weather. Ours, without a source."""

_CHILL_WEIGHT: Final = 0.7

_CELL_V: Final = 1.2
"""A pack that reaches this much less than it did has lost a cell, which is 2 V of a lead battery
(and more of a lithium one): no wear does that from one day to the next. Ours."""

_FULL_PCT: Final = 95.0
_CELL_DAYS: Final = 2
"""On so many charged days in a row, so that one night with a bad contact is not it. Ours."""

_WEIGHTS: Final = {"cell": 0.8, "load": 0.5, "deep": 0.1, "charges": 0.1}
"""How much each sign is believed beside range, which is believed as much as its interval; together
by noisy-or. Ours, without a source; to be tuned on recorded fleets."""


class _Limit(NamedTuple):
    """Where a line ends, and the standard deviation of what is known of it."""

    value: float
    sd: float


class _Said(NamedTuple):
    """What one line says on one day. `when` counts days from it."""

    speaks: bool
    when: Crossing


@dataclass(frozen=True, slots=True)
class BatteryEndOfLife:
    """Range per charge, or voltage under load, is or will soon be below what is needed.

    What is needed is the usual daily distance with a reserve, or a share of the battery's own
    best range, whichever is more; and the load limit of the controller.
    """

    load_limit_v: float
    worn_share: float
    reserve: float
    usual_share: float
    window: timedelta
    lookback: timedelta
    min_days: int
    horizon: timedelta
    deep_n: int
    confidence: float

    @property
    def needs(self) -> Needs:
        metrics = (VOLTAGE, CHARGE, ODOMETER, DRIVE_TIME, _CHARGES, _DEEP, _AMBIENT)
        return Needs(metrics=metrics, lookback_days=self.lookback // DAY, repairs=True)

    def evaluate(self, rule: Rule, facts: Facts, window: Window) -> list[Finding]:
        history = _History(self, rule, facts)
        decided = history.days_within(window)
        if not decided:
            return []
        found = fold_days(rule, VOLTAGE, window, history.judge, decided)
        return [_worded(rule, facts, finding, history) for finding in found]


class _History:
    """The daily evidence of one device, made once for all days of a window."""

    def __init__(self, condition: BatteryEndOfLife, rule: Rule, facts: Facts) -> None:
        self._condition = condition
        self._days = facts.days
        self.way = ODOMETER if ODOMETER in facts.days else DRIVE_TIME
        self._distance = distances(facts.days.get(self.way))
        self._renewed_days = renewed_days(rule, facts)
        self._speaking: dict[int, list[str]] = {}
        self.window_d = condition.window // DAY
        self._charged = self._charged_days()
        way = Way(self.way, self._distance)
        lines = (
            range_line(facts.days, way, condition.worn_share),
            load_line(facts.days, way, condition.load_limit_v),
        )
        self._lines = [line for line in lines if line is not None and len(line.day)]

    def days_within(self, window: Window) -> list[int]:
        """The days with new evidence: others change nothing."""
        if not self._lines:
            return []
        days = np.union1d(np.union1d(self._lines[0].day, self._lines[-1].day), self._charged[0])
        first, end = np.searchsorted(days, (window.first_day, window.last_day + 1))
        within: list[int] = days[first:end].tolist()
        return within

    def judge(self, day: int, was_on: bool) -> Verdict | None:
        asked = {line.name: self._ask(line, day, was_on=was_on) for line in self._lines}
        said = {name: one for name, one in asked.items() if one is not None}
        if self._has_lost_a_cell(day, was_on=was_on):
            said["cell"] = _Said(speaks=True, when=Crossing(0, 0, 0))
        names = [name for name, one in said.items() if one.speaks]
        # Sag depends on how hard it is driven; range tells more, so sag alone does for want of it.
        if not names or (names == ["load"] and self._tells_range(day, was_on=was_on)):
            return None
        self._speaking[day] = names
        return Verdict(UNSAID, 0.0, measures=tuple(_interval(said).items()))

    def measures(self, finding: Finding) -> dict[str, float]:
        """The interval, and what there is to say of its day; once for each run of days."""
        day = day_of(finding.last_at) - 1
        measures = self._measures(day) | dict(finding.measures)
        measures[f"limit_{VOLTAGE}"] = self._condition.load_limit_v
        return {name: float(measures[name]) for name in sorted(measures)}

    def _ask(self, line: EvidenceLine, day: int, *, was_on: bool) -> _Said | None:
        """What the line says; None without enough days, or where it is clear of its limit."""
        start, first, end = self._ends(line, day)
        if not self._has_enough(first, end, was_on=was_on):
            return None
        x = line.day[first:end].astype(np.float64)
        whole = line.values(start, end)
        y = whole[first - start :]
        worst = self._worst(x, y)
        if worst > line.ceiling and not was_on:
            return None
        limit = self._limit(line, whole, day)
        if worst > limit.value and not was_on:
            return None
        said = self._judged(x, y, day, limit, was_on=was_on)
        return self._no_slower(said, whole, day - int(line.day[start]), limit)

    def _no_slower(self, said: _Said, whole: Floats, day_n: int, limit: _Limit) -> _Said:
        """Wear speeds up: at the latest it ends at a pace a little above that since its best."""
        lost = self._best(whole) - median(whole[-2 * RECENT_N :])
        if limit.sd == 0 or lost <= 0 or day_n < self._condition.window // DAY:
            return said
        ahead = max(0.0, median(whole[-2 * RECENT_N :]) - limit.value)
        band = two_sided(self._condition.confidence) * limit.sd
        slowest = (ahead + band) * day_n / (_PACE * lost)
        best, earliest, latest = said.when
        latest = min(latest, max(earliest, round(slowest)))
        return said._replace(when=Crossing(min(best, latest), min(earliest, latest), latest))

    def _has_lost_a_cell(self, day: int, *, was_on: bool) -> bool:
        """True if charged to the full it no longer reaches the voltage it used to."""
        days, volts = self._charged
        oldest = max(day - self.window_d, self._renewed_before(day)) + 1
        first, end = np.searchsorted(days, (oldest, day + 1)).tolist()
        if end - first < RECENT_N + _CELL_DAYS:
            return False
        usual = float(np.quantile(volts[first:end], 0.75 if was_on else 0.5))
        return bool((volts[end - _CELL_DAYS : end] < usual - _CELL_V).all())

    def _charged_days(self) -> tuple[Days, Floats]:
        """The highest voltage of the days on which the battery was full."""
        voltage, charge = self._days.get(VOLTAGE), self._days.get(CHARGE)
        if voltage is None or charge is None:
            return np.empty(0, dtype=np.int64), np.empty(0)
        full = np.isin(voltage.day, charge.day[charge.high >= _FULL_PCT], assume_unique=True)
        return voltage.day[full], voltage.high[full]

    def _tells_range(self, day: int, *, was_on: bool) -> bool:
        line = next((line for line in self._lines if line.name == "range"), None)
        return line is not None and self._has_enough(*self._ends(line, day)[1:], was_on=was_on)

    def _has_enough(self, first: int, end: int, *, was_on: bool) -> bool:
        return end - first >= (RECENT_N if was_on else self._condition.min_days)

    def _ends(self, line: EvidenceLine, day: int) -> tuple[int, int, int]:
        """Where in the line the lookback begins, the window begins, and both end."""
        condition = self._condition
        oldest = max(day - condition.lookback // DAY, self._renewed_before(day)) + 1
        newest = max(oldest, day - condition.window // DAY + 1)
        start, first, end = np.searchsorted(line.day, (oldest, newest, day + 1)).tolist()
        return start, first, end

    def _worst(self, x: Floats, y: Floats) -> float:
        """Where a rough and ungenerous forecast ends: above the limit, nothing more is asked."""
        ahead_d = self._condition.horizon / DAY
        falling = max(0.0, -halves_slope(x, y))
        return median(y[-RECENT_N:]) - _ROUGH_SLACK * falling * ahead_d

    def _renewed_before(self, day: int) -> int:
        """The last day up to this one on which the battery was replaced or mended; else 0.

        What was measured in the morning of that day tells of the old one.
        """
        return max((renewed for renewed in self._renewed_days if renewed <= day), default=0)

    def _judged(self, x: Floats, y: Floats, day: int, limit: _Limit, *, was_on: bool) -> _Said:
        """Judged upside down, as the line falls to its limit."""
        line = theil_sen(x, -y, self._condition.confidence)
        unsure = line._replace(
            middle_sd=math.hypot(line.middle_sd, limit.sd),
            slope_sd=math.hypot(line.slope_sd, _BEND_SD * line.slope),
        )
        when = crossing(unsure, -limit.value, day, REACH_D)
        if is_lately_above(-y, -limit.value):
            return _Said(speaks=True, when=when._replace(best=0.0, earliest=0.0))
        horizon = self._condition.horizon / DAY
        is_coming = (
            line.is_rising and when.best <= min(horizon, day - x[0]) and goes_on(line, x, -y)
        )
        is_near = when.best <= horizon * _LET_GO or -line.at(day) < _CLEAR * limit.value
        stays = was_on and is_near
        is_there = line.at(day) + limit.value > _LEVEL_DOUBT * line.sd_at(day)
        return _Said(is_coming or stays or is_there, when)

    def _limit(self, line: EvidenceLine, whole: Floats, day: int) -> _Limit:
        if line.name == "load":
            return _Limit(self._condition.load_limit_v, 0.0)
        best = self._best(whole)
        needed = self._needed(day)
        if needed.value > NOT_WORN * best:
            needed = _Limit(NOT_WORN * best, 0.0)
        value = max(self._condition.worn_share * best, needed.value)
        sd = needed.sd if value == needed.value else 0.0
        return _Limit(value, math.hypot(sd, _LIMIT_SD * best))

    def _best(self, whole: Floats) -> float:
        """What it has managed within the lookback: the mean of its best fortnights of driving."""
        block_n = max(1, len(whole) // _BLOCK_N)
        size = min(len(whole), _BLOCK_N)
        blocks = whole[len(whole) - block_n * size :].reshape(block_n, size)
        middles = np.sort(np.partition(blocks, size // 2, axis=1)[:, size // 2])
        return float(middles[-max(1, block_n // _BEST_SHARE) :].mean())

    def _needed(self, day: int) -> _Limit:
        """What the user drives on most days, and the reserve."""
        usual = self._usual(day)
        reserve = self._condition.reserve
        return _Limit(reserve * usual.value, reserve * usual.sd)

    def _usual(self, day: int) -> _Limit:
        """The distance that most days stay within, with the spread of that quantile's rank."""
        assert self._distance is not None
        days, driven = self._distance
        first, end = np.searchsorted(days, (day - self._condition.window // DAY + 1, day + 1))
        part = np.sort(driven[first:end])
        n, share = len(part), self._condition.usual_share
        spread = math.sqrt(share * (1 - share) / n)
        low, mid, high = (
            float(part[min(n - 1, int(n * max(0.0, at)))])
            for at in (share - spread, share, share + spread)
        )
        return _Limit(mid, (high - low) / 2)

    def _measures(self, day: int) -> dict[str, float]:
        """What there is to say of the day, whichever line spoke."""
        measures: dict[str, float] = {}
        for line in self._lines:
            start, first, end = self._ends(line, day)
            if first == end:
                continue
            whole = line.values(start, end)
            recent = median(whole[first - start :][-RECENT_N:])
            measures["range_m" if line.name == "range" else "load_v"] = recent
            if line.name == "range":
                measures["best_range_m"] = self._best(whole)
                measures["usual_daily_m"] = self._usual(day).value
                measures["usual_needed_m"] = self._needed(day).value
                measures["needed_range_m"] = self._limit(line, whole, day).value
        self._add_counts(day, measures)
        if "cell" in self._speaking[day]:
            days, volts = self._charged
            end = int(np.searchsorted(days, day + 1))
            measures["full_v"] = float(volts[end - 1])
            measures["full_before_v"] = median(volts[max(0, end - self.window_d) : end])
        return measures

    def _add_counts(self, day: int, measures: dict[str, float]) -> None:
        since = max(day - self._condition.window // DAY, self._renewed_before(day))
        if (deep := _risen(self._days.get(_DEEP), since, day)) is not None:
            measures["deep_discharge_n"] = deep
        now = _risen(self._days.get(_CHARGES), day - 30, day)
        before = _risen(self._days.get(_CHARGES), day - 60, day - 30)
        if now is not None and before is not None:
            measures["charges_30d_n"], measures["charges_30d_before_n"] = now, before
        voltage = self._days.get(VOLTAGE)
        if voltage is not None:
            part = voltage.upto(day, 14)
            if len(part):
                measures["sag_v"] = median(part.high - part.low)

    def sureness(self, day: int, measures: Mapping[str, float]) -> float:
        """By noisy-or over the lines that speak on the day and the counts that support them."""
        names = self._speaking[day]
        signs = list(names)
        if measures.get("deep_discharge_n", 0) >= self._condition.deep_n:
            signs.append("deep")
        if measures.get("charges_30d_n", 0) >= 1.3 * measures.get("charges_30d_before_n", math.inf):
            signs.append("charges")
        weights = _WEIGHTS | {"range": self._condition.confidence}
        if "range" in names and "load" in names:
            signs.remove("load")  # the date is that of the range, whatever the voltage says
        return round(1 - math.prod(1 - weights[sign] for sign in signs), 3)


def _risen(series: DaySeries | None, after_day: int, day: int) -> float | None:
    """How much a counter rose after one day until another; None if nothing is known."""
    if series is None:
        return None
    part = series.upto(day, day - after_day + 1)
    return float(rises(part.last).sum()) if len(part) > 1 else None


def _interval(said: Mapping[str, _Said]) -> dict[str, float]:
    """When the sign ends that tells most: a lost cell, then range before load."""
    speaking = {name: one.when for name, one in said.items() if one.speaks}
    when = speaking.get("cell") or speaking.get("range") or speaking["load"]
    return {
        "earliest_d": min(float(REACH_D), when.earliest),
        "best_d": min(float(REACH_D), when.best),
        "latest_d": min(float(REACH_D), when.latest),
    }


def _worded(rule: Rule, facts: Facts, finding: Finding, history: _History) -> Finding:
    day = day_of(finding.last_at) - 1
    measures = history.measures(finding)
    colder_c = _colder(facts.days.get(_AMBIENT), day, history.window_d)
    is_chilled = colder_c is not None and colder_c >= COLD_C
    sureness = history.sureness(day, measures) * (_CHILL_WEIGHT if is_chilled else 1.0)
    return replace(
        finding,
        said=said_of(rule, measures, day, history.way, is_chilled=is_chilled),
        confidence=round(sureness, 3),
        measures=measures,
        points=_points(facts, day, history.window_d),
        ruled_out=ruled_out(measures, colder_c),
    )


def _points(facts: Facts, day: int, window_d: int) -> list[Point]:
    voltage = facts.days.get(VOLTAGE)
    if voltage is None:
        return []
    part = voltage.upto(day, window_d)
    return [
        Point(day_starts_at(int(part.day[i])), VOLTAGE, float(part.low[i]))
        for i in spread_out(0, len(part))
    ]


def _colder(ambient: DaySeries | None, day: int, window_d: int) -> float | None:
    """By how much the last fortnight was colder than the first of the window."""
    if ambient is None:
        return None
    part = ambient.upto(day, window_d)
    if len(part) < 28:
        return None
    return float(part.mean[:14].mean() - part.mean[-14:].mean())


def _build(values: Mapping[str, Any]) -> BatteryEndOfLife:
    if values["window"] > values["lookback"]:
        raise ParameterError("window is longer than lookback", "Lower window or raise lookback")
    if values["min_days"] > values["window"] // DAY:
        problem = f"{values['min_days']} days do not fit in a window of {values['window'] // DAY}"
        raise ParameterError(problem, "Lower min_days or widen window")
    names = BatteryEndOfLife.__dataclass_fields__.keys() - {"load_limit_v"}
    given = {name: values[name] for name in names}
    return BatteryEndOfLife(load_limit_v=values["load_limit"], **given)


KIND: Final = Kind(
    name="battery_end_of_life",
    purpose=(
        "A date interval for the end of a battery, from range per charge and voltage under load, "
        "supported by deep discharges and more frequent charging. What is not reported lowers the "
        "confidence."
    ),
    source=(
        "Lines and intervals: Theil 1950, Sen 1968; crossing as in Fieller 1954, J. R. Stat. Soc. "
        "B 16; rank interval of a quantile as in Conover 1999. Replacement at a share of the best "
        "capacity: stationary practice replaces at 80 % of rating (IEEE 450), a wheelchair goes "
        "on for longer. Share, reserve, weights: ours, without a source; to be tuned on recorded "
        "fleets."
    ),
    parameters=(
        MetricName("voltage", "The pack's voltage; gives the load limit its unit.", VOLTAGE),
        Value("load_limit", "Voltage under load that is the end.", 21.0, of="voltage"),
        Number("worn_share", "Share of its own best range at which it is worn out.", 0.6),
        Number("reserve", "How much of the usual distance it must manage.", 1.2, low=1, high=3),
        Number("usual_share", "Share of days that the usual distance covers.", 0.8, low=0.5),
        Duration("window", "How far back the lines look.", 90 * DAY, low=21 * DAY, high=365 * DAY),
        Duration("lookback", "How far back its best is looked for.", 180 * DAY, low=30 * DAY),
        Whole("min_days", "How many days must have evidence.", 21, low=10, high=180),
        Duration("horizon", "How far ahead the lines look.", 90 * DAY, high=365 * DAY),
        Whole("deep_n", "Deep discharges within the window that count as a sign.", 3, low=1),
        Number("confidence", "How sure the interval is.", 0.8, low=0.5, high=0.99),
    ),
    build=_build,
)
