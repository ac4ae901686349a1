"""The access log against the real database: appended once, chained, and never changed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.audits import NOON, entries, entry_of

from fleet.access.audit import EntryError, Fault, Head, digest
from storage.audit import (
    AuditFilter,
    AuditUnavailableError,
    AuditWriter,
    append,
    audited_tenants,
    chain,
    check_chain,
    head,
    page,
)
from storage.connection import DatabaseDownError, DataRejectedError, connect

HOUR = timedelta(hours=1)
_IN_A_TEST = settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def url(plain_database):
    """Two tenants, two chairs; the first chair had one user and has another."""
    with psycopg.connect(plain_database) as conn:
        conn.execute("INSERT INTO tenant (id, name) VALUES ('r1', 'R'), ('r2', 'S')")
        conn.execute("INSERT INTO model VALUES ('m', 'powered_wheelchair', 'maker', 'name')")
        conn.execute("INSERT INTO centre (tenant_no, id, name) SELECT tenant_no, 'c1', 'C'"
                     " FROM tenant WHERE id = 'r1'")  # fmt: skip
        conn.execute(
            "INSERT INTO device (id, tenant_no, centre_no, model_id, shard)"
            " SELECT new.id, tenant.tenant_no, centre_no, 'm', 7"
            " FROM (VALUES ('wc-1', 'r1', 'c1'), ('wc-2', 'r1', NULL), ('wc-3', 'r2', NULL))"
            " AS new (id, tenant, centre) JOIN tenant ON tenant.id = new.tenant"
            " LEFT JOIN centre ON centre.id = new.centre"
        )
        lend(conn, "wc-1", "p-1", NOON - 48 * HOUR, NOON - 24 * HOUR)
        lend(conn, "wc-1", "p-2", NOON - 24 * HOUR, None)
        lend(conn, "wc-3", "p-3", NOON - 24 * HOUR, None)
    return plain_database


def lend(conn, device, person, start, end):
    conn.execute(
        "WITH new AS (INSERT INTO loan (device_no, started_at, ended_at)"
        " SELECT device_no, %s, %s FROM device WHERE id = %s RETURNING loan_no)"
        " INSERT INTO person_link (loan_no, person) SELECT loan_no, %s FROM new",
        [start, end, device, person],
    )


@pytest.fixture
def conn(url):
    """The owner, who works for all tenants."""
    with connect(url) as connection:
        yield connection


@pytest.fixture
def writer(url):
    opened = AuditWriter(url)
    yield opened
    opened.close()


@pytest.fixture
def api(url):
    with connect(url, role="fjarrkoll_api") as connection:
        yield connection


def enter(conn, tenant="r1", reach="tenant", key=""):
    """As a signed-in caller's transaction does."""
    conn.execute(
        "SELECT set_config('fjarrkoll.tenant_no', tenant_no_of(%s)::text, true),"
        " set_config('fjarrkoll.reach', %s, true), set_config('fjarrkoll.reach_key', %s, true)",
        [tenant, reach, key],
    )


def wrote(conn, count=8, **fields):
    """That many entries, and the rows they became."""
    append(conn, "r1", [entry_of(why=f"skäl {n}", **fields) for n in range(count)])
    conn.commit()
    return list(chain(conn, "r1"))


def tampered(conn, statement, *values):
    """What somebody can do who owns the server."""
    with conn.transaction():
        for table in ("audit", "audit_head"):
            conn.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        conn.execute(statement, values)
        for table in ("audit", "audit_head"):
            conn.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def problem(conn, *exported):
    found = check_chain(conn, "r1", exported).problem
    return None if found is None else (found.no, found.fault)


