"""JSON: orders to keep everything about a device or a person after an incident."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import Field

from api import cursors
from api.access.gate import Errand, InErrand, record_refused
from api.asking import _Asked
from api.persons import NO_NUL, PERSON_MAX, WHY_MIN, Told, for_whole_tenant
from api.problems import CREATING, READING, ProblemError, not_found
from api.rooms import InRooms, Rooms
from api.routes import Router
from api.schemas import Instant, Out
from fleet.privacy import WHY_MAX
from storage import privacy
from storage.connection import Connection
from storage.privacy import Hold, PrivacyError

router = Router(prefix="/api/v1/holds", tags=["persons"])

HoldNo = Annotated[int, Path(ge=1, lt=2**63, description="The number of a hold.")]


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
    released_why: str | None


class HoldPage(Out):
    items: list[HoldOut]
    next_cursor: str | None


class HoldsAsked(_Asked):
    cursor: str | None = Field(None, max_length=400, description="`next_cursor`; opaque.")
    limit: int = Field(50, ge=1, le=500, description="Rows in one answer.")


class HoldTold(Told):
    """A device or a person, one of the two."""

    device: str | None = Field(None, max_length=64, pattern=NO_NUL)
    person: str | None = Field(None, min_length=1, max_length=PERSON_MAX, pattern=NO_NUL)
    why: str = Field(min_length=WHY_MIN, max_length=WHY_MAX, pattern=NO_NUL)


class ReleaseTold(Told):
    """Why nothing has to be kept any longer; stands with the hold and in the access log."""

    why: str = Field(
        min_length=WHY_MIN, max_length=WHY_MAX, pattern=NO_NUL, examples=["Utredningen är klar"]
    )


class HoldMadeOut(Out):
    hold_no: int


@router.get("", operation_id="list_holds", responses=READING)
def list_holds(rooms: InRooms, errand: InErrand, asked: Annotated[HoldsAsked, Query()]) -> HoldPage:
    """Holds of the whole tenant, the newest first; released ones too."""
    with rooms.read(errand) as conn:
        shown, following = listed(conn, asked.limit, asked.cursor)
    return HoldPage(items=[HoldOut.model_validate(row) for row in shown], next_cursor=following)


def listed(conn: Connection, limit: int, cursor: str | None) -> tuple[list[Hold], str | None]:
    """The newest holds after a cursor, and the cursor of what follows."""
    before = cursors.decode("holds", cursor, cursors.read_number)
    rows = privacy.holds(conn, limit + 1, before)
    return cursors.cut("holds", rows, limit, "hold_no")


@router.post("", operation_id="place_hold", status_code=201, responses=CREATING)
def place_hold(rooms: InRooms, errand: InErrand, told: HoldTold) -> HoldMadeOut:
    """After an incident: nothing about the device or the person is removed until it is released."""
    try:
        return HoldMadeOut(hold_no=placed(rooms, errand, told, datetime.now(UTC)))
    except PrivacyError as exc:
        record_refused(rooms, about(errand, told))
        raise ProblemError(409, "no-hold", f"No hold is placed: {exc}.", "See GET /holds.") from exc


def placed(rooms: Rooms, errand: Errand, told: HoldTold, now: datetime) -> int:
    """Place a hold and log it with its reason; return its number.

    Raises:
        PrivacyError: neither or both named, unknown device, or held already.
        ProblemError: 403, the caller reaches less than the tenant.
    """
    for_whole_tenant(errand)
    with rooms.change(about(errand, told)) as conn:
        return privacy.hold(conn, **_fields(told), who=errand.caller.name, now=now)


def about(errand: Errand, told: HoldTold) -> Errand:
    """The errand as the log has it: what is to be kept, and why."""
    objects = {"device": told.device} if told.device else {"person": told.person or ""}
    return replace(errand, objects=objects, person=told.person, why=told.why)


def _fields(told: HoldTold) -> dict[str, str]:
    return {name: value for name, value in told.model_dump().items() if value is not None}


@router.post("/{hold_no}/release", operation_id="release_hold", responses=CREATING)
def release_hold(
    rooms: InRooms, errand: InErrand, hold_no: HoldNo, told: ReleaseTold
) -> HoldMadeOut:
    """End a hold: what waited is removed when its time comes."""
    released(rooms, errand, hold_no, told, datetime.now(UTC))
    return HoldMadeOut(hold_no=hold_no)


def released(rooms: Rooms, errand: Errand, hold_no: int, told: ReleaseTold, now: datetime) -> None:
    """End a hold and log it with its reason.

    Raises:
        ProblemError: 404, no hold of that number runs.
    """
    with rooms.change(replace(errand, why=told.why)) as conn:
        if not privacy.release_hold(conn, hold_no, errand.caller.name, now, told.why):
            raise not_found("hold that runs with that number")
