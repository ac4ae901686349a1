"""From fault events to episodes and tickets: what diagnostics reads and writes.

Functions take a connection and never commit: the inbox rows, the episodes, the tickets and
the outbox rows of a pass stand or fall together. Whoever calls holds `lock_devices`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg.types.json import Jsonb

from fleet.episodes import FLAP_WINDOW, Episode, FaultEvent, Stored
from fleet.ticket_states import OrderKind, State
from fleet.tickets import Draft, TicketText
from fleet.words import Component, Fixer, Severity, Usability
from storage.connection import Connection, StorageError
from storage.queries import load_queries

ROLE: Final = "fjarrkoll_diagnose"
WHO: Final = "diagnostics"
DEPTH_LIMIT: Final = 100_000

_SQL: Final = load_queries("diagnosis.sql")


class LostRaceError(StorageError):
    """Another writer opened the same ticket meanwhile: roll back and look again."""


class InboxRow(NamedTuple):
    """One record with faults that waits for a diagnosis."""

    inbox_no: int
    device_no: int
    epoch: str
    seq: int
    received_at: datetime


class DeviceInfo(NamedTuple):
    device_no: int
    device_id: str
    tenant_no: int
    tenant_id: str
    device_class: str


class FaultKey(NamedTuple):
    device_no: int
    system: str
    code: str


class TicketKey(NamedTuple):
    device_no: int
    cause: str


@dataclass(frozen=True, slots=True)
class FaultHistory:
    """One fault of one device from `from_at` on: what was reported, and what stands stored."""

    key: FaultKey
    from_at: datetime
    prior_total: int | None
    events: list[FaultEvent]
    stored: list[Stored]


@dataclass(frozen=True, slots=True)
class OpenTicket:
    """A ticket that is open, as stored. `draft` is what it says now."""

    ticket_no: int
    device_no: int
    state: State
    state_at: datetime
    version: int
    draft: Draft


@dataclass(frozen=True, slots=True)
class Linked:
    """An episode that is evidence of a ticket."""

    system: str
    code: str
    stored: Stored


class Settled(NamedTuple):
    """How the last finished ticket about an episode ended, and when."""

    state: State
    at: datetime


@dataclass(frozen=True, slots=True)
class EpisodeChanges:
    """What a pass does to stored episodes. `gone` names each number's heir, or None."""

    updated: Sequence[Stored]
    added: Sequence[tuple[FaultKey, Episode]]
    gone: Sequence[tuple[int, int | None]]


class TicketEvent(NamedTuple):
    ticket_no: int
    kind: str
    detail: Mapping[str, Any]


class Delivery(NamedTuple):
    """One row for the outbox."""

    aggregate: str
    kind: str
    payload: Mapping[str, Any]


def take_inbox(conn: Connection, now: datetime, limit: int) -> list[InboxRow]:
    """Take the next due records; they stay ours until the transaction ends."""
    rows = conn.execute(_SQL["take_inbox"], {"now": now, "limit": limit})
    return [InboxRow(*row) for row in rows]


def lock_devices(conn: Connection, device_nos: Iterable[int]) -> None:
    """Wait until no other pass works on these devices."""
    conn.execute(_SQL["lock_devices"], {"devices": sorted(set(device_nos))})


def devices(conn: Connection, device_nos: Iterable[int]) -> dict[int, DeviceInfo]:
    rows = conn.execute(_SQL["devices"], {"devices": sorted(set(device_nos))})
    return {row[0]: DeviceInfo(*row) for row in rows}


