"""JSON: who has a device for how long, never by name, and where the device is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import Header, Response
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, Field, field_validator

from api.access.gate import Errand, InErrand
from api.actions import _Told
from api.asking import DeviceId, known_device_no
from api.lending import (
    EARLIEST_LOAN,
    UNIT,
    check_tag,
    is_pseudonym,
    lending_out,
    loans_of,
    placements_out,
    tag_of_loans,
)
from api.once import IdempotencyKey, key_of, once
from api.problems import CHANGING, CREATING, READING, ProblemError, invalid
from api.rooms import InRooms
from api.routes import Router
from api.schemas_device import LendingOut, PlacementsOut
from storage import lending
from storage.connection import Connection
from storage.idempotency import Answer
from storage.lending import BasicNeed, LendingError, Place

router = Router(prefix="/api/v1/devices/{device_id}", tags=["loans"])

_WHY_MAX: Final = 500
_At = Annotated[AwareDatetime | None, Field(description="RFC 3339; now where nothing is said.")]
IfMatch = Annotated[str | None, Header(description="The ETag of the device's loans.")]


class LoanAsked(_Told):
    """A loan to start. `person` is a pseudonym; it is kept apart, and never shown to staff."""

    person: str | None = Field(None, max_length=80, examples=["p-7f3a9c"])
    care_unit: str | None = Field(
        None, max_length=80, examples=["SE2321000016-VE01"], description="Who prescribed it."
    )
    basic_needs: list[BasicNeed] = Field([], max_length=len(BasicNeed))
    at: _At = None

    @field_validator("person")
    @classmethod
    def _a_pseudonym(cls, person: str | None) -> str | None:
        if person is not None and not is_pseudonym(person):
            raise ValueError("give a pseudonym of 1 to 80 characters, never a personal number")
        return person

    @field_validator("care_unit")
    @classmethod
    def _a_unit(cls, unit: str | None) -> str | None:
        if unit is not None and not UNIT.fullmatch(unit):
            raise ValueError("give the unit's id, 1 to 80 characters")
        return unit


class LoanEndAsked(_Told):
    at: _At = None


class NeedsAsked(_Told):
    """What the person cannot do while the device stands still; the prescriber says so."""

    basic_needs: list[BasicNeed] = Field(max_length=len(BasicNeed))


class PlacementAsked(_Told):
    """Where a device is from a time on. Everywhere but in use it opens no tickets."""

    place: Place
    at: _At = None
    why: str = Field("", max_length=_WHY_MAX, pattern=r"^[^\x00]*$")
    is_correction: bool = Field(
        False, description="Overrule what was said of the time since `at`; the rows stay."
    )


@router.get("/loans", operation_id="list_loans", response_model=LendingOut, responses=READING)
def list_loans(rooms: InRooms, errand: InErrand, device_id: DeviceId) -> Response:
    """The loans of a device, newest first, without the persons. The ETag is for changes."""
    with rooms.read(errand) as conn:
        known_device_no(conn, device_id)
        return _answered(_told(conn, device_id), device_id)


@router.post(
    "/loans",
    operation_id="start_loan",
    status_code=201,
    response_model=LendingOut,
    responses=CREATING,
)
def start_loan(
    rooms: InRooms,
    errand: InErrand,
    device_id: DeviceId,
    asked: LoanAsked,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Lend a device. 409 where it is out already, or was at that time."""
    now = datetime.now(UTC)
    at = _near(asked.at, now)

    def do(conn: Connection) -> None:
        needs, unit = asked.basic_needs, asked.care_unit
        lending.start_loan(conn, device_id, asked.person, needs, at, care_unit=unit)

    with rooms.change(errand) as conn:
        known_device_no(conn, device_id)
        key = key_of(errand, idempotency_key, device_id, asked)
        answer = once(conn, key, now, lambda: _done(conn, device_id, do, 201))
    return _answered(answer, device_id)


