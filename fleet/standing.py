"""How a device stands for its user: it works, works in part, is not to be used. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from fleet.words import Severity, Usability

SILENT_AFTER: Final = timedelta(days=3)
"""Without contact for this long we say so, and no longer that the device works."""


class Standing(StrEnum):
    """What is known, in the three words a user needs and one for not knowing."""

    WORKS = "works"
    LIMITED = "limited"
    DO_NOT_USE = "do_not_use"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong now."""

    severity: Severity
    usability: Usability


_BY_USABILITY: Final = {
    Usability.USABLE: Standing.WORKS,
    Usability.DEGRADED: Standing.LIMITED,
    Usability.UNUSABLE: Standing.DO_NOT_USE,
}
_ORDER: Final = (Standing.WORKS, Standing.LIMITED, Standing.DO_NOT_USE)


def standing(
    troubles: Iterable[Trouble], last_contact_at: datetime | None, now: datetime
) -> Standing:
    """The worst of what is wrong now; without any, whether the device was heard of lately.

    What is only information, such as a result that care follows up, is no trouble.
    """
    found = [
        _BY_USABILITY[trouble.usability]
        for trouble in troubles
        if trouble.severity is not Severity.INFO
    ]
    worst = max(found, key=_ORDER.index, default=Standing.WORKS)
    if worst is not Standing.WORKS:
        return worst
    is_silent = last_contact_at is None or now - last_contact_at > SILENT_AFTER
    return Standing.UNKNOWN if is_silent else worst
