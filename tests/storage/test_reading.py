"""What the pages read stays on indexes and quick, at the size of a county."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from fleet.access.scopes import Reach, Scope
from storage import device_reading, queue, reading
from storage.connection import DatabaseDownError
from storage.migrate import migrate
from storage.pool import ApiPool
from storage.queries import load_queries
from storage.reading import (
    QuarantineFilter,
    SeriesKey,
    Span,
)

DEVICES, OPEN, ENDED = 100_000, 2_000, 60_000
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
DAY = timedelta(days=1)
WHOLE = Scope("t", Reach.TENANT)

COUNTY = f"""
INSERT INTO tenant (id, name) VALUES ('t', 'T');
INSERT INTO centre (tenant_no, id, name) VALUES (1, 'c', 'C');
INSERT INTO model VALUES ('m', 'powered_wheelchair', 'Maker', 'Model');
INSERT INTO metric (name) VALUES ('battery_voltage_v'), ('motor_temp_c') ON CONFLICT DO NOTHING;
INSERT INTO device (id, tenant_no, centre_no, model_id, shard, serial, individual_no)
    SELECT 'fk-' || n, 1, 1, 'm', n % 256, 'S' || n, to_char(n, 'FM0000 0000')
    FROM generate_series(1, {DEVICES}) n;
INSERT INTO ledger (device_no, epoch, received, first_at, last_at)
    SELECT n, '00000000000000aa', '{{[1,9)}}', now(), now() FROM generate_series(1, {DEVICES}) n;
INSERT INTO ticket (device_no, tenant_no, cause, state, order_kind, severity, usability, fixer,
    component, title_sv, title_en, body_sv, body_en, started_at, known_at, updated_at)
    SELECT n, 1, 'brake', CASE WHEN n <= {OPEN} THEN 'new' ELSE 'closed' END, 'AU',
        (ARRAY['critical', 'major', 'minor'])[1 + n % 3], 'degraded', 'technician', 'brake',
        't', 't', 'b', 'b', now(), now() - n * interval '1 minute', now()
    FROM generate_series(1, {OPEN + ENDED}) n;
INSERT INTO episode (device_no, system, code, started_at, last_at, raised_n, cleared_n, logged_n,
    first_received_at)
    SELECT n, 'vr2', '3B00', now() - interval '2 hours', now(), 1, 0, 0, now()
    FROM generate_series(1, 20000) n;
INSERT INTO ticket_episode SELECT n, n FROM generate_series(1, 20000) n;
INSERT INTO fault_event (device_no, epoch, seq, idx, system, code, state, at, received_at, clock)
    SELECT n % 20000 + 1, '00000000000000aa', n, 0, 'vr2', '3B00', 'raised',
        now() - n * interval '5 seconds', now(), 0 FROM generate_series(1, 100000) n;
INSERT INTO gap (device_no, epoch, low, high, opened_at, closed_at, closed_as)
    SELECT n, '00000000000000aa', 1, 5, now(), CASE WHEN n % 50 > 0 THEN now() END,
        CASE WHEN n % 50 = 1 THEN 'lost_on_device' WHEN n % 50 > 1 THEN 'received' END
    FROM generate_series(1, 20000) n;
INSERT INTO quarantine (digest, reason, detail, topic, tenant_id, device_id, payload, payload_size,
    received_at, last_at)
    SELECT sha256(n::text::bytea), CASE WHEN n % 100 = 0 THEN 'bad_time' ELSE 'malformed' END, '',
        '', 't', 'fk-' || n % 500, '', 0, now(), now() FROM generate_series(1, 20000) n;
"""
SERIES = """
INSERT INTO sample (at, received_at, value, device_no, metric_no, clock)
    SELECT at, at, random(), d, m, 0
    FROM generate_series(%(now)s - interval '30 days', %(now)s, interval '10 minutes') at,
        generate_series(1, 20) d, generate_series(1, 2) m;
INSERT INTO rollup_hour SELECT device_no, metric_no, date_trunc('hour', at), count(*), min(value),
    max(value), sum(value), max(value), max(at) FROM sample GROUP BY 1, 2, 3;
