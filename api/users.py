"""JSON: who I am, and who has signed in here lately."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from api import cursors
from api.access.gate import InErrand
from api.once import IdempotencyKey, key_of, once
from api.problems import CREATING, READING, not_found
from api.rooms import InRooms
from api.routes import Router
from api.schemas import Instant, Out
from fleet.access.callers import Role
from fleet.access.scopes import Reach, scope_of
from storage import users
from storage.connection import Connection
from storage.idempotency import Answer
from storage.users import UserRow

router = Router(prefix="/api/v1", tags=["users"], responses=READING)

SUBJECT_MAX: Final = 200


class MeOut(Out):
    """Whoever asks, as the sign-in describes them, and how far they reach."""

    subject: str
    name: str
    role: Role
    tenant: str
    centre: str | None
    commission: str | None
    care_unit: str | None
    device: str | None
    is_service: bool
    reach: Reach = Field(description="What limits the devices that exist for the caller.")


class UserOut(Out):
    """Somebody who has signed in within the last days. Programs with tokens have no session."""

    subject: str
    name: str
    role: Role
    centre: str | None
    session_n: int = Field(description="Sessions that are open now.")
    first_seen_at: Instant
    last_seen_at: Instant


class UserPage(Out):
    items: list[UserOut]
    next_cursor: str | None


class SignedOutOut(BaseModel):
    subject: str
    ended_n: int = Field(description="Sessions that were open, and have ended.")


class UsersAsked(BaseModel):
    """A misspelt parameter is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cursor: str | None = Field(None, max_length=400)
    limit: int = Field(50, ge=1, le=500)


class _Nothing(BaseModel):
    """There is no body to tell apart."""


@router.get("/me", operation_id="get_me")
def get_me(errand: InErrand) -> MeOut:
    """Who I am here, and how far I reach."""
    caller = errand.caller
    return MeOut(
        subject=caller.subject,
        name=caller.name,
        role=caller.role,
        tenant=caller.tenant,
        centre=caller.centre,
        commission=caller.commission,
        care_unit=caller.care_unit,
        device=caller.device,
        is_service=caller.is_service,
        reach=scope_of(caller).reach,
    )


@router.get("/users", operation_id="list_users")
def list_users(rooms: InRooms, errand: InErrand, asked: Annotated[UsersAsked, Query()]) -> UserPage:
    """Who of my organisation has a session, or had one within the last day; by id."""
    now = datetime.now(UTC)
    with rooms.read(errand) as conn:
        idle_since = now - rooms.settings.access.idle_for
        shown, following = listed(conn, now, idle_since, asked.limit, asked.cursor)
    return UserPage(items=[UserOut.model_validate(row) for row in shown], next_cursor=following)


def listed(
    conn: Connection, now: datetime, idle_since: datetime, limit: int, cursor: str | None
) -> tuple[list[UserRow], str | None]:
    """Users by id after a cursor, and the cursor of what follows."""
    after = cursors.decode("users", cursor, cursors.read_text) or ""
    rows = users.lately(conn, now, idle_since, after, limit + 1)
    return cursors.cut("users", rows, limit, "subject")


@router.post("/users/{user_id}/sign-out", operation_id="sign_out_user", responses=CREATING)
def sign_out_user(
    rooms: InRooms,
    errand: InErrand,
    user_id: Annotated[str, Path(max_length=SUBJECT_MAX, pattern=r"^[^\x00]+$")],
    idempotency_key: IdempotencyKey = None,
) -> SignedOutOut:
    """End every session of somebody of my organisation. Tokens last until they run out."""
    now = datetime.now(UTC)
    key = key_of(errand, idempotency_key, user_id, _Nothing())
    with rooms.change(errand) as conn:
        answer = once(conn, key, now, lambda: _answer(conn, user_id, now))
    return SignedOutOut.model_validate(answer.body)


def _answer(conn: Connection, subject: str, now: datetime) -> Answer:
    return Answer(200, {"subject": subject, "ended_n": signed_out(conn, subject, now)})


def signed_out(conn: Connection, subject: str, now: datetime) -> int:
    """End every session of somebody; return how many were open.

    Raises:
        ProblemError: 404, nobody of that id has signed in lately.
    """
    ended_n = users.end_sessions(conn, subject, now)
    if ended_n is None:
        raise not_found("user with that id who has signed in lately")
    return ended_n
