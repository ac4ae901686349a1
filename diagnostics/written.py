"""What a pass has to say about tickets, collected so that each table takes one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fleet.drafts import Draft
from fleet.rules.findings import Finding
from fleet.ticket_states import State
from storage import deadlines, raising
from storage.connection import Connection
from storage.findings import Subject, link_findings, unlink_findings
from storage.raising import ChangedTicket, Delivery, NewTicket, TicketEvent


@dataclass(slots=True)
class Written:
    """What a pass has to say about tickets, collected for one statement each."""

    opened: list[int] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    updates: list[ChangedTicket] = field(default_factory=list)
    moves: list[tuple[int, State, State]] = field(default_factory=list)
    links: list[tuple[int, int]] = field(default_factory=list)
    unlinks: list[tuple[int, int]] = field(default_factory=list)
    evidence: dict[int, set[int]] = field(default_factory=dict)
    events: list[TicketEvent] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)

    def rests_on(self, ticket_no: int, findings: Mapping[int, Finding]) -> None:
        """What a ticket rests on: these findings, and the episodes they name."""
        self.links += [(ticket_no, number) for number in sorted(findings)]
        self.evidence[ticket_no] = {
            item.episode_no for finding in findings.values() for item in finding.episodes
        }

    def deliver(self, ticket_no: int, kind: str, payload: Mapping[str, Any]) -> None:
        detail = {"ticket_no": ticket_no, **payload}
        self.deliveries.append(Delivery(f"ticket:{ticket_no}", kind, detail))

    def open_group(
        self, conn: Connection, subject: Subject, draft: Draft, device_n: int, now: datetime
    ) -> int:
        """Open a ticket about a group with its clocks; return its number.

        Raises:
            LostRaceError: another writer has opened it.
        """
        (number,) = raising.insert_tickets(conn, [NewTicket(subject, draft)], now).values()
        deadlines.open_clocks(conn, [number], now)
        self.opened.append(number)
        self.events.append(TicketEvent(number, "opened", {"devices": device_n}))
        title = draft.text.title
        self.deliver(number, "incident.opened", {"title_sv": title.sv, "title_en": title.en})
        return number

    def take_over(
        self, conn: Connection, incident_no: int, singles: Sequence[int], now: datetime
    ) -> None:
        """Make untouched tickets of single devices void, since an incident speaks for them."""
        if not singles:
            return
        raising.void_singles(conn, singles, incident_no, now)
        for ticket_no in singles:
            deadlines.moved(conn, ticket_no, State.NEW, State.VOID, now)
            detail = {"reason": "part_of_incident", "incident": incident_no}
            self.events.append(TicketEvent(ticket_no, "voided", detail))
            told = {"state": State.VOID, "events": ["voided"], **detail}
            self.deliver(ticket_no, "ticket.changed", told)


def save_written(conn: Connection, written: Written, now: datetime) -> None:
    """Write the links, events and deliveries that were collected."""
    if written.unlinks:
        unlink_findings(conn, written.unlinks)
    if written.links:
        link_findings(conn, written.links)
    if written.evidence:
        raising.put_evidence(conn, written.evidence)
    if written.events:
        raising.insert_ticket_events(conn, written.events, now)
    if written.deliveries:
        raising.insert_outbox(conn, written.deliveries, now)
