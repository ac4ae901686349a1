"""A backtest over half a year of a whole fleet: how long until the answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from diagnostics.backtest import Asked, covered, estimate, replay
from fjarrkoll.bench.load import TENANT
from fjarrkoll.bench.stage import MODEL, Stage
from fleet.rules.reader import shipped_rules
from storage.connection import Connection, connect

RULES: Final = (
    "reported-fault",
    "fault-keeps-coming",
    "service-by-drive-hours",
    "resting-voltage-falling",
    "battery-end-of-life",
)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BacktestSettings:
    """`hours_a_day` is how many hours of a day have samples: a wheelchair is driven and charged."""

    devices: int = 10_000
    days: int = 180
    hours_a_day: int = 10
    rules: Sequence[str] = RULES


def measure(place: Stage, settings: BacktestSettings, say: Say) -> dict[str, Any]:
    """Make the history, then run each rule's backtest on all cores."""
    with connect(place.database_url) as conn:
        rows = _history(conn, settings, say)
        found = {name: _one(place, conn, settings, name, say) for name in settings.rules}
    return {
        "devices": settings.devices,
        "days": settings.days,
        "rollup_rows": rows,
        "rules": found,
    }


def _one(
    place: Stage, conn: Connection, settings: BacktestSettings, name: str, say: Say
) -> dict[str, Any]:
    to_at = datetime.now(UTC)
    asked = Asked(shipped_rules()[name][1], to_at - timedelta(days=settings.days), to_at)
    devices = covered(conn, asked)
    expected = estimate(place.database_url, conn, asked, devices, time.monotonic)
    conn.rollback()  # the server ends transactions that stand idle while others work
    began_s = time.perf_counter()
    tickets = replay(place.database_url, asked, devices, lambda _: None)
    took_s = time.perf_counter() - began_s
    say(f"  {name}: {took_s:.1f} s, {len(tickets):,} tickets")
    return {
        "devices": len(devices),
        "seconds": round(took_s, 1),
        "tickets": len(tickets),
        "expected_s": None if expected is None else round(expected.seconds, 1),
    }


def _history(conn: Connection, settings: BacktestSettings, say: Say) -> int:
    """Devices, a fault every ten days each, and hourly rollups of five metrics."""
    say(f"{settings.days} days of {settings.devices:,} devices")
    numbers = {
        "devices": settings.devices,
        "days": settings.days,
        "hours": settings.hours_a_day,
        "model": MODEL,
        "tenant": TENANT,
    }
    for statement in _PEOPLE:
        conn.execute(statement, numbers)
    rows = 0
    for day in range(settings.days, 0, -1):
        rows += conn.execute(_DAY, {**numbers, "day": day}).rowcount
        conn.commit()
        if day % 30 == 0:
            say(f"  {day} days to go")
    conn.commit()
    conn.autocommit = True
    conn.execute("VACUUM ANALYZE rollup_hour")
    conn.execute("VACUUM ANALYZE episode")
    conn.autocommit = False
    return rows


_PEOPLE: Final = (
    "INSERT INTO tenant (id, name) VALUES (%(tenant)s, %(tenant)s)",
    """INSERT INTO device (id, tenant_no, model_id, shard)
    SELECT 'bench-' || n, tenant_no, %(model)s, n %% 256
    FROM generate_series(1, %(devices)s::int) AS n, tenant""",
    """INSERT INTO episode (device_no, system, code, started_at, last_at, ended_at, raised_n,
        cleared_n, logged_n, first_received_at)
    SELECT device_no, 'vr2', (ARRAY['7100', '3D00', '2C00', '1505', '3C00'])[n %% 5 + 1], at,
        at + interval '5 minutes', at + interval '5 minutes', 1, 1, 0, at
    FROM device CROSS JOIN generate_series(1, %(days)s::int / 10) AS n
    CROSS JOIN LATERAL (SELECT date_trunc('day', now()) - n * interval '10 days'
        - device_no * interval '37 seconds' AS at)""",
)

_DAY: Final = """INSERT INTO rollup_hour (device_no, metric_no, hour, sample_n, min, max, sum,
    last, last_at)
SELECT d, m.metric_no, h, 20, low, low + span, 20 * (low + span / 2), low + span, h
FROM generate_series(1, %(devices)s::int) AS d
CROSS JOIN (VALUES ('battery_voltage_v', 24.4, 1.6), ('state_of_charge_pct', 60, 35),
    ('odometer_m', 0, 0), ('drive_time_s', 0, 0), ('charge_count', 0, 0)) AS v (name, base, span)
JOIN metric AS m USING (name)
CROSS JOIN generate_series(7, 6 + %(hours)s::int) AS hour
CROSS JOIN LATERAL (SELECT date_trunc('day', now()) - %(day)s::int * interval '1 day'
    + hour * interval '1 hour' AS h) AS t
CROSS JOIN LATERAL (SELECT CASE WHEN v.span > 0 THEN v.base - (d %% 7) * 0.02 * random()
    ELSE (1000 - %(day)s::int) * 800 + hour * 60 END AS low) AS value"""
