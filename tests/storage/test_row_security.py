"""Row-level security: whose rows a transaction sees, table by table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from fleet.access.scopes import Reach, Scope
from storage.connection import connect
from storage.lending import end_loan, start_loan
from storage.pool import ApiPool
from storage.scope import enter

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WITHOUT = {
    "alembic_version": "names the schema, and nobody but the owner may read it",
    "dirty_hour": "filled by COPY, which knows no row-level security; the API has no right on it",
    "inbox": "work between processes; the API has no right on it",
}

SEED = """
INSERT INTO tenant (id, name) VALUES ('a', 'A'), ('b', 'B');
INSERT INTO centre (tenant_no, id, name) VALUES (1, 'north', 'N'), (1, 'south', 'S'), (2, 'x', 'X');
INSERT INTO model VALUES ('m', 'powered_wheelchair', 'Maker', 'Model');
INSERT INTO metric (name) VALUES ('battery_voltage_v') ON CONFLICT DO NOTHING;
INSERT INTO device (id, tenant_no, centre_no, model_id, shard) VALUES
    ('a-1', 1, 1, 'm', 1), ('a-2', 1, 2, 'm', 2), ('b-1', 2, 3, 'm', 3);
INSERT INTO ledger (device_no, epoch, first_at, last_at)
    SELECT device_no, '00000000000000aa', now(), now() FROM device;
INSERT INTO device_state (device_no, is_online, boot, changed_at)
    SELECT device_no, true, 1, now() FROM device;
INSERT INTO device_boot (device_no, boot, born_at) SELECT device_no, 1, now() FROM device;
INSERT INTO gap (device_no, epoch, low, high, opened_at)
    SELECT device_no, '00000000000000aa', 1, 2, now() FROM device;
INSERT INTO placement (device_no, place, from_at, who) SELECT device_no, 'in_use', now(), 'x'
    FROM device;
INSERT INTO agenda (device_no, from_at, due_at) SELECT device_no, now(), now() FROM device;
INSERT INTO agreement (tenant_no, policy_id, from_at, who) VALUES (1, 'p', now(), 'x'),
    (2, 'p', now(), 'x');
INSERT INTO quarantine (digest, reason, detail, topic, tenant_id, device_id, payload, payload_size,
    received_at, last_at)
    SELECT sha256(id::bytea), 'malformed', 'x', 't', 'a', id, '{', 1, now(), now()
    FROM unnest(ARRAY['a-1', 'a-2', 'b-1', 'stranger']) AS id;
