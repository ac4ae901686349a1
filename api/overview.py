"""JSON of the installation and the fleet as wholes; each module brings one subject."""

from __future__ import annotations

from typing import Final

from api import agreements, batteries, figures, fleet, quarantine, rules, use
from api.routes import Router

router: Final = Router()
for part in (quarantine, rules, agreements, fleet, batteries, figures, use):
    router.include_router(part.router)
