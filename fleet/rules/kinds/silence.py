"""No contact for longer than the model and the device's own rhythm explain; and whole groups. Pure.

A finding says that the silence lasts. That it is over is said by its absence: facts know only
the last contact, so once there is a new one, the old silence is in nobody's facts, and whoever
stores findings ends it at that contact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleet.rules.facts import Contact, Facts
from fleet.rules.findings import Both, Finding, Need, Said
from fleet.rules.kind import Kind
from fleet.rules.parameters import Duration, Number, ParameterError
from fleet.rules.rule import Needs, Rule, Window, cause_of_rule
from fleet.rules.statistics import binomial_tail, duration, number
from fleet.rules.wording import moment
from fleet.ticket_states import OrderKind
from fleet.words import Component, DeviceClass, Fixer, Severity, Usability

ABOUT: Final = "contact"

_LEAST_RHYTHM: Final = timedelta(days=7)
"""A shorter history has no weekend in it and says nothing of the rhythm. Ours."""

_LOOK_AGAIN: Final = timedelta(hours=6)
"""How often a silent device is looked at anew: its gateway may be back. Ours."""


class Allowance(NamedTuple):
    """How long a silence is explained, and by what. `usual` None: too short a history."""

    allowed: timedelta
    model: timedelta
    usual: timedelta | None


@dataclass(frozen=True, slots=True)
class Silence:
    """Silent for longer than the model, and `factor` times the device's own usual long silence.

    The usual long silence is the quantile of the device's gaps, each weighed by its own length:
    of all time, this share was spent in gaps no longer. So a chair that is used on weekends only
    has a week's silence as its usual one, and one long holiday counts as well.
    """

    factor: float
    quantile: float
    lookback: timedelta
    at_least: timedelta
    at_most: timedelta
    gateway_silent: timedelta

    @property
    def needs(self) -> Needs:
        """Reaches back from the last contact, which may itself be `at_most` ago."""
        return Needs(contact=True, lookback_days=math.ceil((self.lookback + self.at_most) / _DAY))

    def evaluate(self, rule: Rule, facts: Facts, window: Window) -> list[Finding]:  # noqa: ARG002
        """The silence that lasts at `facts.now`, if it is not explained; it has no other."""
        longest = _of_model(facts)
        contact = facts.contact
        if contact is None or longest is None:
            return []
        silent = facts.now - _silent_from(facts, contact)
        if silent <= max(longest, self.at_least):
            return []
        allowance = self.allowance(contact, longest)
        return [self._finding(rule, facts, allowance)] if silent > allowance.allowed else []

    def allowance(self, contact: Contact, model: timedelta) -> Allowance:
        """Where no rhythm is known yet, it is taken to be used once a week at least."""
        usual = self._usual(contact)
        least = max(model, self.at_least)
        unknown = min(self.factor * least, max(least, _LEAST_RHYTHM))
        wanted = unknown if usual is None else self.factor * usual
        return Allowance(max(least, min(wanted, self.at_most)), model, usual)

    def _usual(self, contact: Contact) -> timedelta | None:
        """The device's own long silence before its last contact; None without a rhythm."""
        hours = np.asarray(contact.active_hours, dtype=np.int64)
        last = contact.last_at.timestamp() / 3600
        hours = hours[np.searchsorted(hours, last - self.lookback / _HOUR) :]
        hours = hours[: np.searchsorted(hours, last, side="right")]
        gaps = np.sort(np.diff(hours))
        total = int(gaps.sum())
        if total * _HOUR < _LEAST_RHYTHM:
            return None
        reached = np.searchsorted(np.cumsum(gaps), self.quantile * total)
        return int(gaps[min(int(reached), len(gaps) - 1)]) * _HOUR

    def _finding(self, rule: Rule, facts: Facts, allowance: Allowance) -> Finding:
        contact = facts.contact
        assert contact is not None
        asks = rule.asks
        from_at = _silent_from(facts, contact)
        due_at = from_at + allowance.allowed
        return Finding(
            rule_id=rule.id,
            rule_version=rule.version,
            about=ABOUT,
            cause=cause_of_rule(rule),
            need=self._need(rule, facts, contact, due_at),
            severity=asks.severity or Severity.MINOR,
            usability=asks.usability or Usability.USABLE,
            fixer=asks.fixer or Fixer.TECHNICIAN,
            component=asks.component or Component.UNKNOWN,
            order=asks.order,
            started_at=contact.last_at,
            last_at=due_at,
            ended_at=None,
            known_at=due_at,
            confidence=0.5 if allowance.usual is None else _sureness(contact),
            said=_said(rule, facts, contact, allowance),
            measures=_measures(facts.now - contact.last_at, allowance),
            ruled_out=_ruled_out(facts, contact, due_at),
        )

    def _need(self, rule: Rule, facts: Facts, contact: Contact, due_at: datetime) -> Need:
        """What is behind a gateway that fell silent before it was missed is no fault of its own."""
        if facts.is_quiet(facts.now):
            return Need.QUIET
        gateway_at = contact.gateway_last_at
        if gateway_at is not None and gateway_at + self.gateway_silent <= facts.now:
            return Need.EXPLAINED if gateway_at <= due_at else Need.TICKET
        return Need.CARE if rule.care else Need.TICKET


