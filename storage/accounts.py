"""The books: totals of the loss equation and the ledger as a whole, to check against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fleet.ranges import SeqSet
from storage.connection import Connection
from storage.queries import load_queries

SQL: Final = load_queries("accounts.sql")


@dataclass(frozen=True, slots=True)
class Totals:
    """Everything since the first start."""

    received: int
    stored: int
    duplicate: int
    quarantined: int
    faults: int
    episodes: int
    tickets: int
    quarantined_by_reason: dict[str, int]


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What one (device, epoch) has settled, and what of it was lost on the device."""

    received: SeqSet
    lost: SeqSet


def totals(conn: Connection) -> Totals:
    row = conn.execute(SQL["totals"]).fetchone()
    assert row is not None, "an aggregate has a row"
    reasons: dict[str, int] = dict(conn.execute(SQL["quarantined_by_reason"]).fetchall())
    received, stored, duplicate, quarantined, faults, episodes, tickets = row
    return Totals(received, stored, duplicate, quarantined, faults, episodes, tickets, reasons)


def ledger(conn: Connection) -> dict[tuple[str, str], LedgerRow]:
    """All rows, keyed by (device id, epoch)."""
    return {
        (device, epoch): LedgerRow(SeqSet.from_sql(received), SeqSet.from_sql(lost))
        for device, epoch, received, lost in conn.execute(SQL["ledger"])
    }


def server(conn: Connection) -> tuple[str, str | None]:
    """PostgreSQL's version, and TimescaleDB's where it is installed."""
    row = conn.execute(SQL["server"]).fetchone()
    assert row is not None
    return row[0], row[1]


def work_left(conn: Connection) -> int:
    """Records and hours that diagnostics has not got to yet."""
    row = conn.execute(SQL["work_left"]).fetchone()
    assert row is not None
    return int(row[0] + row[1])
