"""Pages: messages in quarantine, one of them, and replay of one or of many."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from fastapi import Response
from fastapi.responses import HTMLResponse, RedirectResponse

from api import cursors
from api.access.gate import InErrand, record_refused
from api.access.policy import shipped_policy
from api.forms import Posted, whole_number
from api.meanings import payload_of, quarantined_out
from api.preview import visible
from api.privacy import may_read_payload
from api.problems import ProblemError
from api.quarantine import (
    AT_ONCE_MAX,
    QuarantineNo,
    ReplayAsked,
    known_message,
    replayed,
    replayed_many,
    word_of,
)
from api.readable import Readable, readable
from api.rooms import InRooms
from api.routes import Router
from api.telling import Say, Voice, page
from fleet.wire.reasons import Reason
from fleet.wire.topics import is_id
from storage import reading
from storage.connection import Connection
from storage.reading import QuarantineFilter, QuarantineRow

router = Router(prefix="/data-health/quarantine", include_in_schema=False)

ROWS: Final = 25
PAYLOAD_BYTES: Final = 4096


@router.get("", operation_id="quarantine_page")
def quarantine_page(rooms: InRooms, errand: InErrand, say: Voice) -> HTMLResponse:
    wanted = _wanted(say)
    before = cursors.decode("quarantine", say.query.get("cursor"), cursors.read_number)
    with rooms.read(errand) as conn:
        rows = _found(conn, wanted, before)
    shown, following = cursors.cut("quarantine", rows, ROWS, "quarantine_no")
    return page(
        "quarantine.html",
        say,
        rows=[quarantined_out(row, errand.caller) for row in shown],
        wanted=wanted,
        reasons=list(Reason),
        next_cursor=following,
        is_first=before is None,
        may_replay=_may(say, "replay_all_page"),
        at_once_max=AT_ONCE_MAX,
    )


def _wanted(say: Say) -> QuarantineFilter:
    """The filter in the address; what cannot be used counts as not said."""
    reason, device = say.query.get("reason"), say.query.get("device", "").strip()
    return QuarantineFilter(reason if reason in list(Reason) else None, device[:64] or None)


def _found(conn: Connection, wanted: QuarantineFilter, before: int | None) -> list[QuarantineRow]:
    if wanted.device_id is not None and not is_id(wanted.device_id):
        return []
    return reading.quarantined(conn, wanted, ROWS + 1, before)


@router.get("/{quarantine_no}", operation_id="quarantined_page")
def quarantined_page(
    rooms: InRooms, errand: InErrand, say: Voice, quarantine_no: QuarantineNo
) -> HTMLResponse:
    with rooms.read(errand) as conn:
        return _shown(known_message(conn, quarantine_no), say)


def _shown(row: QuarantineRow, say: Say, refusal: str | None = None) -> HTMLResponse:
    return page(
        "quarantined.html",
        say,
        200 if refusal is None else 409,
        row=quarantined_out(row, say.caller),
        payload=payload_of(row, say.caller, PAYLOAD_BYTES),
        laid_out=_laid_out(row, say),
        kept_n=len(row.payload) if may_read_payload(row.device_class, say.caller) else 0,
        may_replay=_may(say, "replay_page") and row.replayed_as in {None, "refused"},
        refusal=refusal,
        is_new=say.query.get("replayed") == "1",
    )


def _laid_out(row: QuarantineRow, say: Say) -> Readable | None:
    if not may_read_payload(row.device_class, say.caller):
        return None
    return readable(row.payload, row.payload_size, row.content_type)


def _may(say: Say, operation: str) -> bool:
    return say.caller is not None and shipped_policy()[operation].allows(say.caller.role)


@router.post("/replay", operation_id="replay_all_page")
def replay_all_page(rooms: InRooms, errand: InErrand, say: Voice, form: Posted) -> Response:
    """Replay the next messages of a reason or a device, and show what became of each."""
    reason, device = form.one("reason"), form.one("device")[:64]
    wanted = QuarantineFilter(reason if reason in list(Reason) else None, device or None)
    here = replace(say, path="/data-health/quarantine", query=_query_of(wanted))
    if wanted == QuarantineFilter():
        return RedirectResponse(here.link(here.path), 303)
    asked = ReplayAsked.model_validate(
        {**_query_of(wanted), "after": whole_number(form.one("after"), 18) or 0}
    )
    found = replayed_many(rooms, errand, asked, say.now)
    return page(
        "replayed.html",
        here,
        wanted=wanted,
        rows=[(word_of(one), one) for one in found.each],
        became=found.became,
        next_after=found.next_after,
        at_once_max=AT_ONCE_MAX,
        visible=visible,
    )


def _query_of(wanted: QuarantineFilter) -> dict[str, str]:
    said = {"reason": wanted.reason, "device": wanted.device_id}
    return {name: value for name, value in said.items() if value}


@router.post("/{quarantine_no}/replay", operation_id="replay_page")
def replay_page(
    rooms: InRooms, errand: InErrand, say: Voice, quarantine_no: QuarantineNo
) -> Response:
    """Replay, and show what became of it; refused, the page says why."""
    address = f"/data-health/quarantine/{quarantine_no}"
    try:
        replayed(rooms, errand, quarantine_no)
    except ProblemError as exc:
        if exc.status != 409:
            raise
        record_refused(rooms, errand)
        with rooms.read(errand) as conn:
            return _shown(known_message(conn, quarantine_no), say, refusal="kept")
    return RedirectResponse(say.link(address, replayed=1), 303)
