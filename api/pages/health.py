"""Page: what has come in, what is missing, how far behind we are, and what could not be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from api.access.gate import InErrand
from api.access.policy import shipped_policy
from api.meanings import total_of
from api.rooms import InRooms
from api.sums import sums_of
from api.telling import Say, Voice, page
from fleet.replays import WAY_IN
from storage import reading
from storage.connection import Connection
from storage.reading import IntakeTotalRow

router = APIRouter(include_in_schema=False)

GAP_ROWS: Final = 20
LOST_SINCE: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Lane:
    """One way in, over all its slots: `last_at` is when it last brought something."""

    name: str
    received_n: int
    last_at: datetime


def lanes(sources: Sequence[IntakeTotalRow]) -> list[Lane]:
    """The ways in without their slots, the one that was quiet longest first. Pure."""
    found: dict[str, list[IntakeTotalRow]] = {}
    for row in sources:
        if row.source != WAY_IN:
            found.setdefault(_lane_of(row.source), []).append(row)
    summed = [
        Lane(name, sum(row.received_n for row in rows), max(row.updated_at for row in rows))
        for name, rows in found.items()
    ]
    return sorted(summed, key=lambda lane: lane.last_at)


def _lane_of(source: str) -> str:
    """`mqtt/urgent/3` is the third slot of the lane `mqtt/urgent`."""
    before, _, last = source.rpartition("/")
    return before if before and last.isdigit() else source


@router.get("/data-health", operation_id="health_page")
def health_page(rooms: InRooms, errand: InErrand, say: Voice) -> HTMLResponse:
    sums = sums_of(rooms, errand, say.now)
    with rooms.read(errand) as conn:
        values = _gap_values(conn, say)
    return page(
        "health.html",
        say,
        sums=sums,
        lanes=lanes(sums.sources),
        total=total_of(sums.sources),
        way_in=WAY_IN,
        may_open=_may_open(say),
        count_limit=reading.COUNT_LIMIT,
        gap_rows=GAP_ROWS,
        **values,
    )


def _may_open(say: Say) -> bool:
    """Payloads may speak of a person: not everybody opens them."""
    return say.caller is not None and shipped_policy()["quarantine_page"].allows(say.caller.role)


def _gap_values(conn: Connection, say: Say) -> dict[str, Any]:
    return {
        "counts": reading.gap_counts(conn, say.now - LOST_SINCE),
        "open_gaps": reading.open_gaps(conn, GAP_ROWS),
        "lost_gaps": reading.lost_gaps(conn, GAP_ROWS),
    }
