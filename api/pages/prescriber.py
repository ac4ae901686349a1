"""Page of a prescriber: what the unit has prescribed, and what is late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.access.gate import Errand, InErrand, log_shown, record_refused
from api.dues import Due, binding, dues
from api.forms import Posted
from api.me import overridden
from api.own import standings
from api.problems import ProblemError
from api.rooms import InRooms, Rooms
from api.routes import Router
from api.telling import Say, Voice, page
from fleet.privacy import OVERRIDE_WHY_MIN, WHY_MAX
from fleet.standing import Standing, standing
from storage import privacy, reading
from storage.connection import Connection
from storage.privacy import OwnLoan
from storage.reading import DeviceRow, TicketRow

router = Router(include_in_schema=False)

NEAR: Final = timedelta(days=2)
"""How close a deadline is near: time enough to phone somebody before it is missed."""


@dataclass(frozen=True, slots=True)
class UnitLoan:
    """One loan of the unit: the device, how it stands, and its open tickets."""

    loan: OwnLoan
    device: DeviceRow
    standing: Standing
    tickets: Sequence[TicketRow]


@dataclass(frozen=True, slots=True)
class Late:
    """A ticket whose deadline is near or past; `noticed_at`: when a notice was drafted."""

    ticket: TicketRow
    due: Due
    noticed_at: datetime | None


@router.get("/my-loans", operation_id="my_loans_page")
def my_loans_page(rooms: InRooms, errand: InErrand, say: Voice) -> HTMLResponse:
    return _shown(rooms, errand, say)


def _shown(
    rooms: Rooms, errand: Errand, say: Say, status: int = 200, **typed: object
) -> HTMLResponse:
    """The page, once it is logged whose loans stand on it."""
    with rooms.read(errand) as conn:
        loans = privacy.own_loans(conn)
        values = _values(conn, loans, say.now)
    log_shown(rooms, errand, [loan.device_id for loan in loans])
    return page(
        "my_loans.html",
        say,
        status,
        typed={"individual_no": "", "why": "", "refused": "", **typed},
        loans_max=privacy.LOANS_MAX,
        **values,
    )


def _values(conn: Connection, loans: Sequence[OwnLoan], now: datetime) -> dict[str, Any]:
    numbers = [loan.device_no for loan in loans]
    rows = reading.tickets(conn, privacy.open_ticket_nos(conn, numbers))
    notices = privacy.drafted_notices(conn, numbers)
    return {
        "loans": _unit_loans(conn, loans, rows, now),
        "late": _late(rows, notices, now),
        "blocked_n": privacy.blocked_loan_n(conn),
    }


def _unit_loans(
    conn: Connection, loans: Sequence[OwnLoan], rows: Sequence[TicketRow], now: datetime
) -> list[UnitLoan]:
    found = reading.devices_by_no(conn, [loan.device_no for loan in loans])
    devices = {device.device_no: device for device in found}
    troubles = standings(conn, loans, rows)
    return [
        UnitLoan(
            loan,
            device,
            standing(troubles[loan.device_no], device.last_contact_at, now),
            [row for row in rows if row.device_no == loan.device_no],
        )
        for loan in loans
        if (device := devices.get(loan.device_no)) is not None
    ]


def _late(rows: Sequence[TicketRow], notices: Mapping[int, datetime], now: datetime) -> list[Late]:
    found = [(row, binding(dues(row, now))) for row in rows]
    return [
        Late(row, due, notices.get(row.ticket_no))
        for row, due in found
        if due is not None and (due.due_at - now < NEAR or row.ticket_no in notices)
    ]


@router.post("/my-loans/overrides", operation_id="override_block_page")
def override_block_page(rooms: InRooms, errand: InErrand, say: Voice, form: Posted) -> Response:
    """Pass a block in an emergency; refused, the page comes back with what was typed."""
    individual_no, why = form.one("individual_no")[:80], form.one("why")[:WHY_MAX]
    refused = ""
    if len(why) < OVERRIDE_WHY_MIN:
        refused = say.t("prescriber.override.short", n=OVERRIDE_WHY_MIN)
        record_refused(rooms, replace(errand, why=why))
    else:
        try:
            device_id = overridden(rooms, errand, individual_no, why)
            return RedirectResponse(say.link(f"/devices/{device_id}"), 303)
        except ProblemError as exc:
            if exc.status == 429 or exc.status >= 500:
                raise
            refused = say.t("prescriber.override.none")
    typed = {"individual_no": individual_no, "why": why, "refused": refused}
    # Whose loans are shown below is a reading of them, and opened nothing.
    reading_them = replace(errand, operation="my_loans_page")
    return _shown(rooms, reading_them, say, 409, **typed)
