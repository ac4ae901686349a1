"""JSON: what a patient sees and decides of their own, and what a care unit is kept out of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from api import cursors
from api.access.gate import Errand, InErrand, record_refused
from api.asking import DeviceId, _Asked
from api.looks import Look, looks
from api.own import OwnDevice, OwnTicket, own_device, own_loan, sent_labels
from api.own import answered as keep_answer
from api.problems import CREATING, READING, invalid, not_found
from api.rooms import InRooms
from api.routes import Router
from api.schemas import Instant, Out
from api.texts import text
from fleet.privacy import OVERRIDE_FOR, OVERRIDE_WHY_MIN, WHY_MAX
from fleet.standing import Standing
from fleet.words import Lang
from storage import privacy
from storage.audit import append
from storage.connection import DataRejectedError

router = Router(prefix="/api/v1/me", tags=["me"], responses=READING)

_NO_NUL: Final = r"^[^\x00]*$"
_UNIT_MAX: Final = 80


class _Told(BaseModel):
    """A body. A misspelt field is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StepOut(Out):
    """Something to try. `helped`: what was answered; None: nothing yet."""

    id: str = Field(examples=["wc-charge"])
    sv: str
    en: str
    helped: bool | None
    source_title: str
    source_url: str


class MyTicketOut(Out):
    ticket_no: int
    state: str
    said_sv: str = Field(description="What it means to the user; may be empty.")
    said_en: str
    started_at: Instant
    promised_at: Instant | None = Field(description="The first deadline that still runs.")
    steps: list[StepOut]


class ContactOut(Out):
    """The centre that services your device, and how you reach it."""

    name: str
    phone: str | None
    hours: str | None = Field(description="When somebody answers, in the centre's own words.")
    email: str | None
    link: str | None


class MyDeviceOut(Out):
    """A device on loan, in the words that its user needs."""

    id: str
    individual_no: str | None
    device_class: str
    model_name: str
    on_loan_since: Instant
    standing: Standing = Field(description="works, limited, do_not_use; unknown: not heard of.")
    unshared_since: Instant | None = Field(
        description="Since when only what safety needs is shared; null: everything is."
    )
    sent: dict[str, list[str]] = Field(
        description="What the device may send, in Swedish, by why: safety, service, care."
    )
    centre: ContactOut | None
    tickets: list[MyTicketOut]


class MyDevicesOut(Out):
    items: list[MyDeviceOut]


@router.get("/devices", operation_id="list_my_devices")
def list_my_devices(rooms: InRooms, errand: InErrand) -> MyDevicesOut:
    """The devices that you have on loan: how they stand, and what you can do."""
    now = datetime.now(UTC)
    with rooms.read(errand) as conn:
        found = [own_device(conn, loan, now) for loan in privacy.own_loans(conn)]
    return MyDevicesOut(items=[_device_out(one) for one in found])


def _device_out(own: OwnDevice) -> MyDeviceOut:
    device = own.device
    return MyDeviceOut(
        id=device.id,
        individual_no=device.individual_no,
        device_class=device.device_class,
        model_name=f"{device.maker} {device.model_name}",
        on_loan_since=own.loan.started_at,
        standing=own.standing,
        unshared_since=own.unshared_since,
        sent=sent_labels(device.device_class, "sv"),
        centre=own.contact and ContactOut.model_validate(own.contact),
        tickets=[_ticket_out(one) for one in own.tickets],
    )


def _ticket_out(own: OwnTicket) -> MyTicketOut:
    row = own.ticket
    return MyTicketOut(
        ticket_no=row.ticket_no,
        state=row.state,
        said_sv=row.user_sv,
        said_en=row.user_en,
        started_at=row.started_at,
        promised_at=own.due and own.due.due_at,
        steps=[
            StepOut(
                id=step.id,
                sv=step.text.sv,
                en=step.text.en,
                helped=own.answers.get(step.id),
                source_title=step.source_title,
                source_url=step.source_url,
            )
            for step in own.steps
        ],
    )


