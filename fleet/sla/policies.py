"""Policies: what an agreement promises, as data, each with the clause and the source it is from.

A file is one version of one policy and is named after both. A version that has shipped is never
edited, since tickets are counted by the version they were opened under.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import time, timedelta
from enum import StrEnum
from functools import cache
from typing import Final

from fleet.catalogue import CatalogueError, Entry, packaged, parse
from fleet.sla.calendar import OpeningHours
from fleet.ticket_states import OrderKind
from fleet.words import DeviceClass, Lang

SOLVED: Final = "solved"
"""The reason kept for the time between a repair and the return of its fault; in no policy."""


class Clock(StrEnum):
    """What is promised: that work begins, or that it is done."""

    START = "start"
    FINISH = "finish"


class Unit(StrEnum):
    WORKING_DAYS = "working_days"
    WORKING_HOURS = "working_hours"


@dataclass(frozen=True, slots=True)
class Promise:
    """One deadline that an agreement sets.

    Attributes:
        device_classes: the classes it is for; None means all without one of their own.
        notify_before: open time before the deadline at which the notice is drafted.
        target_share: the share of orders the agreement aims at; None means all.
        is_ours: our own default; the agreement does not say it.
    """

    clock: Clock
    within: int
    unit: Unit
    order_kinds: tuple[OrderKind, ...]
    device_classes: frozenset[DeviceClass] | None
    clause: str
    notify_before: timedelta
    target_share: float | None
    is_ours: bool


@dataclass(frozen=True, slots=True)
class PauseReason:
    """A reason for waiting that stops the clocks, with what people read."""

    reason: str
    sv: str
    en: str
    is_ours: bool

    def label(self, lang: Lang) -> str:
        return self.sv if lang == "sv" else self.en


@dataclass(frozen=True, slots=True)
class Policy:
    """One version of what one agreement promises."""

    id: str
    version: int
    agreement: str
    source_title: str
    source_url: str
    is_default: bool
    hours: OpeningHours
    hours_source_url: str | None
    hours_are_ours: bool
    pauses: tuple[PauseReason, ...]
    promises: tuple[Promise, ...]

    def promises_for(
        self, order_kind: OrderKind, device_class: DeviceClass | None
    ) -> tuple[Promise, ...]:
        """At most one promise a clock; one made for the class goes before one for all."""
        chosen: dict[Clock, Promise] = {}
        for promise in sorted(self.promises, key=lambda p: p.device_classes is not None):
            is_for_class = promise.device_classes is None or device_class in promise.device_classes
            if order_kind in promise.order_kinds and is_for_class:
                chosen[promise.clock] = promise
        return tuple(chosen[clock] for clock in Clock if clock in chosen)

    def pause(self, reason: str) -> PauseReason | None:
        """The allowed reason of that name, None when it stops no clock."""
        return next((pause for pause in self.pauses if pause.reason == reason), None)


class UnknownPolicyError(LookupError):
    """No such policy, or not in that version; the message lists what there is."""


class Policies:
    """All shipped policies in all their versions. Iterates over the newest versions, by id."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self._all = {(policy.id, policy.version): policy for policy in policies}
        self._newest = {key[0]: policy for key, policy in sorted(self._all.items())}

    def newest(self, policy_id: str) -> Policy:
        """The version that new tickets are opened under.

        Raises:
            UnknownPolicyError: there is none.
        """
        if policy_id not in self._newest:
            known = ", ".join(self._newest)
            raise UnknownPolicyError(f"no policy {policy_id!r} in this release: use one of {known}")
        return self._newest[policy_id]

    def get(self, policy_id: str, version: int) -> Policy:
        """The version a ticket was opened under.

        Raises:
            UnknownPolicyError: it is not in this release.
        """
        found = self._all.get((policy_id, version))
        if found is None:
            raise UnknownPolicyError(
                f"policy {policy_id!r} version {version} is not in this release: run the release"
                " that wrote it, or a newer one; shipped versions are never removed"
            )
        return found

    @property
    def default(self) -> Policy:
        """For whoever has no agreement."""
        return next(policy for policy in self if policy.is_default)

    def __iter__(self) -> Iterator[Policy]:
        return iter(self._newest.values())


@cache
def load_policies() -> Policies:
    """The policies that ship with this package, read and checked once.

    Raises:
        CatalogueError: a file is wrong.
    """
    return parse_policies(packaged("policies"))


def common_pauses() -> list[PauseReason]:
    """The reasons to wait that every agreement allows, as the default words them."""
    policies = load_policies()
    return [
        pause
        for pause in policies.default.pauses
        if all(policy.pause(pause.reason) is not None for policy in policies)
    ]


def parse_policies(files: Mapping[str, str]) -> Policies:
    """Build the policies from file name -> TOML text.

    Raises:
        CatalogueError: the first thing that is wrong.
    """
    policies = Policies([parse_policy(text, file) for file, text in files.items()])
    defaults = [policy.id for policy in policies if policy.is_default]
    if len(defaults) != 1:
        problem = f"{len(defaults)} policies are the default"
        raise CatalogueError("policies", "is_default", problem, "Set is_default in one of them")
    return policies


_KEYS: Final = {
    "id", "version", "agreement", "source_title", "source_url", "is_default",
    "notify_before_working_hours", "hours", "pause", "promise",
}  # fmt: skip