def test_entries_come_back_as_they_were_said_newest_first(conn):
    said = [
        entry_of(subject="a", why="ringde om Åkes stol", request_id="x1", object_id="17"),
        entry_of(subject="b", at=NOON + HOUR, commission="SE-uppdrag", care_unit="SE-enhet"),
    ]
    assert append(conn, "r1", said) == 2
    assert [row.entry for row in page(conn, AuditFilter("r1"), 10)] == said[::-1]
    assert [row.no for row in page(conn, AuditFilter("r1"), 10, before_no=2)] == [1]
    assert [row.no for row in page(conn, AuditFilter("r1"), 1)] == [2]
    assert page(conn, AuditFilter("r2"), 10) == []
    assert page(conn, AuditFilter("unknown"), 10) == []
    assert audited_tenants(conn) == ["r1"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"subject": "a"}, [1]),
        ({"device_id": "wc-1"}, [2]),
        ({"person": "p-2"}, [2]),
        ({"from_at": NOON + HOUR}, [3]),
        ({"until_at": NOON + HOUR}, [2, 1]),
        ({"from_at": NOON, "until_at": NOON + 2 * HOUR, "subject": "c"}, [3]),
    ],
)
def test_a_filter_lets_through_what_it_names(conn, wanted, found):
    said = [
        entry_of(subject="a"),
        entry_of(subject="b", device_id="wc-1"),
        entry_of(subject="c", at=NOON + HOUR),
    ]
    append(conn, "r1", said)
    assert [row.no for row in page(conn, AuditFilter("r1", **wanted), 10)] == found


@given(said=st.lists(entries(loan_no=st.none()), min_size=1, max_size=4))
@_IN_A_TEST
def test_the_database_hashes_as_the_verifier_does(conn, said):
    conn.rollback()
    append(conn, "r1", said)
    rows = list(chain(conn, "r1"))
    assert [row.entry for row in rows] == said
    assert [row.hash for row in rows] == [digest(r.previous, r.no, r.entry) for r in rows]
    assert check_chain(conn, "r1", ()).is_right


@pytest.mark.parametrize(
    ("fields", "person"),
    [
        ({"device_id": "wc-1"}, "p-2"),
        ({"device_id": "wc-1", "at": NOON - 30 * HOUR}, "p-1"),
        ({"device_id": "wc-1", "at": NOON - 24 * HOUR}, "p-2"),
        ({"device_id": "wc-1", "at": NOON - 50 * HOUR}, None),
        ({"device_id": "wc-2"}, None),
        ({"device_id": "wc-3"}, None),  # another tenant's
        ({"device_id": "wc-9"}, None),
        ({"person": "p-7"}, "p-7"),
    ],
)
def test_an_entry_gets_the_person_whose_loan_it_concerns(conn, fields, person):
    (row,) = wrote(conn, 1, **fields)
    assert row.entry.person == person
    assert (row.entry.loan_no is not None) is (person in ("p-1", "p-2"))
    assert check_chain(conn, "r1", ()).is_right


def test_an_entry_about_a_loan_or_a_ticket_concerns_that_loans_person(conn):
    ((first,),) = conn.execute("SELECT loan_no FROM person_link WHERE person = 'p-1'").fetchall()
    ((foreign,),) = conn.execute("SELECT loan_no FROM person_link WHERE person = 'p-3'").fetchall()
    ((ticket,),) = conn.execute(
        "INSERT INTO ticket (device_no, tenant_no, cause, order_kind, severity, usability, fixer,"
        " component, title_sv, title_en, body_sv, body_en, started_at, known_at, updated_at)"
        " SELECT device_no, tenant_no, 'c', 'AU', 'major', 'usable', 'technician', 'battery', 't',"
        " 't', 'b', 'b', %(at)s, %(at)s, %(at)s FROM device WHERE id = 'wc-1' RETURNING ticket_no",
        {"at": NOON - 30 * HOUR},
    ).fetchall()
    said = [
        entry_of(device_id="wc-1", loan_no=first),
        entry_of(object_kind="loan", object_id=str(first)),
        entry_of(object_kind="ticket", object_id=str(ticket)),
        entry_of(object_kind="loan", object_id=str(foreign)),
        entry_of(object_kind="ticket", object_id="99999999999999999999"),
    ]
    append(conn, "r1", said)
    rows = [row.entry for row in chain(conn, "r1")]
    assert [row.person for row in rows] == ["p-1", "p-1", "p-1", None, None]
    assert [row.loan_no for row in rows] == [first, first, first, None, None]
    assert rows[2].device_id == "wc-1"


def number_of(conn, statement, **values):
    return conn.execute(statement, values).fetchone()[0]


