"""Page: the ticket queue, and what is done to several tickets at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

from fastapi import Depends, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError

from api import queue
from api.access.gate import Errand, InErrand, record_refused
from api.actions import check_duty
from api.asking import TicketsAsked
from api.dues import binding, dues
from api.forms import Form, Posted, whole_number
from api.problems import ProblemError
from api.queue import Asker, QueuePage, is_ended
from api.rooms import InRooms, Rooms
from api.routes import Router
from api.telling import Say, Voice, page
from api.wishes import Wish, mistyped, why_not, wish_of
from api.works import is_urgency_open
from fleet.access.duties import actions_of
from fleet.sla.policies import common_pauses
from fleet.ticket_actions import PEOPLES_REASONS, Action, ActionRefusedError
from fleet.ticket_states import OrderKind, State
from fleet.words import COMPONENT_LABELS, Component, Severity
from storage import queue as stored
from storage import tickets
from storage.connection import Connection

router = Router(include_in_schema=False)

QUEUE_ROWS: Final = 50
AT_ONCE_MAX: Final = 100
BULK: Final = (Action.TRIAGE, Action.TAKE, Action.ASSIGN, Action.WAIT, Action.VOID)


@dataclass(frozen=True, slots=True)
class Refused:
    """A ticket to which the action was not done, and why."""

    ticket_no: int
    reasons: Sequence[str]


@dataclass(frozen=True, slots=True)
class Bulk:
    """What became of an action on several tickets. Refusals keep their rows selected."""

    wish: Wish | None = None
    done: Sequence[int] = ()
    refused: Sequence[Refused] = ()
    is_empty: bool = False

    @property
    def selected(self) -> set[int]:
        return {refused.ticket_no for refused in self.refused}


NOTHING_DONE: Final = Bulk()


@router.get("/", operation_id="queue_page")
def queue_page(rooms: InRooms, errand: InErrand, say: Voice) -> HTMLResponse:
    return _queue(rooms, errand, say, NOTHING_DONE)


def _queue(rooms: Rooms, errand: Errand, say: Say, bulk: Bulk, status: int = 200) -> HTMLResponse:
    asked = asked_in(say)
    asker = Asker(errand.caller.name, say.now)
    with rooms.read(errand) as conn:
        found, unknown_device = _found(conn, asked, asker)
        counts = stored.counts(conn, asker.name, say.now)
        choices = {"centres": stored.centres(conn), "assignees": stored.assignees(conn)}
    return page(
        "queue.html",
        say,
        status,
        tickets=found.tickets,
        next_cursor=found.next_cursor,
        unknown_device=unknown_device,
        urgent_of={row.ticket_no: is_urgency_open(row) for row in found.tickets},
        due_of={row.ticket_no: binding(dues(row, say.now)) for row in found.tickets},
        asked=asked,
        kept=_kept(asked),
        is_ended=is_ended(asked),
        is_filtered=bool(_kept(asked).keys() - {"sort"}),
        counts=counts,
        bulk=bulk,
        bulk_actions=[action for action in BULK if action in actions_of(errand.caller.role)],
        done_n=_number(say.query.get("done")),
        **choices,
        **_words(say),
    )


def _words(say: Say) -> dict[str, Any]:
    """What the lists of the page offer."""
    labels = COMPONENT_LABELS[say.lang]
    return {
        "states": list(State),
        "severities": list(reversed(Severity)),
        "kinds": list(OrderKind),
        "components": sorted(Component, key=lambda part: labels[part]),
        "reasons": {
            Action.WAIT: {pause.reason: pause.label(say.lang) for pause in common_pauses()},
            Action.VOID: {reason: say.word("void", reason) for reason in PEOPLES_REASONS},
        },
        "key_actions": {str(action): say.word("action", action) for action in BULK},
    }


def _found(conn: Connection, asked: TicketsAsked, asker: Asker) -> tuple[QueuePage, str | None]:
    """The tickets, or the name of a device that does not exist."""
    try:
        return queue.page_of(conn, asked, asker), None
    except ProblemError as exc:
        if exc.status != 404:
            raise
        return QueuePage([], None), asked.device


def asked_in(say: Say) -> TicketsAsked:
    """The filter in the address; what cannot be used counts as not said."""
    known = {key: say.query[key] for key in TicketsAsked.model_fields if say.query.get(key)}
    known.pop("limit", None)
    while True:
        try:
            return TicketsAsked.model_validate({**known, "limit": QUEUE_ROWS})
        except ValidationError as exc:
            for error in exc.errors():
                known.pop(str(error["loc"][0]), None)


def _kept(asked: TicketsAsked) -> dict[str, str]:
    """The filter and the order as an address carries them."""
    said = asked.model_dump(mode="json", exclude={"cursor", "limit"}, exclude_defaults=True)
    return {key: str(value) for key, value in said.items() if value is not None}


def _number(text: str | None) -> int:
    return whole_number(text, 4) or 0


@router.get("/tickets", operation_id="tickets_page")
def tickets_page(say: Voice) -> Response:
    """The queue is the front page; this address is easy to guess."""
    return Response(status_code=307, headers={"Location": say.link("/", **say.query)})


@dataclass(frozen=True, slots=True)
class Selected:
    """A row that was ticked: the ticket, and the version that was on the page."""

    ticket_no: int
    seen: int


def selected_in(form: Form) -> list[Selected]:
    """The rows that were ticked; at most `AT_ONCE_MAX`, each once."""
    found: dict[int, Selected] = {}
    for value in form.all("ticket")[:AT_ONCE_MAX]:
        ticket, _, version = value.partition(":")
        number, seen = whole_number(ticket, 9), whole_number(version, 9)
        if number is not None and seen is not None:
            found[number] = Selected(number, seen)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Desk:
    """Who does something to tickets, from where, in which language."""

    rooms: Rooms
    errand: Errand
    say: Say


def _desk(rooms: InRooms, errand: InErrand, say: Voice) -> Desk:
    return Desk(rooms, errand, say)


InDesk = Annotated[Desk, Depends(_desk)]


@router.post("/tickets/actions", operation_id="bulk_action_page")
def bulk_action_page(desk: InDesk, form: Posted) -> Response:
    """Do one action to every ticket that was ticked; each stands or falls by itself."""
    wish, chosen = wish_of(form), selected_in(form)
    check_duty(desk.errand.caller.role, wish.action)
    if not chosen:
        return _again(desk, Bulk(wish, is_empty=True))
    refused = [found for row in chosen if (found := _tried(desk, wish, row)) is not None]
    if not refused:
        return RedirectResponse(_back(desk.say, len(chosen)), 303)
    lost = {row.ticket_no for row in refused}
    done = [row.ticket_no for row in chosen if row.ticket_no not in lost]
    return _again(desk, Bulk(wish, done, refused))


def _again(desk: Desk, bulk: Bulk) -> HTMLResponse:
    """The queue once more, with what went wrong; 409 where nothing was done."""
    status = 200 if bulk.done else 409
    record_refused(desk.rooms, *_not_done(desk.errand, bulk))
    return _queue(desk.rooms, desk.errand, replace(desk.say, path="/"), bulk, status)


def _not_done(errand: Errand, bulk: Bulk) -> list[Errand]:
    """The errand once for each ticket that stays as it was; once where none was chosen."""
    tickets_left = [{"ticket": str(refused.ticket_no)} for refused in bulk.refused]
    return [replace(errand, objects=objects) for objects in tickets_left or [{}]]


def _back(say: Say, done_n: int) -> str:
    kept = {key: value for key, value in say.query.items() if key != "done"}
    return say.link("/", **kept, done=done_n)


def _tried(desk: Desk, wish: Wish, row: Selected) -> Refused | None:
    say = desk.say
    if wrong := mistyped(wish, say):
        return Refused(row.ticket_no, wrong)
    request = wish.request(desk.errand.caller.name)
    logged = replace(desk.errand, objects={"ticket": str(row.ticket_no)})
    try:
        with desk.rooms.change(logged) as conn:
            tickets.change(conn, row.ticket_no, request, say.now, row.seen)
    except tickets.TicketNotFoundError:
        return Refused(row.ticket_no, [say.t("refused.gone")])
    except ActionRefusedError as exc:
        return Refused(row.ticket_no, _reasons(desk, wish, row.ticket_no, exc))
    return None


def _reasons(desk: Desk, wish: Wish, ticket_no: int, exc: ActionRefusedError) -> list[str]:
    with desk.rooms.read(desk.errand) as conn:
        found = tickets.find(conn, ticket_no)
        stamps = stored.stamps(conn, [ticket_no])
    if found is None:
        return [desk.say.t("refused.gone")]
    return why_not(wish, exc, found.work, stamps[0], desk.say)
