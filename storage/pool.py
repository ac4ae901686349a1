"""The API's connections: few, with the API's rights only, and each transaction within a scope."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import sql
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from fleet.access.scopes import Scope
from storage.connection import Connection, DatabaseDownError, translated
from storage.queries import load_queries
from storage.scope import enter

ROLE: Final = "fjarrkoll_api"
STATEMENT_TIMEOUT_MS: Final = 10_000
_SQL: Final = load_queries("pool.sql")


class ApiPool:
    """A bounded pool of connections that only have the API's rights."""

    def __init__(self, url: str, size: int, wait_s: float) -> None:
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            url,
            min_size=1,
            max_size=size,
            timeout=wait_s,
            max_waiting=size * 8,
            reconnect_timeout=5,  # then the next caller tries again, so it heals within seconds
            kwargs={"application_name": "fjarrkoll-api", "connect_timeout": 5},
            configure=_configure,
            check=ConnectionPool.check_connection,
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
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            enter(conn, scope)
            yield conn

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
                yield conn
                conn.rollback()
        except (PoolTimeout, PoolClosed) as exc:
            raise DatabaseDownError(f"no connection: {exc}") from exc
        except psycopg.Error as exc:
            raise translated(exc) from exc


def _configure(conn: Connection) -> None:
    """Take the API's role and short waits. No prepared statements: plans must see the values."""
    conn.prepare_threshold = None
    conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(ROLE)))
    conn.execute("SET timezone = 'UTC'")
    timeout = sql.SQL("SET {} = {}")
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        conn.execute(timeout.format(sql.Identifier(name), sql.Literal(STATEMENT_TIMEOUT_MS)))
    conn.commit()
