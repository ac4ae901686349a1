"""JSON: stretches of faults, of one device and of the fleet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

from fastapi import Query

from api import cursors
from api.access.gate import InErrand
from api.asking import (
    EARLIEST,
    CodesAsked,
    DeviceId,
    FaultsAsked,
    known_device_no,
    span_of,
)
from api.meanings import episode_out, meaning
from api.privacy import open_to
from api.problems import READING
from api.rooms import InRooms
from api.routes import Router
from api.schemas_device import EpisodePage, FleetEpisodeOut, FleetEpisodePage
from storage import device_reading
from storage.device_reading import FleetEpisodeRow, Key
from storage.reading import EpisodeRow

Row = TypeVar("Row", bound=EpisodeRow)

router = Router(prefix="/api/v1", tags=["faults"], responses=READING)


@router.get("/devices/{device_id}/episodes", operation_id="list_device_episodes")
def list_device_episodes(
    rooms: InRooms, errand: InErrand, device_id: DeviceId, asked: Annotated[FaultsAsked, Query()]
) -> EpisodePage:
    """Stretches of faults that reach into a range, newest first. Default: since the beginning.

    Codes that say what was measured on the person are left out for those who repair.
    """
    now = datetime.now(UTC)
    span = span_of(asked.from_ or EARLIEST, asked.to or now + timedelta(days=1), now)
    after = cursors.decode("episodes", asked.cursor, read_key)
    with rooms.read(errand) as conn:
        device_no = known_device_no(conn, device_id)
        rows = device_reading.episodes(conn, device_no, span, asked.limit + 1, after)
    found, following = _cut(rows, asked.limit)
    shown = open_to(found, errand.caller)
    return EpisodePage(items=[episode_out(row) for row in shown], next_cursor=following)


@router.get("/episodes", operation_id="list_episodes")
def list_episodes(
    rooms: InRooms, errand: InErrand, asked: Annotated[CodesAsked, Query()]
) -> FleetEpisodePage:
    """Stretches of faults on all devices, newest first; of one code with `system` and `code`."""
    after = cursors.decode("episodes", asked.cursor, read_key)
    with rooms.read(errand) as conn:
        rows = device_reading.fleet_episodes(conn, asked.limit + 1, asked.system, asked.code, after)
    found, following = _cut(rows, asked.limit)
    shown = open_to(found, errand.caller)
    return FleetEpisodePage(items=[_fleet_out(row) for row in shown], next_cursor=following)


def _fleet_out(row: FleetEpisodeRow) -> FleetEpisodeOut:
    said = {name: getattr(row, name) for name in FleetEpisodeRow.__dataclass_fields__}
    return FleetEpisodeOut(**said, meaning=meaning(row.system, row.code))


def _cut(rows: Sequence[Row], limit: int) -> tuple[list[Row], str | None]:
    return cursors.cut("episodes", rows, limit, "started_at", "episode_no")


def read_key(at: object, number: object) -> Key:
    """The key of a list that goes by time and number."""
    return cursors.read_instant(at), cursors.read_number(number)
