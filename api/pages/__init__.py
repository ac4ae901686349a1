"""Pages for people. Each module brings the routes of one page; errors look like the others."""

from __future__ import annotations

from typing import Final

from api import statics
from api.pages import (
    access_log,
    device,
    devices,
    figures,
    find,
    first_run,
    fleet,
    health,
    holds,
    lending,
    new_ticket,
    patient,
    persons,
    prescriber,
    quarantine,
    queue,
    rules,
    ticket,
    users,
)
from api.pages.errors import Unsent, error_page, is_for_people, unsent
from api.routes import Router

__all__ = ["Unsent", "error_page", "is_for_people", "router", "unsent"]

router: Final = Router()
for part in (
    statics,
    queue,
    ticket,
    new_ticket,
    devices,
    device,
    lending,
    find,
    first_run,
    health,
    quarantine,
    rules,
    fleet,
    patient,
    prescriber,
    access_log,
    holds,
    persons,
    users,
    figures,
):
    router.include_router(part.router)
