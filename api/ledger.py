"""JSON: the loss equation, the ledger of a device, and what is in quarantine."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import Query

from api import cursors
from api.access.gate import InErrand
from api.asking import LedgerAsked, QuarantineAsked, known_device_no
from api.meanings import ledger_out, quarantined_out, total_of
from api.problems import READING
from api.rooms import InRooms
from api.routes import Router
from api.schemas import GapOut, LedgerOut, QuarantinePage, ReasonOut, SourceOut
from api.sums import sums_of
from fleet.wire.topics import is_id
from storage import reading
from storage.reading import QuarantineFilter

router = Router(prefix="/api/v1", tags=["data health"], responses=READING)

GAPS_SHOWN: Final = 500


@router.get("/ledger", operation_id="get_ledger")
def get_ledger(
    rooms: InRooms, errand: InErrand, asked: Annotated[LedgerAsked, Query()]
) -> LedgerOut:
    """Received = stored + duplicate + quarantined, for each way in and in total.

    Where several tenants share the installation: of the caller's own devices, counted within the
    last minute, `ledger` for what has a number and `unnumbered` for what was refused without one.
    With `device`, also that device's epochs, what is missing in each, and its gaps.
    """
    now = datetime.now(UTC)
    with rooms.read(errand) as conn:
        number = known_device_no(conn, asked.device) if asked.device is not None else None
        counts = reading.gap_counts(conn, now)
        epochs = reading.ledgers_of(conn, number) if number is not None else None
        gaps = reading.gaps_of(conn, number, GAPS_SHOWN) if number is not None else None
    sums = sums_of(rooms, errand, now)
    total = total_of(sums.sources)
    return LedgerOut(
        total=total,
        sources=[SourceOut.model_validate(source) for source in sums.sources],
        quarantine=[ReasonOut.model_validate(reason) for reason in sums.reasons],
        quarantine_agrees=total.quarantined_n == sums.reason_n,
        open_gap_n=counts.open_n,
        missing_n=counts.missing_n,
        device=[ledger_out(row) for row in epochs] if epochs is not None else None,
        gaps=[GapOut.model_validate(gap) for gap in gaps] if gaps is not None else None,
    )


@router.get("/quarantine", operation_id="list_quarantine")
def list_quarantine(
    rooms: InRooms, errand: InErrand, asked: Annotated[QuarantineAsked, Query()]
) -> QuarantinePage:
    """Messages that could not be stored, newest first, with the beginning of their payload.

    `device` is the id in the topic, which need not be in the registry.
    """
    before = cursors.decode("quarantine", asked.cursor, cursors.read_number)
    if asked.device is not None and not is_id(asked.device):
        return QuarantinePage(items=[], next_cursor=None)
    wanted = QuarantineFilter(asked.reason, asked.device)
    with rooms.read(errand) as conn:
        rows = reading.quarantined(conn, wanted, asked.limit + 1, before)
    shown, following = cursors.cut("quarantine", rows, asked.limit, "quarantine_no")
    items = [quarantined_out(row, errand.caller) for row in shown]
    return QuarantinePage(items=items, next_cursor=following)