class SharingTold(_Told):
    share: bool = Field(description="false: share only what safety needs, from now on.")


class SharingOut(Out):
    device_id: str
    unshared_since: Instant | None


@router.post("/devices/{device_id}/sharing", operation_id="set_my_sharing", responses=CREATING)
def set_my_sharing(
    rooms: InRooms, errand: InErrand, device_id: DeviceId, told: SharingTold
) -> SharingOut:
    """Stop sharing what safety does not need, or share everything again. It holds at once."""
    now = datetime.now(UTC)
    with rooms.change(errand) as conn:
        loan = own_loan(conn, device_id)
        change = privacy.share_again if told.share else privacy.stop_sharing
        change(conn, loan.loan_no, now)
        times = privacy.sharing(conn, loan.loan_no)
    since = next((start for start, end in times if end is None), None)
    return SharingOut(device_id=device_id, unshared_since=since)


class AnswerTold(_Told):
    ticket_no: int = Field(ge=1, lt=2**63)
    step: str = Field(pattern=r"^[a-z0-9._-]{1,40}$", examples=["wc-charge"])
    helped: bool


class AnswerOut(Out):
    ticket_no: int
    step: str
    helped: bool


@router.post("/devices/{device_id}/answers", operation_id="answer_self_help", responses=CREATING)
def answer_self_help(
    rooms: InRooms, errand: InErrand, device_id: DeviceId, told: AnswerTold
) -> AnswerOut:
    """Say whether a step helped. The ticket stays open until a rule or a person closes it."""
    with rooms.change(errand) as conn:
        loan = own_loan(conn, device_id)
        keep_answer(conn, loan, told.ticket_no, told.step, told.helped, datetime.now(UTC))
    return AnswerOut.model_validate(told)


class LookOut(Out):
    """Somebody read or changed something about you: `count` times from `from_at` to `at`.

    Readings by one person within half an hour of each other are one row. A change is its own.
    """

    at: Instant
    from_at: Instant
    count: int
    role: str
    care_unit: str | None
    what_sv: str
    what_en: str
    device_id: str | None


class LookPage(Out):
    items: list[LookOut]
    next_cursor: str | None


class LooksAsked(_Asked):
    cursor: str | None = Field(None, max_length=400, description="`next_cursor`; opaque.")
    limit: int = Field(50, ge=1, le=500, description="Entries looked through for one answer.")


def _told(look: Look, lang: Lang) -> str:
    return ", ".join(text(word, lang) for word in look.what)


@router.get("/access-log", operation_id="get_my_access_log")
def get_my_access_log(
    rooms: InRooms, errand: InErrand, asked: Annotated[LooksAsked, Query()]
) -> LookPage:
    """Who looked at what is about you, the newest first: role, unit and time. Not yourself."""
    before = cursors.decode("looks", asked.cursor, cursors.read_number)
    caller = errand.caller
    with rooms.read(errand) as conn:
        found, after = looks(conn, caller.tenant, caller.person or "", asked.limit, before)
    items = [
        LookOut(
            at=look.at,
            from_at=look.from_at,
            count=look.count,
            role=look.role,
            care_unit=look.care_unit,
            what_sv=_told(look, "sv"),
            what_en=_told(look, "en"),
            device_id=look.device_id,
        )
        for look in found
    ]
    return LookPage(items=items, next_cursor=after and cursors.encode("looks", (after,)))


class BlockOut(Out):
    """`care_unit` null: every unit but `kept_unit`."""

    block_no: int
    care_unit: str | None
    kept_unit: str | None
    from_at: Instant


class BlocksOut(Out):
    items: list[BlockOut]


