"""A ticket as the findings of one cause write it. Pure: the same findings, the same ticket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fleet.rules.findings import Finding
from fleet.rules.storms import Member, span_of
from fleet.ticket_states import OrderKind
from fleet.ticket_text import TicketText, explain, incident_text
from fleet.tickets import route, urgent_because
from fleet.words import Component, DeviceClass, Fixer, Severity, Usability


@dataclass(frozen=True, slots=True)
class Draft:
    """What a ticket says about its cause.

    Attributes:
        order_kind: only for opening: the kind of a ticket that is open never changes.
        urgent_because: why `akut AU` is proposed; empty: it is not.
        detail: numbers behind the words, for the page.
    """

    cause: str
    order_kind: OrderKind
    severity: Severity
    usability: Usability
    fixer: Fixer
    component: Component
    text: TicketText
    started_at: datetime
    known_at: datetime
    is_active: bool
    rule_id: str
    rule_version: int
    confidence: float
    urgent_because: tuple[str, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)


def draft(
    device_class: DeviceClass | None,
    findings: Sequence[Finding],
    needs: frozenset[str] | None = None,
) -> Draft:
    """Write the ticket for `findings` of one cause, in any order, at least one.

    Args:
        needs: what the person of the current loan cannot do without the device; None: no loan.
    """
    ordered = sorted(findings, key=_time_order)
    lead = max(ordered, key=_badness)
    known_at = min(finding.known_at for finding in ordered)
    usability = max((f.usability for f in ordered), key=list(Usability).index)
    order = lead.order or route(device_class, lead.episodes)
    return Draft(
        cause=lead.cause,
        order_kind=order,
        severity=lead.severity,
        usability=usability,
        fixer=lead.fixer,
        component=lead.component,
        text=explain(ordered, lead, known_at),
        started_at=ordered[0].started_at,
        known_at=known_at,
        is_active=any(finding.is_open for finding in ordered),
        rule_id=lead.rule_id,
        rule_version=lead.rule_version,
        confidence=round(lead.confidence, 3),
        urgent_because=urgent_because(order, lead.severity, usability, needs),
        detail={"measures": {f.about: dict(f.measures) for f in ordered if f.measures}},
    )


def _time_order(finding: Finding) -> tuple[datetime, str, str]:
    return (finding.started_at, finding.about, finding.rule_id)


def _badness(finding: Finding) -> tuple[int, int, bool]:
    """The worst leads; among equals what stops more, what still lasts, then what came first."""
    usability = list(Usability).index(finding.usability)
    return (finding.severity.rank, usability, finding.is_open)


def draft_incident(lead: Finding, members: Sequence[Member], now: datetime) -> Draft:
    """Write the one ticket of a storm from all its devices."""
    return Draft(
        cause=lead.cause,
        order_kind=OrderKind.SUPPORT,
        severity=lead.severity,
        usability=lead.usability,
        fixer=Fixer.SUPPLIER,
        component=lead.component,
        text=incident_text(lead, members),
        started_at=span_of(members)[0],
        known_at=lead.known_at,
        is_active=True,
        rule_id=lead.rule_id,
        rule_version=lead.rule_version,
        confidence=round(lead.confidence, 3),
        detail={"device_n": len(members), "counted_at": now.isoformat()},
    )
