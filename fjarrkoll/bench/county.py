"""A county's worth of rows for the pages to be measured on: devices, tickets, samples."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import psycopg

from fjarrkoll.bench.load import TENANT
from fjarrkoll.bench.stage import MODEL, Stage
from storage import binary
from storage.connection import connect
from storage.deadlines import assign_agreement, open_clocks
from storage.intake import SQL
from storage.lending import start_loan

METRICS: Final = (
    "battery_voltage_v", "state_of_charge_pct", "drive_time_s", "odometer_m", "motor_temp_c",
    "ambient_temp_c",
)  # fmt: skip
DENSE_DEVICES: Final = 50
DENSE_DAYS: Final = 30
DENSE_SHARE: Final = 0.25
PERSON: Final = "p-bench"
CARE_UNIT: Final = "SE0000000000-BENCH"
FIRST: Final = "wc-000001"
_ROWS_AT_ONCE: Final = 1_000_000
_ROW: Final = np.dtype(
    [
        ("fields", ">i2"),
        ("at_size", ">i4"), ("at", ">i8"),
        ("received_size", ">i4"), ("received", ">i8"),
        ("device_size", ">i4"), ("device", ">i4"),
        ("clock_size", ">i4"), ("clock", ">i2"),
        ("device_at_size", ">i4"),
        ("metric_size", ">i4"), ("metric", ">i4"),
        ("value_size", ">i4"), ("value", ">f8"),
    ]
)  # fmt: skip

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CountySettings:
    devices: int = 100_000
    open_tickets: int = 2_000
    samples: int = 50_000_000


def fill(place: Stage, settings: CountySettings, say: Say) -> dict[str, Any]:
    """Fill the database; says how many seconds each part took."""
    now = datetime.now(UTC)
    took = {}
    with connect(place.database_url) as conn:
        began = time.perf_counter()
        _devices(conn, settings, now)
        took["devices_s"] = round(time.perf_counter() - began, 1)
        say(f"{settings.devices:,} devices in {took['devices_s']} s")
        began = time.perf_counter()
        _tickets(conn, settings, now)
        took["tickets_s"] = round(time.perf_counter() - began, 1)
        say(f"{settings.open_tickets:,} open tickets in {took['tickets_s']} s")
    began = time.perf_counter()
    rows = _samples(place, settings, now)
    took["samples_s"] = round(time.perf_counter() - began, 1)
    say(f"{rows:,} samples by COPY in {took['samples_s']} s")
    began = time.perf_counter()
    _summaries(place)
    _settled(place)
    took["summaries_s"] = round(time.perf_counter() - began, 1)
    say(f"rollups, latest values and statistics in {took['summaries_s']} s")
    return {"samples": rows, **took}


def _devices(conn: Any, settings: CountySettings, now: datetime) -> None:
    values = {
        "tenant": TENANT, "model": MODEL, "n": settings.devices, "now": now, "epoch": "0" * 16,
    }  # fmt: skip
    for statement in _DEVICES:
        conn.execute(statement, values)
    long_ago = now - timedelta(days=60)
    start_loan(conn, FIRST, PERSON, [], long_ago, care_unit=CARE_UNIT)
    assign_agreement(conn, tenant=TENANT, policy_id="vgr", from_at=long_ago, who="bench")
    conn.commit()


def _tickets(conn: Any, settings: CountySettings, now: datetime) -> None:
    """Open tickets, and ten times as many that are closed: all with deadlines and a history."""
    found = conn.execute(_OPEN_TICKETS, {"n": settings.open_tickets, "now": now}).fetchall()
    found += conn.execute(_CLOSED_TICKETS, {"n": settings.open_tickets * 10, "now": now}).fetchall()
    numbers = [row[0] for row in found]
    for start in range(0, len(numbers), 500):
        open_clocks(conn, numbers[start : start + 500], now)
    for statement in _HISTORY:
        conn.execute(statement)
    conn.commit()


def _samples(place: Stage, settings: CountySettings, now: datetime) -> int:
    """A few devices with a dense month, for the charts; the rest has its day, all alike."""
    with psycopg.connect(place.database_url) as conn:
        for days in range(DENSE_DAYS + 2):
            conn.execute(
                "SELECT ensure_sample_partition(%s)", [(now - timedelta(days=days)).date()]
            )
        rows = conn.execute(
            "SELECT metric_no FROM metric WHERE name = ANY(%s)", [list(METRICS)]
        ).fetchall()
        numbers = np.array([row[0] for row in rows], np.int32)
        devices = conn.execute("SELECT device_no FROM device ORDER BY device_no").fetchall()
        conn.commit()
        written = 0
        for batch in _batches(np.array(devices, np.int32)[:, 0], numbers, settings.samples, now):
            with conn.cursor() as cursor, cursor.copy(SQL["copy_samples"]) as copy:
                copy.write(binary.HEADER + batch.tobytes() + binary.TRAILER)
            conn.commit()
            written += len(batch)
    return written


def _batches(devices: Any, metrics: Any, samples: int, now: datetime) -> Iterator[Any]:
    dense = devices[:DENSE_DEVICES]
    times = max(24, int(samples * DENSE_SHARE) // (len(dense) * len(metrics)))
    yield from _spread(dense, metrics, times, timedelta(days=DENSE_DAYS), now)
    rest = devices[DENSE_DEVICES:]
    times = max(1, int(samples * (1 - DENSE_SHARE)) // (len(rest) * len(metrics)))
    yield from _spread(rest, metrics, times, timedelta(days=1), now)


def _spread(
    devices: Any, metrics: Any, times: int, over: timedelta, now: datetime
) -> Iterator[Any]:
    """`times` samples of each metric of each device, evenly over the time before now."""
    until_us = int(now.timestamp() * 1e6) - binary.PG_EPOCH_MS * 1000
    step_us = int(over.total_seconds() * 1e6) // times
    each = max(1, _ROWS_AT_ONCE // (len(devices) * len(metrics)))
    for first in range(0, times, each):
        back = np.arange(first, min(first + each, times))
        at, device, metric = np.meshgrid(until_us - back * step_us, devices, metrics, indexing="ij")
        yield _rows(at.ravel(), device.ravel(), metric.ravel())


def _rows(at: Any, device: Any, metric: Any) -> Any:
    rows = np.zeros(len(at), _ROW)
    rows["fields"] = 7
    for name, size in (("at", 8), ("received", 8), ("device", 4), ("clock", 2), ("metric", 4)):
        rows[f"{name}_size"] = size
    rows["value_size"], rows["device_at_size"] = 8, -1
    rows["at"], rows["received"], rows["device"], rows["metric"] = (
        at,
        at + 2_000_000,
        device,
        metric,
    )
    rows["value"] = 24 + np.sin(at / 3.6e9 + device) + metric
    return rows


def _summaries(place: Stage) -> None:
    with psycopg.connect(place.database_url, autocommit=True) as conn:
        for statement in _SUMMARIES:
            conn.execute(statement)


def _settled(place: Stage) -> None:
    """Wait until all of it is on disk: a county does not load its past beside its work."""
    if place.has_own_database:
        with psycopg.connect(place.database_url, autocommit=True) as conn:
            conn.execute("CHECKPOINT")
        os.sync()


_DEVICES: Final = (
    "INSERT INTO tenant (id, name) VALUES (%(tenant)s, 'Region Exempel')",
    "INSERT INTO centre (tenant_no, id, name) SELECT tenant_no, 'c' || n, 'Centralen ' || n"
    " FROM tenant, generate_series(1, 4) n WHERE id = %(tenant)s",
    "INSERT INTO device (id, tenant_no, centre_no, model_id, shard, serial, individual_no,"
    " created_at, area) SELECT 'wc-' || lpad(n::text, 6, '0'), t.tenant_no, c.centre_no, %(model)s,"
    " n %% 256, 'SN' || n, '4471 ' || lpad(n::text, 6, '0'), %(now)s - interval '400 days',"
    " 'Kommun ' || n %% 15 + 1"
    " FROM generate_series(1, %(n)s) n, tenant t JOIN centre c USING (tenant_no)"
    " WHERE t.id = %(tenant)s AND c.id = 'c' || (n %% 4 + 1)",
    "INSERT INTO device_state (device_no, is_online, boot, epoch, clock, fw, born_at, changed_at)"
    " SELECT device_no, device_no %% 9 > 0, 1, %(epoch)s, 'synced', '2.4.' || device_no %% 3,"
    " %(now)s - interval '9 days', %(now)s - device_no %% 90 * interval '1 hour' FROM device",
    "INSERT INTO ledger (device_no, epoch, received, received_n, stored_n, first_at, last_at)"
    " SELECT device_no, %(epoch)s, '{[1,1001)}', 1000, 1000, %(now)s - interval '9 days', %(now)s"
    " FROM device",
    "INSERT INTO episode (device_no, system, code, started_at, last_at, ended_at, raised_n,"
    " cleared_n, logged_n, first_received_at) SELECT device_no, 'vr2',"
    " (ARRAY['7100', '3D00', '2C00', '1505'])[n], at, at, at + interval '5 minutes', 1, 1, 0, at"
    " FROM device, generate_series(1, 4) n CROSS JOIN LATERAL (SELECT %(now)s"
    " - n * interval '9 days' - device_no %% 1000 * interval '10 minutes' AS at) x",
    "INSERT INTO fault_event (device_no, epoch, seq, idx, system, code, state, at, received_at,"
    " clock) SELECT device_no, %(epoch)s, row_number() OVER (PARTITION BY device_no), 0, system,"
    " code, 'raised', started_at, started_at, 0 FROM episode",
    "INSERT INTO quarantine (digest, reason, detail, topic, tenant_id, device_id, payload,"
    " payload_size, received_at, last_at) SELECT sha256(n::text::bytea), 'malformed',"
    " 'JSON cut short', 'fk/1/00/bench'::bytea, t.id, 'wc-' || lpad(n::text, 6, '0'),"
    " '{\"seq\": '::bytea, 8, %(now)s - n * interval '1 minute', %(now)s"
    " FROM generate_series(1, 5000) n, tenant t WHERE t.id = %(tenant)s",
    "INSERT INTO quarantine_total SELECT reason, count(*) FROM quarantine GROUP BY reason",
)

_TICKET: Final = (
    "INSERT INTO ticket (device_no, tenant_no, cause, state, order_kind, severity, usability,"
    " fixer, component, title_sv, title_en, body_sv, body_en, started_at, known_at, state_at,"
    " updated_at)"
    " SELECT device_no, tenant_no, '{cause}', '{state}', 'AU',"
    " (ARRAY['critical', 'major', 'minor'])[device_no % 3 + 1], 'degraded', 'technician',"
    " (ARRAY['brake', 'motor', 'battery', 'joystick', 'charger'])[device_no % 5 + 1],"
    " 'Bromsen på vänster sida släpper inte', 'The left brake does not release',"
    " 'Text', 'Text', at, at, at, at FROM (SELECT device_no, tenant_no, %(now)s::timestamptz"
    " - row_number() OVER (ORDER BY device_no) * interval '{apart}' AS at FROM device"
    " ORDER BY device_no LIMIT %(n)s) d RETURNING ticket_no"
)
_OPEN_TICKETS: Final = _TICKET.replace(" % ", " %% ").format(
    cause="brake", state="new", apart="5 minutes"
)
_CLOSED_TICKETS: Final = _TICKET.replace(" % ", " %% ").format(
    cause="motor", state="closed", apart="20 minutes"
)
_HISTORY: Final = (
    "UPDATE ticket SET state_at = least(now(), known_at + interval '3 hours'"
    " + ticket_no % 14 * interval '1 day'),"
    " outcome = (ARRAY['real_fault', 'part_replaced', 'solved_remotely', 'user_error'])"
    "[ticket_no % 4 + 1], outcome_minutes = 15 + ticket_no % 90 WHERE state = 'closed'",
    "UPDATE ticket_clock c SET stopped_at = k.state_at, breached_at = CASE WHEN c.due_at"
    " < k.state_at THEN c.due_at END FROM ticket k"
    " WHERE k.ticket_no = c.ticket_no AND k.state = 'closed'",
    "INSERT INTO ticket_event (ticket_no, event_no, at, kind, who)"
    " SELECT ticket_no, 1, known_at, 'opened', 'diagnostics' FROM ticket",
    "INSERT INTO ticket_event (ticket_no, event_no, at, kind, who)"
    " SELECT ticket_no, n, state_at, (ARRAY['triaged', 'solved', 'closed'])[n - 1], 'bench'"
    " FROM ticket, generate_series(2, 4) n WHERE state = 'closed'",
)

_SUMMARIES: Final = (
    "INSERT INTO rollup_hour SELECT device_no, metric_no, date_trunc('hour', at), count(*),"
    " min(value), max(value), sum(value), max(value), max(at)"
    " FROM sample GROUP BY 1, 2, 3",
    "INSERT INTO latest SELECT DISTINCT ON (device_no, metric_no) device_no, metric_no, last_at,"
    " last FROM rollup_hour ORDER BY device_no, metric_no, hour DESC",
    "INSERT INTO latest SELECT device_no, metric_no, now(), CASE name"
    " WHEN 'drive_time_s' THEN 200000 + device_no % 5000 * 900.0"
    " ELSE device_no % 37 + CASE WHEN device_no % 4001 = 0 THEN 5000 ELSE 0 END END"
    " FROM device, metric WHERE name = ANY(ARRAY['drive_time_s', 'deep_discharge_count',"
    " 'overcharge_count', 'seat_actuation_count'])"
    " ON CONFLICT (device_no, metric_no) DO UPDATE SET value = excluded.value",
    "VACUUM ANALYZE",
)
