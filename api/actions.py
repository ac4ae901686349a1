"""JSON: what people do with tickets, tickets opened by hand, and what happened to one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import Header, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api import cursors
from api.access.gate import Errand, InErrand
from api.asking import known_device_no
from api.etags import changed_since, check_version, version_tag
from api.meanings import ticket_out
from api.once import IdempotencyKey, key_of, once
from api.problems import CHANGING, CREATING, READING, ProblemError, not_found
from api.rooms import InRooms
from api.routes import Router
from api.schemas import TicketEventOut, TicketEventPage, TicketOut
from api.tickets import TicketNo, known_ticket
from api.works import work_of
from fleet.access.callers import Role
from fleet.access.duties import actions_of
from fleet.ticket_actions import (
    MINUTES_MAX,
    NAME_MAX,
    WHY_MAX,
    Action,
    ActionRefusedError,
    Outcome,
    Request,
    offered,
)
from fleet.ticket_states import OrderKind
from fleet.words import Component, Severity, Usability
from storage import opening, tickets
from storage.connection import Connection
from storage.idempotency import Answer
from storage.opening import AlreadyOpenError, Report
from storage.reading import TicketRow
from storage.tickets import TicketChangedError, TicketNotFoundError

router = Router(prefix="/api/v1/tickets", tags=["tickets"])

_NO_NUL: Final = r"^[^\x00]*$"
_TITLE_MAX: Final = 120
_EVENTS_MAX: Final = 500


class _Told(BaseModel):
    """A body. A misspelt field is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ActionAsked(_Told):
    """One action. What it needs to be told depends on the action and on the ticket's state."""

    action: Action = Field(examples=["solve"])
    why: str = Field(
        "",
        max_length=WHY_MAX,
        pattern=_NO_NUL,
        description="In your own words. For `comment` the note itself.",
    )
    assignee: str | None = Field(None, max_length=NAME_MAX, pattern=_NO_NUL)
    reason: str | None = Field(
        None,
        max_length=NAME_MAX,
        pattern=_NO_NUL,
        description="For `wait` a reason that the ticket's agreement knows, for `void` one of"
        " duplicate, false_alarm, device_withdrawn, test, handled_elsewhere.",
    )
    outcome: Outcome | None = Field(None, examples=["part_replaced"])
    part: str | None = Field(
        None, max_length=WHY_MAX, pattern=_NO_NUL, examples=["motorkontakt vänster"]
    )
    minutes: int | None = Field(
        None,
        ge=0,
        le=MINUTES_MAX,
        description="Of troubleshooting and repair, without travel.",
        examples=[40],
    )
    new_kind: OrderKind | None = None

    def request(self, who: str) -> Request:
        return Request(who=who, **self.model_dump())


class ReportAsked(_Told):
    """A ticket to open by hand. Title and text leave with the ticket: name no user in them."""

    device: str = Field(max_length=200, examples=["fk-20417"])
    order_kind: OrderKind = Field(examples=["AU"])
    title: str = Field(
        min_length=1, max_length=_TITLE_MAX, pattern=r"^[^\x00-\x1f]*[^\s\x00-\x1f][^\x00-\x1f]*$"
    )
    text: str = Field("", max_length=WHY_MAX, pattern=_NO_NUL)
    component: Component = Component.UNKNOWN
    severity: Severity = Severity.MAJOR
    usability: Usability = Usability.DEGRADED

    @property
    def report(self) -> Report:
        return Report(
            self.order_kind,
            self.title.strip(),
            self.text.strip(),
            self.component,
            self.severity,
            self.usability,
        )


IfMatch = Annotated[
    str | None, Header(description='The version that is changed: the ETag of the ticket, or `"7"`.')
]


