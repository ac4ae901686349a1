"""The diagnostics process: loops that wait, work and commit. What they do is decided elsewhere.

Several may run side by side: inbox rows are shared out, a device is worked on by one at a time,
and rollups are made by whoever holds the lock.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg
import structlog
from prometheus_client import Counter, Gauge, Histogram

from diagnostics import deadlines
from diagnostics.groups import judge_fleets, void_over_groups
from diagnostics.passes import PassResult, diagnose, work_agenda
from diagnostics.privacy import LIMIT as FORGET_BATCH
from diagnostics.privacy import forget_persons
from diagnostics.rulebook import Rules
from fleet.faults import load_catalogue
from fleet.privacy import PERSON_LINK_DAYS
from runtime.failpoints import failpoint
from runtime.health import Health
from storage import diagnosis, findings, rollup
from storage.connection import Connection, StorageError, connect, translated
from storage.diagnosis import InboxRow
from storage.raising import LostRaceError

_log = structlog.get_logger()

PASSES: Final = Counter(
    "fjarrkoll_diagnose_passes", "Passes that had work, by outcome", ["outcome"]
)
RECORDS: Final = Counter("fjarrkoll_diagnose_records", "Records with faults that were diagnosed")
TICKETS: Final = Counter("fjarrkoll_diagnose_tickets", "Tickets written, by what was done", ["did"])
POSTPONED: Final = Counter("fjarrkoll_diagnose_postponed", "Records put off: they break a pass")
PASS_S: Final = Histogram("fjarrkoll_diagnose_pass_seconds", "Time of a pass that had work")
DELAY_S: Final = Histogram(
    "fjarrkoll_diagnose_delay_seconds",
    "From receipt to ticket, for the oldest record of a pass",
    buckets=(0.1, 0.25, 0.5, 1, 2, 5, 15, 60, 300, 3600),
)
DEVICES: Final = Counter("fjarrkoll_diagnose_devices", "Devices looked at by all rules")
AGENDA_DEPTH: Final = Gauge("fjarrkoll_agenda_depth", "Devices due to be looked at by all rules")
NOTICES: Final = Counter(
    "fjarrkoll_deadline_events", "Notices drafted and deadlines missed", ["kind"]
)
LINKS_CUT: Final = Counter(
    "fjarrkoll_person_links_cut", "Links between loan and person that were cut"
)
INBOX_DEPTH: Final = Gauge("fjarrkoll_inbox_depth", "Records that wait for a diagnosis")
ROLLUP_MARKS: Final = Counter("fjarrkoll_rollup_marks", "Dirty hours worked off")
ROLLUP_LAG_S: Final = Gauge("fjarrkoll_rollup_lag_seconds", "Since no dirty hour was waiting")

POSTPONE: Final = timedelta(hours=1)
MAX_BACKOFF_S: Final = 10.0
_GAUGE_INTERVAL_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class DiagnoseSettings:
    """What the process needs to know.

    Attributes:
        database_url: libpq URL.
        inbox_batch: records per pass; a pass locks their devices.
        agenda_batch: devices per pass over the agenda.
        rollup_batch: dirty marks per rollup transaction.
        poll_s: how long to wait when the inbox was empty.
        agenda_poll_s: the same for the agenda and the deadlines.
        rollup_poll_s: the same for dirty hours; longer, so that marks of one hour meet.
        person_link_days: how many days after a loan who had it is forgotten.
        forget_poll_s: how long to wait between two looks for such loans.
    """

    database_url: str
    inbox_batch: int = 500
    agenda_batch: int = 100
    rollup_batch: int = 20_000
    poll_s: float = 0.1
    agenda_poll_s: float = 1.0
    rollup_poll_s: float = 1.0
    person_link_days: int = PERSON_LINK_DAYS
    forget_poll_s: float = 3600.0


def run(
    settings: DiagnoseSettings,
    stop: threading.Event,
    on_ready: Callable[[], None] | None = None,
    health: Health | None = None,
) -> None:
    """Work until `stop` is set; call `on_ready` once all loops have their database.

    A database that is down is waited for; `health` says so meanwhile.

    Raises:
        Exception: whatever a loop did not expect; the other loops are stopped first.
    """
    load_catalogue()
    loops = [
        _InboxLoop(settings, stop),
        _RollupLoop(settings, stop),
        _AgendaLoop(settings, stop),
        _DeadlineLoop(settings, stop),
        _PersonLoop(settings, stop),
    ]
    for loop in loops:
        loop.health = health or loop.health
    for loop in loops:
        loop.start()
    if all(loop.wait_ready() for loop in loops) and on_ready is not None:
        on_ready()
    for loop in loops:
        loop.join()
    for loop in loops:
        if loop.failure is not None:
            raise loop.failure


class _Loop(threading.Thread, ABC):
    """Connects, steps, and backs off while the database is down."""

    def __init__(self, settings: DiagnoseSettings, stop: threading.Event, name: str) -> None:
        super().__init__(name=name)
        self.failure: Exception | None = None
        self.health = Health("diagnose")
        self._settings = settings
        self._stop_event = stop
        self._ready = threading.Event()
        self._backoff_s = 0.0

    def wait_ready(self) -> bool:
        """Wait for the first connection; False when stopped before."""
        while not self._ready.wait(0.05):
            if self._stop_event.is_set():
                return False
        return True

    def run(self) -> None:
        try:
            while not self._stop_event.is_set():
                self._stay_connected()
        except Exception as exc:
            self.failure = exc
            self._stop_event.set()

    def _stay_connected(self) -> None:
        try:
            with connect(self._settings.database_url, role=diagnosis.ROLE, name=self.name) as conn:
                self._ready.set()
                while not self._stop_event.is_set():
                    pause_s = self.step(conn)
                    self.health.succeeded(self.name)
                    self._backoff_s = 0.0
                    self._stop_event.wait(pause_s)
        except (psycopg.Error, StorageError) as exc:
            self._back_off(translated(exc) if isinstance(exc, psycopg.Error) else exc)

    def _back_off(self, error: StorageError) -> None:
        self._backoff_s = min(MAX_BACKOFF_S, self._backoff_s * 2 or 0.1)
        self.health.failed(str(error), self.name)
        _log.warning("database_retry", loop=self.name, error=str(error), wait_s=self._backoff_s)
        self._stop_event.wait(self._backoff_s)

    @abstractmethod
    def step(self, conn: Connection) -> float:
        """Do one unit of work and commit it; return how long to wait before the next."""


class _InboxLoop(_Loop):
    def __init__(self, settings: DiagnoseSettings, stop: threading.Event) -> None:
        super().__init__(settings, stop, "diagnose_inbox")
        self._batch = settings.inbox_batch
        self._gauged_s = 0.0
        self._rules = Rules()

    def step(self, conn: Connection) -> float:
        self._gauge(conn)
        started_s, now = time.monotonic(), datetime.now(UTC)
        taken = diagnosis.take_inbox(conn, now, self._batch)
        if not taken:
            conn.rollback()
            return self._settings.poll_s
        try:
            result = diagnose(conn, self._rules.book(conn), now, taken)
        except LostRaceError:
            conn.rollback()
            PASSES.labels("lost_race").inc()
            return 0.0
        except Exception as exc:
            if _is_server_trouble(exc):
                raise
            self._contain(conn, taken)
            return 0.0
        _commit(conn)
        self._batch = min(self._settings.inbox_batch, self._batch * 2)
        _report(result, time.monotonic() - started_s)
        return 0.0

    def _contain(self, conn: Connection, taken: Sequence[InboxRow]) -> None:
        """Halve the batch until the record that breaks it stands alone, then put that off."""
        conn.rollback()
        PASSES.labels("failed").inc()
        _log.exception("pass_failed", taken_n=len(taken))
        self._batch = max(1, len(taken) // 2)
        if len(taken) > 1:
            return
        (row,) = taken
        due_at = datetime.now(UTC) + POSTPONE
        diagnosis.finish_inbox(conn, [row], {row.device_no: due_at})
        conn.commit()
        POSTPONED.inc()
        _log.error("record_postponed", inbox_no=row.inbox_no, epoch=row.epoch, seq=row.seq)

    def _gauge(self, conn: Connection) -> None:
        if time.monotonic() - self._gauged_s < _GAUGE_INTERVAL_S:
            return
        depth_n, _ = diagnosis.inbox_depth(conn, datetime.now(UTC))
        INBOX_DEPTH.set(depth_n)
        self._gauged_s = time.monotonic()


def _is_server_trouble(exc: Exception) -> bool:
    """True where waiting helps. A statement that ran too long is the work's own fault."""
    is_too_slow = isinstance(exc, psycopg.errors.QueryCanceled)
    return isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError) and not is_too_slow


