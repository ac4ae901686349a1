"""How well a device keeps in contact: in how many of the stretches it should it was heard. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

HOUR: Final = timedelta(hours=1)
Quiet = tuple[datetime, datetime | None]
"""From when until when a device was not with its user; None: it still is not."""


@dataclass(frozen=True, slots=True)
class Contact:
    """`heard_n` of `stretch_n` stretches, each `stretch` long, had something from the device."""

    heard_n: int
    stretch_n: int
    stretch: timedelta

    @property
    def share(self) -> float:
        return self.heard_n / self.stretch_n


def contact(
    heard: Sequence[datetime],
    longest_silence: timedelta,
    low: datetime,
    high: datetime,
    quiet: Iterable[Quiet] = (),
) -> Contact | None:
    """Cut `low` to `high` into stretches of the longest normal silence, and count.

    Args:
        heard: starts of the hours in which the device reported anything.
        longest_silence: what is still normal for its model; under an hour counts as one.
        quiet: when nothing was expected; a stretch that touches one is not counted.

    Returns:
        None where no whole stretch is left to judge.
    """
    stretch = max(longest_silence, HOUR)
    stands = list(quiet)
    judged = [
        start
        for start in (high - stretch * (n + 1) for n in range(int((high - low) / stretch)))
        if not any(_touches(start, start + stretch, pause) for pause in stands)
    ]
    if not judged:
        return None
    heard_n = sum(any(start - HOUR < at < start + stretch for at in heard) for start in judged)
    return Contact(heard_n, len(judged), stretch)


def _touches(start: datetime, end: datetime, quiet: Quiet) -> bool:
    return quiet[0] < end and (quiet[1] is None or quiet[1] > start)