class BlockTold(_Told):
    care_unit: str | None = Field(
        None, min_length=1, max_length=_UNIT_MAX, pattern=_NO_NUL, examples=["SE2321000016-VE01"]
    )
    kept_unit: str | None = Field(
        None,
        min_length=1,
        max_length=_UNIT_MAX,
        pattern=_NO_NUL,
        description="Without care_unit: every unit but this one is kept out.",
    )


@router.get("/blocks", operation_id="list_my_blocks")
def list_my_blocks(rooms: InRooms, errand: InErrand) -> BlocksOut:
    """The care units that you keep out."""
    with rooms.read(errand) as conn:
        return _blocks(privacy.blocks(conn))


@router.post("/blocks", operation_id="add_my_block", responses=CREATING)
def add_my_block(rooms: InRooms, errand: InErrand, told: BlockTold) -> BlocksOut:
    """Keep a care unit out, or all but one. It holds at once."""
    if told.care_unit and told.kept_unit:
        raise invalid("body.kept_unit", "goes without care_unit: it says which unit is let in")
    with rooms.change(errand) as conn:
        privacy.add_block(conn, told.care_unit, datetime.now(UTC), told.kept_unit)
        return _blocks(privacy.blocks(conn))


@router.delete("/blocks/{block_no}", operation_id="end_my_block", responses=CREATING)
def end_my_block(
    rooms: InRooms, errand: InErrand, block_no: Annotated[int, Path(ge=1, lt=2**63)]
) -> BlocksOut:
    """Let a care unit in again."""
    with rooms.change(errand) as conn:
        if not privacy.end_block(conn, block_no, datetime.now(UTC)):
            raise not_found("block of yours with that number")
        return _blocks(privacy.blocks(conn))


def _blocks(found: list[privacy.Block]) -> BlocksOut:
    return BlocksOut(items=[BlockOut.model_validate(block) for block in found])


class BlockedOut(Out):
    blocked_n: int = Field(description="Current loans of your unit that are kept from you.")


@router.get("/blocked", operation_id="get_blocked")
def get_blocked(rooms: InRooms, errand: InErrand) -> BlockedOut:
    """That something is blocked for your unit, and nothing more."""
    with rooms.read(errand) as conn:
        return BlockedOut(blocked_n=privacy.blocked_loan_n(conn))


class OverrideTold(_Told):
    individual_no: str = Field(
        min_length=1, max_length=80, pattern=_NO_NUL, description="As it stands on the device."
    )
    why: str = Field(min_length=OVERRIDE_WHY_MIN, max_length=WHY_MAX, pattern=_NO_NUL)


class OverrideOut(Out):
    device_id: str
    until_at: Instant


@router.post("/overrides", operation_id="override_block", responses=CREATING)
def override_block(rooms: InRooms, errand: InErrand, told: OverrideTold) -> OverrideOut:
    """Pass a block in an emergency, for two hours. The reason stands in the access log."""
    device_id = overridden(rooms, errand, told.individual_no, told.why)
    return OverrideOut(device_id=device_id, until_at=datetime.now(UTC) + OVERRIDE_FOR)


def overridden(rooms: InRooms, errand: Errand, individual_no: str, why: str) -> str:
    """Pass a block and log it, in one transaction; the device's id.

    Raises:
        ProblemError: 404 there is no such block, 422 no reason that says anything, 429 too many
            attempts: a number can be guessed.
    """
    rooms.guard.check_attempt(errand.caller)
    try:
        with rooms.pool.write(errand.scope) as conn:
            device_id = privacy.override_block(conn, individual_no, why)
            if device_id is not None:
                noted = replace(errand, objects={"device": device_id}, why=why)
                append(conn, errand.caller.tenant, [noted.entry(datetime.now(UTC))])
    except DataRejectedError as exc:
        raise invalid("body.why", f"write {OVERRIDE_WHY_MIN} to {WHY_MAX} characters") from exc
    if device_id is None:
        record_refused(rooms, replace(errand, objects={"individual": individual_no}, why=why))
        raise not_found("blocked loan of your unit with that individual number")
    return device_id
