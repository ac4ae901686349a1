"""`usage`: service that is due by a counter or by date, said in good time with an interval."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleet.metrics import MetricKind
from fleet.rules.counters import Days, Floats, Use, steps_of, use_of
from fleet.rules.facts import DaySeries, Facts, day_of, day_starts_at
from fleet.rules.findings import Both, Finding, Point, Said
from fleet.rules.kind import Kind
from fleet.rules.parameters import (
    Duration,
    Flag,
    MetricName,
    Parameter,
    ParameterError,
    Value,
    suggestion,
)
from fleet.rules.rule import Condition, Needs, Rule, Verdict, Window, fold_days
from fleet.rules.statistics import quantity
from fleet.rules.wording import capitalised, named, spoken_date, spoken_interval
from fleet.words import Component

_DAY: Final = timedelta(days=1)
_BLOCK_DAYS: Final = 7
_BLOCK_N: Final = 8
"""Eight weeks, close to sixty days in whole weeks: a chair that rests on Sundays has a rate too."""

_FEWEST_BLOCKS: Final = 2

_OVERDUE_DAYS: Final = 60
"""How long after the meter passed its mark a service is still asked for. Longer ago, it was done
before anybody kept a record here. Ours."""


@dataclass(frozen=True, slots=True)
class ByUse:
    """`every` of a counter is used up since the last service, or will be within `ahead`.

    Counted from the newest of: the last service, the day the device came into service, and `reach`
    ago. What is older than `reach` does not count, so that a service by date belongs beside it.
    Once it holds it holds until the service: a quiet week does not take the order back.

    With `by_meter`, where no service is known, it is due whenever the meter itself passes a
    multiple of `every`, as on a car: a used device does not begin anew when we first see it.
    """

    metric: str
    every: float
    ahead_days: int
    reach_days: int
    by_meter: bool = False

    @property
    def needs(self) -> Needs:
        return Needs(metrics=(self.metric,), lookback_days=self.reach_days + 2, repairs=True)

    def evaluate(self, rule: Rule, facts: Facts, window: Window) -> list[Finding]:
        series = facts.days.get(self.metric)
        if series is None or len(series) < 2 or window.last_day < window.first_day:
            return []
        first_day = window.first_day - self.reach_days - 1
        steps = steps_of(series, self.metric, from_zero=False)
        use = use_of(series, steps, first_day, window.last_day)
        outlook = self._outlook(use, facts, window)
        if not outlook.holds.any():
            return []
        judge = self._judge(rule, use, outlook, window.first_day, set(_service_days(facts)))
        return fold_days(rule, self.metric, window, judge)

    def _outlook(self, use: Use, facts: Facts, window: Window) -> _Outlook:
        days = np.arange(window.first_day, window.last_day + 1)
        since = np.maximum(_begun_on(facts, days), days - self.reach_days)
        meter = self._meter(use, facts, days)
        since = np.where(np.isnan(meter.total), since, days - _OVERDUE_DAYS)
        used = np.where(np.isnan(meter.total), use.between(since, days), meter.past_mark)
        blocks = _blocks(use, days, self.reach_days)
        enough = (~np.isnan(blocks)).sum(axis=0) >= _FEWEST_BLOCKS
        slow, rate, fast = (
            np.where(enough, np.nan_to_num(part), 0.0) / _BLOCK_DAYS for part in _quartiles(blocks)
        )
        is_near = used + rate * self.ahead_days >= self.every
        holds = is_near | (used >= self.every)
        return _Outlook(since, used, slow, rate, fast, holds, meter.total)

    def _meter(self, use: Use, facts: Facts, days: Days) -> _Meter:
        """What the meter says, where it is what counts; a changed module has its own marks."""
        series = facts.days[self.metric]
        served = np.array(_service_days(facts), dtype=np.int64)
        counts = self.by_meter & (np.searchsorted(served, days, side="right") == 0)
        total = np.where(counts, _reading(series, days), np.nan)
        begun_on = facts.device.in_service_on
        first_day = max(int(series.day[0]), begun_on.toordinal() if begun_on else 0)
        before = _reading(series, np.maximum(days - _OVERDUE_DAYS, first_day))
        is_swapped = use.swap_n_between(days - _OVERDUE_DAYS, days) > 0
        mark = np.floor(np.where(is_swapped, total, before) / self.every) * self.every
        return _Meter(total, np.maximum(total - mark, 0.0))

    def _judge(
        self, rule: Rule, use: Use, outlook: _Outlook, first_day: int, served: set[int]
    ) -> Callable[[int, bool], Verdict | None]:
        def judge(day: int, was_on: bool) -> Verdict | None:
            index = day - first_day
            stays = was_on and day not in served
            if not (outlook.holds[index] or stays):
                return None
            swaps = use.swaps_between(int(outlook.since[index]), day)
            return self._verdict(rule, day, outlook.on(index), swaps)

        return judge

    def _verdict(self, rule: Rule, day: int, at: _Status, swaps: int) -> Verdict:
        left = max(0.0, self.every - at.used)
        due = _due_days(left, at)
        measures = {} if at.meter is None else {f"meter_{self.metric}": at.meter}
        measures |= {
            f"used_{self.metric}": at.used,
            f"every_{self.metric}": self.every,
            f"daily_{self.metric}": at.rate,
            "swap_count": float(swaps),
        }
        if due is not None:
            measures |= {"earliest_d": float(due[0]), "latest_d": float(due[1])}
        return Verdict(
            said=self._said(rule, day, at, due),
            confidence=0.95 if not left else 0.8,
            points=(Point(day_starts_at(day + 1), self.metric, at.used),),
            measures=tuple(measures.items()),
            ruled_out=(_SWAPPED,) if swaps else (),
        )

    def _said(self, rule: Rule, day: int, at: _Status, due: tuple[int, int] | None) -> Said:
        daily = quantity(self.metric, at.rate)
        when, read = _when(day, due), self._read(day, at)
        return Said(
            title=Both(f"{rule.title.sv}: {when.sv}", f"{rule.title.en}: {when.en}"),
            happened=Both(
                f"{read.sv}. Vanlig användning är {daily.sv} om dagen.",
                f"{read.en}. Usual use is {daily.en} a day.",
            ),
            action=rule.asks.action or _SERVICE,
            user=_USER,
        )

    def _read(self, day: int, at: _Status) -> Both:
        """What was used, and of how much: since a day, or by the meter."""
        sv, en = (capitalised(named(self.metric, lang)) for lang in ("sv", "en"))
        every = quantity(self.metric, self.every)
        if at.meter is not None:
            meter = quantity(self.metric, at.meter)
            return Both(
                f"{sv} enligt mätaren: {meter.sv}. Serviceintervallet är {every.sv}, "
                "och ingen service finns noterad här",
                f"{en} by the meter: {meter.en}. The service interval is {every.en}, "
                "and no service has been noted here",
            )
        since, year = date.fromordinal(max(1, at.since)), date.fromordinal(day).year
        used = quantity(self.metric, at.used)
        return Both(
            f"{sv} sedan {spoken_date(since, 'sv', year)}: {used.sv}. "
            f"Service ska göras efter {every.sv}",
            f"{en} since {spoken_date(since, 'en', year)}: {used.en}. "
            f"Service is due after {every.en}",
        )


class _Meter(NamedTuple):
    """By day: the reading, NaN where it is not what counts, and how far it is past its mark."""

    total: Floats
    past_mark: Floats


def _reading(series: DaySeries, days: Days) -> Floats:
    """The last reading up to each day; NaN before the first."""
    place = np.searchsorted(series.day, days, side="right") - 1
    found: Floats = np.where(place >= 0, series.last[np.maximum(place, 0)], np.nan)
    return found


class _Status(NamedTuple):
    """One day of an outlook. Rates are by day, in the metric's own unit."""

    since: int
    used: float
    slow: float
    rate: float
    fast: float
    meter: float | None = None


