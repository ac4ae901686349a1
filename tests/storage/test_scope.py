"""Transactions within a scope: begun by one message, whatever the values say."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.pq import TransactionStatus

from fleet.access.scopes import Reach, Scope
from storage.connection import connect, say
from storage.scope import begin, enter

ASKED = "SELECT " + ", ".join(
    f"current_setting('fjarrkoll.{name}')"
    for name in ("tenant", "tenant_no", "reach", "reach_key", "subject")
)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)


@pytest.fixture(scope="module")
def conn(plain):
    """A connection to a database with one tenant that has one centre."""
    with connect(plain.create_migrated("scopes")) as conn:
        conn.execute("INSERT INTO tenant (id, name) VALUES ('a', 'A')")
        conn.execute("INSERT INTO centre (tenant_no, id, name) VALUES (1, 'north', 'N')")
        conn.commit()
        yield conn
    plain.drop_database("scopes")


@pytest.fixture
def clean(conn):
    yield conn
    conn.rollback()


def within(conn, scope, entering):
    """What the transaction says of itself."""
    entering(conn, scope)
    found = conn.execute(ASKED).fetchone()
    say(conn, "COMMIT")
    return found


@given(tenant=st.sampled_from(["a", "b"]) | TEXT, reach=st.sampled_from(Reach), key=TEXT,
       subject=TEXT)  # fmt: skip
@example(tenant="a", reach=Reach.CENTRE, key="north", subject="")
@example(tenant="a", reach=Reach.TENANT, key="", subject="x', true); DROP TABLE device; --")
@example(tenant="a", reach=Reach.TENANT, key="\\", subject="%(tenant)s \\' $1 :x {0}")
def test_one_message_sets_what_two_set_whatever_it_says(conn, tenant, reach, key, subject):
    scope = Scope(tenant, reach, key, subject)
    found = within(conn, scope, begin)
    assert found == within(conn, scope, enter)
    assert (found[0], found[2], found[4]) == (tenant, str(reach), subject)


@pytest.mark.parametrize("field", ["tenant", "key", "subject"])
def test_text_that_would_be_cut_is_refused(clean, field):
    values = {"tenant": "a", "reach": Reach.TENANT, field: "a\0b"}
    with pytest.raises(psycopg.DataError, match="NUL"):
        begin(clean, Scope(**values))
    assert clean.info.transaction_status == TransactionStatus.IDLE


def test_what_it_begins_reads_one_view_and_changes_nothing(clean):
    begin(clean, Scope("a", Reach.TENANT))
    shown = (
        "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')"
    )
    assert clean.execute(shown).fetchone() == ("repeatable read", "on")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        clean.execute("DELETE FROM centre")


def test_what_the_server_says_against_it_is_raised_by_its_name(clean):
    with pytest.raises(psycopg.errors.DivisionByZero, match="division by zero") as caught:
        say(clean, "SELECT 1/0")
    assert caught.value.sqlstate == "22012"


def test_a_server_that_is_gone_is_an_operational_error(plain, conn):
    with connect(conn.info.dsn) as gone:
        conn.execute("SELECT pg_terminate_backend(%s)", [gone.info.backend_pid])
        conn.commit()
        with pytest.raises(psycopg.OperationalError):
            begin(gone, Scope("a", Reach.TENANT))
