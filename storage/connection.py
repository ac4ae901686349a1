"""Connections: least privilege, bounded waits, and a refusal to run on a forgetful server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import DiagnosticField, ExecStatus

Connection = psycopg.Connection[tuple[Any, ...]]

ROLES: Final = ("fjarrkoll_ingest", "fjarrkoll_diagnose", "fjarrkoll_api")
LOCK_TIMEOUT_MS: Final = 10_000
STATEMENT_TIMEOUT_MS: Final = 60_000


class StorageError(RuntimeError):
    """The database cannot be used as it is; the message says what to do."""


class DatabaseDownError(StorageError):
    """The database does not answer, or gave up on the work: try again later."""


class DataRejectedError(StorageError):
    """The database refused the data itself (SQLSTATE class 22 or 23)."""


def connect(url: str, *, role: str | None = None, name: str = "fjarrkoll") -> Connection:
    """Open a connection that does not autocommit.

    Args:
        url: libpq URL.
        role: one of `ROLES`; the connection keeps only that role's rights.
        name: shown in `pg_stat_activity`.

    Raises:
        DatabaseDownError: no answer, or the role may not be taken.
    """
    try:
        conn = psycopg.connect(url, application_name=name, connect_timeout=5, options=_options(url))
        if role is not None:
            conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
            conn.commit()
    except psycopg.Error as exc:
        raise DatabaseDownError(f"database {redacted(url)}: {_first_line(exc)}") from exc
    conn.prepare_threshold = 2
    return conn


def _options(url: str) -> str:
    own = conninfo_to_dict(url).get("options") or ""
    return (
        f"-c lock_timeout={LOCK_TIMEOUT_MS} -c statement_timeout={STATEMENT_TIMEOUT_MS}"
        f" -c timezone=UTC -c idle_in_transaction_session_timeout=10000 {own}"
    ).strip()


def say(conn: Connection, statements: str) -> None:
    """Statements without values and without rows, straight to libpq: a third of what the driver's
    own way costs, for the few that every request sends.

    Raises:
        psycopg.Error: as the server says.
    """
    result = conn.pgconn.exec_(statements.encode())
    if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
        state = result.error_field(DiagnosticField.SQLSTATE)
        kind = psycopg.errors.lookup(state.decode()) if state else psycopg.OperationalError
        raise kind(result.get_error_message())


def redacted(url: str) -> str:
    """Where a URL points, without user, password or options: fit for a log."""
    parts = conninfo_to_dict(url)
    return f"{parts.get('host', 'local')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


def _first_line(exc: BaseException) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0]


def translated(exc: psycopg.Error) -> StorageError:
    """The driver's error in our words: either the data is at fault, or the server."""
    state = exc.sqlstate or ""
    if state[:2] in ("22", "23") or isinstance(exc, psycopg.DataError):
        return DataRejectedError(f"{state or 'client'}: {_first_line(exc)}")
    return DatabaseDownError(f"{state or 'connection'}: {_first_line(exc)}")


def check_durability(conn: Connection, *, is_throwaway: bool = False) -> None:
    """Refuse a server that may forget what it has committed.

    Args:
        conn: any connection.
        is_throwaway: the caller says that losing this database is fine.

    Raises:
        StorageError: a durability setting is off.
    """
    if is_throwaway:
        return
    settings = durability(conn)
    wrong = [name for name in ("fsync", "full_page_writes") if settings[name] != "on"]
    if settings["synchronous_commit"] not in ("on", "remote_apply", "remote_write"):
        wrong.append("synchronous_commit")
    if wrong:
        listed = ", ".join(f"{name}={settings[name]}" for name in wrong)
        raise StorageError(
            f"the database would lose acknowledged records after a crash ({listed}). Turn these"
            " on in postgresql.conf, or set FJARRKOLL_DATABASE_THROWAWAY=true if losing it is fine."
        )


def durability(conn: Connection) -> Mapping[str, str]:
    """The settings that a durable commit rests on."""
    names = ["fsync", "full_page_writes", "synchronous_commit"]
    rows = conn.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [names])
    found = {str(name): str(setting) for name, setting in rows}
    conn.rollback()
    return found