def refused_message(conn, device_id, tenant="r1"):
    return number_of(
        conn,
        "INSERT INTO quarantine (digest, reason, detail, topic, tenant_id, device_id, payload,"
        " payload_size, received_at, last_at) VALUES (sha256(convert_to(%(device)s, 'UTF8')),"
        " 'malformed', 'x', 't', %(tenant)s, %(device)s, '{', 1, %(at)s, %(at)s)"
        " RETURNING quarantine_no",
        device=device_id, tenant=tenant, at=NOON - 30 * HOUR,
    )  # fmt: skip


def test_an_entry_about_a_refused_message_concerns_who_had_the_device_then(conn):
    numbers = [refused_message(conn, device) for device in ("wc-1", "wc-3", "wc-9")]
    numbers.append(refused_message(conn, "wc-2", tenant="r2"))
    append(conn, "r1", [entry_of(object_kind="quarantine", object_id=str(n)) for n in numbers])
    rows = [row.entry for row in chain(conn, "r1")]
    assert [row.device_id for row in rows] == ["wc-1", None, "wc-9", None], "wc-3 is another's"
    assert [row.person for row in rows] == ["p-1", None, None, None]


def test_an_entry_about_a_hold_concerns_what_is_held(conn):
    hold = (
        "INSERT INTO incident_hold (tenant_no, device_no, person, why, who, from_at)"
        " SELECT t.tenant_no, d.device_no, %(person)s, 'tillbud', 'A', now() FROM tenant t"
        " LEFT JOIN device d ON d.id = %(device)s WHERE t.id = %(tenant)s RETURNING hold_no"
    )
    numbers = [
        number_of(conn, hold, tenant="r1", device="wc-1", person=None),
        number_of(conn, hold, tenant="r1", device=None, person="p-7"),
        number_of(conn, hold, tenant="r2", device=None, person="p-8"),
    ]
    append(conn, "r1", [entry_of(object_kind="hold", object_id=str(n)) for n in numbers])
    rows = [row.entry for row in chain(conn, "r1")]
    assert [row.device_id for row in rows] == ["wc-1", None, None]
    assert [row.person for row in rows] == ["p-2", "p-7", None]


def test_a_person_stands_in_the_log_after_the_link_was_cut(conn):
    wrote(conn, 1, device_id="wc-1")
    conn.execute("DELETE FROM person_link")
    conn.commit()
    assert [row.entry.person for row in chain(conn, "r1")] == ["p-2"]
    assert check_chain(conn, "r1", ()).is_right


def test_more_entries_than_one_call_takes_are_one_chain(conn):
    assert append(conn, "r1", [entry_of()] * 2_100) == 2_100
    assert check_chain(conn, "r1", ()).checked_n == 2_100
    with pytest.raises(psycopg.errors.CheckViolation, match="append at most 1000"):
        conn.execute("SELECT append_audit('r1', (SELECT jsonb_agg(n) FROM generate_series(1, 1001)"
                     " AS n))")  # fmt: skip


def test_what_is_rolled_back_leaves_no_gap(conn):
    append(conn, "r1", [entry_of()])
    conn.rollback()
    assert head(conn, "r1") is None
    assert [row.no for row in wrote(conn, 2)] == [1, 2]


def test_an_unknown_tenant_has_no_log(conn):
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="there is no tenant r9"):
        append(conn, "r9", [entry_of("r9")])
    conn.rollback()
    with pytest.raises(EntryError, match="of tenant r2, and the log of tenant r1"):
        append(conn, "r1", [entry_of("r2")])


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE audit SET why = 'annat' WHERE audit_no = 3", (3, Fault.EDITED)),
        ("UPDATE audit SET at = at + '1 us' WHERE audit_no = 3", (3, Fault.EDITED)),
        ("UPDATE audit SET person = 'p-9' WHERE audit_no = 8", (8, Fault.EDITED)),
        ("UPDATE audit SET hash = sha256('x') WHERE audit_no = 3", (3, Fault.EDITED)),
        ("DELETE FROM audit WHERE audit_no = 1", (1, Fault.MISSING)),
        ("DELETE FROM audit WHERE audit_no IN (4, 5)", (4, Fault.MISSING)),
        ("DELETE FROM audit WHERE audit_no > 5", (6, Fault.TRUNCATED)),
        ("DELETE FROM audit", (1, Fault.TRUNCATED)),
        ("TRUNCATE audit", (1, Fault.TRUNCATED)),
        ("UPDATE audit_head SET last_no = 6", (7, Fault.HEAD_BEHIND)),
        ("UPDATE audit_head SET last_no = 9", (9, Fault.TRUNCATED)),
        ("DELETE FROM audit_head", (8, Fault.HEAD_MISSING)),
        # An entry is put in that nobody appended.
        (
            "INSERT INTO audit SELECT tenant_no, 9, at, subject, name, role, commission, care_unit,"
            " action, object_kind, object_id, device_id, loan_no, person, why, request_id, hash,"
            " sha256('x') FROM audit WHERE audit_no = 8",
            (9, Fault.EDITED),
        ),
    ],
)  # fmt: skip
def test_what_the_servers_owner_changes_is_found_and_named(conn, statement, expected):
    wrote(conn)
    assert problem(conn) is None
    conn.commit()
    tampered(conn, statement)
    assert problem(conn) == expected


