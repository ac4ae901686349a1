from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest

from storage.connection import connect
from storage.queries import load_queries
from storage.rollup import dirty_depth, recompute

DAY = datetime(2026, 11, 20, tzinfo=UTC)
NOW = DAY + timedelta(days=2)
ROLE = "fjarrkoll_diagnose"


@pytest.fixture(autouse=True)
def devices(admin):
    """Devices 1 to 3: who is recomputed is put on the agenda of the rules."""
    admin.execute("INSERT INTO tenant (id, name) VALUES ('r1', 'R')")
    admin.execute("INSERT INTO model VALUES ('m', 'powered_wheelchair', 'maker', 'name')")
    admin.execute(
        "INSERT INTO device (id, tenant_no, model_id, shard)"
        " SELECT 'chair-' || n, tenant_no, 'm', 7 FROM tenant, generate_series(1, 3) AS n"
    )


def _store(admin, samples):
    """Store (device, metric, at, value) and mark their hours, as ingest does."""
    with admin.transaction(), admin.cursor() as cursor:
        cursor.execute("SELECT ensure_sample_partition('2026-11-01')")
        cursor.executemany(
            "INSERT INTO sample (device_no, metric_no, at, value, received_at, clock)"
            " VALUES (%s, %s, %s, %s, now(), 0)",
            samples,
        )
        hours = {(at.replace(minute=0, second=0, microsecond=0), no) for no, _, at, _ in samples}
        cursor.executemany("INSERT INTO dirty_hour (hour, device_no) VALUES (%s, %s)", hours)


def _recompute_all(url, limit=1_000):
    with connect(url, role=ROLE) as conn:
        while recompute(conn, limit, NOW):
            conn.commit()


def _picture(admin):
    return [
        admin.execute(statement).fetchall()
        for statement in (
            "SELECT * FROM rollup_hour ORDER BY device_no, metric_no, hour",
            "SELECT * FROM latest ORDER BY device_no, metric_no",
        )
    ]


def _expected(samples):
    """The same by hand: hours summed in order of time, and the newest value."""
    hours, newest = defaultdict(list), {}
    for device_no, metric_no, at, value in samples:
        hour = at.replace(minute=0, second=0, microsecond=0)
        hours[device_no, metric_no, hour].append((at, value))
        key = (device_no, metric_no)
        newest[key] = max(newest.get(key, (at, value)), (at, value))
    rollups = []
    for key, found in sorted(hours.items()):
        found.sort()
        values = [value for _, value in found]
        total = 0.0
        for value in values:
            total += value
        at, last = found[-1]
        rollups.append((*key, len(values), min(values), max(values), total, last, at))
    return [rollups, [(*key, *item) for key, item in sorted(newest.items())]]


def _day(generator):
    return [
        (
            generator.choice([1, 2, 3]),
            generator.choice([1, 2]),
            DAY + timedelta(seconds=30 * generator.randrange(6 * 120)),
            generator.choice([0.1, 0.2, 1e9, -3.7, generator.uniform(-1e3, 1e3)]),
        )
        for _ in range(600)
    ]


@pytest.mark.parametrize("seed", range(2))
def test_any_permutation_in_any_batches_gives_the_same_rollups_and_latest(database, admin, seed):
    generator = random.Random(seed)
    samples = _day(generator)
    for _ in range(3):
        admin.execute("TRUNCATE sample, dirty_hour, rollup_hour, latest")
        rest = generator.sample(samples, len(samples))
        while rest:
            size = generator.randint(1, 200)
            _store(admin, rest[:size])
            _recompute_all(database, limit=generator.randint(1, 30))
            rest = rest[size:]
        assert _picture(admin) == _expected(samples)
    assert dirty_depth(admin) == 0


def test_latest_never_goes_back(database, admin):
    _store(admin, [(1, 1, DAY + timedelta(hours=5), 5.0)])
    _recompute_all(database)
    _store(admin, [(1, 1, DAY + timedelta(hours=2), 2.0)])
    _recompute_all(database)
    assert _picture(admin)[1] == [(1, 1, DAY + timedelta(hours=5), 5.0)]


def test_an_hour_without_samples_has_no_rollup(database, admin):
    _store(admin, [(1, 1, DAY, 1.0), (1, 2, DAY, 2.0), (1, 1, DAY + timedelta(hours=1), 3.0)])
    _recompute_all(database)
    admin.execute("DELETE FROM sample WHERE metric_no = 1 AND at = %s", [DAY])
    admin.execute("INSERT INTO dirty_hour VALUES (%s, 1)", [DAY])
    _recompute_all(database)
    assert [row[:3] for row in _picture(admin)[0]] == [
        (1, 1, DAY + timedelta(hours=1)),
        (1, 2, DAY),
    ]


def test_a_mark_made_during_a_pass_is_kept_for_the_next(database, admin):
    _store(admin, [(1, 1, DAY, 1.0)])
    with connect(database, role=ROLE) as conn:
        assert recompute(conn, 10, NOW) == 1
        _store(admin, [(1, 1, DAY + timedelta(minutes=1), 2.0)])
        conn.commit()
        assert recompute(conn, 10, NOW) == 1
        conn.commit()
    assert _picture(admin)[0][0][3] == 2