@router.post("/loans/end", operation_id="end_loan", response_model=LendingOut, responses=CHANGING)
def end_loan(
    rooms: InRooms,
    errand: InErrand,
    device_id: DeviceId,
    asked: LoanEndAsked,
    if_match: IfMatch = None,
) -> Response:
    """End the current loan: what comes after it is not the person's any more."""
    at = _near(asked.at, datetime.now(UTC))
    return _changed(
        rooms, errand, device_id, if_match, lambda conn: lending.end_loan(conn, device_id, at)
    )


@router.put(
    "/loans/current/needs",
    operation_id="change_needs",
    response_model=LendingOut,
    responses=CHANGING,
)
def change_needs(
    rooms: InRooms,
    errand: InErrand,
    device_id: DeviceId,
    asked: NeedsAsked,
    if_match: IfMatch = None,
) -> Response:
    """Say what the person cannot do without the device; it decides what is urgent."""
    return _changed(
        rooms,
        errand,
        device_id,
        if_match,
        lambda conn: lending.change_needs(conn, device_id, asked.basic_needs),
    )


def _changed(
    rooms: InRooms,
    errand: Errand,
    device_id: str,
    if_match: str | None,
    do: Callable[[Connection], object],
) -> Response:
    with rooms.change(errand) as conn:
        known_device_no(conn, device_id)
        lending.hold(conn, device_id)
        check_tag(if_match, loans_of(conn, device_id))
        return _answered(_done(conn, device_id, do, 200), device_id)


def _done(
    conn: Connection, device_id: str, do: Callable[[Connection], object], status: int
) -> Answer:
    try:
        do(conn)
    except LendingError as exc:
        raise refused(exc) from exc
    told = _told(conn, device_id)
    return Answer(status, told.body)


def refused(exc: LendingError) -> ProblemError:
    return ProblemError(
        409, "not-now", str(exc), "Read the device's loans and placements, and ask for what fits."
    )


def _told(conn: Connection, device_id: str) -> Answer:
    loans = loans_of(conn, device_id)
    body: dict[str, Any] = lending_out(device_id, loans).model_dump(mode="json")
    return Answer(200, {**body, "_tag": tag_of_loans(loans)})


def _answered(answer: Answer, device_id: str) -> Response:
    body = dict(answer.body)
    headers = {"ETag": body.pop("_tag")}
    if answer.status == 201:
        headers["Location"] = f"/api/v1/devices/{device_id}/loans"
    return JSONResponse(body, answer.status, headers)


def _near(at: datetime | None, now: datetime) -> datetime:
    """The time meant: now, or within the year behind us.

    Raises:
        ProblemError: 422.
    """
    at = at or now
    if not now - EARLIEST_LOAN <= at <= now + timedelta(minutes=5):
        raise invalid("body.at", "must be within the last year, and not in the future")
    return at.astimezone(UTC)


@router.get("/placements", operation_id="list_placements", responses=READING)
def list_placements(rooms: InRooms, errand: InErrand, device_id: DeviceId) -> PlacementsOut:
    """Where a device has been, newest first."""
    with rooms.read(errand) as conn:
        known_device_no(conn, device_id)
        return placements_out(device_id, lending.placements(conn, device_id))


@router.post("/placements", operation_id="place_device", responses=CREATING)
def place_device(
    rooms: InRooms, errand: InErrand, device_id: DeviceId, asked: PlacementAsked
) -> PlacementsOut:
    """Say where a device is. Where it is already, nothing changes."""
    at = _near(asked.at, datetime.now(UTC))
    who, why = errand.caller.name, asked.why
    with rooms.change(errand) as conn:
        known_device_no(conn, device_id)
        try:
            lending.place(
                conn, device_id, asked.place, at, who, why, is_correction=asked.is_correction
            )
        except LendingError as exc:
            raise refused(exc) from exc
        return placements_out(device_id, lending.placements(conn, device_id))