def _commit(conn: Connection) -> None:
    failpoint("diagnose_before_commit")
    conn.commit()
    failpoint("diagnose_after_commit")


def _report(result: PassResult, took_s: float) -> None:
    PASSES.labels("done").inc()
    RECORDS.inc(result.taken_n - result.held_n)
    TICKETS.labels("opened").inc(len(result.opened))
    TICKETS.labels("changed").inc(len(result.changed))
    PASS_S.observe(took_s)
    if result.oldest_received_at is not None and not result.held_n:
        DELAY_S.observe((datetime.now(UTC) - result.oldest_received_at).total_seconds())
    _log.info(
        "pass_done",
        taken_n=result.taken_n,
        held_n=result.held_n,
        episode_n=result.episode_n,
        finding_n=result.finding_n,
        opened_n=len(result.opened),
        changed_n=len(result.changed),
        took_ms=round(took_s * 1000, 1),
    )


class _RollupLoop(_Loop):
    def __init__(self, settings: DiagnoseSettings, stop: threading.Event) -> None:
        super().__init__(settings, stop, "diagnose_rollup")
        self._clean_s = time.monotonic()

    def step(self, conn: Connection) -> float:
        marks_n = rollup.recompute(conn, self._settings.rollup_batch, datetime.now(UTC))
        conn.commit()
        if marks_n is not None and marks_n < self._settings.rollup_batch:
            self._clean_s = time.monotonic()
        ROLLUP_MARKS.inc(marks_n or 0)
        ROLLUP_LAG_S.set(time.monotonic() - self._clean_s)
        return 0.0 if marks_n == self._settings.rollup_batch else self._settings.rollup_poll_s


