"""Page: what is kept after an incident, and until when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from fastapi import Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError

from api.access.gate import Errand, InErrand, record_refused
from api.access.policy import shipped_policy
from api.forms import Form, Posted
from api.holds import HoldNo, HoldTold, ReleaseTold, listed, placed, released
from api.problems import ProblemError
from api.rooms import InRooms, Rooms
from api.routes import Router
from api.telling import Say, Voice, page
from fleet.access.scopes import Reach
from storage import device_reading
from storage.privacy import PrivacyError

router = Router(prefix="/holds", include_in_schema=False)

ROWS: Final = 50
_NOTHING: Final[Mapping[str, str]] = {}


class RefusedError(ValueError):
    """What was asked cannot be done; the key of the text that says why."""


@router.get("", operation_id="holds_page")
def holds_page(rooms: InRooms, errand: InErrand, say: Voice) -> HTMLResponse:
    return _shown(rooms, errand, say)


def _shown(
    rooms: Rooms,
    errand: Errand,
    say: Say,
    refusal: str | None = None,
    typed: Mapping[str, str] = _NOTHING,
) -> HTMLResponse:
    """The list; refused, with what was typed and why not."""
    if refusal is not None:
        record_refused(rooms, errand)
    with rooms.read(errand) as conn:
        rows, following = listed(conn, ROWS, say.query.get("cursor"))
    is_whole = errand.scope.reach is Reach.TENANT
    policy = shipped_policy()["place_hold_page"]
    return page(
        "holds.html",
        replace(say, path="/holds"),  # the other language, and a reload, are of the page
        200 if refusal is None else 409,
        rows=rows,
        next_cursor=following,
        is_first="cursor" not in say.query,
        is_whole=is_whole,
        may_change=is_whole and policy.allows(errand.caller.role),
        refusal=refusal,
        typed={name: typed.get(name, "") for name in ("device", "person", "why")},
    )


@router.post("", operation_id="place_hold_page")
def place_hold_page(rooms: InRooms, errand: InErrand, say: Voice, form: Posted) -> Response:
    """Keep everything about a device or a person, and lead back to the list."""
    try:
        placed(rooms, errand, _hold_in(rooms, errand, form), say.now)
    except RefusedError as exc:
        return _shown(rooms, errand, say, str(exc), _typed(form))
    except PrivacyError:  # all else that it can be is refused above
        return _shown(rooms, errand, say, "holds.refused.held", _typed(form))
    except ProblemError as exc:
        return _shown(rooms, errand, say, _key_of(exc, 403, "holds.refused.reach"), _typed(form))
    return RedirectResponse(say.link("/holds"), 303)


def _key_of(exc: ProblemError, status: int, key: str) -> str:
    """The text of a refusal that the page has words for; another one goes on its way."""
    if exc.status != status:
        raise exc
    return key


def _typed(form: Form) -> dict[str, str]:
    return {name: form.one(name) for name in ("device", "person", "why")}


def _hold_in(rooms: Rooms, errand: Errand, form: Form) -> HoldTold:
    mark, person = form.one("device"), form.one("person")
    if bool(mark) == bool(person):
        raise RefusedError("holds.refused.one")
    device = _device_called(rooms, errand, mark) if mark else None
    try:
        return HoldTold(device=device, person=person or None, why=form.one("why"))
    except ValidationError as exc:
        raise RefusedError(f"holds.refused.{exc.errors()[0]['loc'][0]}") from exc


def _device_called(rooms: Rooms, errand: Errand, mark: str) -> str:
    """The id of the one device with this id, individual number or serial."""
    with rooms.read(errand) as conn:
        found = device_reading.marked(conn, mark, 2)
    if not found.is_exact or len(found.devices) != 1:
        raise RefusedError("holds.refused.device")
    return found.devices[0].id


@router.post("/{hold_no}/release", operation_id="release_hold_page")
def release_hold_page(
    rooms: InRooms, errand: InErrand, say: Voice, hold_no: HoldNo, form: Posted
) -> Response:
    """End a hold, and lead back to it in the list."""
    try:
        released(rooms, errand, hold_no, ReleaseTold(why=form.one("why")), say.now)
    except ValidationError:
        return _shown(rooms, errand, say, "holds.refused.why")
    except ProblemError as exc:
        return _shown(rooms, errand, say, _key_of(exc, 404, "holds.refused.released"))
    return RedirectResponse(say.link("/holds") + f"#hold-{hold_no}", 303)
