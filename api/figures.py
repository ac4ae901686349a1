"""Key figures as JSON, CSV and the page tell them: what is asked for, and what it comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Final, Literal

from fastapi import Query
from pydantic import Field

from api.access.gate import Errand, InErrand
from api.asking import _Asked
from api.problems import READING, invalid, not_found
from api.rooms import InRooms, Rooms
from api.routes import Router
from api.schemas import COUNTED_AT, Instant, Out
from fleet import figures as core
from fleet.figures import (
    BEHIND,
    Figures,
    Minutes,
    PlaceFigures,
    Share,
    Span,
    TicketFact,
    by_centre,
    by_municipality,
)
from fleet.periods import Period, around, period_of
from fleet.sla.calendar import local_day
from storage import figures as stored
from storage.connection import Connection
from storage.figures import CentreName

router = Router(prefix="/api/v1/key-figures", tags=["key figures"], responses=READING)

PERIOD: Final = r"^20[0-9]{2}(-(0[1-9]|1[0-2]|Q[1-4]))?$"
TICKETS_MAX: Final = 500


@dataclass(frozen=True)  # no slots: sums are kept with what they are of
class Counted:
    """The tickets of a time, and what they are counted by. `baseline` is in minutes a ticket.

    `span.now` is when they were counted; `minutes_before` is of the period before.
    """

    period: Period
    span: Span
    facts: Sequence[TicketFact]
    centres: Sequence[CentreName]
    centre: CentreName | None
    baseline: float | None
    is_baseline_set: bool
    minutes_before: Minutes

    @cached_property
    def whole(self) -> Figures:
        return core.figures(self.facts, self.span, self.baseline)

    @cached_property
    def of_centres(self) -> Sequence[PlaceFigures]:
        return by_centre(self.facts, self.span)

    @cached_property
    def of_municipalities(self) -> Sequence[PlaceFigures]:
        return by_municipality(self.facts, self.span)


class FiguresAsked(_Asked):
    period: str | None = Field(
        None,
        pattern=PERIOD,
        description="A month, quarter or year; this month when left out.",
        examples=["2026-11", "2026-Q4", "2026"],
    )
    centre: str | None = Field(
        None, max_length=80, pattern=r"^[^\x00]*$", description="Only of this centre, by its id."
    )


class SheetAsked(FiguresAsked):
    by: Literal["municipality", "centre"] = "municipality"


class BehindAsked(FiguresAsked):
    figure: str = Field(description="The name of a number.", examples=["missed"])
    key: str = Field(
        "", max_length=120, pattern=r"^[^\x00]*$", description="Which, where there are several."
    )
    area: str | None = Field(
        None, max_length=120, pattern=r"^[^\x00]*$", description="Only of this municipality."
    )


def counted(rooms: Rooms, errand: Errand, asked: FiguresAsked, now: datetime) -> Counted:
    """What the figures of a time are made of, as it was not long ago.

    Raises:
        ProblemError: 404, no such centre.
    """
    chosen = None if asked.period is None else period_of(asked.period)
    period = chosen or around(local_day(now), "month")

    def count() -> Counted:
        with rooms.count(errand) as conn:
            return _counted(rooms, conn, period, asked.centre, now)

    return rooms.kept.get(errand.scope, ("figures", period.text, asked.centre), now, count)


def _counted(
    rooms: Rooms, conn: Connection, period: Period, wanted: str | None, now: datetime
) -> Counted:
    centres = stored.centres(conn)
    centre = _centre(centres, wanted)
    fixed = rooms.settings.baseline_minutes
    baseline = stored.first_minutes(conn, period.low) if fixed is None else fixed
    span = Span(period.low, period.high, now)
    facts = core.counted(stored.ticket_facts(conn, period.low, period.high), span)
    before = stored.minutes_between(conn, period.before().low, period.low, wanted)
    if centre is not None:
        facts = [fact for fact in facts if fact.centre_id == centre.id]
    return Counted(period, span, facts, centres, centre, baseline, fixed is not None, before)


def _centre(centres: Sequence[CentreName], wanted: str | None) -> CentreName | None:
    if wanted is None:
        return None
    found = next((centre for centre in centres if centre.id == wanted), None)
    if found is None:
        raise not_found("centre with that id")
    return found


class ShareOut(Out):
    """`hit_n` of `n` tickets; `low` and `high` are the 95 % interval of the share (Wilson)."""

    hit_n: int
    n: int
    share: float | None
    low: float
    high: float


class PromiseFigureOut(ShareOut):
    """Deadlines of one promise that were decided in the time: kept, or missed."""

    key: str
    order_kind: str
    policy_id: str
    policy_version: int
    clock: str
    within: int
    unit: str
    target_share: float | None
    is_ours: bool


class MinutesOut(Out):
    """Minutes of troubleshooting and repair together, as people noted them, without travel.

    `cut`: how much less than the baseline. The aim of 0.6 is about troubleshooting alone.
    """

    noted_n: int
    sum_min: int
    mean: float | None
    median: float | None
    baseline: float | None
    cut: float | None


class MinutesBeforeOut(Out):
    """The same of the period before."""

    period: str
    noted_n: int
    mean: float | None
    median: float | None


class CauseOut(Out):
    component: str
    ticket_n: int


class FiguresOut(Out):
    known_n: int = Field(description="Tickets whose fault became known in the time.")
    solved_n: int = Field(description="Tickets first solved in the time.")
    promises: list[PromiseFigureOut]
    five_days: ShareOut = Field(description="Repairs within 5 working days; 88 % is the measure.")
    causes: list[CauseOut]
    remote: ShareOut = Field(description="Solved remotely: certainly without a visit.")
    remote_or_handling: ShareOut = Field(description="The same, and users' mistakes: at most.")
    held: ShareOut = Field(description="Repairs that did not come back within 30 days.")
    minutes: MinutesOut


class PlaceOut(Out):
    """`figures` None: fewer devices than may be shown."""

    name: str | None
    device_n: int | None
    figures: FiguresOut | None


class KeyFiguresOut(Out):
    period: str
    from_at: Instant
    to_at: Instant
    counted_at: Instant = Field(description=COUNTED_AT)
    centre: str | None
    whole: FiguresOut
    minutes_before: MinutesBeforeOut
    centres: list[PlaceOut]
    municipalities: list[PlaceOut]


class BehindOut(Out):
    """The tickets that a number counts, the newest first; at most 500."""

    ticket_n: int
    ticket_nos: list[int]


@router.get("", operation_id="get_key_figures")
def get_key_figures(
    rooms: InRooms, errand: InErrand, asked: Annotated[FiguresAsked, Query()]
) -> KeyFiguresOut:
    """Key figures of a month, quarter or year, in all, by centre and by municipality."""
    found = counted(rooms, errand, asked, datetime.now(UTC))
    return KeyFiguresOut(
        period=found.period.text,
        from_at=found.span.low,
        to_at=found.span.high,
        counted_at=found.span.now,
        centre=None if found.centre is None else found.centre.id,
        whole=figures_out(found.whole),
        minutes_before=MinutesBeforeOut(
            period=found.period.before().text,
            noted_n=found.minutes_before.noted_n,
            mean=found.minutes_before.mean,
            median=found.minutes_before.median,
        ),
        centres=[_place_out(row) for row in found.of_centres],
        municipalities=[_place_out(row) for row in found.of_municipalities],
    )


@router.get("/tickets", operation_id="list_figure_tickets")
def list_figure_tickets(
    rooms: InRooms, errand: InErrand, asked: Annotated[BehindAsked, Query()]
) -> BehindOut:
    """The tickets behind one number of the key figures."""
    if asked.figure not in BEHIND:
        raise invalid("query.figure", f"use one of {', '.join(BEHIND)}")
    found = counted(rooms, errand, asked, datetime.now(UTC))
    numbers = behind(found, asked)
    return BehindOut(ticket_n=len(numbers), ticket_nos=numbers[:TICKETS_MAX])


def behind(found: Counted, asked: BehindAsked) -> list[int]:
    facts = [fact for fact in found.facts if asked.area is None or fact.area == asked.area]
    return core.behind(facts, found.span, asked.figure, asked.key)


def figures_out(found: Figures) -> FiguresOut:
    promises = [
        PromiseFigureOut.model_validate({**key._asdict(), "key": key.text, **_share(share)})
        for key, share in found.promises.items()
    ]
    minutes = found.minutes
    return FiguresOut(
        known_n=found.known_n,
        solved_n=found.solved_n,
        promises=promises,
        five_days=_share_out(found.five_days),
        causes=[CauseOut(component=name, ticket_n=count) for name, count in found.causes],
        remote=_share_out(found.remote),
        remote_or_handling=_share_out(found.remote_or_handling),
        held=_share_out(found.held),
        minutes=MinutesOut.model_validate(minutes),
    )


def _share(share: Share) -> dict[str, object]:
    low, high = share.interval
    return {"hit_n": share.hit_n, "n": share.n, "share": share.value, "low": low, "high": high}


def _share_out(share: Share) -> ShareOut:
    return ShareOut.model_validate(_share(share))


def _place_out(row: PlaceFigures) -> PlaceOut:
    return PlaceOut(
        name=row.name,
        device_n=None if row.figures is None else row.device_n,
        figures=None if row.figures is None else figures_out(row.figures),
    )
