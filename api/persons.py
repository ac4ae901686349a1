"""JSON: a person's request for what is kept about them, and for its erasure.

A pseudonym stands in the body of a request and never in an address, which others log.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import IO, Final

from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from api.access.gate import Errand, InErrand, record_refused
from api.problems import CREATING, ProblemError, not_found
from api.rooms import InRooms, Rooms
from api.routes import Router
from api.schemas import Out
from api.texts import text
from fleet.access.callers import Role
from fleet.access.scopes import Reach, Scope
from fleet.privacy import WHY_MAX
from storage import erasure
from storage.connection import Connection
from storage.erasure import Erasure, Staying
from storage.privacy import PrivacyError

router = Router(prefix="/api/v1", tags=["persons"])

NO_NUL: Final = r"^[^\x00]*$"
WHY_MIN: Final = 3
PERSON_MAX: Final = 80
_IN_MEMORY_BYTES: Final = 4_000_000
_PIECE_BYTES: Final = 65_536
_ARCHIVE: Final = "application/zip"


class Told(BaseModel):
    """A body. A misspelt field is refused rather than ignored; ends are trimmed."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class PersonTold(Told):
    """Whose request it is. The reason, such as a case number, stands in the access log."""

    person: str = Field(min_length=1, max_length=PERSON_MAX, pattern=NO_NUL, examples=["p-4711"])
    why: str = Field(
        min_length=WHY_MIN, max_length=WHY_MAX, pattern=NO_NUL, examples=["Begäran 2026-117"]
    )


def for_whole_tenant(errand: Errand) -> None:
    """Refuse somebody who reaches less than the tenant: a person's loans may be anywhere in it.

    Raises:
        ProblemError: 403.
    """
    if errand.scope.reach is not Reach.TENANT:
        raise ProblemError(
            403,
            "whole-tenant",
            "This is about the whole organisation, and the sign-in reaches one centre of it.",
            "Sign in with a commission for the whole organisation.",
        )


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
    return exported(rooms, errand, told, datetime.now(UTC))


def exported(rooms: Rooms, errand: Errand, told: PersonTold, now: datetime) -> StreamingResponse:
    """The archive as a download; that it was made is logged with its reason.

    Raises:
        ProblemError: 404, nothing is linked to the person; 403, see `for_whole_tenant`.
    """
    for_whole_tenant(errand)
    return _archive(rooms, _about(errand, told), told.person, now)


@router.post(
    "/me/export",
    operation_id="export_mine",
    response_class=StreamingResponse,
    responses={
        **CREATING,
        200: {"description": "A ZIP of JSON and CSV.", "content": {_ARCHIVE: {}}},
    },
)
def export_mine(rooms: InRooms, errand: InErrand) -> StreamingResponse:
    """Everything about your own loans, those that have ended too. It stands in the access log."""
    return own_archive(rooms, errand, datetime.now(UTC))


def own_archive(rooms: Rooms, errand: Errand, now: datetime) -> StreamingResponse:
    """What is kept about the caller, and of nobody else.

    It is read in the tenant's reach: a patient's own ends with the current loan.

    Raises:
        ProblemError: 404, nothing is linked to the caller.
    """
    person = errand.caller.person
    if errand.caller.role is not Role.PATIENT or person is None:
        raise _nobody()
    whole = replace(errand, scope=Scope(errand.caller.tenant, Reach.TENANT), person=person)
    return _archive(rooms, whole, person, now)


def _archive(rooms: Rooms, errand: Errand, person: str, now: datetime) -> StreamingResponse:
    with ExitStack() as undo:
        file = undo.enter_context(tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES))
        with _of_somebody(rooms, errand) as conn:
            erasure.export(conn, errand.caller.tenant, person, file, now)
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
        raise _nobody() from exc


def _nobody() -> ProblemError:
    return not_found("loan that is linked to that pseudonym")


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
    if told.dry_run:
        found = tried(rooms, replace(errand, operation="try_erasure"), told)
    else:
        found = erased(rooms, errand, told)
    return ErasureOut(
        erased=[ErasedLoanOut.model_validate(one) for one in found.erased],
        block_n=found.block_n,
        staying=[_staying_out(stay) for stay in found.staying],
        dry_run=told.dry_run,
    )


def _staying_out(stay: Staying) -> StayingOut:
    key = f"kept.{stay.kept}"
    return StayingOut(
        kept=stay.kept, loan_no=stay.loan_no, why_sv=text(key, "sv"), why_en=text(key, "en")
    )


def tried(rooms: Rooms, errand: Errand, told: PersonTold) -> Erasure:
    """What an erasure would do: it is done and taken back. That it was asked is logged.

    Raises:
        ProblemError: 404, nothing is linked to the person; 403, see `for_whole_tenant`.
    """
    for_whole_tenant(errand)
    with (
        _of_somebody(rooms, _about(errand, told)) as conn,
        conn.transaction(force_rollback=True),
    ):
        return erasure.erase(conn, told.person)


class OtherwiseError(Exception):
    """An erasure would do something else by now than what was confirmed; nothing is done."""


def erased(rooms: Rooms, errand: Errand, told: PersonTold, confirmed: str | None = None) -> Erasure:
    """Erase, and log it with its reason.

    Args:
        confirmed: what `tag_of` said of the trial that somebody has agreed to, where one has.

    Raises:
        OtherwiseError: by now it is something else.
        ProblemError: as `tried`.
    """
    for_whole_tenant(errand)
    with _of_somebody(rooms, _about(errand, told)) as conn:
        found = erasure.erase(conn, told.person)
        if confirmed is not None and confirmed != tag_of(found):
            raise OtherwiseError
        return found


def tag_of(found: Erasure) -> str:
    """Which loans go and what stays, in short. Values that come in meanwhile make no difference."""
    parts: Sequence[object] = [
        sorted(one.loan_no for one in found.erased),
        sorted((str(stay.kept), stay.loan_no or 0) for stay in found.staying),
    ]
    return sha256(repr(parts).encode()).hexdigest()[:32]