@router.post(
    "/{ticket_no}/actions",
    operation_id="act_on_ticket",
    response_model=TicketOut,
    responses=CHANGING,
)
def act_on_ticket(  # noqa: PLR0913, PLR0917 - what a route is given, it is given by name
    rooms: InRooms,
    errand: InErrand,
    ticket_no: TicketNo,
    asked: ActionAsked,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Do one action to one ticket, and answer with the ticket as it is after that.

    An action that asks for another order kind makes the ticket void; `replaced_by_no` is the one
    that takes its place.
    """
    check_duty(errand.caller.role, asked.action)
    now = datetime.now(UTC)
    key = key_of(errand, idempotency_key, str(ticket_no), asked)
    with rooms.change(errand) as conn:
        answer = once(conn, key, now, lambda: _acted(conn, errand, ticket_no, asked, if_match, now))
    return _answered(answer)


def check_duty(role: Role, action: Action) -> None:
    """Refuse what is not this role's to do.

    Raises:
        ProblemError: 403.
    """
    if action not in actions_of(role):
        raise ProblemError(
            403,
            "not-your-action",
            f"The role {role} does not {action} tickets.",
            "Ask the service desk.",
        )


def _acted(  # noqa: PLR0913, PLR0917 - who does what to which version of what, and when
    conn: Connection,
    errand: Errand,
    ticket_no: int,
    asked: ActionAsked,
    if_match: str | None,
    now: datetime,
) -> Answer:
    before = known_ticket(conn, ticket_no)
    check_version(if_match, before.version)
    change_known(conn, before, asked.request(errand.caller.name), now)
    return Answer(200, _told(conn, ticket_no, now))


def change_known(conn: Connection, before: TicketRow, request: Request, now: datetime) -> None:
    """Do one action to a ticket as it was read, with refusals as problems.

    Raises:
        ProblemError: 404, 409 not in this state, 412 somebody was first, 422 not told enough.
    """
    try:
        tickets.change(conn, before.ticket_no, request, now, before.version)
    except TicketNotFoundError as exc:
        raise not_found("ticket with that number") from exc
    except TicketChangedError as exc:
        raise changed_since(str(exc)) from exc
    except ActionRefusedError as exc:
        raise _refused(request.action in offered(work_of(before)), exc) from exc


def _refused(is_offered: bool, exc: ActionRefusedError) -> ProblemError:
    return ProblemError(
        422 if is_offered else 409,
        "action-refused",
        str(exc),
        "Give what the message asks for." if is_offered else "Choose an action the ticket has.",
    )


def _told(conn: Connection, ticket_no: int, now: datetime) -> dict[str, Any]:
    return ticket_out(known_ticket(conn, ticket_no), now).model_dump(mode="json")


def _answered(answer: Answer) -> Response:
    headers = {"ETag": version_tag(int(answer.body["version"]))}
    if answer.status == 201:
        headers["Location"] = f"/api/v1/tickets/{answer.body['ticket_no']}"
    return JSONResponse(dict(answer.body), answer.status, headers)


@router.post(
    "",
    operation_id="open_ticket",
    status_code=201,
    response_model=TicketOut,
    responses=CREATING,
)
def open_ticket(
    rooms: InRooms,
    errand: InErrand,
    asked: ReportAsked,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Open a ticket about a device by hand, such as after a phone call.

    Where a ticket is open about the same part of the device the answer is 409, and names it.
    """
    now = datetime.now(UTC)
    key = key_of(errand, idempotency_key, "", asked)
    with rooms.change(errand) as conn:
        answer = once(conn, key, now, lambda: _opened(conn, errand, asked, now))
    return _answered(answer)


def _opened(conn: Connection, errand: Errand, asked: ReportAsked, now: datetime) -> Answer:
    device_no = known_device_no(conn, asked.device)
    try:
        number = opening.open_by_hand(conn, device_no, asked.report, errand.caller.name, now)
    except AlreadyOpenError as exc:
        where = f"Continue with /api/v1/tickets/{exc.ticket_no}."
        raise ProblemError(409, "already-open", str(exc), where) from exc
    except ActionRefusedError as exc:
        raise not_found("device with that id") from exc
    return Answer(201, _told(conn, number, now))


class EventsAsked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    cursor: str | None = Field(None, max_length=400)
    limit: int = Field(100, ge=1, le=_EVENTS_MAX)


@router.get("/{ticket_no}/events", operation_id="list_ticket_events", responses=READING)
def list_ticket_events(
    rooms: InRooms, errand: InErrand, ticket_no: TicketNo, asked: Annotated[EventsAsked, Query()]
) -> TicketEventPage:
    """What happened to one ticket, in order: who did what, when and why."""
    after = cursors.decode("events", asked.cursor, cursors.read_small) or 0
    with rooms.read(errand) as conn:
        known_ticket(conn, ticket_no)
        rows = tickets.history(conn, ticket_no, after, asked.limit + 1)
    shown, following = cursors.cut("events", rows, asked.limit, "event_no")
    items = [TicketEventOut.model_validate(row) for row in shown]
    return TicketEventPage(items=items, next_cursor=following)
