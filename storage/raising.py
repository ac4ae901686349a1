"""Tickets as diagnostics opens and changes them, in the transaction of its findings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg.types.json import Jsonb

from fleet.drafts import Draft
from fleet.rules.findings import Both
from fleet.ticket_states import OrderKind, State
from fleet.ticket_text import TicketText
from fleet.words import Component, Fixer, Severity, Usability
from storage.connection import Connection, StorageError
from storage.findings import Subject
from storage.queries import load_queries

WHO: Final = "diagnostics"

_SQL: Final = load_queries("raising.sql")


class LostRaceError(StorageError):
    """Another writer opened the same ticket meanwhile: roll back and look again."""


class TicketKey(NamedTuple):
    device_no: int
    cause: str


@dataclass(frozen=True, slots=True)
class OpenTicket:
    """A ticket that is open, as stored. `draft` is what it says now."""

    ticket_no: int
    device_no: int
    state: State
    state_at: datetime
    version: int
    draft: Draft


class OpenGroupTicket(NamedTuple):
    """A ticket about a group that is open."""

    ticket_no: int
    state: State
    version: int
    subject: str


@dataclass(frozen=True, slots=True)
class NewTicket:
    """A ticket to open. `replaces_no` is the void one of another order kind it stands for."""

    subject: Subject
    draft: Draft
    replaces_no: int | None = None
    repeats_no: int | None = None


@dataclass(frozen=True, slots=True)
class ChangedTicket:
    """What an open ticket says from now on."""

    ticket_no: int
    state: State
    draft: Draft
    incident_no: int | None = None


class TicketEvent(NamedTuple):
    ticket_no: int
    kind: str
    detail: Mapping[str, Any]


class Delivery(NamedTuple):
    """One row for the outbox."""

    aggregate: str
    kind: str
    payload: Mapping[str, Any]


def open_tickets(conn: Connection, keys: Iterable[TicketKey]) -> dict[TicketKey, OpenTicket]:
    """The open tickets of these causes, locked until the transaction ends."""
    wanted = sorted(set(keys))
    rows = conn.execute(
        _SQL["open_tickets"],
        {"devices": [key.device_no for key in wanted], "causes": [key.cause for key in wanted]},
    )
    return {TicketKey(row[1], row[2]): _open_ticket(row) for row in rows}


def _open_ticket(row: Sequence[Any]) -> OpenTicket:
    ticket_no, device_no, cause, state, order_kind, severity, usability, fixer, component = row[:9]
    title_sv, title_en, body_sv, body_en, user_sv, user_en = row[9:15]
    started_at, known_at, state_at, is_active, rule_id, rule_version, confidence = row[15:22]
    urgent_because, detail, version = row[22:]
    text = TicketText(Both(title_sv, title_en), Both(body_sv, body_en), Both(user_sv, user_en))
    draft = Draft(
        cause=cause,
        order_kind=OrderKind(order_kind),
        severity=Severity(severity),
        usability=Usability(usability),
        fixer=Fixer(fixer),
        component=Component(component),
        text=text,
        started_at=started_at,
        known_at=known_at,
        is_active=is_active,
        rule_id=rule_id,
        rule_version=rule_version,
        confidence=confidence,
        urgent_because=tuple(urgent_because),
        detail=detail,
    )
    return OpenTicket(ticket_no, device_no, State(state), state_at, version, draft)


def open_group_ticket(
    conn: Connection, tenant_no: int, subject: str, family: str, cause: str
) -> OpenGroupTicket | None:
    """The open ticket about a group or one of its family, locked until the transaction ends.

    Args:
        family: what groups that are one matter begin with; the subject itself if it has none.
    """
    key = {"tenant_no": tenant_no, "subject": subject, "family": family, "cause": cause}
    row = conn.execute(_SQL["open_group_ticket"], key).fetchone()
    return None if row is None else OpenGroupTicket(row[0], State(row[1]), *row[2:])


def insert_tickets(
    conn: Connection, tickets: Sequence[NewTicket], now: datetime
) -> dict[tuple[Subject, str], int]:
    """Open tickets; return their numbers by subject and cause.

    Raises:
        LostRaceError: a ticket of that subject and cause was opened by another writer.
    """
    columns = _draft_columns([ticket.draft for ticket in tickets])
    columns["cause"] = [ticket.draft.cause for ticket in tickets]
    columns["order_kind"] = [str(ticket.draft.order_kind) for ticket in tickets]
    columns["device_no"] = [ticket.subject.device_no for ticket in tickets]
    columns["tenant_no"] = [ticket.subject.tenant_no for ticket in tickets]
    columns["subject"] = [ticket.subject.name for ticket in tickets]
    columns["replaces_no"] = [ticket.replaces_no for ticket in tickets]
    columns["repeats_no"] = [ticket.repeats_no for ticket in tickets]
    rows = conn.execute(_SQL["insert_tickets"], {**columns, "now": now}).fetchall()
    if len(rows) < len(tickets):
        raise LostRaceError(f"{len(tickets) - len(rows)} ticket(s) opened by another writer")
    subjects = {(t.subject.device_no or 0, t.subject.name): t.subject for t in tickets}
    return {(subjects[row[0], row[1]], row[2]): int(row[3]) for row in rows}


def update_tickets(conn: Connection, changes: Sequence[ChangedTicket], now: datetime) -> None:
    """Write what open tickets say now. The order kind is not written: it never changes."""
    columns = _draft_columns([change.draft for change in changes])
    columns["ticket_no"] = [change.ticket_no for change in changes]
    columns["state"] = [str(change.state) for change in changes]
    columns["incident_no"] = [change.incident_no for change in changes]
    conn.execute(_SQL["update_tickets"], {**columns, "now": now})


_WORD_FIELDS: Final = ("severity", "usability", "fixer", "component", "rule_id")
_FACT_FIELDS: Final = ("started_at", "known_at", "is_active", "rule_version", "confidence")
_TEXT_FIELDS: Final = ("title", "body", "user")


def _draft_columns(drafts: Sequence[Draft]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for name in _WORD_FIELDS:  # as plain text: the driver writes an enum by its Python name
        columns[name] = [str(getattr(draft, name)) for draft in drafts]
    columns |= {name: [getattr(draft, name) for draft in drafts] for name in _FACT_FIELDS}
    for name in _TEXT_FIELDS:
        columns[f"{name}_sv"] = [getattr(draft.text, name).sv for draft in drafts]
        columns[f"{name}_en"] = [getattr(draft.text, name).en for draft in drafts]
    columns["urgent_because"] = [Jsonb(list(draft.urgent_because)) for draft in drafts]
    columns["detail"] = [Jsonb(dict(draft.detail)) for draft in drafts]
    return columns


def void_singles(
    conn: Connection, ticket_nos: Sequence[int], incident_no: int, now: datetime
) -> None:
    """Make tickets of single devices void, since an incident speaks for them."""
    parameters = {"tickets": list(ticket_nos), "incident_no": incident_no, "now": now}
    conn.execute(_SQL["void_singles"], parameters)


def put_evidence(conn: Connection, evidence: Mapping[int, Collection[int]]) -> None:
    """Make these episodes, and no others, the evidence of each ticket: ticket -> episodes."""
    links = [(ticket, episode) for ticket, found in evidence.items() for episode in sorted(found)]
    parameters = {
        "all_tickets": list(evidence),
        "tickets": [ticket for ticket, _ in links],
        "episodes": [episode for _, episode in links],
    }
    conn.execute(_SQL["drop_other_episodes"], parameters)
    conn.execute(_SQL["link_episodes"], parameters)


def insert_ticket_events(conn: Connection, events: Sequence[TicketEvent], now: datetime) -> None:
    columns = {
        "tickets": [event.ticket_no for event in events],
        "kinds": [event.kind for event in events],
        "details": [Jsonb(dict(event.detail)) for event in events],
    }
    conn.execute(_SQL["insert_ticket_events"], {**columns, "now": now, "who": WHO})


def insert_outbox(conn: Connection, deliveries: Sequence[Delivery], now: datetime) -> None:
    columns = {
        "aggregates": [delivery.aggregate for delivery in deliveries],
        "kinds": [delivery.kind for delivery in deliveries],
        "payloads": [Jsonb(dict(delivery.payload)) for delivery in deliveries],
    }
    conn.execute(_SQL["insert_outbox"], {**columns, "now": now})
