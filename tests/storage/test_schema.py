from __future__ import annotations

import psycopg
import pytest

from storage.connection import StorageError, check_durability, connect
from storage.migrate import migrate


def test_migrating_twice_changes_nothing(database, admin):
    before = _columns(admin)
    migrate(database)
    assert _columns(admin) == before
    assert len(before) > 100


def test_samples_are_partitioned_by_what_the_server_has(cluster, admin):
    hypertables = admin.execute(
        "SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'"
    ).fetchone()
    assert hypertables == ((1,) if cluster.kind == "timescale" else (0,))
    if cluster.kind == "timescale":
        names = admin.execute("SELECT hypertable_name FROM timescaledb_information.hypertables")
        assert names.fetchall() == [("sample",)]
    else:
        kind = admin.execute("SELECT relkind FROM pg_class WHERE relname = 'sample'").fetchone()
        assert kind == ("p",)


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("fjarrkoll_ingest", "SELECT * FROM ticket"),
        ("fjarrkoll_ingest", "DELETE FROM sample"),
        ("fjarrkoll_ingest", "UPDATE device SET status = 'active'"),
        ("fjarrkoll_diagnose", "INSERT INTO ledger VALUES (1, '')"),
        ("fjarrkoll_diagnose", "DELETE FROM ticket"),
        ("fjarrkoll_api", "UPDATE ticket SET severity = 'minor'"),
        ("fjarrkoll_api", "INSERT INTO finding DEFAULT VALUES"),
        ("fjarrkoll_api", "DELETE FROM quarantine"),
    ],
)
def test_a_role_may_not_do_the_work_of_another(database, role, statement):
    with connect(database, role=role) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(statement)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("synchronous_commit", "off"),
        ("synchronous_commit", "local"),
    ],
)
def test_a_forgetful_server_is_refused_unless_it_is_a_throwaway(
    database, setting, value, monkeypatch
):
    with connect(database) as conn:
        check_durability(conn)
        real = "storage.connection.durability"
        good = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
        if setting == "synchronous_commit":
            conn.execute(f"SET synchronous_commit = {value}")
            conn.commit()
        else:  # these need a restart, so only the reading is replaced
            monkeypatch.setattr(real, lambda _: good | {setting: value})
        with pytest.raises(StorageError, match=f"{setting}={value}"):
            check_durability(conn)
        check_durability(conn, is_throwaway=True)


def _columns(admin):
    return admin.execute(
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'public' ORDER BY 1, 2"
    ).fetchall()
