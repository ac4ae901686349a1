"""Page: what has come in, what is missing, how far behind we are, and what could not be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from fastapi.responses import HTMLResponse

from api import typography
from api.access.gate import InErrand
from api.access.policy import shipped_policy
from api.meanings import total_of
from api.rooms import InRooms
from api.routes import Router
from api.sums import sums_of
from api.telling import Say, Voice, page
from fleet.replays import WAY_IN
from storage import reading
from storage.connection import Connection
from storage.reading import IntakeTotalRow

router = Router(include_in_schema=False)

GAP_ROWS: Final = 20
LOST_SINCE: Final = timedelta(days=30)
TOGETHER: Final = timedelta(minutes=5)
QUIET: Final = timedelta(minutes=10)
"""After so long without anything the page says since when: a quiet night is no delay."""

_TENTHS_BELOW_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Lane:
    """One way in, over all its slots: `last_at` is when it last brought something.

    The delays are of the last records then; None before any were stored.
    """

    name: str
    received_n: int
    last_at: datetime
    receipt_delay_s: float | None
    age_s: float | None


def lanes(sources: Sequence[IntakeTotalRow]) -> list[Lane]:
    """The ways in without their slots, the one that was quiet longest first. Pure."""
    found: dict[str, list[IntakeTotalRow]] = {}
    for row in sources:
        if row.source != WAY_IN:
            found.setdefault(_lane_of(row.source), []).append(row)
    return sorted((_summed(*lane) for lane in found.items()), key=lambda lane: lane.last_at)


def _summed(name: str, rows: Sequence[IntakeTotalRow]) -> Lane:
    """Of the slots that brought something of late the slowest speaks for the lane."""
    last_at = max(row.updated_at for row in rows)
    late = [row for row in rows if row.updated_at > last_at - TOGETHER]
    return Lane(
        name,
        sum(row.received_n for row in rows),
        last_at,
        max((row.receipt_delay_s for row in late if row.receipt_delay_s is not None), default=None),
        max((row.age_s for row in late if row.age_s is not None), default=None),
    )


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
        quiet_before=say.now - QUIET,
        took=lambda seconds: took(seconds, say),
        total=total_of(sums.sources),
        way_in=WAY_IN,
        may_open=_may_open(say),
        count_limit=reading.COUNT_LIMIT,
        gap_rows=GAP_ROWS,
        **values,
    )


def took(seconds: float, say: Say) -> str:
    """`0,4 s`, `12 s`, `5 min`, `3 dygn`."""
    if seconds < _TENTHS_BELOW_S:
        return f"{typography.number(seconds, say.lang, 1)}{typography.HARD_SPACE}s"
    return say.duration_ms(round(seconds * 1000))


def _may_open(say: Say) -> bool:
    """Payloads may speak of a person: not everybody opens them."""
    return say.caller is not None and shipped_policy()["quarantine_page"].allows(say.caller.role)


def _gap_values(conn: Connection, say: Say) -> dict[str, Any]:
    return {
        "counts": reading.gap_counts(conn, say.now - LOST_SINCE),
        "open_gaps": reading.open_gaps(conn, GAP_ROWS),
        "lost_gaps": reading.lost_gaps(conn, GAP_ROWS),
    }
