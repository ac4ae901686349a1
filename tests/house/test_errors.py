"""What the last line of a command says of an error that reached the top."""

from __future__ import annotations

import psycopg
import pytest

from fjarrkoll.errors import explain
from runtime.health import Health


def test_a_database_without_tables_is_server_trouble_and_not_our_mistake(plain):
    bare = plain.create_database("bare")
    with (
        psycopg.connect(bare) as conn,
        pytest.raises(psycopg.errors.UndefinedTable) as refused,
    ):
        conn.execute("SELECT FROM device")
    status, said = explain(refused.value)
    assert status == 3
    assert "device" in said
    assert "Traceback" not in said


def test_what_nobody_expected_is_our_mistake_with_its_trace():
    status, said = explain(ZeroDivisionError("by nought"))
    assert status == 70
    assert "by nought" in said


def test_a_part_that_works_does_not_hide_one_that_fails():
    health = Health("diagnose")
    health.failed("no answer", "inbox")
    health.succeeded("rollup")
    assert health.problem == "inbox: no answer"
    health.succeeded("inbox")
    assert health.problem is None