def histories(conn: Connection, records: Sequence[InboxRow]) -> list[FaultHistory]:
    """Every fault that the records speak of, read from where new events can change it.

    A late event reads all that its fault reported since; on time it is at most one episode,
    `fleet.episodes.MAX_EVENTS`.
    """
    touched = conn.execute(
        _SQL["touched_faults"],
        {
            "devices": [record.device_no for record in records],
            "epochs": [record.epoch for record in records],
            "seqs": [record.seq for record in records],
            "flap_window": FLAP_WINDOW,
        },
    ).fetchall()
    found = [FaultHistory(FaultKey(*row[:3]), row[3], row[4], [], []) for row in touched]
    wanted = {
        "devices": [history.key.device_no for history in found],
        "systems": [history.key.system for history in found],
        "codes": [history.key.code for history in found],
        "from_at": [history.from_at for history in found],
    }
    for nth, *event in conn.execute(_SQL["fault_events"], wanted).fetchall():
        found[nth - 1].events.append(FaultEvent(*event))
    for nth, episode_no, *fields in conn.execute(_SQL["episodes_from"], wanted).fetchall():
        found[nth - 1].stored.append(Stored(episode_no, Episode(*fields)))
    return found


def save_episodes(
    conn: Connection, changes: EpisodeChanges
) -> dict[tuple[FaultKey, datetime], int]:
    """Write a pass's episodes; return the numbers of the added ones by fault and start."""
    if changes.gone:
        gone, heirs = zip(*changes.gone, strict=True)
        conn.execute(_SQL["hand_over_links"], {"gone": list(gone), "heirs": list(heirs)})
        conn.execute(_SQL["delete_episodes"], {"gone": list(gone)})
    # At most one episode of a fault is open, also between two statements: close before opening.
    for is_open in (False, True):
        _update_episodes(conn, [e for e in changes.updated if e.episode.is_open is is_open])
    if not changes.added:
        return {}
    columns = _episode_columns([episode for _, episode in changes.added])
    for position, name in enumerate(("device_no", "system", "code")):
        columns[name] = [key[position] for key, _ in changes.added]
    rows = conn.execute(_SQL["insert_episodes"], columns)
    return {(FaultKey(*row[:3]), row[3]): row[4] for row in rows}


def _update_episodes(conn: Connection, updated: Sequence[Stored]) -> None:
    if updated:
        columns = _episode_columns([stored.episode for stored in updated])
        columns["episode_no"] = [stored.episode_no for stored in updated]
        conn.execute(_SQL["update_episodes"], columns)


_EPISODE_FIELDS: Final = (
    "started_at",
    "last_at",
    "ended_at",
    "raised_n",
    "cleared_n",
    "logged_n",
    "first_received_at",
)


def _episode_columns(episodes: Sequence[Episode]) -> dict[str, list[Any]]:
    return {name: [getattr(e, name) for e in episodes] for name in _EPISODE_FIELDS}


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
    text, (started_at, known_at, state_at, is_active, version) = row[9:13], row[13:]
    draft = Draft(
        cause,
        OrderKind(order_kind),
        Severity(severity),
        Usability(usability),
        Fixer(fixer),
        Component(component),
        TicketText(*text),
        started_at,
        known_at,
        is_active,
    )
    return OpenTicket(ticket_no, device_no, State(state), state_at, version, draft)


def linked_episodes(conn: Connection, ticket_nos: Sequence[int]) -> dict[int, list[Linked]]:
    """The evidence of each ticket, by ticket number."""
    found: dict[int, list[Linked]] = {ticket_no: [] for ticket_no in ticket_nos}
    rows = conn.execute(_SQL["linked_episodes"], {"tickets": list(ticket_nos)})
    for ticket_no, episode_no, system, code, *fields in rows:
        stored = Stored(episode_no, Episode(*fields))
        found[ticket_no].append(Linked(system, code, stored))
    return found


def settled_episodes(conn: Connection, episode_nos: Sequence[int]) -> dict[int, Settled]:
    """Of these episodes, those that a finished ticket was about."""
    rows = conn.execute(_SQL["settled_episodes"], {"episodes": list(episode_nos)})
    return {episode_no: Settled(State(state), at) for episode_no, state, at in rows}


