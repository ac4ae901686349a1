"""What a technician reads of one device, and how a device is found by what is printed on it.

Functions take a connection and never commit; all of them keep within the caller's reach.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from fleet.wire.settings import Setting
from storage.connection import Connection
from storage.queries import load_queries
from storage.reading import (
    DeviceRow,
    EpisodeRow,
    FindingRow,
    GapRow,
    Span,
    TicketRow,
    devices_by_no,
    tickets,
)
from storage.rows import all_rows, one_row

_SQL: Final = load_queries("device_reading.sql")
_FIRST: Final = datetime.fromisoformat("0001-01-02T00:00:00+00:00")
_EVER: Final = datetime.fromisoformat("9999-01-01T00:00:00+00:00")

Key = tuple[datetime, int]
"""The time and the number of the last row that was read."""


@dataclass(frozen=True, slots=True)
class FleetEpisodeRow(EpisodeRow):
    """An episode and the device it was on."""

    device_id: str
    model_id: str


@dataclass(frozen=True, slots=True)
class OpenFindingRow(FindingRow):
    """A finding that holds and has no open ticket; `ended_no` is the last one that it had."""

    ended_no: int | None


@dataclass(frozen=True, slots=True)
class FactsRow:
    """What groups a device with others, as a register told it; None where nobody did."""

    area: str | None
    network: str | None
    batch: str | None
    in_service_on: date | None


@dataclass(frozen=True, slots=True)
class BootRow:
    """One start of a device; `skew_ms` is its clock minus receipt, None where nobody knows."""

    boot: int
    skew_ms: int | None
    born_at: datetime


@dataclass(frozen=True, slots=True)
class VersionRow:
    """From `at` on a device had these versions, as it said at a start.

    Attributes:
        is_first: nothing older is known, or the caller's to see.
        at: None where nobody knows when it said so; it was known at `known_at`.
    """

    boot: int
    fw: str | None
    hw: str | None
    before_fw: str | None
    before_hw: str | None
    is_first: bool
    at: datetime | None
    known_at: datetime


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A setting as the device reported it last. A time is None where nobody knows it."""

    name: str
    value: Setting
    is_care: bool
    reported_at: datetime | None
    since: datetime | None


@dataclass(frozen=True, slots=True)
class SettingChangeRow:
    """From `at` on it was `value`. None in a value: the device did not report the setting."""

    name: str
    before: Setting | None
    value: Setting | None
    is_care: bool
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Marked:
    """Devices that a mark led to. `is_exact`: they bear it whole, and no more was typed."""

    devices: list[DeviceRow]
    is_exact: bool


def compact_mark(text: str) -> str:
    """A mark as it is compared: lower case, without spaces and hyphens."""
    return text.lower().replace(" ", "").replace("\N{NO-BREAK SPACE}", "").replace("-", "")


def marked(conn: Connection, mark: str, limit: int) -> Marked:
    """Devices whose id, individual number or serial is `mark`; else those that begin so.

    Spaces, hyphens and case do not count. Nothing is found by an empty mark.
    """
    wanted = compact_mark(mark)
    if not wanted:
        return Marked([], is_exact=False)
    pattern = re.sub(r"([\\%_])", r"\\\1", wanted) + "%"
    values = {"wanted": wanted, "pattern": pattern, "limit": limit}
    rows = conn.execute(_SQL["find_marked"], values).fetchall()
    found = devices_by_no(conn, [number for number, _ in rows])
    return Marked(found, is_exact=any(is_exact for _, is_exact in rows))


def facts(conn: Connection, device_no: int) -> FactsRow | None:
    """What groups the device with others; None outside the caller's reach."""
    return one_row(conn, FactsRow, _SQL["facts"], {"device_no": device_no})


def contact_hours(conn: Connection, device_no: int, span: Span) -> list[datetime]:
    """The hours in which the device reported any value, oldest first."""
    values = {"device_no": device_no, "low": span.low, "high": span.high}
    return [hour for (hour,) in conn.execute(_SQL["contact_hours"], values)]


