"""Errors as pages for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import Request, Response

from api.addresses import page_before, same_address
from api.forms import posted
from api.problems import ProblemError
from api.telling import page, say_for
from api.texts import TEXTS

_FOR_MACHINES: Final = ("/api/", "/livez", "/readyz", "/metrics")


@dataclass(frozen=True, slots=True)
class Unsent:
    """A form that came after the session had ended: where it goes, and what was typed."""

    address: str
    fields: Mapping[str, Sequence[str]]


def is_for_people(request: Request) -> bool:
    return not request.url.path.startswith(_FOR_MACHINES)


async def unsent(request: Request, error: ProblemError) -> Unsent | None:
    """What was typed into a form of ours by somebody who is not signed in any longer.

    Only for a request that names its page (Origin), which the shield has found to be ours:
    otherwise another site could have its own words sent in the name of whoever signs in next.
    """
    if error.status != 401 or request.method != "POST" or not is_for_people(request):
        return None
    if "origin" not in request.headers:
        return None
    try:
        form = await posted(request)
    except ProblemError:
        return None
    return Unsent(same_address(request), form.values)


def error_page(request: Request, error: ProblemError, kept: Unsent | None = None) -> Response:
    """An error in the words and the dress of the other pages; what was typed can be sent again."""
    shown = error.status if f"error.{error.status}" in TEXTS else 500
    response = page(
        "error.html",
        say_for(request),
        error.status,
        shown=shown,
        kept=kept,
        is_change=request.method == "POST",
        before=page_before(request),
    )
    response.headers.update(error.headers)
    return response
