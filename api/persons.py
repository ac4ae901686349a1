"""JSON: a person's request for what is kept about them, its erasure, and holds after incidents.

A pseudonym stands in the body of a request and never in an address, which others log.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import IO, Annotated, Final

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from api import cursors
from api.access.gate import Errand, InErrand, record_refused
from api.asking import _Asked
from api.problems import CREATING, READING, ProblemError, not_found
from api.rooms import InRooms, Rooms
from api.schemas import Instant, Out
from api.texts import text
from storage import erasure, privacy
from storage.connection import Connection
from storage.privacy import PrivacyError

router = APIRouter(prefix="/api/v1", tags=["persons"])

_NO_NUL: Final = r"^[^\x00]*$"
_IN_MEMORY_BYTES: Final = 4_000_000
_PIECE_BYTES: Final = 65_536
_ARCHIVE: Final = "application/zip"


class _Told(BaseModel):
    """A body. A misspelt field is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PersonTold(_Told):
    """Whose request it is. The reason, such as a case number, stands in the access log."""

    person: str = Field(min_length=1, max_length=80, pattern=_NO_NUL, examples=["p-4711"])
    why: str = Field(min_length=3, max_length=500, pattern=_NO_NUL, examples=["Begäran 2026-117"])


def _about(errand: Errand, told: PersonTold) -> Errand:
    return replace(errand, objects={"person": told.person}, person=told.person, why=told.why)


@router.post(
    "/persons/export",
    operation_id="export_person",
    response_class=StreamingResponse,
    responses={
        **CREATING,
        200: {"description": "A ZIP of JSON and CSV.", "content": {_ARCHIVE: {}}},
    },
)
def export_person(rooms: InRooms, errand: InErrand, told: PersonTold) -> StreamingResponse:
    """Everything about a person's loans, also what they do not share. Staff have no names in it."""
    with ExitStack() as undo:
        file = undo.enter_context(tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES))
        with _of_somebody(rooms, _about(errand, told)) as conn:
            erasure.export(conn, errand.caller.tenant, told.person, file, datetime.now(UTC))
        undo.pop_all()  # it is closed when it has been sent
    headers = {"Content-Disposition": 'attachment; filename="export.zip"'}
    return StreamingResponse(_pieces(file), media_type=_ARCHIVE, headers=headers)


@contextmanager
def _of_somebody(rooms: Rooms, errand: Errand) -> Iterator[Connection]:
    """A change about a person. Asking for one who is not there is written down: it is a question.

    Raises:
        ProblemError: 404.
    """
    try:
        with rooms.change(errand) as conn:
            yield conn
    except PrivacyError as exc:
        record_refused(rooms, errand)
        raise not_found("loan that is linked to that pseudonym") from exc


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while piece := file.read(_PIECE_BYTES):
            yield piece


class ErasedLoanOut(Out):
    loan_no: int
    device_id: str
    sample_n: int
    answer_n: int
    link_n: int


class StayingOut(Out):
    """What is not erased, and why. `loan_no` null: it holds for all of it."""

    kept: str
    loan_no: int | None
    why_sv: str
    why_en: str


class ErasureOut(Out):
    erased: list[ErasedLoanOut]
    block_n: int
    staying: list[StayingOut]
    dry_run: bool


class ErasureTold(PersonTold):
    dry_run: bool = Field(True, description="Say what would go, and change nothing.")


@router.post("/persons/erase", operation_id="erase_person", responses=CREATING)
def erase_person(rooms: InRooms, errand: InErrand, told: ErasureTold) -> ErasureOut:
    """Erase what the law lets go of a person's finished loans. A hold beats it."""
    with _of_somebody(rooms, _about(errand, told)) as conn:
        result = _erased(conn, told.person, dry_run=told.dry_run)
    return ErasureOut(
        erased=[ErasedLoanOut.model_validate(one) for one in result.erased],
        block_n=result.block_n,
        staying=[
            StayingOut(
                kept=stay.kept,
                loan_no=stay.loan_no,
                why_sv=text(f"kept.{stay.kept}", "sv"),
                why_en=text(f"kept.{stay.kept}", "en"),
            )
            for stay in result.staying
        ],
        dry_run=told.dry_run,
    )


def _erased(conn: Connection, person: str, *, dry_run: bool) -> erasure.Erasure:
    """Do it; on trial it is done and taken back, so that the answer is what would happen."""
    with conn.transaction(force_rollback=dry_run):
        return erasure.erase(conn, person)


class HoldOut(Out):
    """An order to keep everything about a device or a person."""

    hold_no: int
    device_id: str | None
    person: str | None
    why: str
    who: str
    from_at: Instant
    released_at: Instant | None
    released_by: str | None


class HoldPage(Out):
    items: list[HoldOut]
    next_cursor: str | None


class HoldsAsked(_Asked):
    cursor: str | None = Field(None, max_length=400, description="`next_cursor`; opaque.")
    limit: int = Field(50, ge=1, le=500, description="Rows in one answer.")


class HoldTold(_Told):
    """A device or a person, one of the two."""

    device: str | None = Field(None, max_length=64, pattern=_NO_NUL)
    person: str | None = Field(None, min_length=1, max_length=80, pattern=_NO_NUL)
    why: str = Field(min_length=3, max_length=500, pattern=_NO_NUL)


class HoldMadeOut(Out):
    hold_no: int


@router.get("/holds", operation_id="list_holds", responses=READING)
def list_holds(rooms: InRooms, errand: InErrand, asked: Annotated[HoldsAsked, Query()]) -> HoldPage:
    """Holds of the whole tenant, the newest first; released ones too."""
    before = cursors.decode("holds", asked.cursor, cursors.read_number)
    with rooms.read(errand) as conn:
        rows = privacy.holds(conn, asked.limit + 1, before)
    shown = rows[: asked.limit]
    following = cursors.encode("holds", (shown[-1].hold_no,)) if len(rows) > asked.limit else None
    return HoldPage(items=[HoldOut.model_validate(row) for row in shown], next_cursor=following)


@router.post("/holds", operation_id="place_hold", status_code=201, responses=CREATING)
def place_hold(rooms: InRooms, errand: InErrand, told: HoldTold) -> HoldMadeOut:
    """After an incident: nothing about the device or the person is removed until it is released."""
    objects = {"device": told.device} if told.device else {"person": told.person or ""}
    noted = replace(errand, objects=objects, person=told.person, why=told.why)
    who, now = errand.caller.name, datetime.now(UTC)
    try:
        with rooms.change(noted) as conn:
            return HoldMadeOut(hold_no=privacy.hold(conn, **_fields(told), who=who, now=now))
    except PrivacyError as exc:
        record_refused(rooms, noted)
        raise ProblemError(409, "no-hold", f"No hold is placed: {exc}.", "See GET /holds.") from exc


def _fields(told: HoldTold) -> dict[str, str]:
    return {name: value for name, value in told.model_dump().items() if value is not None}


@router.post("/holds/{hold_no}/release", operation_id="release_hold", responses=CREATING)
def release_hold(
    rooms: InRooms, errand: InErrand, hold_no: Annotated[int, Path(ge=1, lt=2**63)]
) -> HoldMadeOut:
    """End a hold: what waited is removed when its time comes."""
    with rooms.change(errand) as conn:
        if not privacy.release_hold(conn, hold_no, errand.caller.name, datetime.now(UTC)):
            raise not_found("hold that runs with that number")
    return HoldMadeOut(hold_no=hold_no)
