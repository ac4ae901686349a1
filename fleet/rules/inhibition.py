"""Causal inhibition: a low battery explains what it makes other parts report. Pure.

The table is fleet/data/inhibition.toml. What is explained is kept as a finding and opens no
ticket; it does as soon as it outlasts its cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Final

from fleet.catalogue import Entry, packaged, parse
from fleet.episodes import Episode
from fleet.faults import FaultCode, load_catalogue
from fleet.rules.facts import CodedEpisode
from fleet.rules.findings import Both
from fleet.rules.parameters import Duration, ParameterError
from fleet.rules.wording import BRAKES
from fleet.words import Component, Severity

_CRITICAL: Final = Severity.CRITICAL


@dataclass(frozen=True, slots=True)
class Inhibition:
    """One kind of cause and what it explains.

    Attributes:
        parent_codes, parent_components: what is the cause: one of these, by code or component.
        child_components: what it explains, in faults no worse than `worst`.
        never: codes that it does not explain, whatever their component.
        lead, tail: how long before the cause is reported, and after it is over, a child may start.
        outlasts: a child that is still there this long after its cause is a fault of its own.
        credible: a cause explains nothing that starts this long after it was last reported: many
            controllers never say that a fault is over.
        at_most: no longer is a child put off, whatever its cause does.
    """

    id: str
    why: Both
    parent_codes: frozenset[str]
    parent_components: frozenset[Component]
    child_components: frozenset[Component]
    worst: Severity = _CRITICAL
    never: frozenset[str] = frozenset()
    lead: timedelta = timedelta(seconds=60)
    tail: timedelta = timedelta(seconds=60)
    outlasts: timedelta = timedelta(minutes=10)
    credible: timedelta = timedelta(hours=24)
    at_most: timedelta = timedelta(hours=48)

    def is_parent(self, fault: FaultCode) -> bool:
        return (
            f"{fault.system}/{fault.code}" in self.parent_codes
            or fault.component in self.parent_components
        )

    def is_child(self, fault: FaultCode) -> bool:
        return (
            fault.component in self.child_components
            and fault.component not in BRAKES
            and fault.severity.rank <= self.worst.rank
            and f"{fault.system}/{fault.code}" not in self.never
            and not self.is_parent(fault)
        )

    def explains(self, parent: Episode, child: Episode, now: datetime | None) -> bool:
        """True if `child` began because of `parent` and is not there on its own."""
        starts_from = parent.started_at - self.lead
        starts_until = parent.last_at + self.credible
        if parent.ended_at is not None:
            starts_until = min(starts_until, parent.ended_at + self.tail)
        if not starts_from <= child.started_at <= starts_until:
            return False
        until_at = child.ended_at or now
        return until_at is not None and until_at <= self._put_off_until(parent, child)

    def _put_off_until(self, parent: Episode, child: Episode) -> datetime:
        """A child that is there for longer is a fault of its own."""
        longest = child.started_at + self.at_most
        return longest if parent.ended_at is None else min(longest, parent.ended_at + self.outlasts)


def explained_by(
    episodes: Sequence[CodedEpisode],
    inhibitions: Iterable[Inhibition],
    now: datetime | None = None,
) -> dict[int, int]:
    """`episode_no` of what is explained -> that of its first cause, for one device's episodes.

    The order of `episodes` does not matter. Of several age_of the one that began first counts,
    and a cause that is itself explained hands over to its own.

    Args:
        now: how long a child that is not over has lasted; None: for ever.
    """
    ordered = sorted(episodes, key=_age)
    age_of = {item.episode_no: place for place, item in enumerate(ordered)}
    parent_of: dict[int, int] = {}
    for inhibition in inhibitions:
        for child, parent in _pairs(inhibition, ordered, now):
            parent_of[child] = min(parent, parent_of.get(child, parent), key=age_of.__getitem__)
    return {child: _root(child, parent_of) for child in parent_of}


def _age(item: CodedEpisode) -> tuple[datetime, str, str, int]:
    return (item.episode.started_at, item.fault.system, item.fault.code, item.episode_no)


def _pairs(
    inhibition: Inhibition, ordered: Sequence[CodedEpisode], now: datetime | None
) -> Iterator[tuple[int, int]]:
    parents = [item for item in ordered if inhibition.is_parent(item.fault)]
    if not parents:
        return
    for child in ordered:
        if not inhibition.is_child(child.fault):
            continue
        for parent in parents:
            if inhibition.explains(parent.episode, child.episode, now):
                yield child.episode_no, parent.episode_no
                break


def _root(child: int, parent_of: Mapping[int, int]) -> int:
    """The cause at the end of the chain. Chains end: `parse_inhibitions` refuses circles."""
    while child in parent_of:
        child = parent_of[child]
    return child


@cache
def load_inhibitions() -> tuple[Inhibition, ...]:
    """The table that ships with this package, read and checked once.

    Raises:
        CatalogueError: it is wrong.
    """
    return parse_inhibitions(packaged("inhibition.toml")["inhibition.toml"])


def parse_inhibitions(text: str, file: str = "inhibition.toml") -> tuple[Inhibition, ...]:
    """Read the table.

    Raises:
        CatalogueError: the first thing that is wrong, or age_of that explain each other.
    """
    whole = parse(file, text)
    whole.allow_only({"inhibition"})
    entries = [entry.named(entry.slug("id")) for entry in whole.tables("inhibition")]
    found = [_inhibition(entry) for entry in entries]
    for entry, inhibition in zip(entries, found, strict=True):
        if sum(other.id == inhibition.id for other in found) > 1:
            raise entry.error("the id stands twice", "Keep one of the two entries")
        if _comes_round(inhibition, found):
            raise entry.error("it explains its own cause, over others", "Break the circle")
    return tuple(found)


def _comes_round(start: Inhibition, found: Sequence[Inhibition]) -> bool:
    """True if what `start` explains can, over any number of steps, explain `start`'s cause."""
    reached: set[str] = set()
    ahead = [start]
    while ahead:
        current = ahead.pop()
        for other in found:
            if other.id not in reached and _leads_to(current, other):
                reached.add(other.id)
                ahead.append(other)
    return start.id in reached


