"""Pages: key figures of a time, the tickets behind a number, and signs of abnormal use."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Response
from fastapi.responses import HTMLResponse

from api import typography
from api.access.gate import InErrand
from api.figure_sheets import figures_csv
from api.figures import BehindAsked, Counted, FiguresAsked, SheetAsked, behind, counted
from api.fleet import model_name
from api.pages.fleet import asked_in, rated
from api.rooms import InRooms
from api.routes import Router
from api.telling import Say, Voice, page
from api.use import use_counted, use_csv
from fleet.figures import (
    BASELINE_TICKETS,
    BEHIND,
    FIVE_DAYS_TARGET,
    MINUTES_AIM,
    SMALLEST,
    Share,
)
from fleet.periods import Length, Period, latest
from fleet.sla.calendar import local_day
from fleet.wear import MIN_COUNT, MIN_DRIVEN_H, MIN_PEERS
from storage import reading

router = Router(include_in_schema=False)

CAUSE_ROWS: Final = 20
PLACE_ROWS: Final = 100
TICKET_ROWS: Final = 100
SIGN_ROWS: Final = 60
MONTHS, QUARTERS, YEARS = 24, 8, 5


@router.get("/key-figures", operation_id="figures_page")
def figures_page(rooms: InRooms, errand: InErrand, say: Voice) -> HTMLResponse:
    asked = asked_in(FiguresAsked, say)
    found = counted(rooms, errand, asked, say.now)
    return page(
        "figures.html",
        say,
        found=found,
        figures=found.whole,
        centres=found.of_centres,
        municipalities=found.of_municipalities[:PLACE_ROWS],
        centre_names={centre.id: centre.name for centre in found.centres},
        five_target=FIVE_DAYS_TARGET,
        minutes_aim=MINUTES_AIM,
        baseline_tickets=BASELINE_TICKETS,
        smallest=SMALLEST,
        cause_rows=CAUSE_ROWS,
        is_over=found.span.high <= say.now,
        **_choices(found, say),
    )


def _choices(found: Counted, say: Say) -> dict[str, Any]:
    today = local_day(say.now)
    lengths: tuple[tuple[Length, int], ...] = (
        ("month", MONTHS), ("quarter", QUARTERS), ("year", YEARS),
    )  # fmt: skip
    periods = [(length, list(latest(today, length, n))) for length, n in lengths]
    return {
        "periods": periods,
        "period_name": lambda period: period_name(period, say),
        "link": lambda figure, key=None, area=None: say.link(
            "/key-figures/tickets",
            figure=figure,
            key=key,
            area=area,
            period=found.period.text,
            centre=None if found.centre is None else found.centre.id,
        ),
        "shared": lambda share: shared(share, say),
        "decimal": lambda value: typography.number(value, say.lang, 1),
    }


def period_name(period: Period, say: Say) -> str:
    """`November 2026`, `kvartal 4 2026`, `2026`."""
    if period.length == "month":
        return say.month(period.first)
    if period.length == "quarter":
        return say.t("figures.quarter", n=(period.first.month + 2) // 3, year=period.first.year)
    return str(period.first.year)


def shared(share: Share, say: Say) -> tuple[str, str] | None:
    """A share and its interval as people read them; None of nothing."""
    if share.value is None:
        return None
    low, high = share.interval
    return say.share(share.value), f"{say.n(round(low * 100))}–{say.share(high)}"


@router.get("/key-figures.csv", operation_id="figures_csv")
def figures_sheet(rooms: InRooms, errand: InErrand, say: Voice) -> Response:
    """By municipality, the small ones without their figures, or by centre."""
    asked = asked_in(SheetAsked, say)
    found = counted(rooms, errand, asked, say.now)
    return figures_csv(found, asked, use_counted(rooms, errand, say.now), say.lang)


@router.get("/key-figures/tickets", operation_id="figure_tickets_page")
def figure_tickets_page(rooms: InRooms, errand: InErrand, say: Voice) -> HTMLResponse:
    asked = asked_in(BehindAsked, say, figure="all")
    if asked.figure not in BEHIND:
        asked = asked.model_copy(update={"figure": "all"})
    found = counted(rooms, errand, asked, say.now)
    numbers = behind(found, asked)
    with rooms.read(errand) as conn:
        tickets = reading.tickets(conn, numbers[:TICKET_ROWS])
    return page(
        "figure_tickets.html",
        say,
        asked=asked,
        found=found,
        tickets=tickets,
        ticket_n=len(numbers),
        period=period_name(found.period, say),
    )


@router.get("/key-figures/use", operation_id="use_page")
def use_page(rooms: InRooms, errand: InErrand, say: Voice) -> HTMLResponse:
    found = use_counted(rooms, errand, say.now)
    return page(
        "use.html",
        say,
        found=found,
        signs=found.signs[:SIGN_ROWS],
        counted_at=found.counted_at,
        model_name=model_name,
        day_of=local_day,
        least=MIN_COUNT,
        hours=MIN_DRIVEN_H,
        peers=MIN_PEERS,
        rated=lambda rate: rated(rate, say, 1),
        decimal=lambda value: typography.number(value, say.lang, 1),
    )


@router.get("/key-figures/use.csv", operation_id="use_sheet")
def use_sheet(rooms: InRooms, errand: InErrand, say: Voice) -> Response:
    """All signs, month by month."""
    return use_csv(rooms, errand, say.lang, say.now)
