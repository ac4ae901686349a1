"""Repairs that have held: a solved ticket is verified by the use that used to break it again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from diagnostics.written import Written, save_written
from fleet.rules.engine import Rulebook
from fleet.rules.facts import Facts, Repair
from fleet.rules.kinds.recovery import NotHealthyAfter, RepairVerdict, judge_repair
from fleet.rules.rule import Rule
from fleet.ticket_states import Event, State, advance
from storage import deadlines, raising
from storage.connection import Connection
from storage.raising import ChangedTicket, OpenTicket, TicketEvent, TicketKey


def verify_repairs(
    conn: Connection, book: Rulebook, facts: Mapping[int, Facts], now: datetime, written: Written
) -> None:
    """Verify the solved tickets of these devices whose repair has held."""
    rules = [rule for rule in book.on_device if rule.condition.needs.repairs]
    held = {
        TicketKey(no, repair.cause): (rule, verdict)
        for no, known in facts.items()
        for repair in known.repairs
        for rule in rules
        if (verdict := _healthy(rule, known, repair)) is not None
    }
    if not held:
        return
    verified = Written()
    for key, ticket in raising.open_tickets(conn, held).items():
        if ticket.state is State.SOLVED:
            _note(ticket, *held[key], verified)
    if verified.updates:
        raising.update_tickets(conn, verified.updates, now)
        for ticket_no, old, new in verified.moves:
            deadlines.moved(conn, ticket_no, old, new, now)
        save_written(conn, verified, now)
    written.changed += verified.changed


def _healthy(rule: Rule, facts: Facts, repair: Repair) -> RepairVerdict | None:
    if not isinstance(rule.condition, NotHealthyAfter) or not rule.covers(facts.device):
        return None
    verdict = judge_repair(rule.condition, repair, facts)
    return verdict if verdict.word == "healthy" else None


def _note(ticket: OpenTicket, rule: Rule, verdict: RepairVerdict, verified: Written) -> None:
    state = advance(ticket.state, Event.VERIFY)
    number = ticket.ticket_no
    verified.changed.append(number)
    verified.updates.append(ChangedTicket(number, state, ticket.draft))
    verified.moves.append((number, ticket.state, state))
    detail = {
        "rule": rule.id,
        "version": rule.version,
        "because_sv": verdict.said.sv,
        "because_en": verdict.said.en,
    }
    verified.events.append(TicketEvent(number, "verified", detail))
    verified.deliver(
        number,
        "ticket.changed",
        {"state": state, "version": ticket.version + 1, "events": ["verified"], **detail},
    )
