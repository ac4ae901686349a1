"""A rule: who it covers, what it looks for, and what a finding of it asks for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from fleet.rules.facts import DeviceProfile, Facts, day_closes_at, day_starts_at
from fleet.rules.findings import Both, Finding, Need, Point, Said
from fleet.ticket_states import OrderKind
from fleet.words import Component, DeviceClass, Fixer, Severity, Usability


@dataclass(frozen=True, slots=True)
class Needs:
    """What must be loaded for a rule.

    Attributes:
        episodes: reported faults. metrics: days of these metrics. samples: raw samples of these,
            in hours whose lowest or highest value is beyond `bounds`.
        bounds: metric -> (low, high), either None: which hours are suspicious.
        lookback_days: how far before the first decision data matters. metric_days: the same for
            each metric, where rules that reach back differently are loaded together.
        contact: the device's rhythm. repairs: solved tickets.
    """

    episodes: bool = False
    metrics: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    bounds: tuple[tuple[str, float | None, float | None], ...] = ()
    lookback_days: int = 0
    metric_days: tuple[tuple[str, int], ...] = ()
    contact: bool = False
    repairs: bool = False
    fleet: bool = False

    def days_back(self, metric: str) -> int:
        """How many days before the window a metric is needed."""
        return dict(self.metric_days).get(metric, self.lookback_days)

    @property
    def on_agenda(self) -> bool:
        """True if it looks at metrics, contact or repairs, and so waits for a day to close."""
        return bool(self.metrics or self.samples or self.contact or self.repairs)


@dataclass(frozen=True, slots=True)
class Window:
    """What to decide anew: everything from `from_at` on, and the closed local days in it.

    A finding that began before `from_at` and still held then is never in the window: whoever
    builds one moves `from_at` back to where such a finding began.
    """

    from_at: datetime
    first_day: int
    last_day: int

    @property
    def days(self) -> range:
        return range(self.first_day, self.last_day + 1)


class Condition(Protocol):
    """What a rule looks for. A frozen object with its parameters; one pure method."""

    @property
    def needs(self) -> Needs: ...

    def evaluate(self, rule: Rule, facts: Facts, window: Window) -> list[Finding]:
        """Everything that holds in the window, from where it began."""
        ...


@dataclass(frozen=True, slots=True)
class Asks:
    """What a finding of the rule says of the work, where the condition does not know better.

    `None` for severity, usability, fixer, component: taken from the fault's catalogue entry.
    """

    severity: Severity | None = None
    usability: Usability | None = None
    fixer: Fixer | None = None
    component: Component | None = None
    order: OrderKind | None = None
    action: Both | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule file, read and checked.

    Attributes:
        device_classes, models: who is covered; empty: everybody.
        care: looks at patient values and routes to care, never to a repair.
        max_day_share: it may not be enabled if it would open tickets for more than this share
            of the devices it covers on any one day.
    """

    id: str
    version: int
    kind: str
    title: Both
    why: Both
    source: str
    source_url: str | None
    device_classes: frozenset[DeviceClass]
    models: frozenset[str]
    care: bool
    max_day_share: float
    asks: Asks
    condition: Condition

    def covers(self, device: DeviceProfile) -> bool:
        if self.device_classes and device.device_class not in self.device_classes:
            return False
        return not self.models or device.model_id in self.models


@dataclass(frozen=True, slots=True)
class Verdict:
    """That a rule's condition holds on one day."""

    said: Said
    confidence: float
    points: Sequence[Point] = ()
    measures: tuple[tuple[str, float], ...] = ()
    ruled_out: Sequence[Both] = ()


DayJudge = Callable[[int, bool], Verdict | None]
"""Decide one local day: (day ordinal, did it hold on the last decided day) -> verdict."""


def fold_days(
    rule: Rule, about: str, window: Window, judge: DayJudge, decided: Iterable[int] | None = None
) -> list[Finding]:
    """Runs of days on which `judge` says yes, as findings. The last verdict of a run speaks.

    Args:
        decided: the days that have something to decide on, ascending; others keep the state.
    """
    runs = list(_runs(window.days if decided is None else decided, judge))
    return [_day_finding(rule, about, *run) for run in runs]


def _runs(
    days: Iterable[int], judge: DayJudge
) -> Iterator[tuple[int, int, int | None, int, Verdict]]:
    """(first day, last day, day it ended or None, number of days, last verdict) of each run."""
    first: int | None = None
    last = held_n = 0
    verdict: Verdict | None = None
    for day in days:
        new = judge(day, first is not None)
        if new is not None:
            first, last, held_n, verdict = first or day, day, held_n + 1, new
        elif first is not None:
            assert verdict is not None
            yield first, last, day, held_n, verdict
            first, held_n, verdict = None, 0, None
    if first is not None:
        assert verdict is not None
        yield first, last, None, held_n, verdict


def _day_finding(  # noqa: PLR0913, PLR0917 - the fields of a run
    rule: Rule,
    about: str,
    first: int,
    last: int,
    ended: int | None,
    held_n: int,
    verdict: Verdict,
) -> Finding:
    asks = rule.asks
    component = asks.component or Component.UNKNOWN
    return Finding(
        rule_id=rule.id,
        rule_version=rule.version,
        about=about,
        cause=cause_of_rule(rule),
        need=Need.CARE if rule.care else Need.TICKET,
        severity=asks.severity or Severity.MINOR,
        usability=asks.usability or Usability.USABLE,
        fixer=asks.fixer or Fixer.TECHNICIAN,
        component=component,
        order=asks.order,
        started_at=day_starts_at(first),
        last_at=day_starts_at(last + 1),
        ended_at=None if ended is None else day_starts_at(last + 1),
        known_at=day_closes_at(first),
        confidence=verdict.confidence,
        occurrence_n=held_n,
        said=verdict.said,
        points=verdict.points,
        measures=dict(verdict.measures),
        ruled_out=verdict.ruled_out,
    )


def cause_of_rule(rule: Rule) -> str:
    """What a ticket of the rule is about: the component it names, else the rule itself."""
    component = rule.asks.component
    if component is None or component is Component.UNKNOWN:
        return f"rule:{rule.id}"
    return str(component)