_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


def next_check_at(rule: Rule, facts: Facts) -> datetime | None:
    """When the device is to be looked at again if nothing is heard of it.

    None: never, since its silence says nothing, or it was never heard of.
    """
    condition = rule.condition
    longest = _of_model(facts)
    if not isinstance(condition, Silence) or facts.contact is None or longest is None:
        return None
    allowed = condition.allowance(facts.contact, longest).allowed
    due_at = _silent_from(facts, facts.contact) + allowed
    return due_at if due_at >= facts.now else facts.now + _LOOK_AGAIN


def _of_model(facts: Facts) -> timedelta | None:
    model = facts.device.model
    if model is None or model.longest_silence_s is None:
        return None
    return timedelta(seconds=model.longest_silence_s)


def _silent_from(facts: Facts, contact: Contact) -> datetime:
    """From when silence counts: the last contact, or when it came back to its user since."""
    backs = (span.until_at for span in facts.quiet if span.until_at and span.until_at <= facts.now)
    return max([contact.last_at, *backs])


def _sureness(contact: Contact) -> float:
    """By the rule of succession (Laplace): so many weeks, and never silent for this long."""
    weeks = (contact.active_hours[-1] - contact.active_hours[0]) / (7 * 24)
    return round(float((weeks + 1) / (weeks + 2)), 3)


def _measures(silent: timedelta, allowance: Allowance) -> dict[str, float]:
    measures = {
        "silent_s": silent.total_seconds(),
        "allowed_s": allowance.allowed.total_seconds(),
        "model_s": allowance.model.total_seconds(),
    }
    if allowance.usual is not None:
        measures["usual_s"] = allowance.usual.total_seconds()
    return measures


def _ruled_out(facts: Facts, contact: Contact, known_at: datetime) -> tuple[Both, ...]:
    if contact.gateway_last_at is None or facts.device.gateway is None:
        return ()
    at = moment(contact.gateway_last_at, known_at)
    name = facts.device.gateway
    return (
        Both(
            f"Gatewayen {name}: den hördes av senast {at.sv}.",
            f"The gateway {name}: it was last heard from {at.en}.",
        ),
    )


def _said(rule: Rule, facts: Facts, contact: Contact, allowance: Allowance) -> Said:
    last = moment(contact.last_at, _silent_from(facts, contact) + allowance.allowed)
    silent = duration(facts.now - contact.last_at)
    model = duration(allowance.model)
    usual = _usual_said(allowance.usual)
    return Said(
        title=Both(f"Har inte hörts av sedan {last.sv}", f"Not heard from since {last.en}"),
        happened=Both(
            f"Ingen kontakt på {silent.sv}. Modellen är normalt tyst i högst {model.sv}. "
            f"{usual.sv}",
            f"No contact for {silent.en}. The model is normally silent for {model.en} at most. "
            f"{usual.en}",
        ),
        action=rule.asks.action or _ACTION,
        user=_ALARM_USER if facts.device.device_class is DeviceClass.PERSONAL_ALARM else _USER,
    )


def _usual_said(usual: timedelta | None) -> Both:
    if usual is None:
        return Both(
            "Det finns för lite historik för att känna hjälpmedlets egen rytm.",
            "There is too little history to know the device's own rhythm.",
        )
    span = duration(usual)
    return Both(
        f"Just det här hjälpmedlet brukar som längst vara tyst i {span.sv}.",
        f"This device itself is usually silent for {span.en} at the longest.",
    )