class _Outlook(NamedTuple):
    """For each day of the window: since when, how much, how fast, and whether service is near."""

    since: Days
    used: Floats
    slow: Floats
    rate: Floats
    fast: Floats
    holds: NDArray[np.bool_]
    meter: Floats

    def on(self, index: int) -> _Status:
        meter = float(self.meter[index])
        return _Status(
            int(self.since[index]),
            float(self.used[index]),
            float(self.slow[index]),
            float(self.rate[index]),
            float(self.fast[index]),
            None if np.isnan(meter) else meter,
        )


def _blocks(use: Use, days: Days, reach_days: int) -> Floats:
    """The use in each of the last weeks, by day; NaN where nothing is known that far back."""
    found = []
    for number in range(_BLOCK_N):
        upto = days - _BLOCK_DAYS * number
        after = upto - _BLOCK_DAYS
        known = use.has_reading(days - reach_days - 1, after)
        found.append(np.where(known, use.between(after, upto), np.nan))
    return np.array(found)


def _quartiles(blocks: Floats) -> Sequence[Floats]:
    """The quartiles of each column, where it has enough values; else NaN."""
    ordered = np.sort(blocks, axis=0)
    count = (~np.isnan(blocks)).sum(axis=0)
    columns = np.arange(blocks.shape[1])
    last = np.maximum(count - 1, 0)
    return [ordered[np.rint(last * share).astype(np.int64), columns] for share in (0.25, 0.5, 0.75)]


