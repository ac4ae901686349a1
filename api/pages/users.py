"""Page: who is signed in, and the way to end somebody's sessions."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from fastapi.responses import HTMLResponse, RedirectResponse

from api.access.gate import InErrand
from api.forms import Posted, whole_number
from api.rooms import InRooms
from api.routes import Router
from api.telling import Voice, page
from api.users import SUBJECT_MAX, listed, signed_out

router = Router(prefix="/users", include_in_schema=False)

ROWS: Final = 50


@router.get("", operation_id="users_page")
def users_page(rooms: InRooms, errand: InErrand, say: Voice) -> HTMLResponse:
    with rooms.read(errand) as conn:
        idle_since = say.now - rooms.settings.access.idle_for
        rows, following = listed(conn, say.now, idle_since, ROWS, say.query.get("cursor"))
    return page(
        "users.html",
        say,
        rows=rows,
        own=errand.caller.subject,
        next_cursor=following,
        is_first="cursor" not in say.query,
        ended_n=whole_number(say.query.get("ended"), 5),
    )


@router.post("/sign-out", operation_id="sign_out_user_page")
def sign_out_user_page(
    rooms: InRooms, errand: InErrand, say: Voice, form: Posted
) -> RedirectResponse:
    """End every session of somebody, and lead back to the list."""
    subject = form.one("subject")[:SUBJECT_MAX]
    with rooms.change(replace(errand, objects={"user": subject})) as conn:
        ended_n = signed_out(conn, subject, say.now)
    return RedirectResponse(say.link("/users", ended=ended_n), 303)
