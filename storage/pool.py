"""The API's connections: few, with the API's rights only, and each transaction within a scope."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Self

import psycopg
from psycopg import sql
from psycopg.abc import Params
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from fleet.access.scopes import Scope
from storage.connection import Connection, DatabaseDownError, say, translated
from storage.optional import settled
from storage.queries import load_queries
from storage.scope import begin, enter

ROLE: Final = "fjarrkoll_api"
STATEMENT_TIMEOUT_MS: Final = 10_000
WAITING_MAX: Final = 64
"""Callers that wait for a connection; one more is told at once that there is none."""
PLANS_MAX: Final = 500
"""More than there are queries: where the oldest plan makes room, a mix of pages plans all anew."""
TRUSTED_FOR_S: Final = 1.0
"""A connection that answered so recently is not asked again whether it is there."""
_SQL: Final = load_queries("pool.sql")


class _Cursor(psycopg.Cursor[Any]):
    """Sends the database only the conditions whose values are given."""

    def execute(
        self,
        query: Any,
        params: Params | None = None,
        *,
        prepare: bool | None = None,
        binary: bool | None = None,
    ) -> Self:
        if isinstance(query, str) and isinstance(params, Mapping):
            query = settled(query, params)
        return super().execute(query, params, prepare=prepare, binary=binary)


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that knows when it answered last."""

    answered_s = 0.0


class ApiPool:
    """A bounded pool of connections that only have the API's rights."""

    def __init__(self, url: str, size: int, wait_s: float) -> None:
        self._pool: ConnectionPool[_Connection] = ConnectionPool(
            url,
            connection_class=_Connection,
            min_size=1,
            max_size=size,
            timeout=wait_s,
            max_waiting=WAITING_MAX,
            reconnect_timeout=5,  # then the next caller tries again, so it heals within seconds
            kwargs={"application_name": "fjarrkoll-api", "connect_timeout": 5},
            configure=_configure,
            check=_check,
            open=False,
        )

    def open(self) -> None:
        """Start connecting; does not wait, so that the process can say that it is not ready."""
        self._pool.open(wait=False)

    def close(self) -> None:
        self._pool.close(timeout=5)

    def stats(self) -> Mapping[str, int]:
        return self._pool.get_stats()

    @contextmanager
    def read(self, scope: Scope) -> Iterator[Connection]:
        """One read-only transaction with one view of the data, within `scope`.

        Raises:
            DatabaseDownError: no connection in time, or the database gave up.
        """
        with self._borrow() as conn:
            begin(conn, scope)
            yield conn
            say(conn, "COMMIT")  # a ROLLBACK would make the driver forget plans

    @contextmanager
    def write(self, scope: Scope) -> Iterator[Connection]:
        """One transaction that changes things within `scope`; committed at the end of the block.

        Raises:
            DatabaseDownError: no connection in time, or the database gave up.
            DataRejectedError: the change breaks an invariant.
        """
        with self._borrow() as conn:
            enter(conn, scope)
            yield conn
            conn.commit()

    @contextmanager
    def glance(self) -> Iterator[Connection]:
        """A connection without a scope that commits each statement by itself.

        Raises:
            DatabaseDownError: as `write`.
        """
        with self._borrow() as conn:
            conn.autocommit = True
            yield conn

    @contextmanager
    def outside(self) -> Iterator[Connection]:
        """One transaction without a scope, for what comes before there is a caller: sessions.

        Raises:
            DatabaseDownError: as `write`.
        """
        with self._borrow() as conn:
            yield conn
            conn.commit()

    def prove_commit(self) -> None:
        """Commit something small.

        Raises:
            DatabaseDownError: the database does not answer, or cannot commit.
        """
        with self._borrow() as conn:
            row = conn.execute(_SQL["prove_commit"]).fetchone()
            conn.commit()
        if row is None or row[1] != "off":
            raise DatabaseDownError("the database is read-only")

    @contextmanager
    def _borrow(self) -> Iterator[Connection]:
        try:
            with self._pool.connection() as conn:
                try:
                    yield conn
                finally:
                    _end(conn)
        except (PoolTimeout, PoolClosed) as exc:
            raise DatabaseDownError(f"no connection: {exc}") from exc
        except psycopg.Error as exc:
            raise translated(exc) from exc


def _check(conn: _Connection) -> None:
    """Ask a connection that was not used just now, or that says something unasked: goodbye."""
    unasked = select.poll()
    unasked.register(conn.fileno(), select.POLLIN)
    if unasked.poll(0) or time.monotonic() - conn.answered_s > TRUSTED_FOR_S:
        ConnectionPool.check_connection(conn)


def _end(conn: _Connection) -> None:
    """Take back what was not committed, and leave it as the next borrower expects it."""
    if conn.closed:
        return
    conn.rollback()
    conn.answered_s = time.monotonic()
    conn.autocommit = False


def _configure(conn: _Connection) -> None:
    """Take the API's role and short waits."""
    conn.cursor_factory = _Cursor
    conn.prepare_threshold, conn.prepared_max = 2, PLANS_MAX
    conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(ROLE)))
    conn.execute("SET timezone = 'UTC'")
    # A helper is a process of its own, which no one tells to give way to ingest.
    conn.execute("SET max_parallel_workers_per_gather = 0")
    timeout = sql.SQL("SET {} = {}")
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        conn.execute(timeout.format(sql.Identifier(name), sql.Literal(STATEMENT_TIMEOUT_MS)))
    conn.commit()
