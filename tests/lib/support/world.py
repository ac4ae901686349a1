"""A small world to diagnose: devices, what they report and measure, what people do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from diagnostics.groups import judge_fleets, void_over_groups
from diagnostics.passes import PassResult, diagnose, work_agenda
from diagnostics.rulebook import Rules
from fleet.rules.facts import day_closes_at, day_starts_at
from fleet.ticket_actions import Action, Request
from storage import lending, tickets
from storage.connection import Connection, connect
from storage.diagnosis import ROLE, take_inbox
from storage.findings import release_members
from storage.lending import BasicNeed, Place
from storage.rollup import recompute

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(hours=3)
EPOCH = "9f2c61d0a4b7e813"
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SPREAD = timedelta(hours=2, minutes=1)
"""After a day's close its devices are looked at spread over two hours."""

MORE_MAY_FOLLOW = timedelta(minutes=1)
"""How long the look at a late day waits for the rest of that day."""

STATE = (
    "fault_event, inbox, episode, ticket, ticket_event, ticket_episode, outbox, finding,"
    " ticket_finding, ticket_clock, ticket_pause, agenda, sample, dirty_hour, rollup_hour, latest,"
    " ledger, gap, fleet_day, self_help_answer"
)
"""All tables that hold what came in and what followed."""


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


def looked_at(day: int) -> datetime:
    """When every device of a local day has been due."""
    return day_closes_at(day) + SPREAD


def by_day(first_day: int, values: Iterable[float]) -> list[tuple[datetime, float]]:
    """One value a local day, at noon or so."""
    return [
        (day_starts_at(first_day + n).astimezone(UTC) + 12 * HOUR, value)
        for n, value in enumerate(values)
    ]


SAG_N = 20
"""Samples of a sag, one a minute: far longer than any rule asks for."""


def sag(at: datetime, *, driving: bool = True) -> list[tuple[str, datetime, float]]:
    """A chair with a charged battery whose voltage falls far below the limit, while it drives."""
    times = [at + timedelta(minutes=n) for n in range(SAG_N)]
    values = {
        "battery_voltage_v": 20.0,
        "motor_left_current_a": 25.0 if driving else 0.0,
        "motor_current_a": 25.0 if driving else 0.0,
        "state_of_charge_pct": 90.0,
    }
    return [(name, when, value) for name, value in values.items() for when in times]