def boots(conn: Connection, device_no: int, since: datetime, limit: int) -> list[BootRow]:
    """The device's starts, the newest first."""
    values = {"device_no": device_no, "since": since, "limit": limit}
    return all_rows(conn, BootRow, _SQL["boots"], values)


def versions(conn: Connection, device_no: int, limit: int) -> list[VersionRow]:
    """How the device's software and hardware versions changed, the newest first."""
    values = {"device_no": device_no, "limit": limit}
    return all_rows(conn, VersionRow, _SQL["versions"], values)


def episodes(
    conn: Connection, device_no: int, span: Span, limit: int, after: Key | None = None
) -> list[EpisodeRow]:
    """The episodes of one device that reach into `span`, the newest first."""
    at, number = after or (_EVER, 0)
    values = {"low": span.low, "high": span.high, "after_at": at, "after_no": number}
    parameters = {"device_no": device_no, "limit": limit, **values}
    return all_rows(conn, EpisodeRow, _SQL["device_episodes"], parameters)


def fleet_episodes(
    conn: Connection,
    limit: int,
    system: str | None = None,
    code: str | None = None,
    after: Key | None = None,
) -> list[FleetEpisodeRow]:
    """Episodes of all devices within reach, the newest first. A code needs its system."""
    at, number = after or (_EVER, 0)
    name = "episodes_of_code" if code else "episodes_of_system" if system else "fleet_episodes"
    values: dict[str, Any] = {"after_at": at, "after_no": number, "limit": limit}
    return all_rows(conn, FleetEpisodeRow, _SQL[name], {**values, "system": system, "code": code})


def incidents_of(conn: Connection, device_no: int, limit: int) -> list[TicketRow]:
    """Open tickets about a group that speak for the device as it is now, the newest first."""
    values = {"device_no": device_no, "limit": limit}
    rows = conn.execute(_SQL["pick_incidents_of"], values).fetchall()
    return tickets(conn, [int(number) for (number,) in rows])


def unticketed_findings(conn: Connection, device_no: int, limit: int) -> list[OpenFindingRow]:
    """What holds of a device and no open ticket is about, the worst first; none for care."""
    values = {"device_no": device_no, "limit": limit}
    return all_rows(conn, OpenFindingRow, _SQL["unticketed_findings"], values)


def gaps_of(conn: Connection, device_no: int, limit: int, after: Key | None = None) -> list[GapRow]:
    """The gaps of one device, the newest first."""
    at, number = after or (_EVER, 0)
    values = {"device_no": device_no, "after_at": at, "after_no": number, "limit": limit}
    return all_rows(conn, GapRow, _SQL["device_gaps"], values)


def open_gaps(conn: Connection, limit: int, after: Key | None = None) -> list[GapRow]:
    """Open gaps, the oldest first."""
    at, number = after or (_FIRST, 0)
    values = {"after_at": at, "after_no": number, "limit": limit}
    return all_rows(conn, GapRow, _SQL["standing_gaps"], values)


def settings(conn: Connection, device_no: int) -> list[SettingRow]:
    """What the device says it is set to, by name; the treatment's not for those who repair."""
    return all_rows(conn, SettingRow, _SQL["device_settings"], {"device_no": device_no})


def setting_changes(conn: Connection, device_no: int, limit: int) -> list[SettingChangeRow]:
    """How the device's settings changed, the newest first."""
    values = {"device_no": device_no, "limit": limit}
    return all_rows(conn, SettingChangeRow, _SQL["setting_changes"], values)


def settings_kept_back(conn: Connection, device_no: int) -> tuple[int, int]:
    """How many settings are care's and kept from the caller, and how many were unreadable."""
    row = conn.execute(_SQL["settings_kept_back"], {"device_no": device_no}).fetchone()
    return (0, 0) if row is None else (row[0], row[1])