"""


@pytest.fixture(scope="module")
def county(plain):
    """100,000 devices, 2,000 open and 60,000 ended tickets."""
    url = plain.create_database("county")
    migrate(url)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(COUNTY)
        for days in (0, 15, 30):
            conn.execute("SELECT ensure_sample_partition(%s)", ((NOW - days * DAY).date(),))
        with conn.transaction():
            for part in SERIES.split(";\n")[:2]:
                conn.execute(part, {"now": NOW} if "now" in part else None)
        conn.execute("VACUUM ANALYZE")
    yield url
    plain.drop_database("county")


@pytest.fixture(scope="module")
def pool(county):
    opened = ApiPool(county, 2, 5)
    opened.open()
    yield opened
    opened.close()


def _reads(conn):
    """Every page's reading, as the pages ask for it."""
    span, key = Span(NOW - DAY, NOW), SeriesKey(3, 1)
    month = Span(NOW - 30 * DAY, NOW)
    return {
        "devices": lambda: reading.devices(conn, "", 51),
        "devices deep": lambda: reading.devices(conn, "fk-77", 501),
        "devices search": lambda: reading.devices(conn, "", 51, "0009 99"),
        "devices broad search": lambda: reading.devices(conn, "", 51, "f"),
        "device": lambda: reading.device(conn, "fk-500"),
        "latest": lambda: reading.latest_values(conn, 3),
        "raw samples": lambda: reading.raw_samples(conn, key, span, 60_000),
        "raw month": lambda: reading.raw_samples(conn, key, month, 60_000),
        "hourly samples": lambda: reading.hourly_samples(conn, key, month, 60_000),
        "faults": lambda: reading.faults(conn, 3, month, 51),
        "open of device": lambda: reading.open_tickets_of(conn, 3, 51),
        "ended of device": lambda: reading.ended_tickets_of(conn, 9000, 51),
        "ticket": lambda: reading.ticket(conn, 5),
        "ticket episodes": lambda: reading.ticket_episodes(conn, 5),
        "ticket faults": lambda: reading.ticket_faults(conn, 5, 200),
        "ledgers": lambda: reading.ledgers_of(conn, 3),
        "gaps of device": lambda: reading.gaps_of(conn, 3, 20),
        "lost gaps": lambda: reading.lost_gaps(conn, 20),
        "find whole mark": lambda: device_reading.marked(conn, "0009 99 99", 51),
        "find broad mark": lambda: device_reading.marked(conn, "f", 51),
        "find nothing": lambda: device_reading.marked(conn, "no such mark", 51),
        "device episodes": lambda: device_reading.episodes(conn, 3, month, 51),
        "fleet episodes": lambda: device_reading.fleet_episodes(conn, 51),
        "episodes of system": lambda: device_reading.fleet_episodes(conn, 51, "vr2"),
        "episodes of code": lambda: device_reading.fleet_episodes(conn, 51, "vr2", "3B00"),
        "episodes of no code": lambda: device_reading.fleet_episodes(conn, 51, "vr2", "FFFF"),
        "device gaps": lambda: device_reading.gaps_of(conn, 3, 51),
        "standing gaps": lambda: device_reading.open_gaps(conn, 51),
        "contact hours": lambda: device_reading.contact_hours(conn, 3, month),
        "starts": lambda: device_reading.boots(conn, 3, NOW - 30 * DAY, 51),
        "gap counts": lambda: reading.gap_counts(conn, NOW - 30 * DAY),
        "quarantine": lambda: reading.quarantined(conn, QuarantineFilter(), 51),
        "quarantine reason": lambda: reading.quarantined(conn, QuarantineFilter("bad_time"), 51),
        "quarantine device": lambda: reading.quarantined(conn, QuarantineFilter(None, "fk-3"), 51),
        "backlog": lambda: reading.backlog(conn),
        "totals": lambda: (reading.intake_totals(conn), reading.quarantine_totals(conn)),
    }


GUARDED = re.compile(
    r"Seq Scan on (sample\w*|ledger|fault_event|ticket|ticket_episode|device|episode|gap|quarantine"
    r"|rollup_hour)\b"
)


class _Explaining:
    """A connection that explains what it is asked to run, and then runs it."""

    def __init__(self, conn):
        self.conn, self.plans = conn, []

    def execute(self, query, values=None):
        rows = self.conn.execute(f"EXPLAIN {query}", values or {})
        self.plans.append("\n".join(row[0] for row in rows))
        return self.conn.execute(query, values or {})

    def cursor(self, *, row_factory):
        return _ExplainingCursor(self, row_factory)


class _ExplainingCursor:
    def __init__(self, outer, row_factory):
        self.outer, self.row_factory = outer, row_factory

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def execute(self, query, values):
        self.outer.execute(query, values)
        return self.outer.conn.cursor(row_factory=self.row_factory).execute(query, values)


def test_no_page_reads_a_whole_table(pool):
    with pool.read(WHOLE) as conn:
        for name in _reads(conn):
            explaining = _Explaining(conn)
            _reads(explaining)[name]()
            for plan in explaining.plans:
                assert not GUARDED.search(plan), f"{name}:\n{plan}"


