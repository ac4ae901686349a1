"""Finding and reading single devices as the API's role, within a caller's reach."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from fleet.access.scopes import Reach, Scope
from storage.connection import connect
from storage.device_reading import (
    boots,
    compact_mark,
    contact_hours,
    episodes,
    fleet_episodes,
    marked,
    open_gaps,
)
from storage.lending import start_loan
from storage.reading import Span
from storage.scope import enter

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SEED = """
INSERT INTO tenant (id, name) VALUES ('a', 'A'), ('b', 'B');
INSERT INTO centre (tenant_no, id, name) VALUES (1, 'north', 'N'), (1, 'south', 'S');
INSERT INTO model VALUES ('m', 'powered_wheelchair', 'Maker', 'Model');
INSERT INTO device (id, tenant_no, centre_no, model_id, shard, serial, individual_no) VALUES
    ('a-1', 1, 1, 'm', 1, 'OB-88213-A', '4471 0293'), ('a-2', 1, 2, 'm', 2, '44710', '4471 02'),
    ('b-1', 2, NULL, 'm', 3, 'OB-88213-A', '4471 0293'), ('a-3', 1, 1, 'm', 4, NULL, NULL);
INSERT INTO ledger (device_no, epoch, first_at, last_at)
    SELECT device_no, '00000000000000aa', now(), now() FROM device;
INSERT INTO gap (device_no, epoch, low, high, opened_at)
    SELECT device_no, '00000000000000aa', 1, 2, now() FROM device;
INSERT INTO metric (name) VALUES ('x_v'), ('y_v') ON CONFLICT DO NOTHING;
"""


@pytest.fixture
def url(plain_database):
    with psycopg.connect(plain_database) as conn:
        conn.execute(SEED)
        for number in range(6):
            at = NOW - number * DAY
            conn.execute(
                "INSERT INTO rollup_hour SELECT device_no, metric_no, %(at)s, 1, 1, 1, 1, 1, %(at)s"
                " FROM device, metric WHERE metric.name IN ('x_v', 'y_v')",
                {"at": at},
            )
            conn.execute(
                "INSERT INTO device_boot SELECT device_no, %s, %s, %s FROM device",
                [100 - number, number, at],
            )
            conn.execute(
                "INSERT INTO episode (device_no, system, code, started_at, last_at, ended_at,"
                " raised_n, cleared_n, logged_n, first_received_at) SELECT device_no, 's', %s, %s,"
                " %s, %s, 1, 1, 0, now() FROM device",
                [f"C{number % 2}", at, at + HOUR, at + HOUR],
            )
        conn.execute(
            "INSERT INTO latest SELECT device_no, metric_no, now(), 1 FROM device, metric"
            " WHERE metric.name IN ('x_v', 'y_v')"
        )
    with connect(plain_database) as conn:
        start_loan(conn, "a-1", "p-1", [], NOW - 2 * DAY - HOUR, care_unit="u-1")
        conn.commit()
    return plain_database


@pytest.fixture
def as_scope(url):
    """A connection with the API's rights within a reach."""
    opened = []

    def enter_scope(reach=Reach.TENANT, key="", tenant="a"):
        conn = connect(url)
        opened.append(conn)
        conn.execute("SET ROLE fjarrkoll_api")
        enter(conn, Scope(tenant, reach, key))
        return conn

    yield enter_scope
    for conn in opened:
        conn.close()


def found(conn, mark):
    return [device.id for device in marked(conn, mark, 10).devices]


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ("A-1", ["a-1"]), ("a1", ["a-1"]), ("a", ["a-1", "a-2", "a-3"]),
        ("ob88213a", ["a-1"]), ("OB 88213", ["a-1"]),
        ("4471 0293", ["a-1"]), ("447102", ["a-2"]), ("44710", ["a-2"]), ("4471", ["a-1", "a-2"]),
        ("4471%", []), ("a_1", []), ("\\", []), ("", []), ("- ", []), ("b-1", []),
    ],
)  # fmt: skip
def test_a_mark_is_found_whole_else_by_its_beginning(as_scope, mark, expected):
    assert found(as_scope(), mark) == expected


def test_marks_are_compared_alike_in_both_languages(as_scope):
    conn = as_scope()
    for mark in ("4471 02-93", "OB-88213-A", "Ö-1", " x "):
        row = conn.execute("SELECT compact_mark(%s)", [mark]).fetchone()
        assert row == (compact_mark(mark),)


@pytest.mark.parametrize(
    ("reach", "key", "expected"),
    [
        (Reach.CENTRE, "south", ["a-2"]),
        (Reach.PERSON, "p-1", ["a-1"]),
        (Reach.PERSON, "p-2", []),
        (Reach.CARE_UNIT, "u-1", ["a-1"]),
        (Reach.DEVICE, "a-2", ["a-2"]),
    ],
)
def test_marks_lead_only_to_what_is_within_reach(as_scope, reach, key, expected):
    assert found(as_scope(reach, key), "4471") == expected


def test_another_tenants_device_with_the_same_mark_is_another(as_scope):
    assert found(as_scope(tenant="b"), "4471 0293") == ["b-1"]


WEEK = Span(NOW - 7 * DAY, NOW + DAY)


def test_a_person_sees_contact_starts_and_episodes_of_their_own_loan_only(as_scope):
    staff, person = as_scope(), as_scope(Reach.PERSON, "p-1")
    number = 1
    assert contact_hours(staff, number, WEEK) == [NOW - n * DAY for n in (5, 4, 3, 2, 1, 0)]
    assert contact_hours(person, number, WEEK) == [NOW - n * DAY for n in (2, 1, 0)]
    assert [boot.boot for boot in boots(staff, number, NOW - 9 * DAY, 99)] == list(
        range(100, 94, -1)
    )
    assert [boot.boot for boot in boots(person, number, NOW - 9 * DAY, 99)] == [100, 99, 98]
    assert len(episodes(staff, number, WEEK, 99)) == 6
    assert len(episodes(person, number, WEEK, 99)) == 3


def test_nothing_of_other_devices_is_read(as_scope):
    person = as_scope(Reach.PERSON, "p-1")
    for number in (2, 3, 4):
        assert contact_hours(person, number, WEEK) == []
        assert boots(person, number, NOW - 9 * DAY, 99) == []
        assert episodes(person, number, WEEK, 99) == []


def test_episodes_of_the_fleet_keep_to_reach_and_code(as_scope):
    assert {row.device_id for row in fleet_episodes(as_scope(), 99)} == {"a-1", "a-2", "a-3"}
    south = fleet_episodes(as_scope(Reach.CENTRE, "south"), 99, "s", "C1")
    assert [(row.device_id, row.code) for row in south] == [("a-2", "C1")] * 3
    assert fleet_episodes(as_scope(), 99, "other") == []


def test_reading_on_from_a_row_misses_and_repeats_none(as_scope):
    conn, rows, after = as_scope(), [], None
    while batch := fleet_episodes(conn, 4, "s", None, after):
        rows += batch
        after = (batch[-1].started_at, batch[-1].episode_no)
    assert len({row.episode_no for row in rows}) == len(rows) == 18
    gaps = open_gaps(conn, 1)
    assert len(open_gaps(conn, 99, (gaps[0].opened_at, gaps[0].gap_no))) == 2
