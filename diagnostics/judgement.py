"""What becomes of one cause on one device: no ticket, a new one, or a changed one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from fleet.drafts import Draft, draft
from fleet.rules.findings import Finding, Need
from fleet.ticket_states import Event, OrderKind, State, advance
from fleet.words import DeviceClass
from storage.findings import Settled
from storage.raising import OpenTicket


@dataclass(frozen=True, slots=True)
class Owner:
    """The device a ticket is about, as far as a ticket needs it.

    `needs`: what its user cannot do without it; None where no loan is registered.
    """

    device_class: DeviceClass | None
    needs: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A finding that this pass concluded. `is_held`: an open incident speaks for it."""

    finding_no: int
    finding: Finding
    settled: Settled | None = None
    is_held: bool = False

    @property
    def is_news(self) -> bool:
        """True if it asks for a ticket and no ticket has answered it.

        What was made void stays so while the finding lasts. A repair that was verified is
        answered unless the fault was reported again afterwards, as often as makes it a finding
        (`Finding.back_at`). What an incident held comes back when the incident has ended and the
        device has not recovered.
        """
        if self.finding.need is not Need.TICKET or self.is_held:
            return False
        if self.settled is None:
            return True
        if self.settled.is_group:
            return self.finding.is_open
        if self.settled.state is State.VOID:
            return False
        return self.finding.is_open and self.finding.back_at(self.settled.at) is not None


@dataclass(frozen=True, slots=True)
class Opening:
    """A ticket to open, and the findings it rests on."""

    draft: Draft
    findings: Mapping[int, Finding]


@dataclass(frozen=True, slots=True)
class Change:
    """What an open ticket becomes.

    Attributes:
        added: findings it did not rest on before.
        dropped: findings it no longer rests on: another fault explains them, or they are history.
        events: kinds with details, in order.
        replaced_by: the ticket of another order kind to open in its place.
    """

    state: State
    draft: Draft
    added: Mapping[int, Finding]
    events: Sequence[tuple[str, Mapping[str, Any]]]
    dropped: Mapping[int, Finding] = field(default_factory=dict)
    replaced_by: Opening | None = None


def judge_new(owner: Owner, candidates: Iterable[Candidate]) -> Opening | None:
    """Decide for a cause that has no open ticket."""
    news = {c.finding_no: c.finding for c in candidates if c.is_news}
    if not news:
        return None
    return Opening(draft(owner.device_class, list(news.values()), owner.needs), news)


def judge_open(
    ticket: OpenTicket,
    owner: Owner,
    linked: Mapping[int, Finding],
    candidates: Sequence[Candidate],
) -> Change | None:
    """Decide for a cause with an open ticket. None when the ticket already says it all.

    Args:
        linked: the ticket's findings by number, as they are after this pass.
        candidates: what this pass concluded, linked or not.
    """
    added = news_for(linked, candidates)
    findings = {**linked, **added}
    if not findings:
        return _without_grounds(ticket)
    grounds = grounds_of(findings)
    fresh = draft(owner.device_class, list(grounds.values()), owner.needs)
    if ticket.state is State.NEW and (reason := _over(findings.values())):
        return Change(advance(ticket.state, Event.VOID), fresh, added, [_voided(reason)])
    if _is_other_work(ticket, fresh):
        return _replacement(ticket, fresh, grounds, added)
    dropped = {number: finding for number, finding in linked.items() if number not in grounds}
    renewed = _keeping_the_worst(ticket.draft, fresh)
    state = ticket.state
    if state is State.SOLVED and _has_come_back(grounds.values(), ticket.state_at):
        state = advance(state, Event.RECUR)
    if state is ticket.state and renewed == ticket.draft and not added and not dropped:
        return None
    events = list(_events(ticket, state, renewed, sorted(added)))
    return Change(state, renewed, added, events, dropped)


