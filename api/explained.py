"""Faults that got no ticket of their own, since another fault explains them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from fleet.episodes import Episode
from fleet.faults import FaultCode, load_catalogue
from fleet.rules.facts import CodedEpisode
from fleet.rules.findings import Both
from fleet.rules.inhibition import Inhibition, load_inhibitions
from storage.reading import EpisodeRow


@dataclass(frozen=True, slots=True)
class Explained:
    """A fault, how often it was there, and why it is a consequence."""

    fault: FaultCode
    episode_n: int
    why: Both


def explained(
    causes: Sequence[EpisodeRow], others: Sequence[EpisodeRow], now: datetime
) -> list[Explained]:
    """What the episodes of a ticket explain among the device's other ones, by fault."""
    found: dict[tuple[str, str], tuple[FaultCode, int, Both]] = {}
    parents = _coded(causes)
    own = {parent.fault for parent in parents}
    for child in _coded(others):
        inhibition = _because(parents, child, now)
        if inhibition is None or child.fault in own:
            continue
        key = (child.fault.system, child.fault.code)
        count = found[key][1] if key in found else 0
        found[key] = (child.fault, count + 1, inhibition.why)
    return [Explained(*values) for values in found.values()]


def _because(
    parents: Iterable[CodedEpisode], child: CodedEpisode, now: datetime
) -> Inhibition | None:
    return next(
        (
            inhibition
            for inhibition in load_inhibitions()
            if inhibition.is_child(child.fault)
            for parent in parents
            if inhibition.is_parent(parent.fault)
            and inhibition.explains(parent.episode, child.episode, now)
        ),
        None,
    )


def _coded(rows: Iterable[EpisodeRow]) -> list[CodedEpisode]:
    catalogue = load_catalogue()
    return [
        CodedEpisode(row.episode_no, catalogue.look_up(row.system, row.code), _episode(row))
        for row in rows
    ]


def _episode(row: EpisodeRow) -> Episode:
    return Episode(
        row.started_at,
        row.last_at,
        row.ended_at,
        row.raised_n,
        row.cleared_n,
        row.logged_n,
        row.first_received_at,
    )
