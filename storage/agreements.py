"""Agreements as stored: which policy binds whom from when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from storage.connection import Connection
from storage.queries import load_queries
from storage.rows import all_rows

_SQL: Final = load_queries("agreements.sql")


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """`centre_id` None: the whole tenant. `is_in_force`: no later one has taken its place."""

    centre_id: str | None
    policy_id: str
    from_at: datetime
    who: str
    is_in_force: bool


def listed(conn: Connection) -> list[AgreementRow]:
    """The agreements of the caller's tenant, the newest first."""
    return all_rows(conn, AgreementRow, _SQL["agreements"], {})
