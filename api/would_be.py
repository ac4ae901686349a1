"""The tickets that a backtest says a rule would have made, as far as the caller may know of them.

A backtest is of the whole installation. Its lists name devices, so each list is cut to those that
exist for the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from fleet.rules.facts import SWEDEN
from storage import rulebook
from storage.connection import Connection
from storage.rulebook import BacktestRow

Key = tuple[str, str, date]
"""A device, a cause and a Swedish day: what makes tickets of two versions the same one."""


@dataclass(frozen=True, slots=True)
class WouldBe:
    """A ticket that a version would have opened. `is_new` None: nothing tells that it is."""

    device_id: str
    opened_at: datetime
    cause: str
    title_sv: str
    title_en: str
    is_new: bool | None

    @property
    def key(self) -> Key:
        return self.device_id, self.cause, self.opened_at.astimezone(SWEDEN).date()


@dataclass(frozen=True, slots=True)
class Gone:
    """A ticket that only the version before would have opened."""

    device_id: str
    cause: str
    day: date


@dataclass(frozen=True, slots=True)
class Listed:
    """One backtest's lists within the caller's reach, the newest first.

    Attributes:
        ticket_n: tickets in all, of which a backtest lists the first 200.
        against_version: what `is_new` and `gone` compare with.
    """

    version: int
    ticket_n: int
    against_version: int | None
    tickets: Sequence[WouldBe]
    gone: Sequence[Gone]


def listed(conn: Connection, row: BacktestRow, limit: int) -> Listed:
    """What a backtest lists of devices that exist for the caller, at most `limit` of each kind."""
    against: Mapping[str, Any] = row.result.get("against") or {}
    tickets = _tickets(row.result.get("listed") or [], _told_new(against))
    gone = [found for words in against.get("only_before") or [] if (found := _gone(words))]
    named = {ticket.device_id for ticket in tickets} | {one.device_id for one in gone}
    seen = rulebook.seen_devices(conn, named)
    tickets = sorted(tickets, key=lambda ticket: ticket.opened_at, reverse=True)
    gone.sort(key=lambda one: one.day, reverse=True)
    return Listed(
        row.version,
        row.ticket_n,
        against.get("version"),
        [ticket for ticket in tickets if ticket.device_id in seen][:limit],
        [one for one in gone if one.device_id in seen][:limit],
    )


def _told_new(against: Mapping[str, Any]) -> frozenset[Key] | None:
    """Which tickets only this version opens; None where not all of them are listed."""
    words = against.get("only_after")
    if words is None or len(words) != against.get("only_after_n"):
        return None
    found = [_gone(text) for text in words]
    return frozenset((one.device_id, one.cause, one.day) for one in found if one is not None)


def _tickets(items: Iterable[Mapping[str, Any]], new: frozenset[Key] | None) -> list[WouldBe]:
    return [found for item in items if (found := _ticket(item, new)) is not None]


def _ticket(item: Mapping[str, Any], new: frozenset[Key] | None) -> WouldBe | None:
    """One listed ticket; None for what an earlier release wrote otherwise."""
    try:
        found = WouldBe(
            item["device"],
            datetime.fromisoformat(item["opened_at"]),
            item["cause"],
            item["title_sv"],
            item["title_en"],
            None,
        )
    except KeyError:
        return None
    return found if new is None else replace(found, is_new=found.key in new)


def _gone(words: str) -> Gone | None:
    """A ticket as a comparison names it: its device, its cause and its day."""
    device, _, rest = words.partition(" ")
    cause, _, day = rest.rpartition(" ")
    try:
        return Gone(device, cause, date.fromisoformat(day))
    except ValueError:
        return None
