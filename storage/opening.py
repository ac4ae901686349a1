"""Tickets that people open by hand, such as after a phone call. Never commits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fleet.ticket_actions import ActionRefusedError
from fleet.ticket_states import OrderKind
from fleet.words import Component, Fixer, Severity, Usability
from storage import deadlines
from storage.connection import Connection
from storage.queries import load_queries
from storage.tickets import deliver, find, record_event, repeat_of

_SQL: Final = load_queries("opening.sql")
_BY_HAND: Final = "by_hand"


@dataclass(frozen=True, slots=True)
class Report:
    """What a person reports about a device. `title` and `text` are in their own words.

    They leave the house with the ticket's deliveries, so they must not name the user.
    """

    order_kind: OrderKind
    title: str
    text: str
    component: Component = Component.UNKNOWN
    severity: Severity = Severity.MAJOR
    usability: Usability = Usability.DEGRADED

    @property
    def cause(self) -> str:
        return f"{_BY_HAND}:{self.component}"


class AlreadyOpenError(ActionRefusedError):
    """There is an open ticket about the same part of the device."""

    def __init__(self, ticket_no: int) -> None:
        self.ticket_no = ticket_no
        super().__init__(f"ticket {ticket_no} is open about it: write there what is new")


def open_by_hand(conn: Connection, device_no: int, report: Report, who: str, now: datetime) -> int:
    """Open a ticket about a device; return its number.

    Raises:
        AlreadyOpenError: one ticket is enough for one cause.
    """
    _check_first(conn, device_no, report)
    repeats_no = repeat_of(conn, device_no, report.cause, now)
    row = conn.execute(_SQL["open_by_hand"], _columns(device_no, report, repeats_no, now))
    found = row.fetchone()
    if found is None:
        _check_first(conn, device_no, report)
        raise ActionRefusedError("the device was removed meanwhile")
    ticket_no = int(found[0])
    _record(conn, ticket_no, report, who, now)
    return ticket_no


def _check_first(conn: Connection, device_no: int, report: Report) -> None:
    """An unknown part is no reason to take two reports for one."""
    component = None if report.component is Component.UNKNOWN else str(report.component)
    wanted = {"device_no": device_no, "cause": report.cause, "component": component}
    row = conn.execute(_SQL["open_about"], wanted).fetchone()
    if row is not None:
        raise AlreadyOpenError(int(row[0]))


def _columns(
    device_no: int, report: Report, repeats_no: int | None, now: datetime
) -> dict[str, object]:
    body_sv, body_en = _bodies(report)
    return {
        "device_no": device_no,
        "cause": report.cause,
        "order_kind": str(report.order_kind),
        "severity": str(report.severity),
        "usability": str(report.usability),
        "fixer": str(Fixer.TECHNICIAN),
        "component": str(report.component),
        "title": report.title,
        "body_sv": body_sv,
        "body_en": body_en,
        "repeats_no": repeats_no,
        "now": now,
    }


def _bodies(report: Report) -> tuple[str, str]:
    said = report.text or report.title
    return (
        f"Vad som har hänt\n{said}\n\nVarför det här ärendet finns\n"
        "Felet är anmält av en person, inte av hjälpmedlet.",
        f"What happened\n{said}\n\nWhy this ticket exists\n"
        "The fault was reported by a person, not by the device.",
    )


def _record(conn: Connection, ticket_no: int, report: Report, who: str, now: datetime) -> None:
    detail = {"kind": str(report.order_kind), "by_hand": True, "ticket_version": 1}
    record_event(conn, ticket_no, "opened", who, detail, now)
    ticket = find(conn, ticket_no)
    assert ticket is not None, "the ticket was opened a statement ago"
    deliver(conn, "ticket.opened", ticket, "opened", now)
    deadlines.open_clocks(conn, [ticket_no], now)
