"""From fault events to episodes: what diagnostics reads and writes first.

Functions take a connection and never commit: the inbox rows, the episodes, the tickets and
the outbox rows of a pass stand or fall together. Whoever calls holds `lock_devices`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from fleet.episodes import FLAP_WINDOW, Episode, FaultEvent, Stored
from fleet.rules.facts import day_closes_at, last_closed_day
from storage.connection import Connection
from storage.queries import load_queries

ROLE: Final = "fjarrkoll_diagnose"
DEPTH_LIMIT: Final = 100_000

_SQL: Final = load_queries("diagnosis.sql")


class InboxRow(NamedTuple):
    """One record with faults that waits for a diagnosis."""

    inbox_no: int
    device_no: int
    epoch: str
    seq: int
    received_at: datetime


class FaultKey(NamedTuple):
    device_no: int
    system: str
    code: str


@dataclass(frozen=True, slots=True)
class FaultHistory:
    """One fault of one device from `from_at` on: what was reported, and what stands stored."""

    key: FaultKey
    from_at: datetime
    prior_total: int | None
    events: list[FaultEvent]
    stored: list[Stored]


@dataclass(frozen=True, slots=True)
class EpisodeChanges:
    """What a pass does to stored episodes. `gone` names each number's heir, or None."""

    updated: Sequence[Stored]
    added: Sequence[tuple[FaultKey, Episode]]
    gone: Sequence[tuple[int, int | None]]


def take_inbox(conn: Connection, now: datetime, limit: int) -> list[InboxRow]:
    """Take the next due records; they stay ours until the transaction ends."""
    rows = conn.execute(_SQL["take_inbox"], {"now": now, "limit": limit})
    return [InboxRow(*row) for row in rows]


def lock_devices(conn: Connection, device_nos: Iterable[int]) -> None:
    """Wait until no other pass works on these devices."""
    conn.execute(_SQL["lock_devices"], {"devices": sorted(set(device_nos))})


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


def mark_for_agenda(conn: Connection, taken: Sequence[InboxRow], now: datetime) -> None:
    """Have all rules look at the devices: at the close of the day, or now where faults say so."""
    conn.execute(
        _SQL["mark_for_agenda"],
        {
            "devices": [record.device_no for record in taken],
            "epochs": [record.epoch for record in taken],
            "seqs": [record.seq for record in taken],
            "now": now,
            "closes_at": day_closes_at(last_closed_day(now) + 1),
        },
    )


def inbox_depth(conn: Connection, now: datetime) -> tuple[int, datetime | None]:
    """How many records are due, counted up to `DEPTH_LIMIT`, and when the oldest came."""
    row = conn.execute(_SQL["inbox_depth"], {"now": now, "limit": DEPTH_LIMIT}).fetchone()
    assert row is not None
    return row[0], row[1]