def _leads_to(first: Inhibition, second: Inhibition) -> bool:
    """True if a code that `first` explains may be a cause in `second`."""
    return any(first.is_child(fault) and second.is_parent(fault) for fault in load_catalogue())


_TIMES: Final = ("lead", "tail", "outlasts", "credible", "at_most")
_KEYS: Final = {
    "id",
    "why_sv",
    "why_en",
    "parent_codes",
    "parent_components",
    "child_components",
    "worst",
    "never",
    *_TIMES,
}


def _inhibition(entry: Entry) -> Inhibition:
    entry.allow_only(_KEYS)
    times = {name: _time(entry, name) for name in _TIMES}
    inhibition = Inhibition(
        id=entry.name,
        why=Both(entry.text("why_sv"), entry.text("why_en")),
        parent_codes=_codes(entry, "parent_codes"),
        parent_components=_components(entry, "parent_components"),
        child_components=_components(entry, "child_components"),
        worst=entry.member("worst", Severity),
        never=_codes(entry, "never"),
        **times,
    )
    _check_sense(entry, inhibition)
    return inhibition


def _check_sense(entry: Entry, inhibition: Inhibition) -> None:
    if not inhibition.parent_codes and not inhibition.parent_components:
        raise entry.error("no cause is named", "Give parent_codes or parent_components")
    if not inhibition.child_components:
        raise entry.error("nothing is explained", "Give child_components")
    if inhibition.child_components & BRAKES:
        raise entry.error("a brake is never hidden", "Take it out of child_components")


def _codes(entry: Entry, key: str) -> frozenset[str]:
    known = {f"{fault.system}/{fault.code}" for fault in load_catalogue()}
    codes = frozenset(entry.texts(key)) if key in entry.fields else frozenset()
    for code in sorted(codes - known):
        raise entry.error(f"{key} names {code!r}, which is in no table", "Write system/code")
    return codes


def _components(entry: Entry, key: str) -> frozenset[Component]:
    return frozenset(entry.members(key, Component)) if key in entry.fields else frozenset()


def _time(entry: Entry, key: str) -> timedelta:
    try:
        return Duration(key, "", high=timedelta(days=7)).read(entry.fields.get(key), {})
    except ParameterError as exc:
        raise entry.error(f"{key}: {exc.problem}", exc.remedy) from exc
