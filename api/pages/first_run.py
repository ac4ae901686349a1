"""Page: how the first real device gets in, with steps that tick themselves off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fastapi.responses import HTMLResponse

from api.access.gate import InErrand
from api.meanings import quarantined_out
from api.rooms import InRooms
from api.routes import Router
from api.telling import Say, Voice, page
from fleet.models import load_models
from fleet.wire.topics import is_id, shard_of
from storage import reading
from storage.connection import Connection
from storage.reading import DeviceRow, QuarantineFilter, QuarantineRow

router = Router(include_in_schema=False)

REFUSED_ROWS: Final = 3
EXAMPLE: Final = "wc-000017"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a device has come. `is_possible` false: the id can be none."""

    is_possible: bool = False
    device: DeviceRow | None = None
    refused: tuple[QuarantineRow, ...] = ()
    has_values: bool = False

    @property
    def is_registered(self) -> bool:
        return self.device is not None and self.device.status == "active"

    @property
    def has_arrived(self) -> bool:
        """Anything that the device sent under its name, its state included."""
        return self.device is not None and self.device.last_contact_at is not None

    @property
    def is_done(self) -> bool:
        return self.is_registered and self.has_values


@router.get("/first-run", operation_id="first_run_page")
def first_run_page(rooms: InRooms, errand: InErrand, say: Voice) -> HTMLResponse:
    asked = say.query.get("device", "").strip()[:200]
    progress = Progress()
    if is_id(asked):
        with rooms.read(errand) as conn:
            progress = progress_of(conn, asked)
    registered = progress.device.model_id if progress.device else None
    return page(
        "first_run.html",
        say,
        asked=asked,
        model=registered or _model(say),
        progress=progress,
        refused=[quarantined_out(row, errand.caller) for row in progress.refused],
        models=list(load_models()),
        **_addresses(asked if progress.is_possible else EXAMPLE, errand.caller.tenant),
    )


def _model(say: Say) -> str:
    """The model chosen on the page; the first one of the catalogue before that."""
    chosen = say.query.get("model", "")
    return chosen if chosen in load_models() else next(iter(load_models())).id


def _addresses(device_id: str, tenant: str) -> dict[str, Any]:
    """What the device has to use; the shard follows from its id."""
    return {
        "device_id": device_id,
        "tenant": tenant,
        "topic": f"fk/1/{shard_of(device_id):02x}/{tenant}/{device_id}",
    }


def progress_of(conn: Connection, device_id: str) -> Progress:
    """How far the device has come, as far as the caller reaches."""
    device = reading.device(conn, device_id)
    refused = reading.quarantined(conn, QuarantineFilter(None, device_id), REFUSED_ROWS)
    values = device is not None and bool(reading.latest_values(conn, device.device_no))
    stored = device is not None and any(
        row.stored_n for row in reading.ledgers_of(conn, device.device_no)
    )
    return Progress(True, device, tuple(refused), values or stored)
