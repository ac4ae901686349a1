"""Findings: what a rule concluded, with the evidence. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from fleet.rules.facts import CodedEpisode
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