def _due_days(left: float, at: _Status) -> tuple[int, int] | None:
    """In how many days the rest is used up, at the fast and at the slow pace; None: now."""
    if left <= 0 or at.rate <= 0:
        return None
    return int(left / at.fast), -int(-left // (at.slow or at.rate))


def _when(day: int, due: tuple[int, int] | None) -> Both:
    if due is None:
        return Both("dags nu", "due now")
    today = date.fromordinal(day)
    first, last = (today + timedelta(days=min(days_n, 3650)) for days_n in due)
    return Both(
        f"dags troligen {spoken_interval(first, last, 'sv', today.year)}",
        f"probably due {spoken_interval(first, last, 'en', today.year)}",
    )


def _service_days(facts: Facts) -> list[int]:
    """The local days of service, ascending."""
    cause = str(Component.SERVICE)
    return sorted(day_of(repair.solved_at) for repair in facts.repairs if repair.cause == cause)


def _begun_on(facts: Facts, days: Days) -> Days:
    """For each day, the last service up to it, or else when the device came into service."""
    in_service_on = facts.device.in_service_on
    earliest = in_service_on.toordinal() if in_service_on else 0
    starts = np.array([earliest, *_service_days(facts)], dtype=np.int64)
    newest: Days = starts[np.searchsorted(starts[1:], days, side="right")]
    return np.maximum(newest, earliest)


_SERVICE: Final = Both(
    "Gör förebyggande underhåll enligt tillverkarens serviceschema.",
    "Do preventive maintenance by the maker's schedule.",
)
_USER: Final = Both(
    "Det börjar bli dags för service av ditt hjälpmedel. Du kan använda det som vanligt. "
    "Vi hör av oss om tid.",
    "Your device is soon due for service. You can use it as usual. We will contact you for a time.",
)
_SWAPPED: Final = Both(
    "Räknaren gick tillbaka eller hoppade: en modul är troligen bytt. Det räknas inte som slitage.",
    "The counter went back or leapt: a module has probably been changed. That is not wear.",
)


class Cycle(NamedTuple):
    """A length on the calendar: of months, or of days."""

    months: int
    days: int

    @property
    def spoken(self) -> Both:
        number = self.months or self.days
        sv, en = ("månad", "months") if self.months else ("dag", "days")
        ending = "a" if number % 10 in {1, 2} and number % 100 not in {11, 12} else "e"
        return Both(f"var {number}:{ending} {sv}", f"every {number} {en}")

    def after(self, start: date, number: int = 1) -> date:
        """The day `number` lengths after `start`; the last of a month where it is shorter."""
        if self.days:
            return start + timedelta(days=number * self.days)
        year, month = divmod(start.year * 12 + start.month - 1 + number * self.months, 12)
        return date(year, month + 1, min(start.day, monthrange(year, month + 1)[1]))

    def passed(self, start: date, day: date) -> int:
        """How many whole lengths lie between `start` and the day before `day`."""
        about_days = self.days or self.months * 31
        number = max(0, (day - start).days // about_days - 1)
        while self.after(start, number + 1) < day:
            number += 1
        return number


@dataclass(frozen=True, slots=True)
class ByDate:
    """`every` has passed since the last service, or will have within `ahead`.

    Where no service is known it is due on each anniversary of the day the device came into
    service: older service was done before anybody kept a record here. Held until the service.
    """

    every: Cycle
    ahead_days: int

    @property
    def needs(self) -> Needs:
        return Needs(repairs=True)

    def evaluate(self, rule: Rule, facts: Facts, window: Window) -> list[Finding]:
        served = _service_days(facts)
        in_service_on = facts.device.in_service_on
        if in_service_on is None and not served:
            return []

        def judge(day: int, was_on: bool) -> Verdict | None:
            due = self._due_on(in_service_on, served, day, was_on=was_on)
            is_due = due is not None and due.toordinal() - self.ahead_days <= day
            return self._verdict(rule, day, due) if due is not None and is_due else None

        return fold_days(rule, "service", window, judge)

    def _due_on(
        self, in_service_on: date | None, served: Sequence[int], day: int, *, was_on: bool
    ) -> date | None:
        """When service is due, or was, as seen on `day`; None: nobody can tell."""
        before = [date.fromordinal(service) for service in served if service <= day]
        if before and (in_service_on is None or before[-1] >= in_service_on):
            return self.every.after(before[-1])
        if in_service_on is None or in_service_on.toordinal() > day:
            return None
        passed_n = self.every.passed(in_service_on, date.fromordinal(day))
        coming = self.every.after(in_service_on, passed_n + 1)
        if was_on and passed_n and coming.toordinal() - self.ahead_days > day:
            return self.every.after(in_service_on, passed_n)
        return coming

    def _verdict(self, rule: Rule, day: int, due: date) -> Verdict:
        year = date.fromordinal(day).year
        left = due.toordinal() - day
        every = self.every.spoken
        sv, en = spoken_date(due, "sv", year), spoken_date(due, "en", year)
        said = Said(
            title=Both(f"{rule.title.sv}: senast {sv}", f"{rule.title.en}: by {en}"),
            happened=Both(
                f"Service ska göras {every.sv}, den här gången senast {sv}.",
                f"Service is due {every.en}, this time by {en}.",
            ),
            action=rule.asks.action or _SERVICE,
            user=_USER,
        )
        return Verdict(said, confidence=0.95, measures=(("due_in_d", float(left)),))


_CYCLE: Final = re.compile(r"\s*([0-9]{1,3})\s*(\w+)\s*")
_MOST: Final[Mapping[str, int]] = {"months": 12, "d": 366}


@dataclass(frozen=True, slots=True)
class Calendar(Parameter):
    """A length on the calendar, at most a year: service longer ago is not remembered."""

    @property
    def written(self) -> str:
        return '"1 months"–"12 months", or "1 d"–"366 d"'

    def read(self, value: object, given: Mapping[str, Any]) -> Cycle:  # noqa: ARG002
        match = _CYCLE.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise ParameterError(f"{value!r} has no number with a unit", 'Write it as "12 months"')
        number, unit = int(match[1]), match[2]
        if unit not in _MOST:
            raise ParameterError(f"unknown unit of time {unit!r}", suggestion(unit, _MOST))
        if not 1 <= number <= _MOST[unit]:
            raise ParameterError(f"{value!r} is out of range", f"Write {self.written}")
        return Cycle(number, 0) if unit == "months" else Cycle(0, number)


def _build(values: Mapping[str, Any]) -> Condition:
    metric, every, date_every = values["metric"], values["every"], values["date_every"]
    ahead_days = -(-values["ahead"] // _DAY)
    if (metric is None) == (date_every is None) or (metric is None) != (every is None):
        raise ParameterError(
            "service is due by use or by date", "Give metric and every, or date_every alone"
        )
    if values["by_meter"] and metric is None:
        raise ParameterError("by_meter needs a meter", "Give metric and every, or remove by_meter")
    if date_every is not None:
        if (date_every.days or 28 * date_every.months) <= ahead_days:
            raise ParameterError("ahead is as long as date_every", "Shorten ahead")
        return ByDate(date_every, ahead_days)
    if every <= 0:
        raise ParameterError("every is not above zero", "Write the use between two services")
    if ahead_days >= values["reach"] // _DAY:
        raise ParameterError("ahead is as long as reach", "Shorten ahead")
    return ByUse(metric, every, ahead_days, values["reach"] // _DAY, values["by_meter"])


KIND: Final = Kind(
    name="usage",
    purpose=(
        "Service is due, by what a counter says was used since the last one or by date, told some "
        "time before with the interval in which it will be. A counter that fell or leapt belongs "
        "to a changed module and orders nothing."
    ),
    source=(
        "The rate is the median of eight weeks and its interval their quartiles: ours, without a "
        "source; to be tuned on recorded fleets. The length between services comes from the rule."
    ),
    parameters=(
        MetricName("metric", "The counter of what is used.", default=None, kind=MetricKind.COUNTER),
        Value("every", "How much of it between two services.", default=None),
        Calendar("date_every", "Instead of a counter: how long between services.", default=None),
        Duration(
            "ahead",
            "How long before it is due it is told.",
            default=30 * _DAY,
            high=180 * _DAY,
        ),
        Duration(
            "reach",
            "Use longer ago than this does not count; pair it with a service by date.",
            default=400 * _DAY,
            low=70 * _DAY,
        ),
        Flag(
            "by_meter",
            "Where no service is known, it is due at each multiple of `every` on the meter.",
            default=False,
        ),
    ),
    build=_build,
)
