"""Conditions of queries that only stand when their value is given."""

from __future__ import annotations

import re

import pytest

from storage.optional import settled
from storage.queries import load_queries, query_files

ASKED = re.compile(r"%\((\w+)\)s::[\w\[\]]+\s+IS NULL\s+OR")
QUERIES = [
    (f"{file}: {name}", query)
    for file in query_files()
    for name, query in load_queries(file).items()
    if ASKED.search(query)
]


@pytest.mark.parametrize(
    ("query", "values", "expected"),
    [
        ("SELECT 1", {}, "SELECT 1"),
        ("WHERE (%(a)s::text IS NULL OR a = %(a)s)", {"a": None}, "WHERE true"),
        ("WHERE (%(a)s::text IS NULL OR a = %(a)s)", {"a": "x"}, "WHERE (a = %(a)s)"),
        ("WHERE (%(a)s::text IS NULL OR a = %(a)s)", {"a": ""}, "WHERE (a = %(a)s)"),
        ("(%(a)s::int[] IS NULL\n    OR f(a) OR (b)) AND d", {"a": 1}, "(f(a) OR (b)) AND d"),
        ("(%(a)s::int IS NULL OR f(a) OR (b AND c)) AND d", {"a": None}, "true AND d"),
        ("(%(a)s::int IS NULL OR (%(b)s::int IS NULL OR x))", {"a": 1, "b": None}, "(true)"),
        ("(%(a)s::int IS NULL OR (%(b)s::int IS NULL OR x))", {"a": None, "b": 1}, "true"),
        ("(%(a)s::int IS NULL OR x), (%(a)s::int IS NULL OR y)", {"a": 1}, "(x), (y)"),
        ("(a.ended_at IS NULL OR x)", {}, "(a.ended_at IS NULL OR x)"),
    ],
)  # fmt: skip
def test_what_is_not_asked_for_is_taken_out(
    query: str, values: dict[str, object], expected: str
) -> None:
    assert settled(query, values) == expected


def test_a_value_that_is_missing_is_an_error_and_not_left_out() -> None:
    with pytest.raises(KeyError, match="a"):
        settled("(%(a)s::int IS NULL OR x)", {})


def test_a_bracket_that_does_not_close_is_named() -> None:
    with pytest.raises(ValueError, match="no bracket closes the condition in: …f\\(x"):
        settled("(%(a)s::int IS NULL OR f(x)", {"a": 1})


@pytest.mark.parametrize(
    "query", [query for _, query in QUERIES], ids=[name for name, _ in QUERIES]
)
def test_no_query_asks_the_database_whether_a_value_is_given(query: str) -> None:
    names = set(ASKED.findall(query))
    for given in (None, 1):
        assert not ASKED.search(settled(query, dict.fromkeys(names, given)))
