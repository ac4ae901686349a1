"""Sets for one transaction whose rows it may see: row-level security, as 0003_people.sql has it."""

from __future__ import annotations

from typing import Final

from fleet.access.scopes import Scope
from storage.connection import Connection
from storage.queries import load_queries

_SQL: Final = load_queries("scope.sql")


def enter(conn: Connection, scope: Scope) -> None:
    """Limit the running transaction to `scope`; the end of the transaction forgets it.

    A tenant or centre that does not exist reaches nothing.
    """
    conn.execute(
        _SQL["enter"],
        {
            "tenant": scope.tenant,
            "reach": str(scope.reach),
            "key": scope.key,
            "subject": scope.subject,
        },
    )


def counts_all(conn: Connection) -> bool:
    """True for staff of a tenant that has the installation to itself.

    Where several share it, sums are of the caller's tenant only, and there are no backtests.
    """
    row = conn.execute(_SQL["counts_all"]).fetchone()
    return row is not None and bool(row[0])
