"""The access log in the database: append, read, check, and write for many threads.

Functions take a connection and never commit. The log of a tenant is one chain: whoever appends
holds its end until the transaction ends, so append last and commit at once.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg.types.json import Jsonb

from fleet.access.audit import Entry, Head, Row, Verdict, check_entry, verify
from storage.connection import (
    Connection,
    DatabaseDownError,
    DataRejectedError,
    StorageError,
    connect,
    translated,
)
from storage.queries import load_queries

BATCH_MAX: Final = 1000
"""Entries in one append; the database refuses more."""
ROLE: Final = "fjarrkoll_api"
QUEUE_MAX: Final = 2_000
GROUP_MAX: Final = 500
"""Requests whose entries are committed together."""
TIMEOUT_S: Final = 5.0
_READ_MAX: Final = 5_000
_AT_END: Final = 2**63 - 1
_SQL: Final = load_queries("audit.sql")


def append(conn: Connection, tenant: str, entries: Sequence[Entry]) -> int:
    """Write entries to the tenant's log, in their order, in the caller's transaction.

    Under the API's role the transaction must be for this tenant (`fjarrkoll.tenant_no`). Each
    entry gets the loan and the person that its device was with at its time.

    Returns:
        The number of the last row.

    Raises:
        EntryError: an entry that the log cannot hold, or one of another tenant.
        psycopg.errors.ForeignKeyViolation: unknown tenant.
        psycopg.errors.InsufficientPrivilege: the transaction is for another tenant.
    """
    for entry in entries:
        check_entry(entry, tenant)
    number = 0
    for start in range(0, len(entries), BATCH_MAX):
        fields = Jsonb([_fields(entry) for entry in entries[start : start + BATCH_MAX]])
        row = conn.execute(_SQL["append"], {"tenant": tenant, "entries": fields}).fetchone()
        assert row is not None, "a function always has one row"
        number = int(row[0])
    return number


def append_for_all(conn: Connection, entries: Iterable[Entry]) -> None:
    """Write entries of any tenants, each transaction-locally under its own. Order is kept.

    Tenants are taken in one order everywhere, so that two of these cannot wait for each other.

    Raises:
        EntryError, psycopg.Error: as `append`.
    """
    by_tenant: dict[str, list[Entry]] = {}
    for entry in entries:
        by_tenant.setdefault(entry.tenant, []).append(entry)
    for tenant in sorted(by_tenant):
        conn.execute(_SQL["work_for_tenant"], {"tenant": tenant})
        append(conn, tenant, by_tenant[tenant])


def _fields(entry: Entry) -> dict[str, Any]:
    return {**asdict(entry), "at": entry.at.isoformat()}


def tenant_of(conn: Connection, kind: str, key: str) -> str | None:
    """The tenant of the `device` with an id, or of the `ticket` with a number."""
    row = conn.execute(_SQL["tenant_of"], {"kind": kind, "key": key}).fetchone()
    return None if row is None else str(row[0])


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries of a tenant; None lets everything through. The times are half-open."""

    tenant: str
    device_id: str | None = None
    loan_no: int | None = None
    person: str | None = None
    subject: str | None = None
    from_at: datetime | None = None
    until_at: datetime | None = None
    from_no: int | None = None


def page(
    conn: Connection, wanted: AuditFilter, limit: int, before_no: int | None = None
) -> list[Row]:
    """The newest first; `before_no` is the number of the last one seen."""
    values = {**asdict(wanted), "limit": limit}
    values["before_no"] = _AT_END if before_no is None else before_no
    return [_row(wanted.tenant, row) for row in conn.execute(_SQL["page"], values)]


def _row(tenant: str, row: Sequence[Any]) -> Row:
    no, *fields, previous, digest = row
    return Row(no, Entry(tenant, *fields), previous, digest)


def head(conn: Connection, tenant: str) -> Head | None:
    """Where the tenant's chain ends; None before its first entry."""
    row = conn.execute(_SQL["head"], {"tenant": tenant}).fetchone()
    return None if row is None else Head(tenant, *row)


def see_every_row(conn: Connection) -> None:
    """Let the rest of the transaction fail rather than read a log that row-level security cuts."""
    conn.execute(_SQL["see_every_row"])


def audited_tenants(conn: Connection) -> list[str]:
    """The ids of all tenants that have a log."""
    return [str(tenant) for (tenant,) in conn.execute(_SQL["tenants"])]


def chain(conn: Connection, tenant: str) -> Iterator[Row]:
    """All rows of a tenant, the oldest first, a few thousand at a time."""
    after_no = -_AT_END
    while True:
        values = {"tenant": tenant, "after_no": after_no, "limit": _READ_MAX}
        rows = conn.execute(_SQL["chain"], values).fetchall()
        yield from (_row(tenant, row) for row in rows)
        if len(rows) < _READ_MAX:
            return
        after_no = rows[-1][0]


def check_chain(
    conn: Connection, tenant: str, exported: Iterable[Head], seen: Callable[[], None] = lambda: None
) -> Verdict:
    """Check a tenant's log whole; `seen` is called for each row.

    The connection must be in a transaction with one view of the data (REPEATABLE READ), or rows
    that come in meanwhile look like rows beyond the head.
    """

    def counted() -> Iterator[Row]:
        for row in chain(conn, tenant):
            seen()
            yield row

    return verify(tenant, counted(), head(conn, tenant), exported)


