"""Pages: a person's request for what is kept about them, and for its erasure.

The pseudonym stands in the body of a form and never in an address, so a receipt is the answer to
the form itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from fastapi import Response
from fastapi.responses import HTMLResponse
from pydantic import ValidationError

from api.access.gate import Errand, InErrand
from api.forms import Form, Posted
from api.persons import OtherwiseError, PersonTold, erased, exported, tag_of, tried
from api.problems import ProblemError
from api.rooms import InRooms, Rooms
from api.routes import Router
from api.telling import Say, Voice, page
from fleet.access.scopes import Reach
from storage.erasure import Erasure

router = Router(prefix="/persons", include_in_schema=False)

_REFUSALS: Final = {403: "persons.refused.reach", 404: "persons.refused.nobody"}


class RefusedError(ValueError):
    """What was asked cannot be done; the key of the text that says why."""


@router.get("", operation_id="persons_page")
def persons_page(errand: InErrand, say: Voice) -> HTMLResponse:
    return _form(errand, say)


def _form(
    errand: Errand, say: Say, form: Form | None = None, refusal: str | None = None
) -> HTMLResponse:
    """The page with its form; refused, with what was typed and why not."""
    return page(
        "persons.html",
        _here(say),
        200 if refusal is None else 409,
        typed={name: form.one(name) if form else "" for name in ("person", "why")},
        refusal=refusal,
        is_whole=errand.scope.reach is Reach.TENANT,
    )


def _here(say: Say) -> Say:
    """The other language, and a reload, are of the page that is read."""
    return replace(say, path="/persons", query={})


def _told(form: Form) -> PersonTold:
    try:
        return PersonTold(person=form.one("person"), why=form.one("why"))
    except ValidationError as exc:
        raise RefusedError(f"persons.refused.{exc.errors()[0]['loc'][0]}") from exc


def _key_of(exc: ProblemError) -> str:
    """The text of a refusal that the page has words for; another one goes on its way."""
    if exc.status not in _REFUSALS:
        raise exc
    return _REFUSALS[exc.status]


def _answered(
    errand: Errand, say: Say, form: Form, do: Callable[[PersonTold], Response]
) -> Response:
    """Do what the form asks; refused, the form comes again."""
    try:
        return do(_told(form))
    except RefusedError as exc:
        return _form(errand, say, form, str(exc))
    except ProblemError as exc:
        return _form(errand, say, form, _key_of(exc))


@router.post("/export", operation_id="export_person_page")
def export_person_page(rooms: InRooms, errand: InErrand, say: Voice, form: Posted) -> Response:
    """The archive as a download."""
    return _answered(errand, say, form, lambda told: exported(rooms, errand, told, say.now))


@router.post("/erasure", operation_id="try_erasure_page")
def try_erasure_page(rooms: InRooms, errand: InErrand, say: Voice, form: Posted) -> Response:
    """What would go, what stays and why, and the button that does it."""
    return _answered(errand, say, form, lambda told: _trial(rooms, errand, say, told))


@router.post("/erasure/confirmed", operation_id="erase_person_page")
def erase_person_page(rooms: InRooms, errand: InErrand, say: Voice, form: Posted) -> Response:
    """Erase what the trial said. Where that is something else by now, it is shown anew."""

    def erase(told: PersonTold) -> Response:
        if form.one("agreed") != "yes":
            return _trial(rooms, errand, say, told, "persons.refused.agreed")
        try:
            found = erased(rooms, errand, told, form.one("tag"))
        except OtherwiseError:
            return _trial(rooms, errand, say, told, "persons.refused.otherwise")
        return _erasure(say, told, found, is_done=True)

    return _answered(errand, say, form, erase)


def _trial(
    rooms: Rooms, errand: Errand, say: Say, told: PersonTold, refusal: str | None = None
) -> HTMLResponse:
    """What would go. Also where an erasure came to nothing, it is a trial that is logged."""
    found = tried(rooms, replace(errand, operation="try_erasure_page"), told)
    return _erasure(say, told, found, refusal=refusal)


def _erasure(
    say: Say, told: PersonTold, found: Erasure, refusal: str | None = None, *, is_done: bool = False
) -> HTMLResponse:
    return page(
        "erasure.html",
        _here(say),
        200 if refusal is None else 409,
        told=told,
        found=found,
        tag=tag_of(found),
        is_done=is_done,
        refusal=refusal,
    )
