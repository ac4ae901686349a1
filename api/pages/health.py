"""Page: what has come in, what is missing, and what could not be used."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from api.access.gate import InErrand
from api.meanings import quarantined_out, total_of
from api.rooms import InRooms
from api.telling import Say, Voice, page
from storage import reading
from storage.connection import Connection
from storage.reading import QuarantineFilter

router = APIRouter(include_in_schema=False)

GAP_ROWS: Final = 20
PAYLOAD_ROWS: Final = 10
LOST_SINCE: Final = timedelta(days=30)


@router.get("/data-health", operation_id="health_page")
def health_page(rooms: InRooms, errand: InErrand, say: Voice) -> HTMLResponse:
    with rooms.read(errand) as conn:
        sources = reading.intake_totals(conn)
        reasons = reading.quarantine_totals(conn)
        latest = reading.quarantined(conn, QuarantineFilter(), PAYLOAD_ROWS)
        values = _gap_values(conn, say)
        backlog = reading.backlog(conn)
    return page(
        "health.html",
        say,
        sources=sources,
        total=total_of(sources),
        reasons=reasons,
        reason_n=sum(reason.message_n for reason in reasons),
        quarantined=[quarantined_out(row) for row in latest],
        backlog=backlog,
        count_limit=reading.COUNT_LIMIT,
        gap_rows=GAP_ROWS,
        **values,
    )


def _gap_values(conn: Connection, say: Say) -> dict[str, Any]:
    return {
        "counts": reading.gap_counts(conn, say.now - LOST_SINCE),
        "open_gaps": reading.open_gaps(conn, GAP_ROWS),
        "lost_gaps": reading.lost_gaps(conn, GAP_ROWS),
    }