_ACTION: Final = Both(
    "Ring användaren. Är hjälpmedlet på, laddat och hemma? Misstänk annars sändaren eller "
    "SIM-kortet.",
    "Call the user. Is the device on, charged and at home? Otherwise suspect the transmitter or "
    "the SIM card.",
)
_USER: Final = Both(
    "Vi har tappat kontakten med ditt hjälpmedel. Det kan vara avstängt eller sakna täckning. "
    "Ring hjälpmedelscentralen om det inte fungerar som det ska. Annars behöver du inte göra "
    "något.",
    "We have lost contact with your device. It may be off or out of coverage. "
    "Call the centre if it does not work as it should. Otherwise you do not need to do anything.",
)
_ALARM_USER: Final = Both(
    "Vi har tappat kontakten med ditt trygghetslarm. Det är inte säkert att det kan larma. "
    "Kontrollera att det är laddat och påslaget, och provlarma om du kan. Ring "
    "hjälpmedelscentralen om du är osäker. Är det fara för liv, ring 112.",
    "We have lost contact with your personal alarm. It may not be able to call for help. "
    "Check that it is charged and switched on, and test it if you can. Call the centre if you "
    "are unsure. If life is in danger, call 112.",
)


Group = tuple[str, str]
"""What silent devices may have in common: ("gateway", "gw-7"), ("area", "Mora")."""

DIMENSIONS: Final = ("gateway", "area", "network", "centre")
CELL: Final = "cell"
"""One network in one area: what a mast serves. An outage is seldom wider, and in the whole area or
the whole network too few are silent to tell."""

_RANKED: Final = ("gateway", CELL, "area", "network", "centre")
"""From the most specific to the widest: of two that explain the same devices, the first wins."""

EVERYBODY: Final[Group] = ("all", "")
"""The key under which a census counts all devices."""


@dataclass(frozen=True, slots=True)
class SilentDevice:
    """A device that is silent and not explained. It was alive at `last_at`.

    `interval` is how often it reports: it may have died any time up to that long after `last_at`.
    """

    device_no: int
    last_at: datetime
    interval: timedelta
    groups: frozenset[Group]


@dataclass(frozen=True, slots=True)
class Outage:
    """One group that fell silent together. `chance` is already corrected for all comparisons."""

    group: Group
    started_at: datetime
    device_nos: tuple[int, ...]
    group_n: int
    chance: float

    @property
    def subject(self) -> str:
        return ":".join(self.group)


class OutageTest(NamedTuple):
    """When a group is called silent together. Ours, without a source; to be tuned.

    Attributes:
        least_n, least_share: how many of the group, and which share of it.
        chance: the highest corrected probability that it is chance.
        everyday_share: of all devices, how many are silent at any one moment even on good days.
        slack: how far apart clocks and batches may put one moment.
    """

    least_n: int = 3
    least_share: float = 0.3
    chance: float = 1e-4
    everyday_share: float = 0.002
    slack: timedelta = timedelta(minutes=30)


def outages(
    silent: Sequence[SilentDevice],
    census: Mapping[Group, int],
    test: OutageTest = OutageTest(),  # noqa: B008 - a frozen value
) -> list[Outage]:
    """The groups that fell silent together, each device in at most one; most telling first.

    For each group, the moment that most of its silent devices can share; then the chance of so
    many at one moment, if they were silent as often as everybody outside the group (binomial,
    Bonferroni over groups and moments). The group that explains most wins, by the likelihood
    ratio of a scan statistic (Kulldorff 1997); its devices are set aside, and so on.

    Args:
        census: how many devices there are in each group, silent or not, and in `EVERYBODY`.
    """
    left = sorted(silent, key=lambda device: (device.last_at, device.device_no))
    found: list[Outage] = []
    while True:
        candidates = list(_candidates(left, census, test))
        if not candidates:
            return found
        _, outage = max(candidates, key=_preference)
        found.append(outage)
        left = [device for device in left if device.device_no not in set(outage.device_nos)]


def _preference(candidate: tuple[float, Outage]) -> tuple[float, int, str]:
    gain, outage = candidate
    return round(gain, 6), -_RANKED.index(outage.group[0]), outage.group[1]


