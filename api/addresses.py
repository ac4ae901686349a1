"""Where the page of a form is read: an address that is only posted to leads nowhere by itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request
from starlette.routing import BaseRoute

_SAFE: Final = frozenset({"GET", "HEAD"})


def read_paths(routes: Iterable[BaseRoute]) -> frozenset[str]:
    """The paths that can be read, as the routes write them: `/tickets/{ticket_no}`."""
    return frozenset(
        getattr(route, "path", "") for route in routes if "GET" in getattr(route, "methods", ())
    )


def read_path(request: Request) -> str:
    """The path of this page, or of the page that its form stands on.

    That is the nearest path above that can be read: `/tickets/7` for `/tickets/7/actions`.
    """
    path: str = request.url.path
    route = request.scope.get("route")
    if request.method in _SAFE or route is None:
        return path
    template, readable = route.path, request.app.state.read_paths
    while template and template not in readable:
        template, path = template.rpartition("/")[0], path.rpartition("/")[0]
    return path or "/"


def page_before(request: Request) -> str:
    """The address of the page that a form was sent from, with the query it had.

    A browser says it (Referer) of our own pages only; else the query is the form's own.
    """
    path, query = read_path(request), request.url.query
    said = urlsplit(request.headers.get("referer", ""))
    if (said.netloc, said.path) == (request.headers.get("host"), path):
        query = said.query
    return _joined(path, query)


def same_address(request: Request) -> str:
    """The address of a request, without the host."""
    return _joined(request.url.path, request.url.query)


def _joined(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path
