"""Page: one ticket, why it exists, and what may be done to it now."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Response
from fastapi.responses import HTMLResponse, RedirectResponse

from api.access.gate import Errand, InErrand, record_refused
from api.access.policy import shipped_policy
from api.actions import check_duty
from api.choices import UNTOUCHED, Typed, choices
from api.dues import binding, dues
from api.explained import Explained, explained
from api.forms import Form, Posted, whole_number
from api.grounds import grounds
from api.history import happened, waiting_words
from api.meanings import episode_out, fault_out
from api.plots import ticket_charts
from api.problems import not_found
from api.rooms import InRooms
from api.routes import Router
from api.telling import Say, Voice, page
from api.tickets import TicketNo, WholeTicket, known_ticket, whole_ticket
from api.wishes import Wish, mistyped, why_not, wish_of
from api.works import work_of
from fleet.rules.storms import STORM_DEVICES
from fleet.ticket_actions import ActionRefusedError
from storage import queue as stored
from storage import tickets
from storage.connection import Connection
from storage.explained import explained_episodes
from storage.tickets import Changed, TicketNotFoundError

router = Router(include_in_schema=False)

FAULT_ROWS: Final = 50
EXPLAINED_ROWS: Final = 50


@router.get("/tickets/{ticket_no}", operation_id="ticket_page")
def ticket_page(rooms: InRooms, errand: InErrand, say: Voice, ticket_no: TicketNo) -> HTMLResponse:
    with rooms.read(errand) as conn:
        return _shown(conn, errand, say, ticket_no, UNTOUCHED)


@router.post("/tickets/{ticket_no}/actions", operation_id="ticket_action_page")
def ticket_action_page(
    rooms: InRooms, errand: InErrand, say: Voice, ticket_no: TicketNo, form: Posted
) -> Response:
    """Do what the form asks; refused, the page comes back with what was typed and why not."""
    wish = wish_of(form)
    check_duty(errand.caller.role, wish.action)
    refusal: ActionRefusedError | None = None
    if not mistyped(wish, say):
        try:
            with rooms.change(errand) as conn:
                changed = _changed(conn, errand, ticket_no, wish, form, say)
            return RedirectResponse(_after(changed, say), 303)
        except TicketNotFoundError as exc:
            raise not_found("ticket with that number") from exc
        except ActionRefusedError as exc:
            refusal = exc
    record_refused(rooms, errand)
    with rooms.read(errand) as conn:
        reasons = _reasons(conn, ticket_no, wish, refusal, say)
        typed = Typed(wish.action, wish.typed, reasons)
        return _shown(conn, errand, say, ticket_no, typed)


def _changed(  # noqa: PLR0913, PLR0917 - who does what to what, as typed where
    conn: Connection, errand: Errand, ticket_no: int, wish: Wish, form: Form, say: Say
) -> Changed:
    request = wish.request(errand.caller.name)
    return tickets.change(conn, ticket_no, request, say.now, _seen(form))


def _seen(form: Form) -> int:
    """The version that was on the page; a form without one saw nothing."""
    return whole_number(form.one("version"), 9) or 0


def _after(changed: Changed, say: Say) -> str:
    """The ticket, or the one that took its place."""
    return say.link(f"/tickets/{changed.replaced_by_no or changed.ticket_no}")


def _reasons(
    conn: Connection, ticket_no: int, wish: Wish, refusal: ActionRefusedError | None, say: Say
) -> list[str]:
    if refusal is None:
        return mistyped(wish, say)
    work = work_of(known_ticket(conn, ticket_no))
    return why_not(wish, refusal, work, stored.stamps(conn, [ticket_no])[0], say)


def _shown(
    conn: Connection, errand: Errand, say: Say, ticket_no: int, typed: Typed
) -> HTMLResponse:
    whole = whole_ticket(conn, ticket_no, say.now)
    status = 409 if typed.reasons else 200
    return page(
        "ticket.html",
        say,
        status,
        typed=typed,
        choices=choices(errand.caller.role, work_of(whole.ticket), whole.deadlines.policy, say),
        assignees=stored.assignees(conn),
        me=errand.caller.name,
        may_say_needs=shipped_policy()["change_needs_page"].allows(errand.caller.role),
        charts=ticket_charts(conn, whole, say),
        **_why(conn, whole, say),
        **_standing(whole, say),
        **_evidence(whole),
    )


def _why(conn: Connection, whole: WholeTicket, say: Say) -> dict[str, Any]:
    """Why the ticket exists, and which faults it explains."""
    told = whole.body.body_sv if say.lang == "sv" else whole.body.body_en
    grounds_shown = grounds(conn, whole.ticket, whole.findings, say)
    return {
        "body": told,
        "is_withheld": whole.is_withheld,
        "sections": _sections(told, say, grounds_shown),
        "grounds": grounds_shown,
        "storm": _storm_of(whole.ticket.subject),
        "explained": _explained(conn, whole, say),
    }


def _explained(conn: Connection, whole: WholeTicket, say: Say) -> list[Explained]:
    beside = explained_episodes(conn, whole.ticket.ticket_no, EXPLAINED_ROWS)
    return explained(whole.episodes, beside, say.now)


def _standing(whole: WholeTicket, say: Say) -> dict[str, Any]:
    """How the ticket and its deadlines stand."""
    ticket = whole.ticket
    found = dues(ticket, say.now)
    return {
        "ticket": ticket,
        "due": binding(found),
        "dues": {due.clock: due for due in found},
        "deadlines": whole.deadlines,
        "waits": ticket.waiting_reason and waiting_words(ticket.waiting_reason, say),
        "is_urgency_open": work_of(ticket).is_urgency_open,
        "history": happened(whole.events, say),
        "similar": whole.similar,
    }


def _evidence(whole: WholeTicket) -> dict[str, Any]:
    return {
        "members": whole.members,
        "episodes": [episode_out(episode) for episode in whole.episodes],
        "faults": [fault_out(fault) for fault in whole.faults[:FAULT_ROWS]],
        "fault_n": len(whole.faults),
    }


def _storm_of(subject: str) -> int | None:
    """How many devices it takes for a storm; None for a ticket that is not about one."""
    return STORM_DEVICES if subject.startswith("storm:") else None


def _sections(body: str, say: Say, grounds_shown: object) -> list[tuple[str, list[str]]]:
    """The ticket's own text; why it exists is told from its findings where there are any."""
    sections = sections_of(body) if body else []
    if not grounds_shown:
        return sections
    return [section for section in sections if section[0] != say.t("ticket.why")]


def sections_of(body: str) -> list[tuple[str, list[str]]]:
    """A ticket's text as (heading, lines). A block's first line is its heading if it is short."""
    found = []
    for block in body.strip().split("\n\n"):
        first, *rest = block.strip().splitlines() or [""]
        is_heading = bool(rest) and len(first) <= 60 and not first.endswith((".", ":", ","))
        found.append((first, rest) if is_heading else ("", [first, *rest]))
    return found
