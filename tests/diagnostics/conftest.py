"""A small world to diagnose: devices, what they report, and a picture of what follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from diagnostics.passes import PassResult, diagnose
from diagnostics.rulebook import Rules
from storage.connection import connect
from storage.diagnosis import take_inbox
from storage.registry import sync_catalogues

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(hours=3)
EPOCH = "9f2c61d0a4b7e813"


@dataclass(frozen=True)
class Report:
    """One record with one fault, minutes from noon. A late one was received `late` later."""

    minute: float
    state: str
    code: str = "3D00"
    system: str = "vr2"
    count: int | None = None
    late: timedelta = timedelta(seconds=1)
    epoch: str = EPOCH

    @property
    def at(self) -> datetime:
        return NOON + timedelta(minutes=self.minute)


@dataclass
class World:
    url: str
    conn: psycopg.Connection
    seqs: dict[int, int] = field(default_factory=dict)

    def device(self, name: str = "chair-1", device_class: str = "powered_wheelchair") -> int:
        """Register a device; tenant and model are made as needed."""
        self.conn.execute("INSERT INTO tenant (id, name) VALUES ('r1', 'R') ON CONFLICT DO NOTHING")
        self.conn.execute(
            "INSERT INTO model VALUES (%s, %s, 'maker', 'name') ON CONFLICT DO NOTHING",
            [f"model-{device_class}", device_class],
        )
        row = self.conn.execute(
            "INSERT INTO device (id, tenant_no, model_id, shard)"
            " SELECT %s, tenant_no, %s, 7 FROM tenant RETURNING device_no",
            [name, f"model-{device_class}"],
        ).fetchone()
        assert row is not None
        return int(row[0])

    def report(self, device_no: int, *reports: Report) -> None:
        """Store records in the order of their numbers, as ingest does: event and inbox row."""
        self.store([self.numbered(device_no, report) for report in reports])

    def numbered(self, device_no: int, report: Report) -> tuple[int, int, Report]:
        self.seqs[device_no] = self.seqs.get(device_no, 0) + 1
        return device_no, self.seqs[device_no], report

    def store(self, records: Sequence[tuple[int, int, Report]]) -> None:
        with self.conn.transaction(), self.conn.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO fault_event (device_no, epoch, seq, idx, system, code, state, count,"
                " at, received_at, clock) VALUES (%s, %s, %s, 0, %s, %s, %s, %s, %s, %s, 0)",
                [
                    (no, r.epoch, seq, r.system, r.code, r.state, r.count, r.at, r.at + r.late)
                    for no, seq, r in records
                ],
            )
            cursor.executemany(
                "INSERT INTO inbox (device_no, epoch, seq, received_at) VALUES (%s, %s, %s, %s)",
                [(no, r.epoch, seq, r.at + r.late) for no, seq, r in records],
            )

    def diagnose(self, now: datetime = LATER, limit: int = 500) -> list[PassResult]:
        """Run passes, with the rights of the process, until nothing is due."""
        results = []
        with connect(self.url, role="fjarrkoll_diagnose") as conn:
            while True:
                taken = take_inbox(conn, now, limit)
                result = diagnose(conn, Rules().book(conn), now, taken)
                conn.commit()
                if result.taken_n == 0:
                    return results
                results.append(result)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self.conn.execute(statement).fetchall()

    def tickets(self) -> list[tuple[Any, ...]]:
        return self.rows(
            "SELECT device_no, cause, state, order_kind, severity, usability, fixer, is_active,"
            " title_sv FROM ticket ORDER BY ticket_no"
        )

    def event_kinds(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT kind FROM ticket_event ORDER BY 1")]

    def picture(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that must be the same whatever the order of arrival; numbers are left out."""
        return {
            "episodes": self.rows(
                "SELECT device_no, system, code, started_at, last_at, ended_at, raised_n,"
                " cleared_n, logged_n, first_received_at FROM episode ORDER BY 1, 2, 3, 4"
            ),
            "tickets": self.rows(
                "SELECT device_no, cause, state, order_kind, severity, usability, fixer, component,"
                " is_active, title_sv, title_en, body_sv, body_en, started_at, known_at, rule_id,"
                " urgent_because FROM ticket WHERE state <> 'void' ORDER BY 1, 2, 3"
            ),
            "findings": self.rows(
                "SELECT device_no, rule_id, about, started_at, last_at, ended_at, need, severity,"
                " known_at, occurrence_n, confidence, detail - 'episodes' FROM finding"
                " ORDER BY 1, 2, 3, 4"
            ),
            "links": self.rows(
                "SELECT t.device_no, t.cause, e.system, e.code, e.started_at FROM ticket t"
                " JOIN ticket_episode USING (ticket_no) JOIN episode e USING (episode_no)"
                " WHERE t.state <> 'void' ORDER BY 1, 2, 3, 4, 5"
            ),
        }


@pytest.fixture
def world(database: str) -> Iterator[World]:
    with psycopg.connect(database, autocommit=True) as conn:
        sync_catalogues(conn, NOON)
        yield World(database, conn)


@pytest.fixture
def report() -> type[Report]:
    return Report


@pytest.fixture
def noon() -> datetime:
    return NOON
