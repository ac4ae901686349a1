"""What the rules cost: a pass over a minute's changes at several sizes of fleet, and the agenda.

A pass must cost what changed, not what there is: the same minute is played to fleets of growing
size, whose devices all have past episodes, findings and tickets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from diagnostics.passes import diagnose, work_agenda
from diagnostics.rulebook import Rules
from fjarrkoll.bench.load import TENANT
from fjarrkoll.bench.stage import MODEL, Stage, percentiles
from storage import diagnosis, findings, rollup
from storage.connection import Connection, connect

FLEETS: Final = (10_000, 30_000, 100_000)
BATCH: Final = 500
AGENDA_BATCH: Final = 100
HISTORY_DAYS: Final = 60

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RulesSettings:
    """A minute of a bad day: `faulty` records with faults, `hours` device-hours with samples."""

    fleets: Sequence[int] = FLEETS
    faulty: int = 500
    hours: int = 18_000
    agenda: int = 1_000


def measure(place: Stage, settings: RulesSettings, say: Say) -> dict[str, Any]:
    """Grow one database through the sizes of fleet, and play the same minute at each."""
    fleets = []
    with connect(place.database_url) as conn:
        _prepare(conn)
        before = 0
        for size in settings.fleets:
            say(f"growing the fleet to {size:,} devices")
            _grow(conn, before, size)
            fleets.append({"devices": size, **_minute(place, conn, size, settings, say)})
            before = size
        agenda = _night(place, conn, settings, say)
    return {"minute": fleets, "night": agenda, "history_days": HISTORY_DAYS}


def _prepare(conn: Connection) -> None:
    conn.execute("INSERT INTO tenant (id, name) VALUES (%s, %s)", [TENANT, TENANT])
    conn.execute("SELECT ensure_sample_partition(now()::date)")
    conn.commit()


def _grow(conn: Connection, before: int, size: int) -> None:
    """Devices with a past: two episodes each, and for every fifth a finding and an open ticket."""
    numbers = {"low": before + 1, "high": size, "model": MODEL}
    for statement in _GROW:
        conn.execute(statement, numbers)
    conn.commit()
    conn.autocommit = True
    conn.execute("VACUUM ANALYZE")
    conn.autocommit = False


_GROW: Final = (
    """INSERT INTO device (id, tenant_no, model_id, shard)
    SELECT 'bench-' || n, tenant_no, %(model)s, n %% 256
    FROM generate_series(%(low)s::int, %(high)s::int) AS n, tenant""",
    """INSERT INTO episode (device_no, system, code, started_at, last_at, ended_at, raised_n,
        cleared_n, logged_n, first_received_at)
    SELECT device_no, 'vr2', code, at, at + interval '5 minutes', at + interval '5 minutes',
        1, 1, 0, at
    FROM device CROSS JOIN (VALUES ('7100'), ('3D00')) AS codes (code)
    CROSS JOIN LATERAL (SELECT now() - interval '40 days' - device_no * interval '7 seconds' AS at)
    WHERE device_no BETWEEN %(low)s AND %(high)s""",
    """INSERT INTO finding (tenant_no, device_no, subject, rule_id, rule_version, about, cause,
        need, severity, usability, fixer, component, started_at, last_at, ended_at, known_at,
        confidence, detail)
    SELECT d.tenant_no, d.device_no, 'device', 'reported-fault', 1, 'vr2/' || e.code,
        'left_motor', 'ticket', 'major', 'degraded', 'technician', 'left_motor', e.started_at,
        e.last_at, e.ended_at, e.first_received_at, 1,
        jsonb_build_object('episodes', jsonb_build_array(e.episode_no), 'points', '[]'::jsonb,
            'measures', '{}'::jsonb, 'ruled_out', '[]'::jsonb, 'said', jsonb_build_object(
            'title', '["t","t"]'::jsonb, 'happened', '["h","h"]'::jsonb,
            'action', '["a","a"]'::jsonb, 'user', '["u","u"]'::jsonb))
    FROM device AS d JOIN episode AS e USING (device_no)
    WHERE d.device_no BETWEEN %(low)s AND %(high)s AND d.device_no %% 5 = 0 AND e.code = '3D00'""",
    """INSERT INTO ticket (device_no, tenant_no, cause, order_kind, severity, usability, fixer,
        component, title_sv, title_en, body_sv, body_en, started_at, known_at, updated_at,
        rule_id, rule_version)
    SELECT device_no, tenant_no, cause, 'AU', severity, usability, fixer, component, 't', 't',
        'b', 'b', started_at, known_at, known_at, rule_id, rule_version
    FROM finding WHERE device_no BETWEEN %(low)s AND %(high)s""",
    """INSERT INTO ticket_finding SELECT ticket_no, finding_no FROM ticket JOIN finding
        USING (device_no, cause) WHERE device_no BETWEEN %(low)s AND %(high)s""",
)


def _minute(
    place: Stage, conn: Connection, size: int, settings: RulesSettings, say: Say
) -> dict[str, Any]:
    """One minute's faults and samples on devices spread over the whole fleet."""
    now = datetime.now(UTC)
    _report_faults(conn, size, settings.faulty, now)
    _report_hours(conn, size, settings.hours, now)
    with connect(place.database_url, role=diagnosis.ROLE) as worker:
        faults_s, opened = _timed_inbox(worker, now)
        rollup_s = _timed_rollup(worker, now)
    say(f"  faults {faults_s:.2f} s, rollups and marks {rollup_s:.2f} s")
    return {
        "fault_records": settings.faulty,
        "tickets_opened": opened,
        "evaluation_s": round(faults_s, 3),
        "device_hours": settings.hours,
        "rollup_and_marks_s": round(rollup_s, 3),
    }