def _candidates(
    left: Sequence[SilentDevice], census: Mapping[Group, int], test: OutageTest
) -> Iterator[tuple[float, Outage]]:
    members: dict[Group, list[SilentDevice]] = {}
    for device in left:
        for group in device.groups:
            members.setdefault(group, []).append(device)
    group_n = max(1, sum(1 for group in census if group != EVERYBODY))
    everybody = _times(left, test.slack)
    for group, devices in members.items():
        is_counted = group[0] in DIMENSIONS or (group[0] == CELL and group in census)
        if is_counted and len(devices) >= _least(group, test):
            judged = _judged(group, devices, everybody, census, test)
            if judged and judged.chance * group_n * len(devices) <= test.chance:
                yield judged.gain, _outage(group, judged, census, group_n * len(devices))


def _least(group: Group, test: OutageTest) -> int:
    """Two are enough behind one gateway: nothing else is as close to a common cause."""
    return min(2, test.least_n) if group[0] == "gateway" else test.least_n


class _Times(NamedTuple):
    """From when until when each device may have died, in seconds."""

    alive: NDArray[np.float64]
    dead: NDArray[np.float64]

    def may_die_at(self, at: NDArray[np.float64]) -> NDArray[np.intp]:
        """How many may have died at each of these moments."""
        begun = np.searchsorted(np.sort(self.alive), at, side="right")
        return begun - np.searchsorted(np.sort(self.dead), at, side="left")


def _times(devices: Sequence[SilentDevice], slack: timedelta) -> _Times:
    alive = np.array([device.last_at.timestamp() for device in devices])
    spans = [(device.interval + slack).total_seconds() for device in devices]
    return _Times(alive, alive + np.array(spans))


class _Judged(NamedTuple):
    """A group at the moment that most of its silent devices can share."""

    at: datetime
    device_nos: tuple[int, ...]
    chance: float
    gain: float


def _judged(
    group: Group,
    devices: Sequence[SilentDevice],
    everybody: _Times,
    census: Mapping[Group, int],
    test: OutageTest,
) -> _Judged | None:
    times = _times(devices, test.slack)
    first = int(times.may_die_at(times.alive).argmax())
    at = times.alive[first : first + 1]
    shared = (times.alive <= at) & (at <= times.dead)
    together = [device.device_no for device, is_in in zip(devices, shared, strict=True) if is_in]
    hit_n, group_n = len(together), max(len(devices), census.get(group, 0))
    if hit_n < max(_least(group, test), test.least_share * group_n):
        return None
    rest_n = census.get(EVERYBODY, 0) - group_n
    elsewhere = (int(everybody.may_die_at(at)[0]) - hit_n) / rest_n if rest_n > 0 else 0.0
    share = min(max(test.everyday_share, elsewhere), 0.999)
    return _Judged(
        devices[first].last_at,
        tuple(sorted(together)),
        binomial_tail(hit_n, group_n, share),
        _gain(hit_n, group_n, share),
    )


def _gain(hit_n: int, n: int, share: float) -> float:
    """How much likelier the count is under the group's own share than under everybody's."""
    own = hit_n / n
    gain = hit_n * math.log(own / share)
    if hit_n < n:
        gain += (n - hit_n) * math.log((1 - own) / (1 - share))
    return gain


def _outage(
    group: Group, judged: _Judged, census: Mapping[Group, int], comparison_n: int
) -> Outage:
    group_n = max(len(judged.device_nos), census.get(group, 0))
    chance = min(1.0, judged.chance * comparison_n)
    return Outage(group, judged.at, judged.device_nos, group_n, chance)


_GROUP_WORDS: Final[Mapping[str, Both]] = {
    "gateway": Both("Gatewayen", "The gateway"),
    CELL: Both("Nätet i området", "The network in the area"),
    "area": Both("Området", "The area"),
    "network": Both("Nätet", "The network"),
    "centre": Both("Hjälpmedelscentralen", "The centre"),
}


