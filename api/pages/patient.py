"""Pages of a patient: my device, who looked, and what I share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse

from api import cursors
from api.access.gate import InErrand
from api.asking import DeviceId
from api.forms import Form, Posted, whole_number
from api.looks import LOG_PAGE, Look, looks
from api.own import answered, own_device, own_loan, sent_labels, unshared_since
from api.persons import own_archive
from api.problems import invalid, not_found
from api.rooms import InRooms
from api.routes import Router
from api.telling import Voice, page
from storage import centres, privacy
from storage.connection import Connection
from storage.reading import device as device_row

router = Router(include_in_schema=False)

LOOKS_SHOWN: Final = 5
_ALL_OTHERS: Final = "*"
_UNIT_MAX: Final = 80


@router.get("/my-device", operation_id="my_device_page")
def my_device_page(rooms: InRooms, errand: InErrand, say: Voice) -> HTMLResponse:
    caller = errand.caller
    with rooms.read(errand) as conn:
        devices = [own_device(conn, loan, say.now) for loan in privacy.own_loans(conn)]
        seen, _ = looks(conn, caller.tenant, caller.person or "", LOOKS_SHOWN)
        blocks, units = privacy.blocks(conn), privacy.own_units(conn)
        named = centres.unit_names(conn, _units_of(seen, blocks, units))
    return page(
        "my_device.html",
        say,
        devices=devices,
        sent={own.device.id: sent_labels(own.device.device_class, say.lang) for own in devices},
        looks=seen,
        blocks=blocks,
        units=units,
        unit_names=named,
        thanked=say.query.get("said"),
    )


def _units_of(
    seen: Sequence[Look], blocks: Sequence[privacy.Block], units: Sequence[str]
) -> list[str | None]:
    """Every unit that the page mentions."""
    blocked = [unit for block in blocks for unit in (block.care_unit, block.kept_unit)]
    return [*units, *blocked, *(look.care_unit for look in seen)]


@router.post("/my-device/export", operation_id="my_export_page")
def my_export_page(rooms: InRooms, errand: InErrand, say: Voice) -> StreamingResponse:
    """What is kept about whoever asks, to take away. A form's post: it is logged, and no link."""
    return own_archive(rooms, errand, say.now)


@router.get("/my-device/who-looked", operation_id="who_looked_page")
def who_looked_page(rooms: InRooms, errand: InErrand, say: Voice) -> HTMLResponse:
    caller = errand.caller
    before = cursors.decode("looks", say.query.get("cursor"), cursors.read_number)
    with rooms.read(errand) as conn:
        found, after = looks(conn, caller.tenant, caller.person or "", LOG_PAGE, before)
        named = centres.unit_names(conn, [look.care_unit for look in found])
    following = after and cursors.encode("looks", (after,))
    return page(
        "who_looked.html",
        say,
        looks=found,
        unit_names=named,
        next_cursor=following,
        is_later=bool(before),
    )


@router.get("/my-device/{device_id}/sharing", operation_id="my_sharing_page")
def my_sharing_page(
    rooms: InRooms, errand: InErrand, say: Voice, device_id: DeviceId
) -> HTMLResponse:
    """Ask before anything changes: what stops, what goes on, and what it means."""
    with rooms.read(errand) as conn:
        loan = own_loan(conn, device_id)
        device = device_row(conn, device_id)
        since = unshared_since(conn, loan.loan_no)
    assert device is not None, "the loan was read in the same view of the data"
    sent = sent_labels(device.device_class, say.lang)
    return page("my_sharing.html", say, device=device, since=since, sent=sent)


@router.post("/my-device/{device_id}/sharing", operation_id="my_sharing_change_page")
def my_sharing_change_page(
    rooms: InRooms, errand: InErrand, say: Voice, device_id: DeviceId, form: Posted
) -> RedirectResponse:
    changes = {"stop": privacy.stop_sharing, "share": privacy.share_again}
    change = changes.get(form.one("wish"))
    if change is None:
        raise invalid("wish", "is stop or share")
    with rooms.change(errand) as conn:
        change(conn, own_loan(conn, device_id).loan_no, say.now)
    return RedirectResponse(say.link("/my-device") + "#sharing", 303)


@router.post("/my-device/{device_id}/answers", operation_id="self_help_page")
def self_help_page(
    rooms: InRooms, errand: InErrand, say: Voice, device_id: DeviceId, form: Posted
) -> RedirectResponse:
    """Keep whether a step helped, and come back to it."""
    ticket_no, helped = whole_number(form.one("ticket_no"), 18), form.one("helped")
    if ticket_no is None:
        raise invalid("ticket_no", "is the number of a ticket")
    if helped not in {"yes", "no"}:
        raise invalid("helped", "is yes or no")
    with rooms.change(errand) as conn:
        loan = own_loan(conn, device_id)
        answered(conn, loan, ticket_no, form.one("step"), helped == "yes", say.now)
    return RedirectResponse(say.link("/my-device", said=helped) + f"#ticket-{ticket_no}", 303)


@router.post("/my-device/blocks", operation_id="my_blocks_page")
def my_blocks_page(rooms: InRooms, errand: InErrand, say: Voice, form: Posted) -> RedirectResponse:
    with rooms.change(errand) as conn:
        _change_blocks(conn, form, say)
    return RedirectResponse(say.link("/my-device") + "#blocks", 303)


def _change_blocks(conn: Connection, form: Form, say: Voice) -> None:
    ending, unit = form.one("end"), form.one("care_unit")
    if ending:
        number = whole_number(ending, 18)
        if number is None or not privacy.end_block(conn, number, say.now):
            raise not_found("block of yours with that number")
        return
    if not 1 <= len(unit) <= _UNIT_MAX:
        raise invalid("care_unit", "name the care unit")
    kept = form.one("kept_unit") or None
    privacy.add_block(conn, None if unit == _ALL_OTHERS else unit, say.now, _kept(unit, kept))


def _kept(unit: str, kept: str | None) -> str | None:
    return kept[:_UNIT_MAX] if unit == _ALL_OTHERS and kept else None