def test_rows_that_changed_places_are_found(conn):
    wrote(conn)
    for low, high in ((3, 900), (6, 3), (900, 6)):
        tampered(conn, "UPDATE audit SET audit_no = %s WHERE audit_no = %s", high, low)
    assert problem(conn) == (3, Fault.REORDERED)


def test_a_log_written_anew_by_its_owner_is_found_by_an_exported_head(conn):
    wrote(conn)
    exported = head(conn, "r1")
    early = Head("r1", 2, next(row.hash for row in chain(conn, "r1") if row.no == 2))
    said = [row.entry for row in chain(conn, "r1")]
    said[4] = replace(said[4], why="inget")
    conn.commit()
    tampered(conn, "TRUNCATE audit, audit_head")
    append(conn, "r1", said)
    assert problem(conn) is None
    assert problem(conn, early) is None
    assert problem(conn, early, exported) == (8, Fault.REWRITTEN)
    conn.commit()
    tampered(conn, "TRUNCATE audit, audit_head")
    assert problem(conn) is None
    assert problem(conn, exported) == (1, Fault.TRUNCATED)


CHANGES = (
    "UPDATE audit SET why = 'annat'",
    "UPDATE audit SET why = 'annat' WHERE audit_no = 99",
    "DELETE FROM audit",
    "TRUNCATE audit",
    "TRUNCATE audit CASCADE",
    "DELETE FROM audit_head",
    "TRUNCATE audit_head",
    "UPDATE audit_head SET last_no = 0",
    "UPDATE audit_head SET tenant_no = 2",
    "INSERT INTO audit SELECT * FROM audit ON CONFLICT (tenant_no, audit_no)"
    " DO UPDATE SET why = 'annat'",
    "MERGE INTO audit USING audit AS o ON o.audit_no = audit.audit_no"
    " WHEN MATCHED THEN UPDATE SET why = 'annat'",
)


