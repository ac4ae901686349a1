"""One pass of diagnostics: reported faults, or devices that are due, become findings and tickets.

Everything is in the caller's transaction. Running a pass again over the same rows changes
nothing, since episodes and findings are concluded from all that is stored and then compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from diagnostics.examination import Examined, examine
from diagnostics.recovery import verify_repairs
from diagnostics.writing import write_tickets
from fleet.episodes import Episode, Stored, fold, reconcile
from fleet.rules.engine import Rulebook
from fleet.rules.facts import day_closes_at, day_starts_at, last_closed_day
from fleet.rules.kinds.silence import next_check_at
from storage import diagnosis, findings
from storage.connection import Connection
from storage.diagnosis import EpisodeChanges, FaultHistory, FaultKey, InboxRow

SPREAD_S: Final = 7200
"""Over how many seconds the looks at a closed day are spread; as in storage/sql/rollup.sql."""

_ENDS_BY_TIME: Final = frozenset({"recurrence", "threshold"})
"""Kinds of rules whose findings are over a while after the last thing they rest on."""

RECHECK_AFTER: Final = timedelta(minutes=10)
"""A silence timer is never set closer than this, so that no device is looked at all the time."""


@dataclass(frozen=True, slots=True)
class PassResult:
    """What a pass did. `oldest_received_at` is None when there was nothing to do."""

    taken_n: int = 0
    held_n: int = 0
    episode_n: int = 0
    finding_n: int = 0
    opened: tuple[int, ...] = ()
    changed: tuple[int, ...] = ()
    oldest_received_at: datetime | None = None


def diagnose(
    conn: Connection, book: Rulebook, now: datetime, taken: Sequence[InboxRow]
) -> PassResult:
    """Work off the inbox rows that this transaction has taken. The caller commits.

    Raises:
        LostRaceError: somebody else opened one of the tickets; roll back and take them again.
    """
    if not taken:
        return PassResult()
    # Before the devices are locked: who works off the agenda locks in the same order.
    diagnosis.mark_for_agenda(conn, taken, now)
    diagnosis.lock_devices(conn, {row.device_no for row in taken})
    histories = diagnosis.histories(conn, taken)
    episodes = _fold_and_save(conn, histories)
    examined = examine(conn, book, book.on_events, _begins(histories), now)
    written = write_tickets(conn, book, examined, now)
    held_until = examined.held_until(now)
    diagnosis.finish_inbox(conn, taken, held_until)
    return PassResult(
        taken_n=len(taken),
        held_n=sum(row.device_no in held_until for row in taken),
        episode_n=len(episodes),
        finding_n=sum(map(len, examined.candidates.values())),
        opened=tuple(written.opened),
        changed=tuple(written.changed),
        oldest_received_at=min(row.received_at for row in taken),
    )


def work_agenda(conn: Connection, book: Rulebook, now: datetime, limit: int) -> PassResult:
    """Look at up to `limit` devices that are due, by all rules. The caller commits.

    Raises:
        LostRaceError: somebody else opened one of the tickets; roll back and take them again.
    """
    due = findings.take_agenda(conn, now, limit)
    if not due:
        return PassResult()
    diagnosis.lock_devices(conn, due)
    examined = examine(conn, book, book.on_device, due, now)
    written = write_tickets(conn, book, examined, now)
    verify_repairs(conn, book, examined.facts, now, written)
    findings.put_agenda(conn, _again(book, examined, now))
    findings.put_agenda(conn, _until_over(book, examined, now))
    findings.put_agenda(conn, _when_their_day_closes(conn, due, now))
    return PassResult(
        taken_n=len(due),
        held_n=len(examined.held_until(now)),
        finding_n=sum(map(len, examined.candidates.values())),
        opened=tuple(written.opened),
        changed=tuple(written.changed),
    )


def _begins(histories: Iterable[FaultHistory]) -> dict[int, datetime]:
    """From when on each device is to be judged anew: the earliest that new events can change."""
    begins: dict[int, datetime] = {}
    for history in histories:
        no = history.key.device_no
        begins[no] = min(history.from_at, begins.get(no, history.from_at))
    return begins


def _again(
    book: Rulebook, examined: Examined, now: datetime
) -> dict[int, tuple[datetime, datetime]]:
    """When the devices are to be looked at again although nothing comes from them."""
    due = {no: (now, at) for no, at in examined.held_until(now).items()}
    silences = [rule for rule in book.rules if rule.condition.needs.contact]
    for no, facts in examined.facts.items():
        checks = [next_check_at(r, facts) for r in silences if r.covers(facts.device)]
        soonest = min((at for at in checks if at is not None), default=None)
        if soonest is not None:
            at = max(soonest, now + RECHECK_AFTER)
            due[no] = (now, min(at, due[no][1]) if no in due else at)
    return due


def _until_over(
    book: Rulebook, examined: Examined, now: datetime
) -> dict[int, tuple[datetime, datetime]]:
    """Devices with a finding that ends when enough days have passed, whatever comes from them."""
    by_time = {rule.id for rule in book.rules if rule.kind in _ENDS_BY_TIME}
    closes_at = day_closes_at(last_closed_day(now) + 1)
    return {
        key.device_no: (now, closes_at + timedelta(seconds=key.device_no % SPREAD_S))
        for key, candidates in examined.candidates.items()
        if any(c.finding.is_open and c.finding.rule_id in by_time for c in candidates)
    }


def _when_their_day_closes(
    conn: Connection, device_nos: Iterable[int], now: datetime
) -> dict[int, tuple[datetime, datetime]]:
    """Devices with values of a day that goes on: this look took their mark and did not judge it."""
    day = last_closed_day(now) + 1
    starts_at, closes_at = day_starts_at(day), day_closes_at(day)
    return {
        no: (starts_at, closes_at + timedelta(seconds=no % SPREAD_S))
        for no in findings.measured_since(conn, device_nos, starts_at)
    }


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
