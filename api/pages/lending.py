"""Forms of the device page: lend it, take it back, say where it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Response
from fastapi.responses import RedirectResponse

from api.access.gate import Errand, InErrand, record_refused
from api.asking import DeviceId, known_device_no
from api.forms import Form, Posted
from api.lending import (
    EARLIEST_LOAN,
    UNIT,
    current,
    is_pseudonym,
    last_end,
    loans_of,
    tag_of_loans,
)
from api.pages.device import Refused, device_shown
from api.rooms import InRooms, Rooms
from api.routes import Router
from api.telling import Say, Voice
from api.windows import instant
from storage import lending
from storage.connection import Connection
from storage.lending import BasicNeed, LendingError, Loan, Place

router = Router(prefix="/devices/{device_id}", include_in_schema=False)

WHY_MAX = 500


@dataclass(frozen=True, slots=True)
class Counter:
    """Who asks for what about which device, as typed."""

    rooms: Rooms
    errand: Errand
    say: Say
    device_id: str
    form: Form


def _counter(
    rooms: InRooms, errand: InErrand, say: Voice, device_id: DeviceId, form: Posted
) -> Counter:
    return Counter(rooms, errand, say, device_id, form)


AtCounter = Annotated[Counter, Depends(_counter)]


class RefusedError(ValueError):
    """What was asked cannot be done; the key of the text that says why, with its values."""

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(key)
        self.key = key
        self.values_of_text = values


@router.post("/loans", operation_id="start_loan_page")
def start_loan_page(at: AtCounter) -> Response:
    def start(conn: Connection, loans: list[Loan]) -> None:
        person, unit, when = _person(at.form), _unit(at.form), _when(at)
        if current(loans) is not None:
            raise RefusedError("lending.refused.out")
        ended = last_end(loans)
        if ended is not None and when < ended:
            raise RefusedError("lending.refused.earlier", at=at.say.when(ended))
        lending.start_loan(conn, at.device_id, person, _needs(at.form), when, care_unit=unit)

    return _changed(at, "start", start)


@router.post("/loans/end", operation_id="end_loan_page")
def end_loan_page(at: AtCounter) -> Response:
    def end(conn: Connection, loans: list[Loan]) -> None:
        loan, when = current(loans), _when(at)
        if loan is None:
            raise RefusedError("lending.refused.in")
        if when < loan.started_at:
            raise RefusedError("lending.refused.before_start", at=at.say.when(loan.started_at))
        lending.end_loan(conn, at.device_id, when)

    return _changed(at, "end", end)


@router.post("/loans/needs", operation_id="change_needs_page")
def change_needs_page(at: AtCounter) -> Response:
    def say_needs(conn: Connection, loans: list[Loan]) -> None:
        if current(loans) is None:
            raise RefusedError("lending.refused.needs")
        lending.change_needs(conn, at.device_id, _needs(at.form))

    return _changed(at, "needs", say_needs)


@router.post("/placement", operation_id="place_page")
def place_page(at: AtCounter) -> Response:
    def move(conn: Connection, _: list[Loan]) -> None:
        word = at.form.one("place")
        if word not in list(Place):
            raise RefusedError("lending.refused.place")
        why = at.form.one("why")[:WHY_MAX]
        who = at.errand.caller.name
        lending.place(conn, at.device_id, Place(word), at.say.now, who, why)

    return _changed(at, "place", move)


Change = Callable[[Connection, list[Loan]], None]


def _changed(at: Counter, act: str, change: Change) -> Response:
    """Do it and lead back; refused, the page comes again with what was typed, and says why."""
    try:
        with at.rooms.change(at.errand) as conn:
            known_device_no(conn, at.device_id)
            _do(conn, at, act, change)
    except (RefusedError, LendingError) as exc:
        record_refused(at.rooms, at.errand)
        refused = Refused(_words(exc, at.say), act, at.form)
        return device_shown(at.rooms, at.errand, at.say, at.device_id, refused)
    return RedirectResponse(at.say.link(f"/devices/{at.device_id}") + "#lending", 303)


def _do(conn: Connection, at: Counter, act: str, change: Change) -> None:
    """One change, on the loans that were on the page."""
    lending.hold(conn, at.device_id)
    loans = loans_of(conn, at.device_id)
    if at.form.one("tag") != tag_of_loans(loans):
        raise _overtaken(act, loans, at.say)
    change(conn, loans)


def _overtaken(act: str, loans: list[Loan], say: Say) -> RefusedError:
    """The loans are not as they were on the page: where it was the same change, it is done."""
    loan, ended = current(loans), last_end(loans)
    if act == "start" and loan is not None:
        return RefusedError("lending.refused.started", at=say.when(loan.started_at))
    if act == "end" and loan is None and ended is not None:
        return RefusedError("lending.refused.ended", at=say.when(ended))
    return RefusedError("lending.refused.changed")


def _words(exc: RefusedError | LendingError, say: Say) -> str:
    if isinstance(exc, RefusedError):
        return say.t(exc.key, **exc.values_of_text)
    return say.t("lending.refused.not_now")


def _person(form: Form) -> str:
    """The pseudonym, which a loan on the page cannot do without."""
    person = form.one("person")
    if not is_pseudonym(person):
        raise RefusedError("lending.refused.person")
    return person


def _unit(form: Form) -> str | None:
    unit = form.one("care_unit")
    if unit and not UNIT.fullmatch(unit):
        raise RefusedError("lending.refused.unit")
    return unit or None


def _needs(form: Form) -> list[BasicNeed]:
    known = set(map(str, BasicNeed))
    return [BasicNeed(word) for word in form.all("need") if word in known]


def _when(at: Counter) -> datetime:
    """The Swedish time that was typed; now where nothing was."""
    typed, now = at.form.one("at"), at.say.now
    if not typed:
        return now
    found = instant(typed, now)
    if found is None or found < now - EARLIEST_LOAN:
        raise RefusedError("lending.refused.time")
    return found