@pytest.mark.parametrize("mode", ["origin", "replica"])
def test_not_even_the_owner_changes_a_row_in_passing(conn, mode):
    wrote(conn)
    for statement in CHANGES:
        conn.execute(f"SET LOCAL session_replication_role = {mode}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="only grows") as refused:
            conn.execute(statement)
        assert refused.value.diag.constraint_name == "audit_append_only"
        assert "answered by a new one" in refused.value.diag.message_hint
        conn.rollback()


ATTEMPTS = (
    *CHANGES,
    "INSERT INTO audit SELECT * FROM audit",
    "UPDATE audit_head SET last_no = 99",
    "INSERT INTO audit_head (tenant_no) SELECT tenant_no FROM tenant",
    "ALTER TABLE audit DISABLE TRIGGER USER",
    "ALTER TABLE audit DISABLE ROW LEVEL SECURITY",
    "DROP TABLE audit",
    "SET session_replication_role = replica",
    "SELECT held_audit_head('r1')",
    "CREATE OR REPLACE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql"
    " AS 'BEGIN RETURN NULL; END'",
)


@pytest.mark.parametrize("role", ["fjarrkoll_api", "fjarrkoll_diagnose", "fjarrkoll_ingest"])
def test_no_process_may_do_anything_but_append(conn, url, role):
    before = wrote(conn)
    with connect(url, role=role) as other:
        for statement in ATTEMPTS:
            enter_as_owner(other, role)
            with pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
                other.execute(statement)
            assert refused.value.diag.constraint_name is None, "no right; no trigger was asked"
            other.rollback()
    assert list(chain(conn, "r1")) == before


def enter_as_owner(conn, role):
    """Within r1, also for roles that may not look up its number."""
    conn.execute("RESET ROLE")
    enter(conn)
    conn.execute(f"SET ROLE {role}")


def test_a_table_of_ones_own_does_not_take_the_logs_place(conn, api):
    wrote(conn)
    api.execute("CREATE TEMP TABLE audit_head (tenant_no int, last_no bigint, last_hash bytea)")
    api.execute("CREATE TEMP TABLE tenant AS SELECT 1 AS tenant_no, 'r1'::text AS id")
    api.execute("SELECT set_config('fjarrkoll.tenant_no', '1', true)")
    assert append(api, "r1", [entry_of()]) == 9
    api.commit()
    assert problem(conn) is None


def test_the_api_appends_to_the_tenant_of_its_transaction_only(conn, api):
    for tenant in (None, "r2"):
        if tenant is not None:
            enter(api, tenant)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="not for tenant r1"):
            append(api, "r1", [entry_of()])
        api.rollback()
    enter(api, "r1")
    append(api, "r1", [entry_of()])
    api.commit()
    assert problem(conn) is None


def test_diagnostics_appends_for_every_tenant_and_reads_nothing(url, conn):
    with connect(url, role="fjarrkoll_diagnose") as diagnose:
        append(diagnose, "r1", [entry_of()])
        append(diagnose, "r2", [entry_of("r2")])
        diagnose.commit()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            page(diagnose, AuditFilter("r1"), 10)
    assert audited_tenants(conn) == ["r1", "r2"]


@pytest.mark.parametrize(
    ("scope", "found", "has_head"),
    [
        (("r1", "tenant", ""), [3, 2, 1], True),
        (("r1", "person", "p-2"), [1], False),
        (("r1", "person", "p-3"), [], False),
        (("r1", "person", ""), [], False),
        (("r1", "centre", "c1"), [1], False),
        (("r1", "care_unit", "p-2"), [], False),
        (("r1", "device", "wc-1"), [], False),
        (("r1", "", ""), [], False),
        (("r2", "tenant", ""), [], False),
        (("r2", "person", "p-2"), [], False),
        (None, [], False),
    ],
)
def test_each_reach_sees_its_own_rows_only(conn, api, scope, found, has_head):
    append(conn, "r1", [entry_of(device_id="wc-1"), entry_of(device_id="wc-2"), entry_of()])
    append(conn, "r2", [entry_of("r2", device_id="wc-3")])
    conn.commit()
    if scope is not None:
        tenant, reach, key = scope
        key = "(SELECT centre_no_of('r1', 'c1')::text)" if reach == "centre" else f"'{key}'"
        ((made,),) = api.execute(f"SELECT {key}").fetchall()
        enter(api, tenant, reach, made)
    assert [row.no for row in page(api, AuditFilter("r1"), 10)] == found
    assert (head(api, "r1") is not None) is has_head
    others = api.execute("SELECT count(*) FROM audit WHERE person = 'p-3'").fetchone()
    assert others == ((1,) if scope and scope[:2] == ("r2", "tenant") else (0,))


def test_fifty_writers_at_once_make_one_chain(conn, url):
    begin = threading.Barrier(50)

    def work(number):
        with connect(url, role="fjarrkoll_api") as own:
            begin.wait(30)
            for turn in range(4):
                enter(own)
                append(own, "r1", [entry_of(subject=f"s{number}", request_id=f"{turn}.{n}")
                                   for n in range(3)])  # fmt: skip
                own.commit()

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(work, range(50)))
    assert check_chain(conn, "r1", ()).is_right
    rows = list(chain(conn, "r1"))
    assert len({row.previous for row in rows}) == len(rows) == 600
    for number in range(50):
        said = [row.entry.request_id for row in rows if row.entry.subject == f"s{number}"]
        assert said == [f"{turn}.{n}" for turn in range(4) for n in range(3)]