def test_a_pass_that_dies_leaves_its_marks(database, admin):
    _store(admin, [(1, 1, DAY, 1.0)])
    with connect(database, role=ROLE) as conn:
        recompute(conn, 10, NOW)
        conn.rollback()
    assert dirty_depth(admin) == 1
    assert _picture(admin) == [[], []]


def test_one_runner_at_a_time(database, admin):
    _store(admin, [(1, 1, DAY, 1.0)])
    with connect(database, role=ROLE) as first, connect(database, role=ROLE) as second:
        assert recompute(first, 10, NOW) == 1
        assert recompute(second, 10, NOW) is None
        first.commit()
        assert recompute(second, 10, NOW) == 0


def test_no_partition_is_read_whole(database, admin):
    admin.execute("SELECT ensure_sample_partition('2026-11-01')")
    admin.execute(
        "INSERT INTO sample (device_no, metric_no, at, value, received_at, clock)"
        " SELECT d, m, timestamptz '2026-11-20Z' + i * interval '10 min', i, now(), 0"
        " FROM generate_series(1, 50) d, generate_series(1, 4) m, generate_series(1, 400) i"
    )
    admin.execute("VACUUM ANALYZE sample")
    devices, hours = [1, 2, 3], [DAY, DAY + timedelta(hours=1), DAY + timedelta(days=1)]
    plan = "\n".join(
        row[0]
        for row in admin.execute(
            "EXPLAIN " + load_queries("rollup.sql")["recompute_hours"],
            {"devices": devices, "hours": hours, "now": NOW, "closed_at": DAY, "closes_at": NOW},
        )
    )
    assert "Seq Scan on sample" not in plan
    assert "Seq Scan on _hyper" not in plan
    assert "Index" in plan


def _agenda(admin):
    return admin.execute("SELECT device_no, from_at, due_at FROM agenda ORDER BY 1").fetchall()


CLOSES_AT = datetime(2026, 11, 21, 1, tzinfo=UTC)
"""Two hours after the local midnight that ends the day of `DAY`."""


@pytest.mark.parametrize(
    ("now", "due_at"),
    [
        pytest.param(DAY + timedelta(hours=9), CLOSES_AT + timedelta(seconds=1), id="its day runs"),
        pytest.param(CLOSES_AT + timedelta(hours=3), timedelta(minutes=1), id="its day is over"),
    ],
)
def test_a_recomputed_hour_asks_for_a_look_when_its_day_is_closed(database, admin, now, due_at):
    _store(admin, [(1, 1, DAY + timedelta(hours=3), 1.0), (1, 1, DAY + timedelta(hours=5), 1.0)])
    with connect(database, role=ROLE) as conn:
        recompute(conn, 10, now)
        conn.commit()
    wanted = due_at if isinstance(due_at, datetime) else now + due_at
    assert _agenda(admin) == [(1, DAY + timedelta(hours=3), wanted)]


def test_marks_on_the_agenda_keep_the_earlier_time_whatever_comes_first(database, admin):
    hours = [DAY + timedelta(hours=n) for n in (5, 3, 7)]
    for nth, hour in enumerate(hours):
        _store(admin, [(1, 1, hour, 1.0)])
        with connect(database, role=ROLE) as conn:
            recompute(conn, 10, CLOSES_AT + timedelta(hours=nth))
            conn.commit()
    assert _agenda(admin) == [(1, min(hours), CLOSES_AT + timedelta(minutes=1))]


def test_a_device_that_was_silent_is_looked_at_at_once(database, admin):
    admin.execute(
        "INSERT INTO rule_version VALUES ('silent', 1, 'd', 'b', false, now(), 'eva');"
        " INSERT INTO finding (tenant_no, device_no, subject, rule_id, rule_version, about, cause,"
        " need, severity, usability, fixer, component, started_at, last_at, known_at, confidence)"
        " SELECT tenant_no, device_no, 'device', 'silent', 1, 'contact', 'rule:silent', 'ticket',"
        " 'minor', 'usable', 'technician', 'unknown', now(), now(), now(), 1 FROM device"
        " WHERE device_no = 1"
    )
    now = DAY + timedelta(hours=9)
    _store(admin, [(no, 1, now - timedelta(hours=1), 1.5) for no in (1, 2)])
    with connect(database, role=ROLE) as conn:
        recompute(conn, 10, now)
        conn.commit()
    assert [due_at == now for _, _, due_at in _agenda(admin)] == [True, False]


def test_hours_that_are_there_are_not_compared_each_with_each(database, admin):
    """The planner takes a list of hours for short; joined in loops, they took seconds."""
    with connect(database, role=ROLE) as conn:
        values = {"devices": [1], "hours": [DAY], "now": NOW, "closed_at": DAY, "closes_at": NOW}
        plan = conn.execute("EXPLAIN " + load_queries("rollup.sql")["recompute_hours"], values)
        lines = [line for (line,) in plan]
    assert any("hashed SubPlan" in line for line in lines), lines
