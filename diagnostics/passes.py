"""One pass of diagnostics: due inbox rows become episodes, tickets and deliveries.

Everything is in the caller's transaction. Running a pass again over the same rows changes
nothing, since episodes are folded from all that is stored and tickets are compared first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from diagnostics.judgement import Candidate, Change, Opening, judge_new, judge_open
from fleet.episodes import Episode, Stored, fold, reconcile
from fleet.faults import FaultCatalogue
from fleet.ticket_states import State
from fleet.tickets import SETTLE, Draft, Evidence, Need, cause_of, is_for_workshop, need_of
from fleet.words import DeviceClass
from storage import diagnosis
from storage.connection import Connection
from storage.diagnosis import (
    Delivery,
    DeviceInfo,
    EpisodeChanges,
    FaultHistory,
    FaultKey,
    InboxRow,
    OpenTicket,
    TicketEvent,
    TicketKey,
)


@dataclass(frozen=True, slots=True)
class PassResult:
    """What a pass did. `oldest_received_at` is None when there was nothing to do."""

    taken_n: int = 0
    held_n: int = 0
    episode_n: int = 0
    opened: tuple[int, ...] = ()
    changed: tuple[int, ...] = ()
    oldest_received_at: datetime | None = None


def diagnose(
    conn: Connection, catalogue: FaultCatalogue, now: datetime, taken: Sequence[InboxRow]
) -> PassResult:
    """Work off the inbox rows that this transaction has taken. The caller commits.

    Raises:
        LostRaceError: somebody else opened one of the tickets; roll back and take them again.
    """
    if not taken:
        return PassResult()
    device_nos = {row.device_no for row in taken}
    diagnosis.lock_devices(conn, device_nos)
    episodes = _fold_and_save(conn, diagnosis.histories(conn, taken))
    findings = _findings(conn, catalogue, episodes, now)
    devices = diagnosis.devices(conn, device_nos)
    written = _Tickets(conn, catalogue, devices, now).write(findings)
    held_until = _held_until(findings)
    diagnosis.finish_inbox(conn, taken, held_until)
    return PassResult(
        taken_n=len(taken),
        held_n=sum(row.device_no in held_until for row in taken),
        episode_n=len(episodes),
        opened=tuple(written.opened),
        changed=tuple(written.changed),
        oldest_received_at=min(row.received_at for row in taken),
    )


def _fold_and_save(
    conn: Connection, histories: Sequence[FaultHistory]
) -> list[tuple[FaultKey, Stored]]:
    """Fold every fault anew and write what differs; return all folded episodes, numbered."""
    updated: list[Stored] = []
    added: list[tuple[FaultKey, Episode]] = []
    gone: list[tuple[int, int | None]] = []
    numbered: list[tuple[FaultKey, Stored]] = []
    for history in histories:
        result = reconcile(history.stored, fold(history.events, history.prior_total))
        before = set(history.stored)
        updated += [stored for stored in result.kept if stored not in before]
        added += [(history.key, episode) for episode in result.added]
        gone += result.gone
        numbered += [(history.key, stored) for stored in result.kept]
    numbers = diagnosis.save_episodes(conn, EpisodeChanges(updated, added, gone))
    for key, episode in added:
        numbered.append((key, Stored(numbers[key, episode.started_at], episode)))
    return numbered


Findings = Mapping[TicketKey, Sequence[Candidate]]


def _findings(
    conn: Connection,
    catalogue: FaultCatalogue,
    episodes: Iterable[tuple[FaultKey, Stored]],
    now: datetime,
) -> Findings:
    """The folded episodes that are for the workshop, by device and cause."""
    numbered = [
        (key.device_no, stored, fault)
        for key, stored in episodes
        if is_for_workshop(fault := catalogue.look_up(key.system, key.code))
    ]
    settled = diagnosis.settled_episodes(conn, [stored.episode_no for _, stored, _ in numbered])
    findings: dict[TicketKey, list[Candidate]] = defaultdict(list)
    for device_no, stored, fault in numbered:
        findings[TicketKey(device_no, cause_of(fault))].append(
            Candidate(
                stored.episode_no,
                Evidence(fault, stored.episode),
                need_of(stored.episode, now),
                settled.get(stored.episode_no),
            )
        )
    return findings


def _held_until(findings: Findings) -> dict[int, datetime]:
    """Devices to look at again, and when the first of their old raises has settled."""
    held: dict[int, datetime] = {}
    for key, candidates in findings.items():
        for candidate in candidates:
            if candidate.need is Need.HELD:
                due_at = candidate.evidence.episode.first_received_at + SETTLE
                held[key.device_no] = min(due_at, held.get(key.device_no, due_at))
    return held


@dataclass(slots=True)
class _Written:
    """What a pass has to say about tickets, collected for one statement each."""

    opened: list[int] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    updates: list[tuple[int, State, Draft]] = field(default_factory=list)
    links: list[tuple[int, int]] = field(default_factory=list)
    events: list[TicketEvent] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)


_CLASSES: Final = {str(device_class): device_class for device_class in DeviceClass}


class _Tickets:
    """Opens and changes the tickets of one pass."""

    def __init__(
        self,
        conn: Connection,
        catalogue: FaultCatalogue,
        devices: Mapping[int, DeviceInfo],
        now: datetime,
    ) -> None:
        self._conn = conn
        self._catalogue = catalogue
        self._devices = devices
        self._now = now
        self._written = _Written()

    def write(self, findings: Findings) -> _Written:
        if findings:
            tickets = diagnosis.open_tickets(self._conn, findings)
            self._change({key: tickets[key] for key in findings if key in tickets}, findings)
            self._open({key: findings[key] for key in findings if key not in tickets})
            self._save()
        return self._written

    def _open(self, findings: Findings) -> None:
        openings = {
            key: opening
            for key, candidates in sorted(findings.items())
            if (opening := judge_new(self._class_of(key.device_no), candidates)) is not None
        }
        if not openings:
            return
        drafts = [
            (self._devices[key.device_no], opening.draft) for key, opening in openings.items()
        ]
        numbers = diagnosis.insert_tickets(self._conn, drafts, self._now)
        for key, opening in openings.items():
            self._note_opened(numbers[key], self._devices[key.device_no], opening)

    def _change(self, tickets: Mapping[TicketKey, OpenTicket], findings: Findings) -> None:
        if not tickets:
            return
        linked = self._evidence([ticket.ticket_no for ticket in tickets.values()])
        for key, ticket in tickets.items():
            device = self._devices[key.device_no]
            evidence = linked[ticket.ticket_no]
            device_class = self._class_of(key.device_no)
            change = judge_open(ticket, device_class, evidence, findings[key], self._now)
            if change is not None:
                self._note_changed(ticket, device, change)

    def _evidence(self, ticket_nos: Sequence[int]) -> dict[int, dict[int, Evidence]]:
        """What each ticket rests on, by episode number."""
        return {
            ticket_no: {
                item.stored.episode_no: Evidence(
                    self._catalogue.look_up(item.system, item.code), item.stored.episode
                )
                for item in items
            }
            for ticket_no, items in diagnosis.linked_episodes(self._conn, ticket_nos).items()
        }

    def _class_of(self, device_no: int) -> DeviceClass | None:
        """The device's class; None for a word that a newer release has registered."""
        return _CLASSES.get(self._devices[device_no].device_class)

    def _note_opened(self, ticket_no: int, device: DeviceInfo, opening: Opening) -> None:
        self._written.opened.append(ticket_no)
        self._written.links += [(ticket_no, number) for number in opening.episode_nos]
        detail = {"episodes": list(opening.episode_nos)}
        self._written.events.append(TicketEvent(ticket_no, "opened", detail))
        payload = {"state": State.NEW, "version": 1, "events": ["opened"]}
        payload |= _told(device, opening.draft)
        self._deliver(ticket_no, "ticket.opened", payload)

    def _note_changed(self, ticket: OpenTicket, device: DeviceInfo, change: Change) -> None:
        """A count that rose is written on the ticket; only what has an event is sent out."""
        number = ticket.ticket_no
        self._written.changed.append(number)
        self._written.updates.append((number, change.state, change.draft))
        self._written.links += [(number, episode_no) for episode_no in change.added_nos]
        self._written.events += [TicketEvent(number, *event) for event in change.events]
        if change.events:
            kinds = [kind for kind, _ in change.events]
            payload = {"state": change.state, "version": ticket.version + 1, "events": kinds}
            payload |= _told(device, change.draft)
            self._deliver(number, "ticket.changed", payload)

    def _deliver(self, ticket_no: int, kind: str, payload: Mapping[str, Any]) -> None:
        delivery = Delivery(f"ticket:{ticket_no}", kind, {"ticket_no": ticket_no, **payload})
        self._written.deliveries.append(delivery)

    def _save(self) -> None:
        written = self._written
        if written.updates:
            diagnosis.update_tickets(self._conn, written.updates, self._now)
        if written.links:
            diagnosis.link_episodes(self._conn, written.links)
        if written.events:
            diagnosis.insert_ticket_events(self._conn, written.events, self._now)
        if written.deliveries:
            diagnosis.insert_outbox(self._conn, written.deliveries, self._now)


def _told(device: DeviceInfo, draft: Draft) -> dict[str, Any]:
    """What a receiver needs to act without asking back. No person data: a device id, no more."""
    words = ("cause", "order_kind", "severity", "usability", "fixer", "component")
    texts = ("title_sv", "title_en", "body_sv", "body_en")
    return {
        "tenant": device.tenant_id,
        "device": device.device_id,
        "device_class": device.device_class,
        **{name: str(getattr(draft, name)) for name in words},
        **{name: getattr(draft.text, name) for name in texts},
        "started_at": draft.started_at.isoformat(),
        "known_at": draft.known_at.isoformat(),
        "is_active": draft.is_active,
    }
