"""Sets for one transaction whose rows it may see: row-level security, as 0003_people.sql has it."""

from __future__ import annotations

import re
from typing import Final

import psycopg
from psycopg.pq import Escaping

from fleet.access.scopes import Scope
from storage.connection import Connection, say
from storage.queries import load_queries

_SQL: Final = load_queries("scope.sql")
_BEGIN: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
_VALUE: Final = re.compile(r"%\((\w+)\)s")


def enter(conn: Connection, scope: Scope) -> None:
    """Limit the running transaction to `scope`; the end of the transaction forgets it.

    A tenant or centre that does not exist reaches nothing.
    """
    conn.execute(_SQL["enter"], _values(scope))


def begin(conn: Connection, scope: Scope) -> None:
    """Begin a read-only transaction with one view of the data, within `scope`.

    Every request does it, so it is one message: `BEGIN` and `enter` by themselves cost twice that.

    Raises:
        psycopg.DataError: a value that the database cannot hold.
    """
    values = {name: _literal(conn, value) for name, value in _values(scope).items()}
    say(conn, _BEGIN + _VALUE.sub(lambda found: values[found[1]], _SQL["enter"]))


def _values(scope: Scope) -> dict[str, str]:
    return {
        "tenant": scope.tenant,
        "reach": str(scope.reach),
        "key": scope.key,
        "subject": scope.subject,
    }


def _literal(conn: Connection, value: str) -> str:
    if "\0" in value:  # libpq would end the value there, and make it somebody else's
        raise psycopg.DataError("text cannot contain NUL (0x00) bytes")
    return bytes(Escaping(conn.pgconn).escape_literal(value.encode())).decode()


def counts_all(conn: Connection) -> bool:
    """True for staff of a tenant that has the installation to itself.

    Where several share it, sums are of the caller's tenant only, and there are no backtests.
    """
    row = conn.execute(_SQL["counts_all"]).fetchone()
    return row is not None and bool(row[0])