def news_for(linked: Mapping[int, Finding], candidates: Iterable[Candidate]) -> dict[int, Finding]:
    """The findings that join a ticket which rests on `linked`."""
    news = {c.finding_no: c.finding for c in candidates if c.is_news}
    return {number: finding for number, finding in news.items() if number not in linked}


def grounds_of(findings: Mapping[int, Finding]) -> Mapping[int, Finding]:
    """What a ticket rests on: without what is explained or history, unless that is all."""
    asking = {number: f for number, f in findings.items() if f.need not in _OVER}
    return asking or findings


def _voided(reason: str) -> tuple[str, Mapping[str, Any]]:
    return ("voided", {"reason": reason})


def _without_grounds(ticket: OpenTicket) -> Change | None:
    """Later knowledge has taken all findings back. What nobody has touched is made void."""
    if ticket.state is State.NEW:
        state = advance(ticket.state, Event.VOID)
        return Change(state, ticket.draft, {}, [_voided("taken_back")])
    if not ticket.draft.is_active:
        return None
    return Change(ticket.state, replace(ticket.draft, is_active=False), {}, [("cleared", {})])


_OVER: Final[Mapping[Need, str]] = {
    Need.HISTORY: "over_before_known",
    Need.QUIET: "not_in_use",
    Need.EXPLAINED: "explained_by_another_fault",
}


def _over(findings: Iterable[Finding]) -> str | None:
    """Why no finding asks for work any more; None while one does."""
    needs = {finding.need for finding in findings}
    if not needs <= _OVER.keys():
        return None
    return _OVER[max(needs)]


_UNTOUCHED: Final = frozenset({State.NEW, State.TRIAGED})


def _is_other_work(ticket: OpenTicket, fresh: Draft) -> bool:
    """True if the new evidence is worse and another order: planned service became a repair.

    Only while nobody works on it: who has taken a ticket decides about it.
    """
    if ticket.state not in _UNTOUCHED or fresh.order_kind is ticket.draft.order_kind:
        return False
    if ticket.draft.order_kind is OrderKind.URGENT_REPAIR:
        return False
    return fresh.severity.rank > ticket.draft.severity.rank


def _replacement(
    ticket: OpenTicket, fresh: Draft, findings: Mapping[int, Finding], added: Mapping[int, Finding]
) -> Change:
    detail = {
        "reason": "other_order_kind",
        "from": ticket.draft.order_kind,
        "to": fresh.order_kind,
    }
    state = advance(ticket.state, Event.VOID)
    return Change(
        state, ticket.draft, added, [("voided", detail)], replaced_by=Opening(fresh, findings)
    )


def _keeping_the_worst(old: Draft, new: Draft) -> Draft:
    """Severity only rises by itself; the order kind stays what it was opened as."""
    kept = replace(new, order_kind=old.order_kind)
    if old.order_kind is not OrderKind.REPAIR:
        kept = replace(kept, urgent_because=old.urgent_because)
    return kept if new.severity.rank >= old.severity.rank else replace(kept, severity=old.severity)


def _has_come_back(findings: Iterable[Finding], solved_at: datetime) -> bool:
    return any(
        finding.started_at > solved_at
        or (finding.is_open and finding.back_at(solved_at) is not None)
        for finding in findings
        if finding.need is Need.TICKET
    )


def _events(
    ticket: OpenTicket, state: State, renewed: Draft, added_nos: Sequence[int]
) -> Iterable[tuple[str, Mapping[str, Any]]]:
    old = ticket.draft
    if added_nos:
        yield "evidence_added", {"findings": list(added_nos)}
    if renewed.severity is not old.severity:
        yield "severity_raised", {"from": old.severity, "to": renewed.severity}
    if renewed.urgent_because and not old.urgent_because:
        yield "urgent_proposed", {"because": list(renewed.urgent_because)}
    if state is not ticket.state or (renewed.is_active and not old.is_active):
        yield "recurred", {"from": ticket.state, "to": state}
    if old.is_active and not renewed.is_active:
        yield "cleared", {}