"""


def history(conn: psycopg.Connection, at: datetime) -> None:
    """One value, one hour, one fault, one episode, one finding and one ticket of every device."""
    values = {"at": at, "epoch": f"{int(at.timestamp()):016x}"}
    for statement in (
        "SELECT ensure_sample_partition(%(at)s::date)",
        "INSERT INTO sample SELECT %(at)s, %(at)s, 1, device_no, 1, 0, NULL FROM device",
        "INSERT INTO rollup_hour SELECT device_no, 1, date_trunc('hour', %(at)s::timestamptz), 1,"
        " 1, 1, 1, 1, %(at)s FROM device",
        "INSERT INTO latest SELECT device_no, 1, %(at)s, 1 FROM device"
        " ON CONFLICT (device_no, metric_no) DO UPDATE SET at = EXCLUDED.at",
        "INSERT INTO device_setting SELECT device_no, 'drive_profile', '1', false, %(at)s, %(at)s"
        " FROM device ON CONFLICT (device_no, name) DO UPDATE SET reported_at = %(at)s",
        "INSERT INTO device_setting_change (device_no, name, value, is_care, at)"
        " SELECT device_no, 'drive_profile', '1', false, %(at)s FROM device",
        "INSERT INTO fault_event (device_no, epoch, seq, idx, system, code, state, at,"
        " received_at, clock) SELECT device_no, %(epoch)s, 1, 0, 's', 'c', 'raised', %(at)s,"
        " %(at)s, 0 FROM device",
        "INSERT INTO episode (device_no, system, code, started_at, last_at, ended_at, raised_n,"
        " cleared_n, logged_n, first_received_at) SELECT device_no, 's', 'c', %(at)s, %(at)s,"
        " %(at)s, 1, 1, 0, %(at)s FROM device",
        "INSERT INTO ticket (device_no, tenant_no, cause, state, order_kind, severity, usability,"
        " fixer, component, title_sv, title_en, body_sv, body_en, started_at, known_at,"
        " updated_at) SELECT device_no, tenant_no, 'brake', 'closed', 'AU', 'major', 'degraded',"
        " 'technician', 'brake', 't', 't', 'b', 'b', %(at)s, %(at)s, %(at)s FROM device",
        "INSERT INTO ticket_event SELECT ticket_no, 1, %(at)s, 'opened', 'diagnostics' FROM ticket"
        " WHERE started_at = %(at)s",
        "INSERT INTO ticket_clock (ticket_no, tenant_no, clock, due_at, notify_at)"
        " SELECT ticket_no, tenant_no, 'start', %(at)s, %(at)s FROM ticket"
        " WHERE started_at = %(at)s",
        "INSERT INTO ticket_pause (ticket_no, from_at, reason) SELECT ticket_no, %(at)s, 'x'"
        " FROM ticket WHERE started_at = %(at)s",
        "INSERT INTO rule_version VALUES ('r', 1, 'd', 'b', true, %(at)s, 'x')"
        " ON CONFLICT DO NOTHING",
        "INSERT INTO finding (tenant_no, device_no, subject, rule_id, rule_version, about, cause,"
        " need, severity, usability, fixer, component, started_at, last_at, known_at, confidence)"
        " SELECT tenant_no, device_no, 'device', 'r', 1, 'x', 'brake', 'ticket', 'major',"
        " 'degraded', 'technician', 'brake', %(at)s, %(at)s, %(at)s, 1 FROM device",
        "INSERT INTO ticket_finding SELECT k.ticket_no, f.finding_no FROM ticket k JOIN finding f"
        " USING (device_no, started_at) WHERE k.started_at = %(at)s",
        "INSERT INTO ticket_episode SELECT k.ticket_no, e.episode_no FROM ticket k JOIN episode e"
        " USING (device_no, started_at) WHERE k.started_at = %(at)s",
    ):
        conn.execute(statement, values)


@pytest.fixture(scope="module")
def url(plain):
    """Two tenants; device a-1 was lent to p-old with unit-1, and is lent to p-new with unit-2."""
    name = "rowsecurity"
    address = plain.create_migrated(name)
    with psycopg.connect(address) as conn:
        conn.execute(SEED)
        start_loan(conn, "a-1", "p-old", [], NOW - 60 * DAY, care_unit="unit-1")
        history(conn, NOW - 40 * DAY)
        end_loan(conn, "a-1", NOW - 30 * DAY)
        start_loan(conn, "a-1", "p-new", [], NOW - 20 * DAY, care_unit="unit-2")
        history(conn, NOW - 10 * DAY)
        start_loan(conn, "b-1", "p-b", [], NOW - 60 * DAY, care_unit="unit-1")
    yield address
    plain.drop_database(name)


@pytest.fixture
def api(url):
    with connect(url, role="fjarrkoll_api") as conn:
        yield conn


def seen(conn, table: str, column: str = "device_no") -> set[str]:
    """The ids of the devices that rows of a table belong to."""
    found = conn.execute(
        f"SELECT DISTINCT d.id FROM {table} x JOIN device d USING ({column})"
    ).fetchall()
    return {row[0] for row in found}


BY_DEVICE = [
    "device", "ledger", "gap", "device_state", "fault_event", "episode", "finding",
    "ticket", "loan", "placement", "latest", "device_setting", "device_setting_change",
]  # fmt: skip
OF_TICKETS = ["ticket_event", "ticket_clock", "ticket_pause", "ticket_finding", "ticket_episode"]
REACHES = {
    "tenant a": (Scope("a", Reach.TENANT), {"a-1", "a-2"}),
    "tenant b": (Scope("b", Reach.TENANT), {"b-1"}),
    "centre": (Scope("a", Reach.CENTRE, "north"), {"a-1"}),
    "centre of another tenant": (Scope("a", Reach.CENTRE, "x"), set()),
    "person": (Scope("a", Reach.PERSON, "p-new"), {"a-1"}),
    "earlier person": (Scope("a", Reach.PERSON, "p-old"), set()),
    "person of another tenant": (Scope("a", Reach.PERSON, "p-b"), set()),
    "care unit": (Scope("a", Reach.CARE_UNIT, "unit-2"), {"a-1"}),
    "earlier care unit": (Scope("a", Reach.CARE_UNIT, "unit-1"), set()),
    "device": (Scope("a", Reach.DEVICE, "a-2"), {"a-2"}),
    "unknown tenant": (Scope("nobody", Reach.TENANT), set()),
}


@pytest.mark.parametrize("table", BY_DEVICE)
@pytest.mark.parametrize("name", REACHES)
def test_a_reach_sees_the_rows_of_its_devices_and_no_others(api, name, table):
    scope, devices = REACHES[name]
    enter(api, scope)
    found = seen(api, table)
    if table in {"loan", "latest"} and scope.reach in {Reach.TENANT, Reach.CENTRE, Reach.DEVICE}:
        assert found <= devices
    else:
        assert found == devices


@pytest.mark.parametrize("table", OF_TICKETS)
@pytest.mark.parametrize("name", REACHES)
def test_what_belongs_to_a_ticket_is_seen_with_it(api, name, table):
    scope, devices = REACHES[name]
    enter(api, scope)
    rows = api.execute(
        f"SELECT DISTINCT d.id FROM {table} x JOIN ticket k USING (ticket_no)"
        " JOIN device d USING (device_no)"
    ).fetchall()
    assert {row[0] for row in rows} == devices


@pytest.mark.parametrize("reach", [Reach.PERSON, Reach.CARE_UNIT])
@pytest.mark.parametrize(
    ("table", "column"),
    [("fault_event", "at"), ("episode", "started_at"), ("finding", "started_at"),
     ("ticket", "started_at"), ("loan", "started_at"), ("latest", "at"),
     ("device_setting", "reported_at"), ("device_setting_change", "at")],
)  # fmt: skip
def test_a_loan_shows_nothing_from_before_it(api, reach, table, column):
    enter(api, Scope("a", reach, "p-new" if reach is Reach.PERSON else "unit-2"))
    (earliest,) = api.execute(f"SELECT min({column}) FROM {table}").fetchone()
    assert earliest >= NOW - 20 * DAY


@pytest.mark.parametrize("function", ["seen_samples", "seen_hours"])
def test_telemetry_is_the_callers_own_and_from_the_loan_on(url, api, function):
    with psycopg.connect(url) as conn:
        numbers = dict(conn.execute("SELECT id, device_no FROM device").fetchall())
    found = {}
    for name, (scope, _) in REACHES.items():
        enter(api, scope)
        for device, number in numbers.items():
            query = f"SELECT count(*) FROM {function}(%s, 1, '-infinity', 'infinity', 100)"
            (found[name, device],) = api.execute(query, (number,)).fetchone()
        api.rollback()
    expected = {
        (name, device): (0 if device not in devices else 1 if is_loan(scope) else 2)
        for name, (scope, devices) in REACHES.items()
        for device in numbers
    }
    assert found == expected


def is_loan(scope: Scope) -> bool:
    return scope.reach in {Reach.PERSON, Reach.CARE_UNIT}


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        (Scope("a", Reach.TENANT), {"a-1", "a-2", "stranger"}),
        (Scope("a", Reach.CENTRE, "north"), {"a-1"}),
        (Scope("a", Reach.CENTRE, "south"), {"a-2"}),
        (Scope("b", Reach.TENANT), set()),
        (Scope("a", Reach.PERSON, "p-new"), set()),
        (Scope("a", Reach.DEVICE, "a-1"), set()),
    ],
)
def test_refused_messages_are_seen_with_their_device_and_by_staff(api, scope, found):
    enter(api, scope)
    rows = api.execute("SELECT device_id FROM quarantine").fetchall()
    assert {row[0] for row in rows} == found


def test_without_a_scope_nothing_is_seen(api):
    for table in [*BY_DEVICE, *OF_TICKETS, "tenant", "metric", "rule_version", "quarantine"]:
        assert api.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table


def test_staff_make_the_link_to_a_person_and_never_read_it(api):
    enter(api, Scope("a", Reach.TENANT))
    assert api.execute("SELECT count(*) FROM person_link").fetchone() == (0,)
    start_loan(api, "a-2", "p-third", [], NOW, care_unit="unit-9")
    (link,) = api.execute("SELECT count(*) FROM person_link").fetchone()
    assert link == 0


def test_nobody_links_a_person_to_another_tenants_loan(api):
    enter(api, Scope("a", Reach.TENANT))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        api.execute("INSERT INTO person_link (loan_no, person) VALUES (3, 'p-x')")


def test_a_scope_ends_with_its_transaction(api):
    enter(api, Scope("a", Reach.TENANT))
    api.commit()
    assert api.execute("SELECT count(*) FROM device").fetchone() == (0,)


def test_a_pooled_connection_carries_no_tenant_over(url):
    pool = ApiPool(url, 1, 5)
    pool.open()
    try:
        for _ in range(5):
            with pool.read(Scope("a", Reach.TENANT)) as conn:
                assert seen(conn, "device") == {"a-1", "a-2"}
            with pytest.raises(ZeroDivisionError), pool.write(Scope("a", Reach.TENANT)) as conn:
                raise ZeroDivisionError
            with pool.outside() as conn:
                assert seen(conn, "device") == set()
            with pool.read(Scope("b", Reach.TENANT)) as conn:
                assert seen(conn, "device") == {"b-1"}
    finally:
        pool.close()


def test_every_table_has_row_level_security_but_those_the_api_has_no_right_on(url):
    with psycopg.connect(url) as conn:
        rows = conn.execute(
            "SELECT relname, relrowsecurity FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        ).fetchall()
    without = {name for name, is_on in rows if not is_on}
    telemetry = {name for name in without if name == "sample" or name.startswith("sample_")}
    assert without - telemetry == set(WITHOUT)


def test_the_api_owns_nothing_and_has_no_rights_on_telemetry(url):
    with psycopg.connect(url) as conn:
        owned = conn.execute(
            "SELECT count(*) FROM pg_class WHERE relowner = 'fjarrkoll_api'::regrole"
        ).fetchone()
        rights = conn.execute(
            "SELECT relname FROM pg_class WHERE relname ~ '^(sample|rollup_hour|inbox|dirty_hour)'"
            " AND relkind IN ('r', 'p') AND has_table_privilege('fjarrkoll_api', oid,"
            " 'SELECT, INSERT, UPDATE, DELETE')"
        ).fetchall()
    assert (owned, rights) == ((0,), [])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ticket SET assignee = 'x' WHERE device_no = 3",
        "UPDATE loan SET ended_at = now() WHERE device_no = 3",
        "UPDATE placement SET until_at = now() WHERE device_no = 3",
        "UPDATE device SET area = 'x' WHERE device_no = 3",
    ],
)
def test_nobody_changes_another_tenants_rows(api, statement):
    enter(api, Scope("a", Reach.TENANT))
    assert api.execute(statement).rowcount == 0


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO loan (device_no, started_at) VALUES (3, now())",
        "INSERT INTO placement (device_no, place, from_at, who) VALUES (3, 'storage', now(), 'x')",
        "INSERT INTO ticket_event VALUES (3, 9, now(), 'x', 'x')",
        "INSERT INTO outbox (aggregate, kind, payload) VALUES ('x', 'x', '{\"tenant\": \"b\"}')",
    ],
)
def test_nobody_adds_rows_to_another_tenant(api, statement):
    enter(api, Scope("a", Reach.TENANT))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        api.execute(statement)


def test_a_temporary_table_does_not_stand_in_for_a_real_one(api):
    enter(api, Scope("b", Reach.TENANT))
    api.execute("CREATE TEMP TABLE device AS SELECT 1 AS device_no, 2 AS tenant_no, 'a-1' AS id")
    assert api.execute("SELECT seen_from(1)").fetchone() == (None,)
    api.rollback()
