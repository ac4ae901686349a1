"""Is it alive, is it ready, and how busy is it."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from api.problems import READING
from api.rooms import InRooms

router = APIRouter(tags=["vitals"])


class Alive(BaseModel):
    status: str = "ok"


@router.get("/livez", operation_id="livez")
async def livez() -> Alive:
    """The process answers. Says nothing of the database."""
    return Alive()


@router.get("/readyz", operation_id="readyz", responses={503: READING[503]})
def readyz(rooms: InRooms) -> Alive:
    """The database commits."""
    rooms.pool.prove_commit()
    return Alive()


@router.get("/metrics", operation_id="metrics", response_class=Response)
def metrics(rooms: InRooms) -> Response:
    """Counts of this process in Prometheus text format."""
    return Response(generate_latest(rooms.meters.registry), media_type=CONTENT_TYPE_LATEST)
