"""Is it alive, is it ready, and how busy is it."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from api.access.settings import is_loopback
from api.problems import READING, not_found
from api.rooms import InRooms
from api.routes import Router

router = Router(tags=["vitals"])


class Alive(BaseModel):
    status: str = "ok"


async def _from_inside(request: Request, rooms: InRooms) -> None:
    """Refuse whoever comes by the public address: that is for those who run the server.

    Raises:
        ProblemError: 404.
    """
    public = urlsplit(rooms.settings.access.public_url or "")
    is_public = bool(public.hostname) and not is_loopback(public.hostname or "")
    if is_public and request.headers.get("host") == public.netloc:
        raise not_found("page with that address")


_INSIDE = [Depends(_from_inside)]


@router.get("/livez", operation_id="livez")
async def livez() -> Alive:
    """The process answers. Says nothing of the database."""
    return Alive()


@router.get(
    "/readyz",
    operation_id="readyz",
    responses={404: READING[404], 503: READING[503]},
    dependencies=_INSIDE,
)
def readyz(rooms: InRooms) -> Alive:
    """The database commits, or did within the last second. Not by the public address."""
    rooms.readiness.check()
    return Alive()


@router.get(
    "/metrics",
    operation_id="metrics",
    response_class=Response,
    responses={404: READING[404]},
    dependencies=_INSIDE,
)
def metrics(rooms: InRooms) -> Response:
    """Counts of this process in Prometheus text format. Not by the public address."""
    return Response(generate_latest(rooms.meters.registry), media_type=CONTENT_TYPE_LATEST)
