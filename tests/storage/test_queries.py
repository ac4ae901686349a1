"""Every named query parses and plans on every kind of server, and says what it is for."""

from __future__ import annotations

import re

import psycopg
import pytest

from storage.queries import load_queries, query_files

_PARAMETER = re.compile(r"%\((\w+)\)[sb]|%s")

QUERIES = {
    f"{name.removesuffix('.sql')}.{query}": text
    for name in query_files()
    for query, text in load_queries(name).items()
}


def numbered(text):
    """The query with `$1`, `$2` … for its named parameters, and how many there are."""
    order = {}

    def number(match):
        return f"${order.setdefault(match[1] or len(order), len(order) + 1)}"

    return _PARAMETER.sub(number, text.rstrip().removesuffix(";")).replace("%%", "%"), len(order)


def explain(admin, text):
    """Plan without parameters' values: prepared, since only PostgreSQL 16 has GENERIC_PLAN."""
    query, count = numbered(text)
    admin.execute("SET plan_cache_mode = force_generic_plan")
    admin.execute(b"PREPARE one AS " + query.encode())
    values = f"({', '.join(['NULL'] * count)})" if count else ""
    try:
        return admin.execute(f"EXPLAIN EXECUTE one{values}").fetchall()
    finally:
        admin.execute("DEALLOCATE one")


def body_of(text):
    return "\n".join(line for line in text.splitlines() if not line.startswith("--")).strip()


@pytest.fixture(scope="module", params=["plain", "timescale"])
def admin_of_module(request):
    cluster = request.getfixturevalue(request.param)
    if cluster is None:
        pytest.skip("no PostgreSQL with TimescaleDB on this machine")
    from storage.migrate import migrate  # noqa: PLC0415 - beside its only use

    url = cluster.create_database("queries")
    migrate(url)
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        yield connection
    cluster.drop_database("queries")


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_a_query_plans(admin_of_module, name):
    text = QUERIES[name]
    if body_of(text).startswith("COPY"):
        columns = re.search(r"COPY (\w+) \(([^)]*)\)", text)
        assert columns is not None
        admin_of_module.execute(f"SELECT {columns[2]} FROM {columns[1]} LIMIT 0")
        return
    assert explain(admin_of_module, text)


def test_a_typo_would_be_seen(admin_of_module):
    with pytest.raises(psycopg.errors.UndefinedColumn):
        explain(admin_of_module, "SELECT sent FROM sample WHERE device_no = %(device)s")


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_a_query_says_its_purpose(name):
    purpose = QUERIES[name].splitlines()[0]
    assert re.match(r"-- [A-Z`].{9,}", purpose), "a line that says what it is for"
    assert body_of(QUERIES[name]).endswith(";")


def test_every_file_has_queries():
    assert len(query_files()) >= 7
    for name in query_files():
        assert load_queries(name)
