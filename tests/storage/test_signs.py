"""Signs of abnormal use as the database counts them are those of the rule."""

from __future__ import annotations

import random

import psycopg
import pytest

from fleet.access.scopes import Reach, Scope
from fleet.wear import COUNTED, DRIVEN, Counter, signs
from storage import figures
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