def test_fifty_threads_of_one_process_share_the_writer(conn, writer):
    said = [entry_of(f"r{n % 2 + 1}", subject=f"s{n}") for n in range(400)]
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(writer.record, said))
    for tenant in ("r1", "r2"):
        verdict = check_chain(conn, tenant, ())
        assert verdict.is_right
        assert verdict.checked_n == 200
    stored = [row.entry for tenant in ("r1", "r2") for row in chain(conn, tenant)]
    assert sorted(stored, key=repr) == sorted(said, key=repr)


def test_one_entry_that_is_refused_takes_no_other_with_it(conn, writer):
    done = [writer.submit([entry_of(tenant)]) for tenant in ("r1", "r9", "r1", "r2")]
    with pytest.raises(DataRejectedError, match="there is no tenant r9"):
        done[1].result(10)
    for one in (done[0], done[2], done[3]):
        assert one.result(10) is None
    assert [check_chain(conn, tenant, ()).checked_n for tenant in ("r1", "r2")] == [2, 1]
    with pytest.raises(EntryError):
        writer.record(entry_of(subject=""))


def test_closing_writes_what_waits_and_refuses_what_comes_after(conn, url):
    writer = AuditWriter(url)
    done = [writer.submit([entry_of()]) for _ in range(300)]
    writer.close()
    assert all(one.result(0) is None for one in done)
    assert check_chain(conn, "r1", ()).checked_n == 300
    with pytest.raises(AuditUnavailableError, match="closed"):
        writer.record(entry_of())
    AuditWriter(url).close()


def test_a_log_that_cannot_be_written_in_time_says_so(conn, writer):
    writer.record(entry_of())
    conn.execute("SELECT * FROM audit_head FOR UPDATE")
    with pytest.raises(AuditUnavailableError, match=r"longer than 0.05 s"):
        writer.record(entry_of(), 0.05)
    waiting = writer.submit([entry_of(why="sedan")])
    conn.rollback()
    assert waiting.result(10) is None
    assert problem(conn) is None


def test_a_full_queue_refuses_at_once(conn, url):
    writer = AuditWriter(url, queue_max=2)
    writer.record(entry_of())
    conn.execute("SELECT * FROM audit_head FOR UPDATE")
    first = writer.submit([entry_of()])
    while not first.running():  # until the writer has taken it
        pass
    rest = [writer.submit([entry_of()]) for _ in range(2)]
    with pytest.raises(AuditUnavailableError, match="2 entries wait"):
        writer.submit([entry_of()])
    conn.rollback()
    writer.close()
    assert [one.result(0) for one in (first, *rest)] == [None] * 3
    assert check_chain(conn, "r1", ()).checked_n == 4


def test_without_a_server_nothing_is_recorded():
    writer = AuditWriter("postgresql://127.0.0.1:1/none")
    with pytest.raises(DatabaseDownError):
        writer.record(entry_of(), 20)
    writer.close()


_KILL = (
    "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
    " WHERE application_name = 'fjarrkoll-audit' AND datname = current_database()"
)


def test_a_connection_that_ended_in_the_meantime_costs_nothing(conn, writer):
    writer.record(entry_of())
    assert conn.execute(_KILL).fetchone() == (1,)
    writer.record(entry_of())
    assert check_chain(conn, "r1", ()).checked_n == 2


def test_a_writer_killed_again_and_again_has_recorded_or_refused_every_entry(conn, url, writer):
    killer = connect(url)
    killer.autocommit = True

    def work(number):
        try:
            writer.record(entry_of(request_id=str(number)), 30)
        except (DatabaseDownError, AuditUnavailableError):
            return None
        return str(number)

    with killer, ThreadPoolExecutor(8) as pool:
        done = [pool.submit(work, number) for number in range(1_500)]
        kills = 0
        while not all(one.done() for one in done):
            kills += killer.execute(_KILL).fetchone()[0]
    assert kills > 3
    recorded = {one.result() for one in done} - {None}
    writer.record(entry_of(request_id="efteråt"))
    stored = [row.entry.request_id for row in chain(conn, "r1")]
    assert recorded <= set(stored)
    assert len(stored) == len(set(stored)), "what was tried again was not committed before"
    assert check_chain(conn, "r1", ()).is_right
