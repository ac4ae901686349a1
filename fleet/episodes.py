"""Episodes: one stretch of one fault on one device, folded from what the device reported. Pure.

The fold is a function of the set of events, never of their arrival. What arrives late is put
in its place by folding again from `reload_from`, which no earlier event can reach across.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Final

from fleet.wire.records import FaultState

FLAP_WINDOW: Final = timedelta(minutes=10)
"""A fault that returns this soon after it ended never went away: a loose contact makes and
breaks for minutes. Ours, without a source; to be tuned on recorded fleets."""

MAX_EVENTS: Final = 300
"""An episode this full is cut at its next raise, so that a fault flapping for weeks is not
folded from its first day at every pass."""


@dataclass(frozen=True, slots=True)
class FaultEvent:
    """One line of `faults[]` of a stored record; `at` is the estimate of true time.

    `count` is the controller's own total for a `logged` fault, None where it keeps none.
    """

    at: datetime
    epoch: str
    seq: int
    idx: int
    state: FaultState
    count: int | None
    received_at: datetime

    @property
    def order(self) -> tuple[datetime, str, int, int]:
        """Estimated time first; where it ties, the device's own order inside an epoch."""
        return (self.at, self.epoch, self.seq, self.idx)


@dataclass(frozen=True, slots=True)
class Episode:
    """`ended_at` None: not over. `first_received_at` is when we first knew of it."""

    started_at: datetime
    last_at: datetime
    ended_at: datetime | None
    raised_n: int
    cleared_n: int
    logged_n: int
    first_received_at: datetime

    @property
    def is_open(self) -> bool:
        return self.ended_at is None

    @property
    def occurrence_n(self) -> int:
        """How often the fault was reported in this stretch."""
        return self.raised_n + self.logged_n

    def overlaps(self, other: Episode) -> bool:
        """True if the two share an instant."""
        return _is_before_end(self.started_at, other) and _is_before_end(other.started_at, self)


def _is_before_end(at: datetime, episode: Episode) -> bool:
    return episode.ended_at is None or at <= episode.ended_at


def fold(events: Iterable[FaultEvent], prior_total: int | None = None) -> list[Episode]:
    """Fold the events of one (device, system, code), in any order, into episodes by time.

    A raise opens or continues, a clear ends. A clear with nothing open says nothing new. A
    `logged` total counts by its rise; alone it makes an episode that is over as it begins.

    Args:
        events: all events from some `reload_from` on.
        prior_total: the controller's total in the last `logged` event before them.
    """
    stretches: list[_Stretch] = []
    total = prior_total
    for event in sorted(events, key=lambda event: event.order):
        current = stretches[-1] if stretches else None
        if event.state == "cleared":
            if current is not None and current.is_open:
                current.clear(event)
            continue
        occurrence_n = 1
        if event.state == "logged":
            occurrence_n, total = _rise(total, event.count)
        if occurrence_n == 0:
            continue
        if current is None or not current.takes(event):
            current = _Stretch(event)
            stretches.append(current)
        current.add(event, occurrence_n)
    next_starts = [stretch.started_at for stretch in stretches[1:]]
    return [stretch.episode(next_at) for stretch, next_at in zip_longest(stretches, next_starts)]


def _rise(total: int | None, count: int | None) -> tuple[int, int | None]:
    """Occurrences since the last total, and the total to go on with.

    A total that fell began again from zero: the log was cleared or the controller changed.
    """
    if count is None:
        return 1, total
    if total is None or count < total:
        return count, count
    return count - total, count


class _Stretch:
    """An episode while it is being folded."""

    __slots__ = (
        "cleared_n",
        "event_n",
        "first_received_at",
        "is_open",
        "last_at",
        "logged_n",
        "raised_n",
        "started_at",
    )

    def __init__(self, first: FaultEvent) -> None:
        self.started_at = self.last_at = first.at
        self.first_received_at = first.received_at
        self.is_open = False
        self.raised_n = self.cleared_n = self.logged_n = self.event_n = 0

    def takes(self, event: FaultEvent) -> bool:
        if self.is_open and event.state == "logged":
            return True
        # Never cut between equal times: a reload starts at a time, not at an event.
        if self.event_n >= MAX_EVENTS and event.at > self.last_at:
            return False
        return self.is_open or event.at - self.last_at <= FLAP_WINDOW

    def add(self, event: FaultEvent, occurrence_n: int) -> None:
        self._see(event)
        if event.state == "raised":
            self.is_open = True
            self.raised_n += occurrence_n
        else:
            self.logged_n += occurrence_n

    def clear(self, event: FaultEvent) -> None:
        self._see(event)
        self.is_open = False
        self.cleared_n += 1

    def _see(self, event: FaultEvent) -> None:
        self.last_at = event.at
        self.first_received_at = min(self.first_received_at, event.received_at)
        self.event_n += 1

    def episode(self, next_at: datetime | None) -> Episode:
        """The finished value. One that was cut while open lasts until the next takes over."""
        ended_at = next_at if self.is_open else self.last_at
        return Episode(
            self.started_at,
            self.last_at,
            ended_at,
            self.raised_n,
            self.cleared_n,
            self.logged_n,
            self.first_received_at,
        )


def reload_from(episodes: Iterable[Episode], first_new_at: datetime) -> datetime:
    """Where to fold from when the earliest new event is at `first_new_at`.

    That is the start of the earliest episode which the event can reach: one that is open, or
    ended at most a flap window before. The database asks the same (`touched_faults`).
    """
    horizon = first_new_at - FLAP_WINDOW
    touched = [e.started_at for e in episodes if e.ended_at is None or e.ended_at >= horizon]
    return min([first_new_at, *touched])


@dataclass(frozen=True, slots=True)
class Stored:
    """An episode as it stands in the database, under its number."""

    episode_no: int
    episode: Episode


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What to do with stored episodes so that they become the folded ones.

    Attributes:
        kept: the stored number and what it now says, whether or not it changed.
        added: episodes that have no number yet.
        gone: numbers to delete, each with the number that took it over, or None.
    """

    kept: tuple[Stored, ...]
    added: tuple[Episode, ...]
    gone: tuple[tuple[int, int | None], ...]


def reconcile(stored: Sequence[Stored], folded: Sequence[Episode]) -> Reconciled:
    """Let episodes keep their numbers: by equal start first, then by shared time, oldest first."""
    by_start = {episode.started_at: episode for episode in folded}
    kept: dict[int, Episode] = {}
    for old in stored:
        same = by_start.pop(old.episode.started_at, None)
        if same is not None:
            kept[old.episode_no] = same
    rest = [old for old in stored if old.episode_no not in kept]
    for old in sorted(rest, key=lambda old: old.episode.started_at):
        heir = next((e for e in by_start.values() if e.overlaps(old.episode)), None)
        if heir is not None:
            kept[old.episode_no] = by_start.pop(heir.started_at)
    gone = tuple(
        (old.episode_no, _heir_of(old.episode, kept)) for old in rest if old.episode_no not in kept
    )
    return Reconciled(tuple(Stored(*item) for item in kept.items()), tuple(by_start.values()), gone)


def _heir_of(episode: Episode, kept: dict[int, Episode]) -> int | None:
    return next((no for no, other in kept.items() if other.overlaps(episode)), None)
