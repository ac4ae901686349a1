"""Named places where a test may end a process, as a power cut would.

Without `FJARRKOLL_FAILPOINT` every call is one comparison. With `NAME` or `NAME:N` the process
kills itself with SIGKILL at the N-th pass of that place (the first, when N is missing).
"""

from __future__ import annotations

import os
import signal
from typing import Final

NAMES: Final = frozenset(
    {
        "ingest_received",
        "ingest_decoded",
        "ingest_before_commit",
        "ingest_after_commit",
        "ingest_before_mqtt_ack",
        "ingest_after_mqtt_ack",
        "ingest_before_app_ack",
        "diagnose_before_commit",
        "diagnose_after_commit",
        "agenda_before_commit",
        "agenda_after_commit",
        "outbox_before_publish",
        "outbox_after_publish",
    }
)

_armed: str | None = None
_passes_left = 0


def arm(specification: str | None) -> None:
    """Arm one failpoint, `NAME` or `NAME:N`; None disarms.

    Raises:
        ValueError: the name is not in the registry, or N is not a positive number.
    """
    global _armed, _passes_left  # noqa: PLW0603 - one process has one armed failpoint
    if not specification:
        _armed = None
        return
    name, _, passes = specification.partition(":")
    if name not in NAMES:
        raise ValueError(f"unknown failpoint {name!r}: one of {', '.join(sorted(NAMES))}")
    if passes and not passes.isdigit():
        raise ValueError(f"failpoint {specification!r}: after the colon stands a number of passes")
    _armed, _passes_left = name, int(passes or 1)


def failpoint(name: str) -> None:
    """Die here if a test armed this place."""
    global _passes_left  # noqa: PLW0603 - see arm
    if name != _armed:
        return
    _passes_left -= 1
    if _passes_left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
