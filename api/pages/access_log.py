"""Page: the access log, and spot checks of it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Final

from fastapi import Path
from fastapi.responses import HTMLResponse, RedirectResponse

from api import cursors
from api.access.gate import Errand, InErrand
from api.audit import listed, may_read_persons, sought
from api.forms import Posted, whole_number
from api.looks import what_was_done
from api.problems import not_found
from api.rooms import InRooms
from api.routes import Router
from api.telling import Say, Voice, page
from fleet.access.audit import Row
from fleet.privacy import spot_check
from fleet.rules.facts import SWEDEN
from storage import audit, privacy
from storage.audit import AuditFilter
from storage.connection import Connection

router = Router(include_in_schema=False)

ROWS: Final = 50
SAMPLE_MAX: Final = 50
NOTE_MAX: Final = 500
_CHECKS: Final = ("check_entry_page",)
_SEED_MAX: Final = 2**31
_TEXT_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Chain:
    """Where the log ends now: the number, the hash and the time of its last row."""

    no: int
    hash: str
    at: datetime


@router.get("/access-log", operation_id="access_log_page")
def access_log_page(rooms: InRooms, errand: InErrand, say: Voice) -> HTMLResponse:
    wanted = _wanted(errand, say)
    sample_n = _number(say.query.get("sample"), SAMPLE_MAX)
    seed = _number(say.query.get("seed"), _SEED_MAX) or secrets.randbelow(_SEED_MAX - 1) + 1
    rows: Sequence[Row]
    with rooms.read(errand) as conn:
        if sample_n:
            rows, following = _sample(conn, wanted, sample_n, seed), None
        else:
            before = cursors.decode("audit", say.query.get("cursor"), cursors.read_number)
            rows, following = listed(conn, wanted, ROWS, before)
        return _shown(conn, say, wanted, rows, following, sample_n=sample_n, seed=seed)


@router.post("/access-log/search", operation_id="search_access_log_page")
def search_access_log_page(
    rooms: InRooms, errand: InErrand, say: Voice, form: Posted
) -> HTMLResponse:
    """What concerns one person, by a form: the pseudonym is in no address."""
    said = {key: form.one(key) for key in ("from", "to", "cursor") if form.one(key)}
    here = replace(say, path="/access-log", query=said)
    wanted = replace(_wanted(errand, here), person=_text(form.one("person")))
    before = cursors.decode("audit", said.get("cursor"), cursors.read_number)
    rows: Sequence[Row] = []
    following = None
    if wanted.person is not None:
        rows, following = sought(rooms, errand, wanted, ROWS, before)
    with rooms.read(errand) as conn:
        return _shown(conn, here, wanted, rows, following)


def _shown(  # noqa: PLR0913 - what is on the page
    conn: Connection,
    say: Say,
    wanted: AuditFilter,
    rows: Sequence[Row],
    following: str | None,
    *,
    sample_n: int = 0,
    seed: int = 0,
) -> HTMLResponse:
    return page(
        "access_log.html",
        say,
        rows=[(row, what_was_done(row.entry.action)) for row in rows],
        checks=privacy.checked(conn, wanted.tenant, _CHECKS, [row.no for row in rows]),
        chain=_chain(conn, wanted.tenant),
        tenant=wanted.tenant,
        person=wanted.person,
        may_read_persons=say.caller is not None and may_read_persons(say.caller),
        sample_n=sample_n,
        seed=seed,
        next_cursor=following,
        asked={key: say.query.get(key, "") for key in ("device", "subject", "from", "to")},
        is_later="cursor" in say.query,
        next_seed=secrets.randbelow(_SEED_MAX - 1) + 1,
    )


def _chain(conn: Connection, tenant: str) -> Chain | None:
    """Where the log ends; None for whoever sees only a part of it."""
    head = audit.head(conn, tenant)
    last = audit.page(conn, AuditFilter(tenant), 1)
    return Chain(head.no, head.hash.hex(), last[0].entry.at) if head and last else None


def _wanted(errand: Errand, say: Say) -> AuditFilter:
    """What the address asks for. The days are whole days in Sweden, both ends included."""
    until = _day(say.query.get("to"))
    return AuditFilter(
        errand.caller.tenant,
        device_id=_text(say.query.get("device")),
        subject=_text(say.query.get("subject")),
        from_at=_day(say.query.get("from")),
        until_at=None if until is None else until + timedelta(days=1),
    )


def _text(said: str | None) -> str | None:
    return (said or "").replace("\0", "").strip()[:_TEXT_MAX] or None


def _day(said: str | None) -> datetime | None:
    """The start of a day; what cannot be one counts as not said."""
    try:
        day = date.fromisoformat((said or "").strip())
    except ValueError:
        return None
    if not 2000 <= day.year < 3000:
        return None
    return datetime.combine(day, time(), SWEDEN).astimezone(UTC)


def _number(said: str | None, most: int) -> int:
    """A whole number up to `most`; 0 for what is none."""
    return min(whole_number(said, 10) or 0, most)


def _sample(conn: Connection, wanted: AuditFilter, count: int, seed: int) -> list[Row]:
    """Entries drawn at random from the time asked for; the same seed draws the same."""
    span = privacy.log_range(conn, wanted.tenant, wanted.from_at, wanted.until_at)
    if span is None:
        return []
    anything = replace(wanted, device_id=None, subject=None)
    return [
        row
        for number in spot_check(*span, count, seed)
        for row in audit.page(conn, replace(anything, from_no=number), 1, number + 1)
    ]


@router.post("/access-log/{entry_no}/check", operation_id="check_entry_page")
def check_entry_page(
    rooms: InRooms,
    errand: InErrand,
    say: Voice,
    entry_no: Annotated[int, Path(ge=1, lt=2**62)],
    form: Posted,
) -> RedirectResponse:
    """Note that an entry was looked at and found right, or what was wrong: an entry of its own."""
    noted = replace(errand, why=form.one("note")[:NOTE_MAX])
    with rooms.change(noted) as conn:
        found = audit.page(conn, AuditFilter(errand.caller.tenant), 1, entry_no + 1)
        if not found or found[0].no != entry_no:
            raise not_found("entry with that number")
    kept = {
        key: value
        for key in ("sample", "seed", "device", "subject", "from", "to")
        if (value := form.one(key))
    }
    return RedirectResponse(say.link("/access-log", **kept) + f"#entry-{entry_no}", 303)
