"""One model, batch or firmware that faults above its peers: a matter for the supplier. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, NamedTuple

from fleet.faults import load_catalogue
from fleet.models import load_models
from fleet.rules.facts import Facts, day_closes_at, day_starts_at
from fleet.rules.findings import NOTHING, Both, Finding, Need, Said
from fleet.rules.kind import Kind
from fleet.rules.parameters import Duration, Number, Whole
from fleet.rules.rule import Needs, Rule, Window
from fleet.rules.statistics import holm, hypergeometric_tail, number, wilson
from fleet.ticket_states import OrderKind
from fleet.words import Component, DeviceClass, Fixer, Severity, Usability, label

DAY: Final = timedelta(days=1)

_KEEP: Final = 10.0
"""A group that was found is kept until its chance is this much above the limit, so that a
ticket does not come and go with one device. Ours, without a source."""


_BLAMED: Final = 0.01
"""Highest chance at which a batch or firmware, and not its whole model, is to blame. No more than
one question about a group that stands out already, so it is not divided among all comparisons:
held to those, a bad batch of 20 would have to fault on most of its devices. But a model has half
a dozen batches and versions to ask about: at one in twenty it would blame one of them too often."""


_MODEL_SHARE: Final = 0.2
"""Which part of a whole model must have faulted. Models differ in what they can report, in who
uses them and in their age, so that "more than other models" alone is no defect. Ours."""

_NO_OTHER_NAME: Final = 0.01
"""Highest chance at which a whole model faults more than others do, whatever the part. What one
maker's table calls the power module another's calls the bus: a model that only names its faults
differently is no worse than the rest. Ours; one question, as above."""


class FleetDevice(NamedTuple):
    device_no: int
    tenant_id: str
    model_id: str
    firmware: str | None
    batch: str | None
    device_class: DeviceClass


@dataclass(frozen=True, slots=True)
class FleetFacts:
    """All devices of one tenant, and which of them faulted.

    Attributes:
        day: the closed local day that is decided, as an ordinal.
        faulted: component -> devices that it faulted on within `Fleet.window` up to `day`.
        held: (subject, component) -> since when, for the groups that were found the day before.
    """

    day: int
    devices: Sequence[FleetDevice]
    faulted: Mapping[str, frozenset[int]]
    held: Mapping[tuple[str, str], datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GroupFinding:
    """A finding about a group. `device_nos` are its devices that faulted: the singles."""

    subject: str
    finding: Finding
    device_nos: tuple[int, ...]


class _Group(NamedTuple):
    """`parent` None for a model, else the model that the firmware or batch belongs to."""

    subject: str
    parent: str | None
    device_class: DeviceClass
    device_nos: frozenset[int]

    @property
    def class_subject(self) -> str:
        return _class_subject(self.device_class)

    @property
    def model_id(self) -> str:
        return (self.parent or self.subject).removeprefix("model:")


def _class_subject(device_class: DeviceClass) -> str:
    return f"class:{device_class}"


@cache
def can_report(model_id: str, component: str) -> bool:
    """False if no code of the model is about the component: it cannot be a peer there.

    A scooter has one `motor` where other chairs have a left and a right one. A model that is not
    in the catalogue may report anything.
    """
    model = load_models().get(model_id)
    if model is None:
        return True
    codes = (fault for fault in load_catalogue() if fault.system in model.fault_systems)
    return any(str(fault.component) == component for fault in codes)


class _Count(NamedTuple):
    """Faulted and all devices, of the group and of its peers."""

    hit_n: int
    group_n: int
    peer_hit_n: int
    peer_n: int

    @property
    def chance(self) -> float:
        """The chance of so many faulted, if the group were drawn blindly from all."""
        return hypergeometric_tail(
            self.hit_n, self.group_n, self.hit_n + self.peer_hit_n, self.group_n + self.peer_n
        )

    @property
    def ratio(self) -> float:
        """How many times likelier than a peer, with a peer that never faulted counted as half."""
        return self.hit_n / self.group_n / (max(self.peer_hit_n, 0.5) / self.peer_n)


class _Suspect(NamedTuple):
    group: _Group
    component: str
    tally: _Count
    chance: float


class _Day(NamedTuple):
    """What one component's groups are judged by on one day."""

    census: Census
    component: str
    hits: Counter[str]
    of_any_part: Counter[str]
    held: Mapping[tuple[str, str], datetime]

    def slack(self, group: _Group) -> float:
        """A group that was found is kept by a milder limit."""
        return _KEEP if (group.subject, self.component) in self.held else 1.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """A group faults at a rate that chance does not explain, after all comparisons of the day.

    A firmware or batch must stand out from its class, and `_BLAMED` settles whether it or the
    whole model is to blame; a model must stand out whatever its makers call the part, and still
    do so without the firmware and batches that explain it.
    """

    window: timedelta
    chance: float
    min_devices: int
    min_faulted: int
    min_ratio: float

    @property
    def needs(self) -> Needs:
        return Needs(fleet=True, lookback_days=self.window // DAY)

    def evaluate(self, rule: Rule, facts: Facts, window: Window) -> list[Finding]:  # noqa: ARG002
        """Nothing: one device alone has no peers. See `group_findings`."""
        return []

    def suspects(self, facts: FleetFacts, census: Census | None = None) -> list[_Suspect]:
        """Groups beyond chance, each component blamed on what explains it most specifically.

        Args:
            census: that of `facts.devices`, if somebody has made it already.
        """
        census = census or Census(facts.devices)
        likely, comparison_n = self._compared(census, facts)
        adjusted = holm([one.chance for one in likely], comparison_n)
        found = [
            one._replace(chance=chance)
            for one, chance in zip(likely, adjusted, strict=True)
            if chance <= self.chance * (_KEEP if _key(one) in facts.held else 1)
        ]
        return self._explained(found, census, facts, comparison_n)

    def _compared(self, census: Census, facts: FleetFacts) -> tuple[list[_Suspect], int]:
        """What may be significant, and how many comparisons the day has.

        What has too few faults is compared too: it only cannot win.
        """
        large = [group for group in census.groups if census.is_large(group, self.min_devices)]
        of_any_part = census.hits(frozenset().union(*facts.faulted.values()))
        likely, comparison_n = [], 0
        for component, faulted in facts.faulted.items():
            day = _Day(census, component, census.hits(faulted), of_any_part, facts.held)
            known = [
                group
                for group in large
                if day.hits[group.class_subject] and can_report(group.model_id, component)
            ]
            comparison_n += len(known)
            for group in known:
                if day.hits[group.subject] >= self.min_faulted:
                    tally = census.count(group, component, day.hits)
                    likely.append(
                        _Suspect(group, component, tally, self._chance(group, tally, day))
                    )
        return [one for one in likely if one.chance <= self.chance * _KEEP], comparison_n

    def _chance(self, group: _Group, count: _Count, day: _Day) -> float:
        """Against its class, if it may be blamed at all."""
        if count.peer_n < self.min_devices or not self._is_much(count):
            return 1.0
        if group.parent is None:
            is_blamed = self._is_bad_model(group, count, day)
        else:
            is_blamed = self._is_bad_part(group, day)
        return count.chance if is_blamed else 1.0

    def _is_bad_model(self, group: _Group, count: _Count, day: _Day) -> bool:
        """A good share of it has the fault, and it has more faults than others altogether."""
        altogether = day.census.among_class(group, day.of_any_part)
        limit = _NO_OTHER_NAME * day.slack(group)
        return count.hit_n >= _MODEL_SHARE * count.group_n and altogether.chance <= limit

    def _is_bad_part(self, group: _Group, day: _Day) -> bool:
        """A part of a model must stand out from the rest of the model too."""
        siblings = day.census.siblings(group, day.hits)
        is_much = self._is_much(siblings) and siblings.chance <= _BLAMED * day.slack(group)
        return siblings.peer_n >= self.min_devices and is_much

    def _is_much(self, count: _Count) -> bool:
        if min(count.group_n, count.peer_n) == 0 or count.hit_n < self.min_faulted:
            return False
        return count.ratio >= self.min_ratio

    def _explained(
        self, found: Iterable[_Suspect], census: Census, facts: FleetFacts, comparison_n: int
    ) -> list[_Suspect]:
        """Without groups that stand out only through a smaller one that was found already.

        What is left of them is one more comparison among all, and no easier to blame. What was
        found the day before explains first: a ticket is open about it.
        """
        kept: list[_Suspect] = []
        for one in sorted(found, key=lambda one: (_key(one) not in facts.held, *_specific(one))):
            gone = [k.group.device_nos for k in kept if k.component == one.component]
            rest = facts.faulted[one.component].difference(*gone)
            hits = census.hits(rest)
            count = census.count(one.group, one.component, hits, frozenset().union(*gone))
            is_left = count.group_n > 0 and self._is_much(count)
            if not gone or (is_left and count.chance * comparison_n <= self.chance):
                kept.append(one)
        return sorted(kept, key=lambda one: (one.component, one.group.subject))


def _key(one: _Suspect) -> tuple[str, str]:
    return one.group.subject, one.component


def _specific(one: _Suspect) -> tuple[bool, float, str, str]:
    """By this a batch or firmware comes before its model."""
    return one.group.parent is None, one.chance, one.group.subject, one.component


class Census:
    """Who belongs where; made once a day, then counted for each component."""

    def __init__(self, devices: Sequence[FleetDevice]) -> None:
        members: dict[tuple[str, str | None, DeviceClass], set[int]] = {}
        self._subjects: dict[int, tuple[str, ...]] = {}
        for device in devices:
            named = list(_subjects(device))
            whole = _class_subject(device.device_class)
            self._subjects[device.device_no] = (whole, *(subject for subject, _ in named))
            for subject, parent in named:
                key = (subject, parent, device.device_class)
                members.setdefault(key, set()).add(device.device_no)
        self.groups = [
            _Group(*key, frozenset(nos)) for key, nos in sorted(members.items(), key=str)
        ]
        self._models = [group for group in self.groups if group.parent is None]
        self._sizes: Counter[str] = Counter()
        for subjects in self._subjects.values():
            self._sizes.update(subjects)

    def is_large(self, group: _Group, least_n: int) -> bool:
        """True if the group and its peers are enough to compare."""
        group_n = self._sizes[group.subject]
        return group_n >= least_n and self._sizes[group.class_subject] - group_n >= least_n

    def hits(self, faulted: Iterable[int]) -> Counter[str]:
        """Faulted devices by class and by group."""
        hits: Counter[str] = Counter()
        for device_no in faulted:
            hits.update(self._subjects.get(device_no, ()))
        return hits

    def count(
        self,
        group: _Group,
        component: str,
        hits: Counter[str],
        without: frozenset[int] = frozenset(),
    ) -> _Count:
        """The group against its class, both without some devices that are explained already.

        Of the class only those count that can report the component at all.
        """
        gone = Counter[str]()
        for device_no in without:
            gone.update(self._subjects[device_no])
        gone[group.class_subject] += self._unable(group.device_class, component)
        return self._against(group.subject, group.class_subject, hits, gone)

    def _unable(self, device_class: DeviceClass, component: str) -> int:
        return sum(
            self._sizes[group.subject]
            for group in self._models
            if group.device_class is device_class and not can_report(group.model_id, component)
        )

    def among_class(self, group: _Group, hits: Counter[str]) -> _Count:
        """The group against its whole class, able to report a part or not."""
        return self._against(group.subject, group.class_subject, hits, Counter())

    def siblings(self, group: _Group, hits: Counter[str]) -> _Count:
        """The group against the rest of its own model."""
        assert group.parent is not None
        return self._against(group.subject, group.parent, hits, Counter())

    def _against(self, subject: str, whole: str, hits: Counter[str], gone: Counter[str]) -> _Count:
        group_n = self._sizes[subject] - gone[subject]
        whole_n = self._sizes[whole] - gone[whole]
        return _Count(hits[subject], group_n, hits[whole] - hits[subject], whole_n - group_n)


def _subjects(device: FleetDevice) -> Iterator[tuple[str, str | None]]:
    """The groups of a device with their parents: a firmware is one of a model."""
    model = f"model:{device.model_id}"
    yield model, None
    if device.firmware:
        yield f"{model}/firmware:{device.firmware}", model
    if device.batch:
        yield f"{model}/batch:{device.batch}", model


def family_of(subject: str) -> str:
    """The model that a group belongs to, `model:M` for `model:M/batch:B`; other subjects stay.

    What one maker's model has wrong in one part is one matter for the supplier, whether its
    firmware, a batch or the whole model turns out to be behind it.
    """
    return subject.partition("/")[0] if subject.startswith("model:") else subject


def group_findings(rule: Rule, facts: FleetFacts) -> list[GroupFinding]:
    """What the rule concludes of one tenant's fleet on one closed day.

    What was found the day before begins when it began then (`FleetFacts.held`), and is kept by a
    milder limit; what is no longer in the result has ended.
    """
    condition = rule.condition
    assert isinstance(condition, Fleet)
    covered = [device for device in facts.devices if _covers(rule, device)]
    known = frozenset(device.device_no for device in covered)
    faulted = {name: nos & known for name, nos in sorted(facts.faulted.items())}
    narrowed = FleetFacts(facts.day, covered, faulted, facts.held)
    return [_group_finding(rule, narrowed, one) for one in condition.suspects(narrowed)]


def _covers(rule: Rule, device: FleetDevice) -> bool:
    if rule.device_classes and device.device_class not in rule.device_classes:
        return False
    return not rule.models or device.model_id in rule.models


def _group_finding(rule: Rule, facts: FleetFacts, one: _Suspect) -> GroupFinding:
    subject, component = one.group.subject, Component(one.component)
    started_at = facts.held.get((subject, one.component), day_starts_at(facts.day))
    asks = rule.asks
    finding = Finding(
        rule_id=rule.id,
        rule_version=rule.version,
        about=one.component,
        cause=one.component,
        need=Need.TICKET,
        severity=asks.severity or Severity.MAJOR,
        usability=asks.usability or Usability.DEGRADED,
        fixer=asks.fixer or Fixer.SUPPLIER,
        component=component,
        order=asks.order or OrderKind.SUPPLIER,
        started_at=started_at,
        last_at=day_starts_at(facts.day + 1),
        ended_at=None,
        known_at=max(started_at, day_closes_at(facts.day)),
        confidence=round(1 - one.chance, 4),
        said=_said(rule, one, component),
        occurrence_n=one.tally.hit_n,
        measures=_measures(one),
    )
    hit = facts.faulted[one.component] & one.group.device_nos
    return GroupFinding(subject, finding, tuple(sorted(hit)))


def _measures(one: _Suspect) -> dict[str, float]:
    count = one.tally
    group, peers = wilson(count.hit_n, count.group_n), wilson(count.peer_hit_n, count.peer_n)
    return {
        "faulted_n": float(count.hit_n),
        "group_n": float(count.group_n),
        "peer_faulted_n": float(count.peer_hit_n),
        "peer_n": float(count.peer_n),
        "rate": count.hit_n / count.group_n,
        "rate_low": group.low,
        "rate_high": group.high,
        "peer_rate": count.peer_hit_n / count.peer_n,
        "peer_rate_low": peers.low,
        "peer_rate_high": peers.high,
        "chance": one.chance,
    }


def _said(rule: Rule, one: _Suspect, component: Component) -> Said:
    name, part = _name(one.group.subject), Both(label(component, "sv"), label(component, "en"))
    title = Both(
        f"{name.sv}: fler fel än väntat, {part.sv}",
        f"{name.en}: more faults than expected, {part.en}",
    )
    return Said(title, _happened(one), rule.asks.action or _ACTION, NOTHING)


def _name(subject: str) -> Both:
    """`permobil-m3, tillverkningsserie 2207`."""
    words = {
        "model": Both("", ""),
        "firmware": Both("programversion ", "firmware "),
        "batch": Both("tillverkningsserie ", "production batch "),
    }
    parts = [part.partition(":") for part in subject.split("/")]
    return Both(
        ", ".join(words[key].sv + value for key, _, value in parts),
        ", ".join(words[key].en + value for key, _, value in parts),
    )


def _happened(one: _Suspect) -> Both:
    count, measures = one.tally, _measures(one)
    names = ("rate", "rate_low", "rate_high", "peer_rate", "peer_rate_low", "peer_rate_high")
    rate, low, high, other, other_low, other_high = (
        number(100 * measures[name], 1) for name in names
    )
    hit, of_n = number(count.hit_n), number(count.group_n)
    return Both(
        f"{hit.sv} av {of_n.sv} har haft felet: {rate.sv}\u00a0% (mellan {low.sv} och "
        f"{high.sv}\u00a0%), mot {other.sv}\u00a0% (mellan {other_low.sv} och "
        f"{other_high.sv}\u00a0%) av övriga. Slumpen ger detta högst "
        f"en gång på {_once_in(one.chance).sv} jämförda dagar.",
        f"{hit.en} of {of_n.en} have had the fault: {rate.en}% (between {low.en} and {high.en}%), "
        f"against {other.en}% (between {other_low.en} and {other_high.en}%) of the others. Chance "
        f"does this at most once in {_once_in(one.chance).en} days of comparing.",
    )


def _once_in(chance: float) -> Both:
    return number(min(1_000_000, round(1 / max(chance, 1e-9))))


_ACTION: Final = Both(
    "Skicka underlaget till leverantören och fråga om en känd brist, en uppdatering eller en "
    "återkallelse. De enskilda ärendena är länkade.",
    "Send the evidence to the supplier and ask for a known defect, an update or a recall. "
    "The single tickets are linked.",
)


def _build(values: Mapping[str, Any]) -> Fleet:
    return Fleet(**values)


KIND: Final = Kind(
    name="fleet",
    purpose=(
        "A model, a firmware of a model or a production batch whose devices fault more often than "
        "their peers of the class, beyond what chance explains over all comparisons of the day."
    ),
    source=(
        "Exact one-sided test: Fisher 1935. All comparisons: Holm 1979, Scand. J. Statist. 6. "
        "Rates: Wilson 1927. Least numbers and ratio: ours, without a source; to be tuned on "
        "recorded fleets."
    ),
    parameters=(
        Duration("window", "Faults of how long count.", 30 * DAY, low=DAY, high=180 * DAY),
        Number(
            "chance", "Highest chance of any false group on one day.", 0.001, low=1e-9, high=0.2
        ),
        Whole("min_devices", "How many devices a group and its peers need.", 10, low=3),
        Whole("min_faulted", "How many of the group must have faulted.", 4, low=2),
        Number("min_ratio", "How many times the rate of its peers.", 2.0, low=1, high=100),
    ),
    build=_build,
)
