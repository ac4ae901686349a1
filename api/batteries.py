"""Batteries to replace, month by month, as JSON, CSV and the pages tell them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Final

from fastapi import Query, Response
from pydantic import Field

from api import cursors, sheets
from api.access.gate import Errand, InErrand
from api.asking import _Asked, _Cursor, _Limit
from api.fleet import model_name
from api.problems import READING
from api.rooms import InRooms, Rooms
from api.routes import Router
from api.rulebook import ids_of_kind
from api.schemas import Out
from fleet.words import Lang
from storage import fleetwide
from storage.connection import Connection
from storage.fleetwide import BatteryKey, BatteryMonth, BatteryRow

router = Router(prefix="/api/v1/fleet", tags=["fleet"], responses=READING)

SHEET_MAX: Final = 50_000


class BatteriesAsked(_Asked):
    month: str | None = Field(
        None,
        pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$",
        description="Only those likeliest to end in this month.",
        examples=["2026-12"],
    )
    cursor: _Cursor = None
    limit: _Limit = 50

    def first_day(self) -> date | None:
        return None if self.month is None else date.fromisoformat(f"{self.month}-01")


def by_month(found: Sequence[BatteryRow]) -> list[tuple[date, list[BatteryRow]]]:
    """Batteries by the month in which each is likeliest to end. Pure."""
    months: dict[date, list[BatteryRow]] = {}
    for one in found:
        months.setdefault(one.best_on.replace(day=1), []).append(one)
    return sorted(months.items())


@dataclass(frozen=True, slots=True)
class Batteries:
    """Some batteries to replace, and how many each month has; `following`: where more begin."""

    rows: Sequence[BatteryRow]
    months: Sequence[BatteryMonth]
    following: str | None

    @property
    def n(self) -> int:
        return sum(one.battery_n for one in self.months)


def batteries(conn: Connection, asked: BatteriesAsked, limit: int) -> Batteries:
    """Batteries to replace, the soonest first.

    Raises:
        ProblemError: 422, the cursor is of another list.
    """
    after = cursors.decode("batteries", asked.cursor, _battery_key)
    rules = ids_of_kind(conn, "battery_end_of_life")
    rows = fleetwide.batteries(conn, rules, limit + 1, asked.first_day(), after)
    shown, following = cursors.cut("batteries", rows, limit, "best_on", "finding_no")
    return Batteries(shown, fleetwide.battery_months(conn, rules), following)


def _battery_key(on: object, number: object) -> BatteryKey:
    return BatteryKey(date.fromisoformat(cursors.read_text(on)), cursors.read_number(number))


def battery_csv(rooms: Rooms, errand: Errand, asked: BatteriesAsked, lang: Lang) -> Response:
    """Every battery to replace, or those of one month, one line each; at most 50,000."""
    with rooms.read(errand) as conn:
        found = batteries(conn, asked, SHEET_MAX)
    word = "batterier" if lang == "sv" else "batteries"
    name = word if asked.month is None else f"{word}-{asked.month}"
    return sheets.answer(name, _BATTERY_HEADINGS[lang], map(_battery_line, found.rows))


_BATTERY_HEADINGS: Final[dict[Lang, tuple[str, ...]]] = {
    "sv": (
        "Individnummer", "Id", "Modell", "Hjälpmedelscentral", "Tidigast", "Troligast", "Senast",
        "Tillförlitlighet, %", "Ärende",
    ),
    "en": (
        "Individual number", "Id", "Model", "Centre", "Earliest", "Likeliest", "Latest",
        "Confidence, %", "Ticket",
    ),
}  # fmt: skip


def _battery_line(one: BatteryRow) -> list[str]:
    return [
        one.individual_no or "", one.device_id, model_name(one.model_id), one.centre_name or "",
        *("" if day is None else f"{day}" for day in (one.earliest_on, one.best_on, one.latest_on)),
        f"{100 * one.confidence:.0f}", str(one.ticket_no or ""),
    ]  # fmt: skip


class BatteryOut(Out):
    """`best_on` is the likeliest day; `latest_on` None: later than we can see."""

    device_id: str
    individual_no: str | None
    model_id: str
    centre_id: str | None
    finding_no: int
    ticket_no: int | None
    earliest_on: date
    best_on: date
    latest_on: date | None
    confidence: float


class BatteryMonthOut(Out):
    month: str = Field(description="A month, as `month` asks for it.", examples=["2026-12"])
    battery_n: int


class BatteryList(Out):
    battery_n: int = Field(description="All that are expected to end, in whichever month.")
    months: list[BatteryMonthOut] = Field(description="The same by month.")
    items: list[BatteryOut]
    next_cursor: str | None


@router.get("/batteries", operation_id="list_batteries")
def list_batteries(
    rooms: InRooms, errand: InErrand, asked: Annotated[BatteriesAsked, Query()]
) -> BatteryList:
    """Batteries that are expected to end, the soonest first, and how many each month has."""
    with rooms.read(errand) as conn:
        found = batteries(conn, asked, asked.limit)
    return BatteryList(
        battery_n=found.n,
        months=[
            BatteryMonthOut(month=f"{one.month:%Y-%m}", battery_n=one.battery_n)
            for one in found.months
        ],
        items=[BatteryOut.model_validate(row) for row in found.rows],
        next_cursor=found.following,
    )