def _report_faults(conn: Connection, size: int, count: int, now: datetime) -> None:
    """Each on its own device and code, a little apart, so that they are no storm."""
    numbers = {"size": size, "count": count, "now": now}
    conn.execute(
        """INSERT INTO fault_event (device_no, epoch, seq, idx, system, code, state, at,
            received_at, clock)
        SELECT n * (%(size)s / %(count)s), '00000000000000aa', %(size)s + n, 0, 'vr2',
            (ARRAY['3D00', '3D01', '7100', '1505', '3C00'])[n %% 5 + 1], 'raised',
            %(now)s::timestamptz - n * interval '8 minutes', %(now)s::timestamptz, 0
        FROM generate_series(1, %(count)s::int) AS n""",
        numbers,
    )
    conn.execute(
        """INSERT INTO inbox (device_no, epoch, seq, received_at)
        SELECT device_no, epoch, seq, received_at FROM fault_event WHERE seq > %(size)s""",
        numbers,
    )
    conn.commit()


def _report_hours(conn: Connection, size: int, count: int, now: datetime) -> None:
    """Six samples of six metrics for each of `count` devices."""
    numbers = {"step": max(1, size // count), "count": min(count, size), "now": now}
    conn.execute(
        """INSERT INTO sample (at, received_at, value, device_no, metric_no, clock)
        SELECT %(now)s::timestamptz - n * interval '1 second', %(now)s, 24 + n %% 3,
            d * %(step)s::int, m.metric_no, 0
        FROM generate_series(1, %(count)s::int) AS d, generate_series(1, 6) AS n,
            (SELECT metric_no FROM metric WHERE name IN ('battery_voltage_v', 'odometer_m',
                'drive_time_s', 'state_of_charge_pct', 'motor_temp_c', 'charge_count')) AS m""",
        numbers,
    )
    conn.execute(
        """INSERT INTO dirty_hour (hour, device_no)
        SELECT date_trunc('hour', %(now)s::timestamptz), d * %(step)s::int
        FROM generate_series(1, %(count)s::int) AS d""",
        numbers,
    )
    conn.commit()


def _timed_inbox(worker: Connection, now: datetime) -> tuple[float, int]:
    """All passes until the inbox is empty; each commits. Returns seconds and tickets opened."""
    rules, opened = Rules(), 0
    rules.book(worker)
    began_s = time.perf_counter()
    while taken := diagnosis.take_inbox(worker, now, BATCH):
        opened += len(diagnose(worker, rules.book(worker), now, taken).opened)
        worker.commit()
    worker.rollback()
    return time.perf_counter() - began_s, opened


def _timed_rollup(worker: Connection, now: datetime) -> float:
    began_s = time.perf_counter()
    while rollup.recompute(worker, 20_000, now):
        worker.commit()
    worker.commit()
    return time.perf_counter() - began_s


def _night(place: Stage, conn: Connection, settings: RulesSettings, say: Say) -> dict[str, Any]:
    """Devices with two months of values whose day has closed: all rules over each."""
    say(f"two months of values for {settings.agenda:,} devices")
    _give_history(conn, settings.agenda)
    with connect(place.database_url, role=diagnosis.ROLE) as worker:
        rules, passes = Rules(), []
        now = datetime.now(UTC)
        while True:
            began_s = time.perf_counter()
            result = work_agenda(worker, rules.book(worker), now, AGENDA_BATCH)
            worker.commit()
            if not result.taken_n:
                break
            passes.append(time.perf_counter() - began_s)
        depth = findings.agenda_depth(worker, now)
    total_s = sum(passes)
    say(f"  {settings.agenda / total_s:.0f} devices a second")
    return {
        "devices": settings.agenda,
        "devices_per_s": round(settings.agenda / total_s, 1),
        "hours_for_100000": round(100_000 / (settings.agenda / total_s) / 3600, 2),
        "left_due": depth,
        "pass": percentiles(passes),
    }


def _give_history(conn: Connection, count: int) -> None:
    """Ten hours a day of five metrics for sixty days, ending yesterday; then all are due."""
    conn.execute("DELETE FROM agenda")
    for day in range(HISTORY_DAYS, 0, -1):
        conn.execute(_DAY, {"count": count, "day": day})
        conn.commit()
    yesterday = datetime.now(UTC) - timedelta(days=2)
    findings.put_agenda(conn, dict.fromkeys(range(1, count + 1), (yesterday, yesterday)))
    conn.execute("ANALYZE rollup_hour")
    conn.commit()


_DAY: Final = """INSERT INTO rollup_hour (device_no, metric_no, hour, sample_n, min, max, sum,
    last, last_at)
SELECT d, m.metric_no, h, 20, low, low + span, 20 * (low + span / 2), low + span, h
FROM generate_series(1, %(count)s::int) AS d
CROSS JOIN generate_series(7, 16) AS hour
CROSS JOIN LATERAL (SELECT date_trunc('day', now()) - %(day)s::int * interval '1 day'
    + hour * interval '1 hour' AS h) AS t
CROSS JOIN (VALUES ('battery_voltage_v', 24.4, 1.6), ('state_of_charge_pct', 60, 35),
    ('odometer_m', 0, 0), ('drive_time_s', 0, 0), ('charge_count', 0, 0)) AS v (name, base, span)
JOIN metric AS m USING (name)
CROSS JOIN LATERAL (SELECT CASE WHEN v.span > 0 THEN v.base ELSE
    100000 - (%(day)s::int * 24 - hour) * 40 END AS low) AS value
ON CONFLICT DO NOTHING"""
