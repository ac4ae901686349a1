"""What becomes of one cause on one device: no ticket, a new one, or a changed one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from fleet.ticket_states import Event, State, advance
from fleet.tickets import Draft, Evidence, Need, draft, need_of
from fleet.words import DeviceClass
from storage.diagnosis import OpenTicket, Settled


@dataclass(frozen=True, slots=True)
class Candidate:
    """An episode that this pass folded, of a fault bad enough for the workshop."""

    episode_no: int
    evidence: Evidence
    need: Need
    settled: Settled | None

    @property
    def is_news(self) -> bool:
        """True if it asks for a ticket and no finished ticket has answered it.

        What was made void stays so while the episode lasts. A repair that was verified is
        answered unless the fault was reported again afterwards.
        """
        if self.need is not Need.TICKET:
            return False
        if self.settled is None:
            return True
        if self.settled.state is State.VOID:
            return False
        episode = self.evidence.episode
        return episode.is_open and episode.last_at > self.settled.at


@dataclass(frozen=True, slots=True)
class Opening:
    """A ticket to open, and the episodes it rests on."""

    draft: Draft
    episode_nos: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What an open ticket becomes. `events` are kinds with details, in order."""

    state: State
    draft: Draft
    added_nos: tuple[int, ...]
    events: tuple[tuple[str, Mapping[str, Any]], ...]


def judge_new(device_class: DeviceClass | None, candidates: Iterable[Candidate]) -> Opening | None:
    """Decide for a cause that has no open ticket."""
    news = [candidate for candidate in candidates if candidate.is_news]
    if not news:
        return None
    numbers = tuple(sorted(candidate.episode_no for candidate in news))
    return Opening(draft(device_class, [candidate.evidence for candidate in news]), numbers)


def judge_open(
    ticket: OpenTicket,
    device_class: DeviceClass | None,
    linked: Mapping[int, Evidence],
    candidates: Sequence[Candidate],
    now: datetime,
) -> Change | None:
    """Decide for a cause with an open ticket. None when the ticket already says it all.

    Args:
        linked: the ticket's episodes by number, as they are after this pass's folding.
        candidates: what this pass folded, linked or not.
    """
    added = {
        c.episode_no: c.evidence for c in candidates if c.is_news and c.episode_no not in linked
    }
    evidence = {**linked, **added}
    if not evidence:
        return None
    renewed = _keeping_what_people_set(ticket.draft, draft(device_class, list(evidence.values())))
    if ticket.state is State.NEW and _is_all_history(evidence.values(), now):
        event = ("voided", {"reason": "over_before_known"})
        return Change(advance(ticket.state, Event.VOID), renewed, tuple(sorted(added)), (event,))
    state = ticket.state
    if state is State.SOLVED and _has_come_back(evidence.values(), ticket.state_at):
        state = advance(state, Event.RECUR)
    if state is ticket.state and renewed == ticket.draft and not added:
        return None
    events = _events(ticket, state, renewed, sorted(added))
    return Change(state, renewed, tuple(sorted(added)), tuple(events))


def _keeping_what_people_set(old: Draft, new: Draft) -> Draft:
    """Severity only rises by itself, and the order kind only follows when it does."""
    if new.severity.rank > old.severity.rank:
        return new
    return replace(new, severity=old.severity, order_kind=old.order_kind)


def _is_all_history(evidence: Iterable[Evidence], now: datetime) -> bool:
    """True if no episode asks for a ticket any more: the clear came long after an old raise."""
    return all(need_of(item.episode, now) is Need.HISTORY for item in evidence)


def _has_come_back(evidence: Iterable[Evidence], solved_at: datetime) -> bool:
    return any(
        item.episode.started_at > solved_at
        or (item.episode.is_open and item.episode.last_at > solved_at)
        for item in evidence
    )


def _events(
    ticket: OpenTicket, state: State, renewed: Draft, added_nos: Sequence[int]
) -> Iterable[tuple[str, Mapping[str, Any]]]:
    old = ticket.draft
    if added_nos:
        yield "evidence_added", {"episodes": list(added_nos)}
    if renewed.severity is not old.severity:
        yield "severity_raised", {"from": old.severity, "to": renewed.severity}
    if state is not ticket.state or (renewed.is_active and not old.is_active):
        yield "recurred", {"from": ticket.state, "to": state}
    if old.is_active and not renewed.is_active:
        yield "cleared", {}