class _AgendaLoop(_Loop):
    """Looks at devices that are due by all rules. One that breaks a pass is put off alone."""

    def __init__(self, settings: DiagnoseSettings, stop: threading.Event) -> None:
        super().__init__(settings, stop, "diagnose_agenda")
        self._batch = settings.agenda_batch
        self._rules = Rules()

    def step(self, conn: Connection) -> float:
        now = datetime.now(UTC)
        self._look_at_groups(conn, now)
        try:
            result = work_agenda(conn, self._rules.book(conn), now, self._batch)
        except LostRaceError:
            conn.rollback()
            PASSES.labels("lost_race").inc()
            return 0.0
        except Exception as exc:
            if _is_server_trouble(exc):
                raise
            self._contain(conn, now)
            return 0.0
        failpoint("agenda_before_commit")
        conn.commit()
        failpoint("agenda_after_commit")
        self._batch = min(self._settings.agenda_batch, self._batch * 2)
        self._report(conn, result, now)
        return 0.0 if result.taken_n else self._settings.agenda_poll_s

    def _look_at_groups(self, conn: Connection, now: datetime) -> None:
        """What is about many devices: ended incidents, and each fleet once a day."""
        void_over_groups(conn, now)
        findings.release_members(conn, now)
        judged = judge_fleets(conn, self._rules.book(conn), now)
        conn.commit()
        if judged is not None:
            TICKETS.labels("opened").inc(len(judged.opened))
            TICKETS.labels("changed").inc(len(judged.changed))

    def _contain(self, conn: Connection, now: datetime) -> None:
        conn.rollback()
        PASSES.labels("failed").inc()
        _log.exception("agenda_failed", batch=self._batch)
        if self._batch > 1:
            self._batch = max(1, self._batch // 2)
            return
        due = findings.take_agenda(conn, now, 1)
        later = {no: (from_at, now + POSTPONE) for no, from_at in due.items()}
        findings.put_agenda(conn, later)
        conn.commit()
        POSTPONED.inc(len(due))
        _log.error("device_postponed", devices=sorted(due))

    def _report(self, conn: Connection, result: PassResult, now: datetime) -> None:
        DEVICES.inc(result.taken_n)
        TICKETS.labels("opened").inc(len(result.opened))
        TICKETS.labels("changed").inc(len(result.changed))
        if result.taken_n:
            _log.info(
                "agenda_done",
                device_n=result.taken_n,
                finding_n=result.finding_n,
                opened_n=len(result.opened),
                changed_n=len(result.changed),
            )
        else:
            AGENDA_DEPTH.set(findings.agenda_depth(conn, now))
            conn.rollback()


class _DeadlineLoop(_Loop):
    """Drafts notices before deadlines are missed, and records each miss once."""

    BATCH: Final = 200

    def __init__(self, settings: DiagnoseSettings, stop: threading.Event) -> None:
        super().__init__(settings, stop, "diagnose_deadlines")

    def step(self, conn: Connection) -> float:
        result = deadlines.tick(conn, datetime.now(UTC), self.BATCH)
        conn.commit()
        NOTICES.labels("notice").inc(len(result.noticed))
        NOTICES.labels("breach").inc(len(result.breached))
        return 0.0 if result.is_full else self._settings.agenda_poll_s


class _PersonLoop(_Loop):
    """Forgets who had a loan, some time after it ended."""

    def __init__(self, settings: DiagnoseSettings, stop: threading.Event) -> None:
        super().__init__(settings, stop, "diagnose_persons")

    def step(self, conn: Connection) -> float:
        cut_n = forget_persons(conn, datetime.now(UTC), self._settings.person_link_days)
        conn.commit()
        LINKS_CUT.inc(cut_n)
        return 0.0 if cut_n == FORGET_BATCH else self._settings.forget_poll_s