@dataclass
class World:
    url: str
    conn: psycopg.Connection
    seqs: dict[int, int] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)

    def device(
        self, name: str = "chair-1", device_class: str = "powered_wheelchair", **columns: Any
    ) -> int:
        """Register a device; tenant and model are made as needed."""
        (number,) = self.devices([name], device_class, **columns)
        return number

    def devices(
        self, names: Sequence[str], device_class: str = "powered_wheelchair", **columns: Any
    ) -> list[int]:
        self.conn.execute("INSERT INTO tenant (id, name) VALUES ('r1', 'R') ON CONFLICT DO NOTHING")
        model = columns.pop("model_id", f"model-{device_class}")
        self.conn.execute(
            "INSERT INTO model VALUES (%s, %s, 'maker', 'name') ON CONFLICT DO NOTHING",
            [model, device_class],
        )
        known = {"model_id": model, "shard": 7, **columns}
        given = ", ".join(known)
        rows = self.conn.execute(
            f"INSERT INTO device (id, tenant_no, {given})"
            f" SELECT unnest(%s::text[]), tenant_no{', %s' * len(known)} FROM tenant"
            " RETURNING device_no",
            [list(names), *known.values()],
        ).fetchall()
        return [row[0] for row in rows]

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

    def measure(
        self, device_no: int, metric: str, points: Iterable[tuple[datetime, float]]
    ) -> None:
        """Store samples and mark their hours, as ingest does."""
        self.store_samples([(device_no, metric, at, value) for at, value in points])

    def store_samples(self, samples: Sequence[tuple[int, str, datetime, float]]) -> None:
        months = {at.astimezone(UTC).date().replace(day=1) for _, _, at, _ in samples}
        with self.conn.transaction(), self.conn.cursor() as cursor:
            for month in sorted(months):
                cursor.execute("SELECT ensure_sample_partition(%s)", [month])
            cursor.execute(
                "INSERT INTO sample (device_no, metric_no, at, value, received_at, clock)"
                " SELECT t.no, metric_no, t.at, t.value, t.at, 0 FROM unnest(%s::int[],"
                " %s::text[], %s::timestamptz[], %s::float8[]) AS t (no, name, at, value)"
                " JOIN metric USING (name)",
                [list(column) for column in zip(*samples, strict=True)],
            )
            assert cursor.rowcount == len(samples), "a metric is not in the catalogue"
            hours = {
                (at.replace(minute=0, second=0, microsecond=0), no) for no, _, at, _ in samples
            }
            cursor.execute(
                "INSERT INTO dirty_hour (hour, device_no)"
                " SELECT * FROM unnest(%s::timestamptz[], %s::int[])",
                [list(column) for column in zip(*hours, strict=True)],
            )

    def sag(self, device_no: int, at: datetime, *, driving: bool = True) -> None:
        self.store_samples([(device_no, *point) for point in sag(at, driving=driving)])

    def heard(self, device_no: int, at: datetime) -> None:
        """A record of the device was received."""
        self.conn.execute(
            "INSERT INTO ledger (device_no, epoch, first_at, last_at) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (device_no, epoch) DO UPDATE SET last_at = EXCLUDED.last_at",
            [device_no, EPOCH, at, at],
        )

    @contextmanager
    def process(self) -> Iterator[Connection]:
        """A connection with the rights of the process."""
        with connect(self.url, role=ROLE) as conn:
            yield conn

    def diagnose(self, now: datetime = LATER, limit: int = 500) -> list[PassResult]:
        """Run passes until nothing is due."""
        results = []
        with self.process() as conn:
            while True:
                taken = take_inbox(conn, now, limit)
                result = diagnose(conn, self.rules.book(conn), now, taken)
                conn.commit()
                if result.taken_n == 0:
                    return results
                results.append(result)

    def roll_up(self, now: datetime, limit: int = 100_000) -> None:
        with self.process() as conn:
            while recompute(conn, limit, now):
                conn.commit()
            conn.commit()

    def look(self, now: datetime, limit: int = 100) -> list[PassResult]:
        """Look at every device that is due, by all rules, after groups were looked at."""
        results = []
        with self.process() as conn:
            void_over_groups(conn, now)
            release_members(conn, now)
            conn.commit()
            while True:
                result = work_agenda(conn, self.rules.book(conn), now, limit)
                conn.commit()
                if result.taken_n == 0:
                    return results
                results.append(result)

    def judge_fleets(self, now: datetime) -> int:
        """Judge fleets until none is left; return how many were judged."""
        judged_n = 0
        with self.process() as conn:
            while judge_fleets(conn, self.rules.book(conn), now) is not None:
                conn.commit()
                judged_n += 1
            conn.commit()
        return judged_n

    def live(self, now: datetime) -> None:
        """Everything that diagnostics does at about one instant."""
        self.diagnose(now)
        self.roll_up(now)
        self.look(now + MORE_MAY_FOLLOW)

    def lend(self, name: str, *needs: str, at: datetime = NOON - DAY) -> None:
        with connect(self.url) as conn:
            lending.start_loan(conn, name, "p1", map(BasicNeed, needs), at)
            conn.commit()

    def place(self, name: str, where: str, at: datetime) -> None:
        with connect(self.url) as conn:
            lending.place(conn, name, Place(where), at, "eva")
            conn.commit()

    def act(self, ticket_no: int, action: str, at: datetime, **told: Any) -> None:
        """What a person does with a ticket."""
        with connect(self.url) as conn:
            tickets.change(conn, ticket_no, Request(Action(action), "eva", **told), at)
            conn.commit()

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self.conn.execute(statement, parameters or None).fetchall()

    def value(self, statement: str, parameters: Sequence[Any] = ()) -> Any:
        ((found,),) = self.rows(statement, parameters)
        return found

    def forget(self) -> None:
        """Take back all that came in and what followed; who the devices are stays."""
        self.conn.execute(f"TRUNCATE {STATE}")

    def tickets(self) -> list[tuple[Any, ...]]:
        return self.rows(
            "SELECT device_no, cause, state, order_kind, severity, usability, fixer, is_active,"
            " title_sv FROM ticket ORDER BY ticket_no"
        )

    def event_kinds(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT kind FROM ticket_event ORDER BY 1")]

    def findings(self, *columns: str, where: str = "true") -> list[tuple[Any, ...]]:
        return self.rows(
            f"SELECT {', '.join(columns)} FROM finding WHERE {where}"
            " ORDER BY started_at, rule_id, about, finding_no"
        )

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
