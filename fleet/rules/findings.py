"""Findings: what a rule concluded, with the evidence. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from fleet.rules.facts import CodedEpisode, day_of, day_starts_at
from fleet.ticket_states import OrderKind
from fleet.words import Component, Fixer, Lang, Severity, Usability


class Need(StrEnum):
    """What a finding asks for.

    `ticket`: work for a person. `held`: decided again in a moment, when the clear of an old
    raise may have come. `history`: over before we knew. `care`: a task for care, never a repair.
    `quiet`: the device was in the workshop, in transport or in storage. `explained`: another
    finding is its cause.
    """

    TICKET = "ticket"
    HELD = "held"
    HISTORY = "history"
    CARE = "care"
    QUIET = "quiet"
    EXPLAINED = "explained"


class Both(NamedTuple):
    """One text in both languages. Swedish is written first."""

    sv: str
    en: str

    def in_(self, lang: Lang) -> str:
        return self.sv if lang == "sv" else self.en


NOTHING: Final = Both("", "")


class Point(NamedTuple):
    """One value that a finding rests on, in the metric's stored unit."""

    at: datetime
    metric: str
    value: float


@dataclass(frozen=True, slots=True)
class Said:
    """A finding in words.

    Attributes:
        title: one line without the device; `Batteriet räcker troligen till mars–april`.
        happened: what was seen, with numbers, one or two sentences for the technician.
        action: what to do.
        user: what it means to the person who uses the device, in plain words; may be empty.
    """

    title: Both
    happened: Both
    action: Both
    user: Both = NOTHING


MAX_EVIDENCE: Final = 30
"""The newest episodes that a finding of many carries; the numbers count all."""

LIMIT_DAYS: Final = "limit_day_count"
LIMIT_LASTING_DAYS: Final = "limit_lasting_day_count"
LIMIT_RISE: Final = "limit_rise_count"
"""Measures of what is told by coming back: on how many days it must begin or, for what lasts, be
there, or by how many entries in a controller's log it must grow, to be a finding."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One conclusion about one device (or a group) over one stretch of time.

    Identity is (device or group, rule_id, about, started_at): a later evaluation of the same
    stretch is the same finding. `ended_at` None: it still holds. `known_at`: when the backend
    could first know. Evidence is `episodes` (reported faults) or `points` (values).

    Attributes:
        about: what of the device: `rnet.ics/2C00`, a metric name, `contact`.
        cause: what one ticket is about; a component's name where there is one.
        order: the order kind the rule asks for; None: by the class of the device.
        measures: the numbers behind the words, by name with the unit last.
        ruled_out: other explanations that were looked at and do not hold.
    """

    rule_id: str
    rule_version: int
    about: str
    cause: str
    need: Need
    severity: Severity
    usability: Usability
    fixer: Fixer
    component: Component
    started_at: datetime
    last_at: datetime
    ended_at: datetime | None
    known_at: datetime
    confidence: float
    said: Said
    order: OrderKind | None = None
    occurrence_n: int = 1
    episodes: Sequence[CodedEpisode] = ()
    points: Sequence[Point] = ()
    measures: Mapping[str, float] = field(default_factory=dict)
    ruled_out: Sequence[Both] = ()

    @property
    def is_open(self) -> bool:
        return self.ended_at is None

    def back_at(self, done_at: datetime) -> datetime | None:
        """When it was known to be back after its ticket was done with; None: it is not.

        What was counted before is answered with the ticket: a fault that is told by coming back
        must come back as often again, since once in a while it comes on a sound device too. All
        else is back as soon as it is seen: a fault that stayed open, when it was reported anew.
        """
        if self.last_at <= done_at:
            return None
        anew = [item for item in self.episodes if item.episode.started_at > done_at]
        heard = sorted(item.episode.first_received_at for item in anew)
        if self.is_counted and len(heard) < MAX_EVIDENCE:
            return self._counted_at(done_at, anew)
        if heard:
            return heard[-1] if self.is_counted else heard[0]
        if not self.is_open:
            return None
        return max((item.episode.last_at for item in self.episodes), default=done_at)

    @property
    def is_counted(self) -> bool:
        """True for what is told by coming back."""
        return any(limit in self.measures for limit in (LIMIT_DAYS, LIMIT_LASTING_DAYS, LIMIT_RISE))

    def _counted_at(self, done_at: datetime, anew: Sequence[CodedEpisode]) -> datetime | None:
        """When what was seen after `done_at` had reached the limit by itself."""
        if LIMIT_DAYS in self.measures:
            return _nth(_days_begun(anew), int(self.measures[LIMIT_DAYS]))
        if LIMIT_LASTING_DAYS in self.measures:
            days = _days_heard(self.episodes, done_at)
            return _nth(days, int(self.measures[LIMIT_LASTING_DAYS]))
        risen = 0
        for item in sorted(anew, key=lambda item: item.episode.first_received_at):
            risen += item.episode.logged_n
            if risen >= self.measures[LIMIT_RISE]:
                return item.episode.first_received_at
        return None


def _nth(times: Sequence[datetime], number: int) -> datetime | None:
    """The time that makes it `number` of them; `times` ascend."""
    return times[number - 1] if len(times) >= number else None


def _days_begun(episodes: Sequence[CodedEpisode]) -> list[datetime]:
    """For each local day on which a fault began: when that was known. A clear that never arrived
    leaves a fault open for days on which nobody saw it, so what only lasts counts for nothing.
    """
    heard: dict[int, datetime] = {}
    for item in episodes:
        day, known_at = day_of(item.episode.started_at), item.episode.first_received_at
        heard[day] = min(known_at, heard.get(day, known_at))
    return sorted(heard.values())


def _days_heard(episodes: Sequence[CodedEpisode], after: datetime) -> list[datetime]:
    """For each local day on which a fault was there after `after`: when that was known."""
    heard: dict[int, datetime] = {}
    for item in episodes:
        episode = item.episode
        first_day, last_day = day_of(max(episode.started_at, after)), day_of(episode.last_at)
        for day in range(first_day, last_day + 1) if episode.last_at > after else ():
            known_at = max(episode.first_received_at, day_starts_at(day), after)
            heard[day] = min(known_at, heard.get(day, known_at))
    return sorted(heard.values())