class AuditUnavailableError(DatabaseDownError):
    """The access log cannot take an entry now; what it would be about must not be shown."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    entries: tuple[Entry, ...]
    done: Future[None] = field(default_factory=Future)


class AuditWriter:
    """One thread with one connection, which commits all that waits in one transaction.

    A commit takes as long for five hundred entries as for one, and a tenant's chain can only
    grow at one place: together they are many times faster than each by itself. The thread begins
    with the first entry.
    """

    def __init__(self, url: str, *, queue_max: int = QUEUE_MAX) -> None:
        self._url = url
        self._queue_max = queue_max
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._conn: Connection | None = None
        self._thread = threading.Thread(target=self._run, name="audit-writer", daemon=True)

    def close(self) -> None:
        """Write what waits, and end. Later entries are refused."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def is_working(self) -> bool:
        """False once its thread has ended: nothing is logged any more, so nothing may be shown."""
        return self._thread.is_alive() or not (self._is_closed or self._thread.ident)

    def record(self, entry: Entry, timeout_s: float = TIMEOUT_S) -> None:
        """Return when the entry is committed.

        Raises:
            EntryError: an entry that the log cannot hold.
            AuditUnavailableError: not in time, too much waits, or the writer has ended. After a
                timeout the entry may stand in the log all the same.
            DatabaseDownError: the database did not take it.
            DataRejectedError: unknown tenant.
        """
        self.record_all([entry], timeout_s)

    def record_all(self, entries: Sequence[Entry], timeout_s: float = TIMEOUT_S) -> None:
        """As `record`, for the entries of one request: all of them are committed, or none."""
        done = self.submit(entries)
        try:
            done.result(timeout_s)
        except TimeoutError as exc:
            done.cancel()
            raise AuditUnavailableError(
                f"the access log took longer than {timeout_s:g} s: try again later"
            ) from exc
        except CancelledError as exc:
            raise AuditUnavailableError("the entry was withdrawn") from exc

    def submit(self, entries: Sequence[Entry]) -> Future[None]:
        """Queue entries and return at once; the future ends as `record` does.

        Raises:
            EntryError: an entry that the log cannot hold.
            AuditUnavailableError: too much waits, or the writer has ended.
        """
        for entry in entries:
            check_entry(entry)
        waiting = _Waiting(tuple(entries))
        with self._changed:
            self._check_open()
            if not self._thread.is_alive():
                self._thread.start()
            self._waiting.append(waiting)
            self._changed.notify_all()
        return waiting.done

    def _check_open(self) -> None:
        if self._is_closed:
            raise AuditUnavailableError("the access log is closed: the process is ending")
        if len(self._waiting) >= self._queue_max:
            raise AuditUnavailableError(
                f"{self._queue_max} entries wait for the access log: try again later"
            )

    def _run(self) -> None:
        try:
            while batch := self._next_batch():
                self._write(batch)
        finally:
            self._disconnect()
            self._refuse_rest()

    def _next_batch(self) -> list[_Waiting]:
        """What waits now, at least one; nothing when the writer is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            count = min(len(self._waiting), GROUP_MAX)
            return [self._waiting.popleft() for _ in range(count)]

    def _write(self, batch: Sequence[_Waiting]) -> None:
        live = [one for one in batch if one.done.set_running_or_notify_cancel()]
        try:
            self._settle(live)
        finally:  # nobody waits for an answer that no longer comes
            for one in live:
                if not one.done.done():
                    one.done.set_exception(AuditUnavailableError("the access log's writer failed"))

    def _settle(self, batch: Sequence[_Waiting]) -> None:
        try:
            self._store([entry for one in batch for entry in one.entries])
        except DataRejectedError as exc:
            if len(batch) == 1:
                batch[0].done.set_exception(exc)
            else:  # one of them is at fault, and the others must not suffer for it
                for one in batch:
                    self._settle([one])
        except StorageError as exc:
            for one in batch:
                one.done.set_exception(exc)
        else:
            for one in batch:
                one.done.set_result(None)

    def _store(self, entries: Sequence[Entry]) -> None:
        had_connection = self._conn is not None
        try:
            conn = self._appended(entries)
        except DatabaseDownError:
            if not had_connection or self._conn is not None:
                raise
            # The server had ended the connection while nothing happened. Nothing was committed.
            conn = self._appended(entries)
        try:
            conn.commit()
        except psycopg.Error as exc:  # whether it is committed is not known: that is a no
            self._disconnect()
            raise DatabaseDownError(f"{translated(exc)}") from exc

    def _appended(self, entries: Sequence[Entry]) -> Connection:
        """The connection, with the entries in its open transaction."""
        if self._conn is None:
            self._conn = connect(self._url, role=ROLE, name="fjarrkoll-audit")
        try:
            append_for_all(self._conn, entries)
        except psycopg.Error as exc:
            self._roll_back(self._conn)
            raise translated(exc) from exc
        return self._conn

    def _roll_back(self, conn: Connection) -> None:
        try:
            conn.rollback()
        except psycopg.Error:
            self._disconnect()
        else:
            if conn.closed:
                self._disconnect()

    def _disconnect(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _refuse_rest(self) -> None:
        with self._changed:
            self._is_closed = True
            rest = list(self._waiting)
            self._waiting.clear()
        for one in rest:
            if one.done.set_running_or_notify_cancel():
                one.done.set_exception(AuditUnavailableError("the access log's writer ended"))
