"""JSON: one refused message, its bytes, and replay of one or of many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Self

from fastapi import Path, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.access.gate import Errand, InErrand
from api.meanings import quarantined_out
from api.privacy import may_read_payload
from api.problems import CREATING, READING, ProblemError, not_found
from api.rooms import InRooms, Rooms
from api.routes import Router
from api.schemas import Out, QuarantinedOut
from fleet.replays import ReplayRefusedError
from fleet.wire.reasons import Reason
from fleet.wire.topics import MAX_PAYLOAD_BYTES
from storage import reading, replays
from storage.connection import Connection
from storage.reading import QuarantineFilter, QuarantineRow
from storage.replays import NotInQuarantineError, NotReplayed, Replayed

router = Router(prefix="/api/v1/quarantine", tags=["data health"])

AT_ONCE_MAX: Final = 100
"""Messages that one request replays; the rest is asked for anew."""
_BYTES: Final = "application/octet-stream"

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
    """One refused message, with all that was kept of its payload."""
    with rooms.read(errand) as conn:
        return quarantined_out(known_message(conn, quarantine_no), errand.caller, MAX_PAYLOAD_BYTES)


@router.get(
    "/{quarantine_no}/payload",
    operation_id="get_quarantined_payload",
    response_class=Response,
    responses={**READING, 200: {"description": "The bytes as they came.", "content": {_BYTES: {}}}},
)
def get_quarantined_payload(
    rooms: InRooms, errand: InErrand, quarantine_no: QuarantineNo
) -> Response:
    """The payload byte for byte, to save; of one larger than 64 KiB its beginning."""
    with rooms.read(errand) as conn:
        row = known_message(conn, quarantine_no)
    if not may_read_payload(row.device_class, errand.caller):
        raise _not_for_repair()
    headers = {"Content-Disposition": f'attachment; filename="quarantine-{quarantine_no}.bin"'}
    return Response(row.payload, media_type=_BYTES, headers=headers)


def _not_for_repair() -> ProblemError:
    return ProblemError(
        403,
        "may-be-about-a-person",
        "The message may hold values about a person: its bytes are for administrators.",
        "The reason, the detail and the topic say what was wrong with it.",
    )


class ReplayAsked(BaseModel):
    """Which messages: of a reason, of a device id in the topic, or both."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Reason | None = None
    device: str | None = Field(None, min_length=1, max_length=200, pattern=r"^[^\x00]*$")
    after: int = Field(0, ge=0, lt=2**63, description="`next_after` of the answer before.")
    limit: int = Field(AT_ONCE_MAX, ge=1, le=AT_ONCE_MAX, description="Messages at once.")
    dry_run: bool = Field(False, description="Say what would happen, and change nothing.")

    @model_validator(mode="after")
    def _not_everything(self) -> Self:
        if self.reason is None and self.device is None:
            raise ValueError("name a reason or a device: everything at once is nobody's wish")
        return self


class EachOut(Out):
    """What became of one message. `not_replayed`: it cannot be, and `detail` says why."""

    quarantine_no: int
    became: Literal["stored", "duplicate", "refused", "not_replayed"]
    message_n: int = Field(0, description="How often it had come.")
    sample_n: int = Field(0, description="Samples that were stored.")
    reason: Reason | None = Field(None, description="Why it was refused again.")
    detail: str | None


class BecameOut(Out):
    """How many messages came to what."""

    stored: int = 0
    duplicate: int = 0
    refused: int = 0
    not_replayed: int = 0


class ReplayManyOut(Out):
    items: list[EachOut]
    became: BecameOut
    next_after: int | None = Field(description="Where to go on; null: there are no more.")
    dry_run: bool


@router.post("/replay", operation_id="replay_quarantine", responses=CREATING)
def replay_quarantine(rooms: InRooms, errand: InErrand, asked: ReplayAsked) -> ReplayManyOut:
    """Decide refused messages again, the oldest first, each one by itself."""
    found = replayed_many(rooms, errand, asked, datetime.now(UTC))
    return ReplayManyOut(
        items=[_each_out(one) for one in found.each],
        became=BecameOut.model_validate(found.became),
        next_after=found.next_after,
        dry_run=asked.dry_run,
    )


def _each_out(found: Replayed | NotReplayed) -> EachOut:
    if isinstance(found, NotReplayed):
        number, detail = found.quarantine_no, found.detail
        return EachOut(quarantine_no=number, became="not_replayed", detail=detail)
    return EachOut.model_validate({**_fields(found), "reason": found.reason})


@dataclass(frozen=True, slots=True)
class ReplayedMany:
    """What became of each, and how many came to what. `next_after` None: there are no more."""

    each: Sequence[Replayed | NotReplayed]
    next_after: int | None

    @property
    def became(self) -> dict[str, Any]:
        return dict(Counter(word_of(one) for one in self.each))


def word_of(found: Replayed | NotReplayed) -> str:
    return "not_replayed" if isinstance(found, NotReplayed) else str(found.became)


def replayed_many(rooms: Rooms, errand: Errand, asked: ReplayAsked, now: datetime) -> ReplayedMany:
    """Replay the next messages that the caller may see. The access log's entry is written first.

    Raises:
        DatabaseDownError: at one of them; asking again goes on where it ended.
    """
    about = {"device": asked.device} if asked.device else {"quarantine": str(asked.reason)}
    wanted = QuarantineFilter(asked.reason, asked.device)
    with rooms.change(replace(errand, objects=about)) as conn:
        numbers = replays.waiting(conn, wanted, asked.limit + 1, asked.after)
    now_done = numbers[: asked.limit]
    with rooms.intake.borrow() as intake:
        each = list(replays.replay_each(intake, now_done, now, dry_run=asked.dry_run))
    return ReplayedMany(each, now_done[-1] if len(numbers) > asked.limit else None)


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
            return replays.replay(intake, quarantine_no, datetime.now(UTC))
        except NotInQuarantineError as exc:
            raise not_found("message with that number in quarantine") from exc
        except ReplayRefusedError as exc:
            raise ProblemError(
                409, "not-replayed", str(exc), "Read the message again; it says how it stands."
            ) from exc