def parse_policy(text: str, file: str) -> Policy:
    """Read one file.

    Raises:
        CatalogueError: the first thing that is wrong.
    """
    whole = parse(file, text)
    whole.allow_only(_KEYS)
    entry = whole.named(whole.slug("id"))
    hours_entry = _table(entry, "hours")
    policy = Policy(
        id=entry.name,
        version=entry.whole("version", 1, 10_000),
        agreement=entry.text("agreement"),
        source_title=entry.text("source_title"),
        source_url=entry.source_url("source_url"),
        is_default=_is_set(entry, "is_default"),
        hours=_hours(hours_entry),
        hours_source_url=_optional_url(hours_entry),
        hours_are_ours=_is_set(hours_entry, "ours"),
        pauses=tuple(_pause(table) for table in entry.tables("pause")),
        promises=_promises(entry),
    )
    _check(entry, policy)
    return policy


def _check(entry: Entry, policy: Policy) -> None:
    expected = f"{policy.id}-v{policy.version}.toml"
    if entry.file != expected:
        raise entry.error(f"the file is named {entry.file}", f"Name it {expected}")
    reasons = [pause.reason for pause in policy.pauses]
    if len(set(reasons)) < len(reasons):
        raise entry.error("a pause reason stands twice", "Keep one of them")
    if policy.hours_are_ours == (policy.hours_source_url is not None):
        remedy = "Give [hours] a source_url, or ours = true where nobody has published them"
        raise entry.error("the opening hours have no source, or both a source and ours", remedy)


def _table(entry: Entry, key: str) -> Entry:
    value = entry.fields.get(key)
    if not isinstance(value, dict):
        raise entry.error(f"no [{key}] table", f"Write [{key}]")
    return Entry(entry.file, f"{entry.name}, {key}", value)


def _is_set(entry: Entry, key: str) -> bool:
    return entry.flag(key) if key in entry.fields else False


def _optional_url(entry: Entry) -> str | None:
    return entry.source_url("source_url") if "source_url" in entry.fields else None


_WEEK: Final = ("monday", "tuesday", "wednesday", "thursday", "friday")


def _hours(entry: Entry) -> OpeningHours:
    entry.allow_only({*_WEEK, "closes_before_red_day", "ours", "source_url"})
    early = entry.optional_text("closes_before_red_day")
    hours = OpeningHours(
        tuple(_span(entry, key) for key in _WEEK),
        None if early is None else _time(entry, "closes_before_red_day", early),
    )
    latest = max(opens for opens, _ in hours.week)
    if hours.closes_before_red is not None and hours.closes_before_red <= latest:
        raise entry.error("closes_before_red_day is before opening", "Give a later time")
    return hours


def _span(entry: Entry, key: str) -> tuple[time, time]:
    opens, _, closes = entry.text(key).partition("-")
    span = _time(entry, key, opens), _time(entry, key, closes)
    if span[0] >= span[1]:
        raise entry.error(f"{key} closes before it opens", "Write it as 08:00-16:30")
    return span


_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def _time(entry: Entry, key: str, text: str) -> time:
    if not _TIME.fullmatch(text):
        raise entry.error(f"{key}: {text!r} is no time", "Write times as 08:00, spans 08:00-16:30")
    return time.fromisoformat(text)


def _pause(numbered: Entry) -> PauseReason:
    numbered.allow_only({"reason", "sv", "en", "ours"})
    entry = numbered.named(f"pause {numbered.slug('reason')}")
    reason = entry.slug("reason")
    if reason == SOLVED:
        raise entry.error(f"the reason {SOLVED!r} is reserved", "Choose another word")
    return PauseReason(reason, entry.text("sv"), entry.text("en"), _is_set(entry, "ours"))


def _promises(entry: Entry) -> tuple[Promise, ...]:
    usual_h = entry.whole("notify_before_working_hours", 1, 80)
    promises = []
    taken: set[tuple[object, ...]] = set()
    for table in entry.tables("promise"):
        promise = _promise(table, usual_h)
        keys = set(_keys(promise))
        if keys & taken:
            raise table.error("another promise sets the same deadline", "Keep one of them")
        taken |= keys
        promises.append(promise)
    return tuple(promises)


def _keys(promise: Promise) -> Iterator[tuple[object, ...]]:
    for kind in promise.order_kinds:
        for device_class in promise.device_classes or (None,):
            yield promise.clock, kind, device_class


_PROMISE_KEYS: Final = {
    "order_kinds", "device_classes", "clock", "within", "unit", "clause", "target_share", "ours",
    "notify_before_working_hours",
}  # fmt: skip


def _promise(entry: Entry, usual_h: int) -> Promise:
    entry.allow_only(_PROMISE_KEYS)
    notify_h = entry.optional_whole("notify_before_working_hours", 1, 80)
    return Promise(
        clock=entry.member("clock", Clock),
        within=entry.whole("within", 1, 250),
        unit=entry.member("unit", Unit),
        order_kinds=_some(entry, "order_kinds", entry.members("order_kinds", OrderKind)),
        device_classes=_device_classes(entry),
        clause=entry.text("clause"),
        notify_before=timedelta(hours=usual_h if notify_h is None else notify_h),
        target_share=_share(entry),
        is_ours=_is_set(entry, "ours"),
    )


def _some(entry: Entry, key: str, words: tuple[OrderKind, ...]) -> tuple[OrderKind, ...]:
    if not words:
        raise entry.error(f"{key} is empty", "Name at least one")
    return words


def _device_classes(entry: Entry) -> frozenset[DeviceClass] | None:
    if "device_classes" not in entry.fields:
        return None
    classes = entry.members("device_classes", DeviceClass)
    if not classes:
        raise entry.error("device_classes is empty", "Name at least one, or leave the key out")
    return frozenset(classes)


def _share(entry: Entry) -> float | None:
    if "target_share" not in entry.fields:
        return None
    share = entry.positive("target_share", 1.0)
    if share > 1:
        raise entry.error("target_share is above 1", "Write 88 % as 0.88")
    return share
