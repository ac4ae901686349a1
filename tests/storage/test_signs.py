"""Signs of abnormal use as the database counts them are those of the rule."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from fleet.access.scopes import Reach, Scope
from fleet.wear import COUNTED, DRIVEN, Counter, Sign, signs
from storage import figures
from storage.lending import end_loan, start_loan
from storage.migrate import migrate
from storage.scope import enter

SETUP = """
INSERT INTO tenant (id, name) VALUES ('t', 'T'), ('u', 'U');
INSERT INTO model VALUES ('m1', 'powered_wheelchair', 'Maker', 'One'),
    ('m2', 'powered_wheelchair', 'Maker', 'Two');
INSERT INTO metric (name) VALUES ('drive_time_s'), ('deep_discharge_count'),
    ('overcharge_count'), ('seat_actuation_count') ON CONFLICT DO NOTHING;
"""


def counters(dice):
    """A fleet with driven hours and counts as they come: some missing, many of them nought."""
    found = []
    for number in range(150):
        name, model = f"d-{number:03}", dice.choice(("m1", "m2", "m2"))
        hours = dice.choice((0.0, 20.0, 50.0, dice.uniform(50, 900)))
        rows = [(DRIVEN, hours * 3600)] if dice.random() < 0.9 else []
        chances = [(0, 0, dice.randrange(9), dice.randrange(400)) for _ in COUNTED]
        rows += [
            (metric, float(dice.choice(chance)))
            for metric, chance in zip(COUNTED, chances, strict=True)
        ]
        found += [Counter(name, model, None, None, metric, value) for metric, value in rows]
    return found


def store(conn, tenant, rows):
    for name, model in sorted({(row.device_id, row.model_id) for row in rows}):
        conn.execute(
            "INSERT INTO device (id, tenant_no, model_id, shard)"
            " SELECT %s, tenant_no, %s, 0 FROM tenant WHERE id = %s",
            (name, model, tenant),
        )
    for row in rows:
        conn.execute(
            "INSERT INTO latest SELECT device_no, metric_no, now(), %s FROM device d, metric m"
            " WHERE d.id = %s AND m.name = %s",
            (row.value, row.device_id, row.metric),
        )


@pytest.mark.parametrize("seed", range(4))
def test_the_database_finds_the_signs_that_the_rule_finds(plain_database, seed):
    migrate(plain_database)
    rows = counters(random.Random(seed))
    others = [row._replace(device_id=f"u{row.device_id}", value=1e9) for row in rows]
    with psycopg.connect(plain_database) as conn:
        conn.execute(SETUP)
        store(conn, "t", rows)
        store(conn, "u", others)
        conn.execute("SET ROLE fjarrkoll_api")
        enter(conn, Scope("t", Reach.TENANT))
        found = figures.signs(conn, 10_000)
        few = figures.signs(conn, 3)
    expected = signs(rows)
    assert found.n == len(expected) > 0
    assert [sign.device_id for sign in found.first] == [sign.device_id for sign in expected]
    for sign, wanted in zip(found.first, expected, strict=True):
        assert (sign.metric, sign.peer_n) == (wanted.metric, wanted.peer_n)
        got = (sign.value, sign.median, sign.limit)
        assert got == pytest.approx((wanted.value, wanted.median, wanted.limit))
    assert (few.n, few.first) == (found.n, found.first[:3])


NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MONTHS = 10


def hours(conn, name, metric, values):
    """What a counter showed on the tenth of each month from ten months ago on, and now."""
    conn.execute(
        "INSERT INTO rollup_hour SELECT device_no, metric_no, at, 1, value, value, value, value, at"
        " FROM device, metric, unnest(%(at)s::timestamptz[], %(values)s::float8[]) AS r (at, value)"
        " WHERE id = %(name)s AND metric.name = %(metric)s",
        {"name": name, "metric": metric, "values": values, "at": readings()},
    )
    conn.execute(
        "INSERT INTO latest SELECT device_no, metric_no, %s, %s FROM device, metric"
        " WHERE id = %s AND name = %s",
        (NOW, values[-1], name, metric),
    )


def readings():
    tenths = [datetime(2026, month, 10, tzinfo=UTC) for month in range(2, 2 + MONTHS)]
    return [*tenths, NOW]


def growing(before, after, change):
    """A counter that goes up by `before` a month, and by `after` from the month `change` on."""
    steps = [0.0] + [before if month < change else after for month in range(MONTHS)]
    return [sum(steps[: n + 1]) for n in range(MONTHS + 1)]


@pytest.fixture
def lent(plain_database):
    """Thirty chairs, driven alike. The third and fourth had a hard time before the last loan."""
    with psycopg.connect(plain_database) as conn:
        conn.execute(SETUP)
        for number in range(30):
            name = f"d-{number:03}"
            conn.execute(
                "INSERT INTO device (id, tenant_no, model_id, shard, area, individual_no)"
                " VALUES (%s, 1, 'm1', 0, 'Borås', %s)", (name, f"i {number}"),
            )  # fmt: skip
            hours(conn, name, DRIVEN, growing(36 * 3600, 36 * 3600, 0))
            deep = {2: (400, 4), 3: (4, 400)}.get(number, (4 + number % 3, 4 + number % 3))
            hours(conn, name, COUNTED[0], growing(*deep, 5))
        for name in ("d-002", "d-003"):
            start_loan(conn, name, "p-old", [], NOW - 400 * DAY)
            end_loan(conn, name, readings()[5])
            start_loan(conn, name, "p-new", [], readings()[5])
        yield conn


def found_in(conn):
    conn.execute("SET ROLE fjarrkoll_api")
    enter(conn, Scope("t", Reach.TENANT))
    found = figures.signs(conn, 10).first
    return found, figures.sign_months(conn, found, NOW + timedelta(hours=1))


def test_a_loan_answers_for_its_own_time_only(lent):
    (sign,), months = found_in(lent)
    assert (sign.device_id, sign.individual_no, sign.area) == ("d-003", "i 3", "Borås")
    assert (sign.from_at, sign.until_at) == (readings()[5], None)
    assert (sign.count, sign.hours, sign.peer_n) == (2000, pytest.approx(180), 30)
    assert sign.rate.low < sign.value < sign.rate.high
    told = months["d-003", COUNTED[0]]
    assert [one.month.month for one in told] == [8, 9, 10, 11]
    assert [one.count for one in told] == [400, 400, 400, 800]
    assert [one.hours for one in told] == pytest.approx([36, 36, 36, 72])
    assert all(one.rate.low > sign.limit for one in told)


def test_a_loan_that_is_over_is_judged_until_its_end(lent):
    lent.execute("DELETE FROM loan WHERE ended_at IS NULL")
    (sign,), months = found_in(lent)
    assert (sign.device_id, sign.until_at) == ("d-002", readings()[5])
    assert sign.count == 1600, "what came after the last reading of its own is not known"
    assert sum(one.count for one in months["d-002", COUNTED[0]]) == 1600


def test_a_counter_that_fell_is_another_modules_and_no_sign(lent):
    lent.execute(
        "UPDATE latest SET value = 3 FROM device WHERE id = 'd-003'"
        " AND device.device_no = latest.device_no AND value < 10000"
    )
    assert found_in(lent)[0] == []


def test_a_loan_that_was_not_shared_all_its_time_is_left_out(lent):
    lent.execute(
        "INSERT INTO sharing_choice (loan_no, from_at, until_at) SELECT loan_no, %s, %s FROM loan"
        " JOIN device USING (device_no) WHERE id = 'd-003' AND ended_at IS NULL",
        (NOW - 30 * DAY, NOW - 20 * DAY),
    )
    assert found_in(lent)[0] == []
    asked = Sign("d-003", None, "m1", None, COUNTED[0], readings()[5], None, 1, 1, 1, 1, 1)
    assert figures.sign_months(lent, [asked], NOW) == {}


def test_another_tenant_sees_no_month(lent):
    lent.execute("SET ROLE fjarrkoll_api")
    enter(lent, Scope("u", Reach.TENANT))
    asked = Sign("d-003", None, "m1", None, COUNTED[0], readings()[5], None, 1, 1, 1, 1, 1)
    assert figures.sign_months(lent, [asked], NOW) == {}
