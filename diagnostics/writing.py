"""Opens and changes the tickets of one pass: what was judged becomes rows, events, deliveries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from diagnostics.examination import Examined
from diagnostics.judgement import (
    Change,
    Opening,
    Owner,
    grounds_of,
    judge_new,
    judge_open,
    news_for,
)
from diagnostics.outages import Outages
from diagnostics.storms import Storms
from diagnostics.written import Written, save_written
from fleet.drafts import Draft
from fleet.rules.engine import Rulebook
from fleet.rules.facts import DeviceProfile
from fleet.ticket_states import State
from storage import deadlines, lending, raising, tickets
from storage.connection import Connection
from storage.findings import Subject, linked_findings
from storage.raising import (
    ChangedTicket,
    Delivery,
    NewTicket,
    OpenTicket,
    TicketEvent,
    TicketKey,
)


def write_tickets(conn: Connection, book: Rulebook, examined: Examined, now: datetime) -> Written:
    """Open and change what the examined devices' tickets are to say.

    Raises:
        LostRaceError: somebody else opened one of the tickets; roll back and take them again.
    """
    return _Pass(conn, book, examined, now).write()


class _Pass:
    def __init__(self, conn: Connection, book: Rulebook, examined: Examined, now: datetime) -> None:
        self._conn = conn
        self._book = book
        self._examined = examined
        self._now = now
        self._written = Written()
        self._needs = lending.current_needs(conn, examined.facts)

    def write(self) -> Written:
        examined = self._examined
        keys = {*examined.candidates, *examined.orphaned}
        if keys:
            open_tickets = raising.open_tickets(self._conn, keys)
            replaced = self._change(open_tickets)
            openings = self._judge_new(key for key in keys if key not in open_tickets)
            openings = self._without_incidents(openings)
            self._save_changes()
            self._open(openings, {})
            self._open(replaced, {key: open_tickets[key].ticket_no for key in replaced})
            save_written(self._conn, self._written, self._now)
        self._tell_care()
        return self._written

    def _without_incidents(self, openings: Mapping[TicketKey, Opening]) -> dict[TicketKey, Opening]:
        """The openings that no storm and no outage holds."""
        storms = Storms(self._conn, self._examined, self._needs, self._now)
        outages = Outages(self._conn, self._book, self._examined, self._now)
        return outages.hold(storms.hold(openings, self._written), self._written)

    def _owner(self, device_no: int) -> Owner:
        device_class = self._examined.facts[device_no].device.device_class
        return Owner(device_class, self._needs.get(device_no))

    def _judge_new(self, keys: Iterable[TicketKey]) -> dict[TicketKey, Opening]:
        candidates = self._examined.candidates
        judged = {
            key: judge_new(self._owner(key.device_no), candidates.get(key, ()))
            for key in sorted(keys)
        }
        return {key: opening for key, opening in judged.items() if opening is not None}

    def _change(self, open_tickets: Mapping[TicketKey, OpenTicket]) -> dict[TicketKey, Opening]:
        """Judge open tickets; return what is to be opened in the place of some."""
        if not open_tickets:
            return {}
        linked = linked_findings(self._conn, [t.ticket_no for t in open_tickets.values()])
        replaced = {}
        for key, ticket in open_tickets.items():
            found = self._examined.candidates.get(key, ())
            before = linked[ticket.ticket_no]
            change = judge_open(ticket, self._owner(key.device_no), before, found)
            grounds = grounds_of({**before, **news_for(before, found)})
            self._written.rests_on(ticket.ticket_no, grounds)
            if change is not None:
                self._note_changed(ticket, change)
                if change.replaced_by is not None:
                    replaced[key] = change.replaced_by
        return replaced

    def _note_changed(self, ticket: OpenTicket, change: Change) -> None:
        """A count that rose is written on the ticket; only what has an event is sent out."""
        number = ticket.ticket_no
        written = self._written
        written.changed.append(number)
        written.updates.append(ChangedTicket(number, change.state, change.draft))
        written.moves.append((number, ticket.state, change.state))
        written.unlinks += [(number, finding_no) for finding_no in change.dropped]
        written.events += [TicketEvent(number, *event) for event in change.events]
        if change.events:
            kinds = [kind for kind, _ in change.events]
            payload = {"state": change.state, "version": ticket.version + 1, "events": kinds}
            payload |= self._told(ticket.device_no, change.draft)
            written.deliver(number, "ticket.changed", payload)

    def _save_changes(self) -> None:
        if self._written.updates:
            raising.update_tickets(self._conn, self._written.updates, self._now)
        for ticket_no, old, new in self._written.moves:
            if old is not new:
                deadlines.moved(self._conn, ticket_no, old, new, self._now)

    def _open(
        self, openings: Mapping[TicketKey, Opening], replaced_nos: Mapping[TicketKey, int]
    ) -> None:
        if not openings:
            return
        repeated = tickets.repeats(self._conn, openings, self._now)
        new = [
            NewTicket(
                self._subject(key.device_no),
                opening.draft,
                replaced_nos.get(key),
                repeated.get(key),
            )
            for key, opening in openings.items()
        ]
        numbers = raising.insert_tickets(self._conn, new, self._now)
        for ticket, (key, opening) in zip(new, openings.items(), strict=True):
            number = numbers[self._subject(key.device_no), key.cause]
            self._note_opened(number, ticket, opening)
        deadlines.open_clocks(self._conn, list(numbers.values()), self._now)

    def _subject(self, device_no: int) -> Subject:
        return Subject(self._examined.facts[device_no].device.tenant_no, device_no)

    def _note_opened(self, number: int, ticket: NewTicket, opening: Opening) -> None:
        written = self._written
        written.opened.append(number)
        written.rests_on(number, opening.findings)
        detail: dict[str, Any] = {"findings": sorted(opening.findings)}
        detail |= {"replaces": ticket.replaces_no} if ticket.replaces_no else {}
        detail |= {"repeats": ticket.repeats_no} if ticket.repeats_no else {}
        written.events.append(TicketEvent(number, "opened", detail))
        if ticket.draft.urgent_because:
            because = {"because": list(ticket.draft.urgent_because)}
            written.events.append(TicketEvent(number, "urgent_proposed", because))
        device_no = ticket.subject.device_no
        assert device_no is not None
        payload = {"state": State.NEW, "version": 1, "events": ["opened"]}
        written.deliver(number, "ticket.opened", payload | self._told(device_no, ticket.draft))

    def _told(self, device_no: int, draft: Draft) -> dict[str, Any]:
        return told(self._examined.facts[device_no].device, draft)

    def _tell_care(self) -> None:
        """Findings of care rules leave the house as tasks for care, not as repairs."""
        tasks = [
            Delivery(
                f"finding:{number}",
                "care.task",
                {
                    "finding_no": number,
                    "device": self._examined.facts[subject.device_no or 0].device.device_id,
                    "rule": finding.rule_id,
                    "title_sv": finding.said.title.sv,
                    "title_en": finding.said.title.en,
                },
            )
            for subject, (number, finding) in self._examined.for_care
        ]
        if tasks:
            raising.insert_outbox(self._conn, tasks, self._now)


def told(device: DeviceProfile, draft: Draft) -> dict[str, Any]:
    """What a receiver needs to act without asking back. No person data: a device id, no more."""
    words = ("cause", "order_kind", "severity", "usability", "fixer", "component")
    return {
        "tenant": device.tenant_id,
        "device": device.device_id,
        "device_class": device.device_class,
        **{name: str(getattr(draft, name)) for name in words},
        "title_sv": draft.text.title.sv,
        "title_en": draft.text.title.en,
        "body_sv": draft.text.body.sv,
        "body_en": draft.text.body.en,
        "urgent_because": list(draft.urgent_because),
        "started_at": draft.started_at.isoformat(),
        "known_at": draft.known_at.isoformat(),
        "is_active": draft.is_active,
    }
