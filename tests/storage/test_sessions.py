"""Sessions against the real database, with the rights that the API has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256

import psycopg
import pytest

from fleet.access.callers import Caller, Role
from storage.connection import connect
from storage.queries import load_queries
from storage.sessions import (
    FORGET_MAX,
    KEPT_FOR,
    NOTE_EVERY,
    SESSIONS_MAX,
    end_session,
    find_session,
    open_session,
)

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LASTS, IDLE = timedelta(hours=12), timedelta(minutes=60)
ASTRID = Caller("a-1", "Åsa Öberg", Role.PATIENT, "r1", "c1", "SE1-C", "SE1-U", "p-77", None, False)
TOKEN = "t" * 43


@pytest.fixture
def api(plain_database):
    """A connection with the API's rights and no scope, as before anybody is known."""
    with connect(plain_database, role="fjarrkoll_api") as conn:
        yield conn


def opened(conn, token=TOKEN, caller=ASTRID, at=NOON):
    open_session(conn, token, caller, at, LASTS)


def found(conn, at, token=TOKEN):
    return find_session(conn, token, at, IDLE)


def column(conn, name):
    return [row[0] for row in conn.execute(f"SELECT {name} FROM login_session ORDER BY created_at")]


def test_a_session_gives_back_the_whole_caller(api):
    opened(api)
    assert found(api, NOON + MINUTE) == ASTRID


def test_a_token_that_was_never_given_out_opens_nothing(api):
    opened(api)
    assert found(api, NOON, "x" * 43) is None


def test_the_database_holds_the_digest_and_never_the_token(api):
    opened(api)
    assert column(api, "token_sha256") == [sha256(TOKEN.encode()).digest()]
    (row,) = api.execute("SELECT login_session::text FROM login_session").fetchall()
    assert TOKEN not in row[0]


def test_a_session_ends_when_it_is_ended_and_only_once(api):
    opened(api)
    assert end_session(api, TOKEN, NOON + MINUTE)
    assert found(api, NOON + MINUTE) is None
    assert not end_session(api, TOKEN, NOON + 2 * MINUTE)
    assert column(api, "ended_at") == [NOON + MINUTE]


@pytest.mark.parametrize(("minutes", "is_open"), [(59, True), (60, False), (61, False)])
def test_a_session_that_nobody_uses_runs_out(api, minutes, is_open):
    opened(api)
    assert (found(api, NOON + minutes * MINUTE) is not None) is is_open


def test_a_session_in_use_runs_out_all_the_same(api):
    opened(api)
    for step in range(1, 24):
        assert found(api, NOON + step * timedelta(minutes=30)) == ASTRID
    assert found(api, NOON + LASTS - timedelta(seconds=1)) == ASTRID
    assert found(api, NOON + LASTS) is None


def test_use_is_noted_once_a_minute(api):
    opened(api)
    found(api, NOON + NOTE_EVERY)
    assert column(api, "last_seen_at") == [NOON]
    found(api, NOON + NOTE_EVERY + timedelta(seconds=1))
    assert column(api, "last_seen_at") == [NOON + NOTE_EVERY + timedelta(seconds=1)]


def test_a_clock_that_went_back_does_not_shorten_a_session(api):
    opened(api)
    found(api, NOON + 30 * MINUTE)
    found(api, NOON + 5 * MINUTE)
    assert column(api, "last_seen_at") == [NOON + 30 * MINUTE]


def test_one_subject_has_a_bounded_number_of_open_sessions(api):
    for number in range(SESSIONS_MAX + 3):
        opened(api, f"{number:043}", at=NOON + number * MINUTE)
    others = Caller("b-2", "B", Role.TECHNICIAN, "r1")
    opened(api, "b" * 43, others)
    open_now = [at is None for at in column(api, "ended_at")]
    assert open_now.count(True) == SESSIONS_MAX + 1
    now = NOON + (SESSIONS_MAX + 3) * MINUTE
    assert found(api, now, f"{2:043}") is None
    assert found(api, now, f"{3:043}") == ASTRID
    assert found(api, now, "b" * 43) == others


def test_old_sessions_are_forgotten_a_bounded_number_at_a_time(api, plain_database):
    with psycopg.connect(plain_database, autocommit=True) as admin:
        admin.execute(
            "INSERT INTO login_session"
            " SELECT sha256(n::text::bytea), 'r1', 's' || n, '{}', %s, %s, %s"
            " FROM generate_series(1, %s) AS n",
            (NOON, NOON, NOON + LASTS, FORGET_MAX + 10),
        )
    late = NOON + LASTS + KEPT_FOR
    opened(api, "1" * 43, at=late)
    assert len(column(api, "1")) == FORGET_MAX + 11, "nothing is old enough yet"
    opened(api, "2" * 43, at=late + MINUTE)
    assert len(column(api, "1")) == 10 + 2
    opened(api, "3" * 43, at=late + 2 * MINUTE)
    assert len(column(api, "1")) == 3


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE login_session SET caller = '{}'",
        "UPDATE login_session SET subject = 'x'",
        "UPDATE login_session SET expires_at = 'infinity'",
        "UPDATE login_session SET token_sha256 = ''",
        "TRUNCATE login_session",
    ],
)
def test_the_api_cannot_make_a_session_somebody_elses_or_longer(api, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        api.execute(statement)


@pytest.mark.parametrize("role", ["fjarrkoll_ingest", "fjarrkoll_diagnose"])
def test_other_processes_do_not_see_sessions(plain_database, role):
    with (
        connect(plain_database, role=role) as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        conn.execute("SELECT * FROM login_session")


def test_a_lookup_reads_one_row_by_its_key(plain_database):
    query = load_queries("sessions.sql")["find_session"]
    at = {"digest": b"", "now": NOON, "note_before": NOON, "idle_since": NOON}
    with psycopg.connect(plain_database) as conn:
        conn.execute("SET enable_seqscan = off")
        conn.execute("SET enable_bitmapscan = off")
        plan = conn.execute("EXPLAIN " + query, at).fetchall()
    assert "Index Scan using login_session_pkey" in str(plan)