def insert_tickets(
    conn: Connection, drafts: Sequence[tuple[DeviceInfo, Draft]], now: datetime
) -> dict[TicketKey, int]:
    """Open tickets; return their numbers.

    Raises:
        LostRaceError: a ticket of that device and cause was opened by another writer.
    """
    columns = _draft_columns([draft for _, draft in drafts])
    columns["device_no"] = [device.device_no for device, _ in drafts]
    columns["tenant_no"] = [device.tenant_no for device, _ in drafts]
    rows = conn.execute(_SQL["insert_tickets"], {**columns, "now": now})
    opened = {TicketKey(row[0], row[1]): int(row[2]) for row in rows}
    if len(opened) < len(drafts):
        raise LostRaceError(f"{len(drafts) - len(opened)} ticket(s) opened by another writer")
    return opened


def update_tickets(
    conn: Connection, changes: Sequence[tuple[int, State, Draft]], now: datetime
) -> None:
    """Write what open tickets say now: number, state, draft."""
    columns = _draft_columns([draft for _, _, draft in changes])
    columns["ticket_no"] = [ticket_no for ticket_no, _, _ in changes]
    columns["state"] = [str(state) for _, state, _ in changes]
    conn.execute(_SQL["update_tickets"], {**columns, "now": now})


_WORD_FIELDS: Final = ("cause", "order_kind", "severity", "usability", "fixer", "component")
_FACT_FIELDS: Final = ("started_at", "known_at", "is_active")
_TEXT_FIELDS: Final = ("title_sv", "title_en", "body_sv", "body_en")


def _draft_columns(drafts: Sequence[Draft]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for name in _WORD_FIELDS:  # as plain text: the driver writes an enum by its Python name
        columns[name] = [str(getattr(draft, name)) for draft in drafts]
    columns |= {name: [getattr(draft, name) for draft in drafts] for name in _FACT_FIELDS}
    columns |= {name: [getattr(draft.text, name) for draft in drafts] for name in _TEXT_FIELDS}
    return columns


def link_episodes(conn: Connection, links: Sequence[tuple[int, int]]) -> None:
    """Make episodes evidence of tickets: (ticket, episode) numbers."""
    tickets, episodes = [ticket for ticket, _ in links], [episode for _, episode in links]
    conn.execute(_SQL["link_episodes"], {"tickets": tickets, "episodes": episodes})


def insert_ticket_events(conn: Connection, events: Sequence[TicketEvent], now: datetime) -> None:
    columns = {
        "tickets": [event.ticket_no for event in events],
        "kinds": [event.kind for event in events],
        "details": [Jsonb(event.detail) for event in events],
    }
    conn.execute(_SQL["insert_ticket_events"], {**columns, "now": now, "who": WHO})


def insert_outbox(conn: Connection, deliveries: Sequence[Delivery], now: datetime) -> None:
    columns = {
        "aggregates": [delivery.aggregate for delivery in deliveries],
        "kinds": [delivery.kind for delivery in deliveries],
        "payloads": [Jsonb(delivery.payload) for delivery in deliveries],
    }
    conn.execute(_SQL["insert_outbox"], {**columns, "now": now})


def finish_inbox(
    conn: Connection, taken: Sequence[InboxRow], held_until: Mapping[int, datetime]
) -> None:
    """Delete what was taken, except rows of devices that are to be looked at again."""
    held = [row for row in taken if row.device_no in held_until]
    done = [row.inbox_no for row in taken if row.device_no not in held_until]
    conn.execute(_SQL["delete_inbox"], {"inbox": done})
    if held:
        due_at = [held_until[row.device_no] for row in held]
        conn.execute(
            _SQL["hold_inbox"], {"inbox": [row.inbox_no for row in held], "due_at": due_at}
        )


def inbox_depth(conn: Connection, now: datetime) -> tuple[int, datetime | None]:
    """How many records are due, counted up to `DEPTH_LIMIT`, and when the oldest came."""
    row = conn.execute(_SQL["inbox_depth"], {"now": now, "limit": DEPTH_LIMIT}).fetchone()
    assert row is not None
    return row[0], row[1]
