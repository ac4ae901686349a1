"""Page: open a ticket by hand, such as while somebody is on the phone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fastapi import Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError

from api.access.gate import InErrand, record_refused
from api.actions import ReportAsked
from api.forms import Posted
from api.marks import marked_device_no
from api.rooms import InRooms
from api.routes import Router
from api.telling import Say, Voice, page
from fleet.ticket_states import OrderKind
from fleet.words import COMPONENT_LABELS, Component, Severity, Usability
from storage import opening
from storage.connection import Connection
from storage.opening import AlreadyOpenError

router = Router(include_in_schema=False)

FIELDS: Final = ("device", "order_kind", "component", "severity", "usability", "title", "text")
_NEVER: Final = frozenset({Component.MEASUREMENT, Component.USER_ACTION, Component.SERVICE})
"""Not parts that somebody calls about."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What was typed, and why it is not a ticket yet. `already` is the open one about it."""

    typed: Mapping[str, str] = field(default_factory=dict)
    reasons: Sequence[str] = ()
    already: int | None = None

    def value(self, name: str, default: str = "") -> str:
        return self.typed.get(name) or default


class _NotYetError(Exception):
    """The report cannot become a ticket; `draft` says why."""

    def __init__(self, draft: Draft) -> None:
        super().__init__(", ".join(draft.reasons))
        self.draft = draft


@router.get("/new-ticket", operation_id="new_ticket_page")
def new_ticket_page(say: Voice) -> HTMLResponse:
    return _shown(say, Draft({"device": say.query.get("device", "")[:200]}))


@router.post("/new-ticket", operation_id="new_ticket_form")
def new_ticket_form(rooms: InRooms, errand: InErrand, say: Voice, form: Posted) -> Response:
    """Open the ticket and go there; or the form once more, with what was typed."""
    typed = {name: form.one(name) for name in FIELDS}
    try:
        asked = _asked(typed, say)
        with rooms.change(errand) as conn:
            number = _opened(conn, asked, typed, errand.caller.name, say)
    except _NotYetError as exc:
        record_refused(rooms, errand)
        return _shown(say, exc.draft, 409)
    return RedirectResponse(say.link(f"/tickets/{number}"), 303)


def _shown(say: Say, draft: Draft, status: int = 200) -> HTMLResponse:
    labels = COMPONENT_LABELS[say.lang]
    parts = sorted(set(Component) - _NEVER, key=lambda part: labels[part])
    return page(
        "new_ticket.html",
        say,
        status,
        draft=draft,
        kinds=list(OrderKind),
        parts=parts,
        severities=list(reversed(Severity)),
        usabilities=list(Usability),
    )


def _asked(typed: Mapping[str, str], say: Say) -> ReportAsked:
    said = {name: value for name, value in typed.items() if value}
    try:
        return ReportAsked.model_validate(said)
    except ValidationError as exc:
        wrong = {str(error["loc"][0]) for error in exc.errors()}
        reasons = [say.t(f"new.lacks.{name}") for name in FIELDS if name in wrong]
        raise _NotYetError(Draft(typed, reasons)) from exc


def _opened(
    conn: Connection, asked: ReportAsked, typed: Mapping[str, str], who: str, say: Say
) -> int:
    device_no = marked_device_no(conn, asked.device)
    if device_no is None:
        raise _NotYetError(Draft(typed, [say.t("new.no_device")]))
    try:
        return opening.open_by_hand(conn, device_no, asked.report, who, say.now)
    except AlreadyOpenError as exc:
        raise _NotYetError(Draft(typed, [say.t("new.already")], exc.ticket_no)) from exc
