"""JSON: what the rules concluded."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from api import cursors
from api.access.gate import InErrand
from api.asking import FindingsAsked, known_device_no
from api.grounds import finding_out
from api.problems import READING
from api.rooms import InRooms
from api.routes import Router
from api.schemas import FindingPage
from storage import reading
from storage.reading import FindingFilter

router = Router(prefix="/api/v1/findings", tags=["findings"], responses=READING)


@router.get("", operation_id="list_findings")
def list_findings(
    rooms: InRooms, errand: InErrand, asked: Annotated[FindingsAsked, Query()]
) -> FindingPage:
    """Findings in the order they were first concluded, the newest first.

    Those that ask for care rest on values about the person, and are not listed here.
    """
    before = cursors.decode("findings", asked.cursor, cursors.read_number)
    with rooms.read(errand) as conn:
        number = known_device_no(conn, asked.device) if asked.device is not None else None
        wanted = FindingFilter(number, asked.rule, asked.open)
        rows = reading.findings(conn, wanted, asked.limit + 1, before)
    shown, following = cursors.cut("findings", rows, asked.limit, "finding_no")
    return FindingPage(items=[finding_out(row) for row in shown], next_cursor=following)