def outage_finding(rule: Rule, outage: Outage, known_at: datetime) -> Finding:
    """One finding for all of them; the singles become explained."""
    n, of_n = number(len(outage.device_nos)), number(outage.group_n)
    since = moment(outage.started_at, known_at)
    what = _GROUP_WORDS[outage.group[0]]
    title = Both(
        f"{what.sv} {outage.group[1]}: tappad kontakt med {n.sv} hjälpmedel samtidigt",
        f"{what.en} {outage.group[1]}: no contact with {n.en} devices at once",
    )
    happened = Both(
        f"{n.sv} av {of_n.sv} hjälpmedel har inte hörts av sedan omkring {since.sv}. "
        "Så många på en gång är inte en slump; felet sitter troligen i det de har gemensamt.",
        f"{n.en} of {of_n.en} devices have not been heard from since about {since.en}. "
        "So many at once is no coincidence; the fault is probably in what they have in common.",
    )
    return Finding(
        rule_id=rule.id,
        rule_version=rule.version,
        about=ABOUT,
        cause=cause_of_rule(rule),
        need=Need.TICKET,
        severity=rule.asks.severity or Severity.MAJOR,
        usability=rule.asks.usability or Usability.USABLE,
        fixer=Fixer.TECHNICIAN,
        component=Component.RADIO,
        order=OrderKind.SUPPORT,
        started_at=outage.started_at,
        last_at=outage.started_at,
        ended_at=None,
        known_at=known_at,
        confidence=round(1 - outage.chance, 3),
        said=Said(title, happened, _OUTAGE_ACTION, _OUTAGE_USER),
        occurrence_n=len(outage.device_nos),
        measures={
            "silent_n": float(len(outage.device_nos)),
            "group_n": float(outage.group_n),
            "chance": outage.chance,
        },
    )


_OUTAGE_ACTION: Final = Both(
    "Kontrollera gateway, operatör och strömavbrott i området innan någon åker ut till ett "
    "enskilt hjälpmedel.",
    "Check the gateway, the carrier and power cuts in the area before anyone visits a single "
    "device.",
)
_OUTAGE_USER: Final = Both(
    "Vi har tappat kontakten med flera hjälpmedel samtidigt, troligen på grund av ett avbrott i "
    "nätet. Elrullstolar och andningshjälpmedel fungerar troligen som vanligt. Ett trygghetslarm "
    "eller en läkemedelsautomat kan sakna kontakt: lita inte på att larmet når fram. Är det fara "
    "för liv, ring 112.",
    "We have lost contact with several devices at once, probably because of a network failure. "
    "Wheelchairs and breathing devices probably work as usual. A personal alarm or a medication "
    "dispenser may be out of contact: do not rely on the alarm getting through. If life is in "
    "danger, call 112.",
)


def groups_of(known: Iterable[tuple[str, str | None]]) -> frozenset[Group]:
    """The groups of a device, from what is known of it."""
    places = {dimension: value for dimension, value in known if value}
    network, area = places.get("network"), places.get("area")
    cell = [(CELL, f"{network}, {area}")] if network and area else []
    return frozenset([*places.items(), *cell])


def _build(values: Mapping[str, Any]) -> Silence:
    if values["at_least"] > values["at_most"]:
        raise ParameterError("at_least is longer than at_most", "Lower at_least or raise at_most")
    if values["lookback"] < _LEAST_RHYTHM:
        raise ParameterError("lookback is shorter than a week", "Write at least 7 d")
    return Silence(**values)


KIND: Final = Kind(
    name="silence",
    purpose=(
        "No contact for longer than the model, and the device's own rhythm, explain. Devices that "
        "report on measurement only are never judged. What a silent gateway or area explains is "
        "said once, for the group."
    ),
    source=(
        "Groups: binomial test corrected by Bonferroni, chosen by the likelihood ratio of "
        "Kulldorff 1997, Commun. Statist. Theory Meth. 26, 1481-1496. Confidence: Laplace's rule "
        "of succession. Factor, quantile and limits: ours, without a source; to be tuned on "
        "recorded fleets."
    ),
    parameters=(
        Number("factor", "How many of its own usual long silences pass.", 2.5, low=1, high=20),
        Number("quantile", "Share of time in gaps no longer than the usual.", 0.95, low=0.5),
        Duration("lookback", "How much of its rhythm is looked at.", 60 * _DAY, high=180 * _DAY),
        Duration("at_least", "No shorter silence is ever judged.", timedelta(0), high=60 * _DAY),
        Duration("at_most", "No longer silence is ever explained.", 14 * _DAY, high=120 * _DAY),
        Duration("gateway_silent", "When its gateway counts as silent.", 2 * _HOUR, high=_DAY),
    ),
    build=_build,
)
