"""Facts made by hand, for tests of rules."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from fleet.episodes import Episode
from fleet.faults import load_catalogue
from fleet.rules.facts import (
    CodedEpisode,
    DaySeries,
    DeviceProfile,
    Facts,
    day_of,
    day_series,
    last_closed_day,
)
from fleet.rules.findings import Both
from fleet.rules.kind import Kind
from fleet.rules.parameters import read_all
from fleet.rules.rule import Asks, Rule, Window
from fleet.words import DeviceClass

NOON = datetime(2026, 9, 15, 12, 0, tzinfo=UTC)
MIDNIGHT = datetime(2026, 9, 14, 22, 0, tzinfo=UTC)
"""The local midnight before `NOON`: Sweden is two hours ahead in September."""

DEVICE = DeviceProfile(
    device_no=1,
    device_id="a",
    tenant_no=1,
    tenant_id="t",
    device_class=DeviceClass.POWERED_WHEELCHAIR,
    model_id="permobil-m3",
    model=None,
    in_service_on=date(2026, 1, 1),
)


def at(days: float = 0.0, *, minutes: float = 0.0, seconds: float = 0.0) -> datetime:
    return NOON + timedelta(days=days, minutes=minutes, seconds=seconds)


def rule_of(kind: Kind, *, asks: Asks | None = None, care: bool = False, **when: object) -> Rule:
    values, problems = read_all(kind.parameters, when)
    assert not problems, problems
    return Rule(
        id="a-rule",
        version=1,
        kind=kind.name,
        title=Both("Titel", "Title"),
        why=Both("Därför", "Because"),
        source="ours",
        source_url=None,
        device_classes=frozenset(),
        models=frozenset(),
        care=care,
        max_day_share=1.0,
        asks=asks or Asks(),
        condition=kind.build(values),
    )


def episode(
    start: datetime,
    end: datetime | None = None,
    *,
    raised: int = 1,
    logged: int = 0,
    received: datetime | None = None,
    last: datetime | None = None,
) -> Episode:
    return Episode(
        start,
        last or end or start,
        end,
        raised,
        0 if end is None else raised,
        logged,
        received or start,
    )


def coded(number: int, code: str, folded: Episode) -> CodedEpisode:
    """`code` is `system/code`; a code may hold a slash, a system never does."""
    system, _, code = code.partition("/")
    return CodedEpisode(number, load_catalogue().look_up(system, code), folded)


def numbered(items: Iterable[tuple[str, Episode]]) -> list[CodedEpisode]:
    return [coded(number, code, folded) for number, (code, folded) in enumerate(items, start=1)]


def window(from_at: datetime, now: datetime) -> Window:
    return Window(from_at, day_of(from_at), last_closed_day(now))


def facts(now: datetime, **fields: Any) -> Facts:
    return Facts(**{"device": DEVICE, "now": now, **fields})


def counter(first_day: int, readings: Iterable[float | tuple[float, float] | None]) -> DaySeries:
    """A counter's last value by day; a pair is (high, last); None: no reading that day."""
    rows = []
    for day, reading in enumerate(readings, start=first_day):
        if reading is not None:
            high, last = reading if isinstance(reading, tuple) else (reading, reading)
            rows.append((day, 4.0, min(high, last), high, 4 * last, last))
    return day_series(rows)