def test_every_reading_is_quick_at_the_size_of_a_county(pool):
    durations_ms = {}
    with pool.read(WHOLE) as conn:
        for name, read in _reads(conn).items():
            read()
            started = time.perf_counter()
            read()
            durations_ms[name] = (time.perf_counter() - started) * 1000
    slowest = sorted(durations_ms.items(), key=lambda item: -item[1])[:6]
    print("slowest, ms:", ", ".join(f"{name} {ms:.1f}" for name, ms in slowest))
    assert slowest[0][1] < 200


def test_every_query_can_be_planned_without_its_values(county):
    with psycopg.connect(county) as conn:
        for name, query in load_queries("reading.sql").items():
            numbered = re.sub(r"%\((\w+)\)s", _numbering(), query).rstrip("; \n")
            plan = conn.execute(f"EXPLAIN (GENERIC_PLAN) {numbered}".replace("%", "%%")).fetchall()
            assert plan, name


def _numbering():
    seen: dict[str, int] = {}
    return lambda match: f"${seen.setdefault(match[1], len(seen) + 1)}"


def test_reading_is_read_only_and_of_one_moment(pool, county):
    with pool.read(WHOLE) as conn:
        before = reading.ticket(conn, 1)
        with psycopg.connect(county, autocommit=True) as other:
            other.execute("UPDATE ticket SET severity = 'info' WHERE ticket_no = 1")
        assert reading.ticket(conn, 1) == before
    with pytest.raises(DatabaseDownError, match="read-only"), pool.read(WHOLE) as conn:
        conn.execute("CREATE TEMP TABLE x ()")


def test_the_pool_has_only_the_rights_of_the_api(pool):
    with pool.read(WHOLE) as conn:
        assert conn.execute("SELECT current_user").fetchone() == ("fjarrkoll_api",)


def test_a_pool_without_a_free_connection_says_that_it_is_down(county):
    small = ApiPool(county, 1, 0.2)
    small.open()
    with small.read(WHOLE), pytest.raises(DatabaseDownError), small.read(WHOLE):
        pass
    small.close()


def test_the_pool_heals_when_connections_were_cut(county):
    healing = ApiPool(county, 1, 5)
    healing.open()
    with healing.read(WHOLE) as conn:
        pid = conn.info.backend_pid
    with psycopg.connect(county, autocommit=True) as other:
        assert other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,)).fetchone() == (True,)
    with healing.read(WHOLE) as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)
    healing.prove_commit()
    healing.close()


def test_a_query_is_planned_once_for_each_choice_of_conditions(county):
    """Over transactions: what is asked most has its plan from before."""
    steady = ApiPool(county, 1, 5)
    steady.open()
    for wanted in (queue.Wanted(), queue.Wanted(severity="major")) * 4:
        with steady.read(WHOLE) as conn:
            reading.device(conn, "wc-1")
            queue.open_tickets(conn, wanted, 2, NOW, by_due=True)
    with steady.read(WHOLE) as conn:
        rows = conn.execute("SELECT statement FROM pg_prepared_statements").fetchall()
    steady.close()
    kept = [row[0] for row in rows]
    assert any("FROM device" in text for text in kept)
    queued = [text for text in kept if "binding_clock" in text]
    assert sorted("k.severity = $" in text for text in queued) == [False, True]


def test_a_borrower_finds_a_connection_as_a_new_one_is(county):
    alone = ApiPool(county, 1, 5)
    alone.open()
    with alone.read(WHOLE) as conn:
        assert conn.execute("SHOW transaction_read_only").fetchone() == ("on",)
    with alone.glance() as conn:
        assert conn.autocommit
    with pytest.raises(DatabaseDownError), alone.read(WHOLE) as conn:
        conn.cursor().fetchone()  # nothing was asked
    with alone.write(WHOLE) as conn:
        row = conn.execute("SHOW transaction_isolation").fetchone()
        assert (conn.autocommit, row) == (False, ("read committed",))
        assert conn.execute("SHOW transaction_read_only").fetchone() == ("off",)
    alone.close()


def test_a_read_only_server_is_not_ready(county):
    with psycopg.connect(county, autocommit=True) as conn:
        conn.execute("ALTER DATABASE county SET default_transaction_read_only = on")
    stuck = ApiPool(county, 1, 5)
    stuck.open()
    try:
        with pytest.raises(DatabaseDownError, match="read-only"):
            stuck.prove_commit()
    finally:
        stuck.close()
        with psycopg.connect(county, autocommit=True) as conn:
            conn.execute("SET default_transaction_read_only = off")
            conn.execute("ALTER DATABASE county RESET default_transaction_read_only")
