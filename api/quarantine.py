"""JSON: one refused message, and its replay."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import Field

from api.access.gate import Errand, InErrand
from api.meanings import quarantined_out
from api.problems import CREATING, READING, ProblemError, not_found
from api.rooms import InRooms, Rooms
from api.schemas import Out, QuarantinedOut
from fleet.replays import ReplayRefusedError
from fleet.wire.reasons import Reason
from storage import reading
from storage.connection import Connection
from storage.reading import QuarantineRow
from storage.replays import NotInQuarantineError, Replayed, replay

router = APIRouter(prefix="/api/v1/quarantine", tags=["data health"])

QuarantineNo = Annotated[
    int, Path(ge=1, lt=2**63 - 1, description="The number of a refused message.")
]


class ReplayOut(Out):
    """What became of a refused message. Nothing is received by a replay, only counted anew."""

    quarantine_no: int
    became: Literal["stored", "duplicate", "refused"]
    message_n: int = Field(description="How often it had come; each receipt is counted once.")
    sample_n: int = Field(description="Samples that were stored.")
    reason: Reason | None = Field(description="Why it was refused again.")
    detail: str | None


@router.get("/{quarantine_no}", operation_id="get_quarantined", responses=READING)
def get_quarantined(
    rooms: InRooms, errand: InErrand, quarantine_no: QuarantineNo
) -> QuarantinedOut:
    """One refused message, with the beginning of its payload."""
    with rooms.read(errand) as conn:
        return quarantined_out(known_message(conn, quarantine_no), errand.caller)


@router.post("/{quarantine_no}/replay", operation_id="replay_quarantined", responses=CREATING)
def replay_quarantined(rooms: InRooms, errand: InErrand, quarantine_no: QuarantineNo) -> ReplayOut:
    """Decide a refused message again from its bytes, by today's registry.

    It is stored once however often this is asked for. One that is refused again stays, and may be
    replayed again.
    """
    found = replayed(rooms, errand, quarantine_no)
    return ReplayOut.model_validate({**_fields(found), "reason": found.reason})


def _fields(found: Replayed) -> dict[str, object]:
    names = ("quarantine_no", "message_n", "sample_n", "detail")
    return {"became": str(found.became), **{name: getattr(found, name) for name in names}}


def known_message(conn: Connection, quarantine_no: int) -> QuarantineRow:
    """The refused message of that number, within the caller's reach.

    Raises:
        ProblemError: 404.
    """
    row = reading.quarantined_message(conn, quarantine_no)
    if row is None:
        raise not_found("message with that number in quarantine")
    return row


def replayed(rooms: Rooms, errand: Errand, quarantine_no: int) -> Replayed:
    """Replay one message that the caller may see. The access log's entry is written first.

    Raises:
        ProblemError: 404, or 409 where it cannot be replayed.
    """
    with rooms.change(errand) as conn:
        known_message(conn, quarantine_no)
    with rooms.intake.borrow() as intake:
        try:
            return replay(intake, quarantine_no, datetime.now(UTC))
        except NotInQuarantineError as exc:
            raise not_found("message with that number in quarantine") from exc
        except ReplayRefusedError as exc:
            raise ProblemError(
                409, "not-replayed", str(exc), "Read the message again; it says how it stands."
            ) from exc
