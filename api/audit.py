"""JSON: the access log, for those who check it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Final

from fastapi import Query
from pydantic import AwareDatetime, Field

from api import cursors
from api.access.gate import Errand, InErrand
from api.asking import _Asked
from api.problems import READING
from api.rooms import InRooms, Rooms
from api.routes import Router
from api.schemas import Instant, Out
from fleet.access.audit import Row
from fleet.access.callers import Caller, Role
from storage import audit, privacy
from storage.audit import AuditFilter
from storage.connection import Connection

router = Router(prefix="/api/v1/audit", tags=["audit"], responses=READING)

_NO_NUL: Final = r"^[^\x00]*$"


class AuditAsked(_Asked):
    device: str | None = Field(None, max_length=200, pattern=_NO_NUL, description="A device's id.")
    subject: str | None = Field(
        None, max_length=200, pattern=_NO_NUL, description="The id of whoever looked."
    )
    loan: int | None = Field(None, ge=1, lt=2**63, description="A loan's number.")
    from_: AwareDatetime | None = Field(None, alias="from", description="RFC 3339; inclusive.")
    to: AwareDatetime | None = Field(None, description="RFC 3339; exclusive.")
    cursor: str | None = Field(None, max_length=400, description="`next_cursor`; opaque.")
    limit: int = Field(50, ge=1, le=500, description="Rows in one answer.")


class AuditSought(AuditAsked):
    """The same in a body, where a pseudonym may stand."""

    person: str | None = Field(
        None, min_length=1, max_length=80, pattern=_NO_NUL, examples=["p-4711"],
        description="Only what concerns this pseudonym.",
    )  # fmt: skip


class EntryOut(Out):
    """Who did what to what, on whose commission, when and why. `hash` covers the row before."""

    no: int
    at: Instant
    subject: str
    name: str
    role: str
    commission: str | None
    care_unit: str | None
    action: str = Field(description="The operation_id of what was asked for.")
    object_kind: str
    object_id: str | None
    device_id: str | None
    loan_no: int | None
    person: str | None = Field(description="For auditors only: the pseudonym of the loan.")
    why: str | None
    request_id: str | None
    hash: str


class EntryPage(Out):
    items: list[EntryOut]
    next_cursor: str | None


@router.get("", operation_id="list_audit")
def list_audit(
    rooms: InRooms, errand: InErrand, asked: Annotated[AuditAsked, Query()]
) -> EntryPage:
    """Who saw or changed what, the newest first. Whoever asks is logged too."""
    before = cursors.decode("audit", asked.cursor, cursors.read_number)
    with rooms.read(errand) as conn:
        shown, following = listed(conn, _wanted(errand, asked), asked.limit, before)
    return _entries(errand.caller, shown, following)


@router.post("/search", operation_id="search_audit")
def search_audit(rooms: InRooms, errand: InErrand, asked: AuditSought) -> EntryPage:
    """The same as a body, so that a pseudonym is in no address. The log notes whose it was."""
    before = cursors.decode("audit", asked.cursor, cursors.read_number)
    wanted = replace(_wanted(errand, asked), person=asked.person)
    shown, following = sought(rooms, errand, wanted, asked.limit, before)
    return _entries(errand.caller, shown, following)


def _entries(caller: Caller, shown: list[Row], following: str | None) -> EntryPage:
    entries = [_entry_out(row) for row in shown]
    if not may_read_persons(caller):
        entries = [entry.model_copy(update={"person": None}) for entry in entries]
    return EntryPage(items=entries, next_cursor=following)


def _wanted(errand: Errand, asked: AuditAsked) -> AuditFilter:
    return AuditFilter(
        errand.caller.tenant,
        device_id=asked.device,
        loan_no=asked.loan,
        subject=asked.subject,
        from_at=_in_years(asked.from_),
        until_at=_in_years(asked.to),
    )


def sought(
    rooms: Rooms, errand: Errand, wanted: AuditFilter, limit: int, before_no: int | None
) -> tuple[list[Row], str | None]:
    """As `listed`; that somebody looked for a person is an entry about the person."""
    about = {} if wanted.person is None else {"person": wanted.person}
    with rooms.change(replace(errand, objects=about, person=wanted.person)) as conn:
        return listed(conn, wanted, limit, before_no)


def may_read_persons(caller: Caller) -> bool:
    """Whether the caller may read from the log who had which loan: staff otherwise never do."""
    return caller.role is Role.AUDITOR


def listed(
    conn: Connection, wanted: AuditFilter, limit: int, before_no: int | None
) -> tuple[list[Row], str | None]:
    """The newest entries first, and the cursor of what follows."""
    if wanted.from_at is not None or wanted.until_at is not None:
        span = privacy.log_range(conn, wanted.tenant, wanted.from_at, wanted.until_at)
        if span is None:
            return [], None
        wanted = replace(wanted, from_no=span[0])
        before_no = min(before_no or span[1] + 1, span[1] + 1)
    rows = audit.page(conn, wanted, limit + 1, before_no)
    return cursors.cut("audit", rows, limit, "no")


def _in_years(at: datetime | None) -> datetime | None:
    """A time that the database can compare with; years before 1 there have no UTC."""
    return None if at is None or not 1 < at.year < 9999 else at


def _entry_out(row: Row) -> EntryOut:
    fields = {name: getattr(row.entry, name) for name in EntryOut.model_fields if name in _OF_ENTRY}
    return EntryOut(no=row.no, hash=row.hash.hex(), **fields)


_OF_ENTRY: Final = frozenset(EntryOut.model_fields) - {"no", "hash"}
