"""Errors as pages for people."""

from __future__ import annotations

from typing import Final

from fastapi import Request, Response

from api.problems import ProblemError
from api.telling import page, say_for
from api.texts import TEXTS

_FOR_MACHINES: Final = ("/api/", "/livez", "/readyz", "/metrics")


def is_for_people(request: Request) -> bool:
    return not request.url.path.startswith(_FOR_MACHINES)


def error_page(request: Request, error: ProblemError) -> Response:
    """An error in the words and the dress of the other pages."""
    shown = error.status if f"error.{error.status}" in TEXTS else 500
    response = page("error.html", say_for(request), error.status, shown=shown)
    response.headers.update(error.headers)
    return response
