"""Rows as objects: by name, in whatever order the columns come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pytest
from support.postgres import Cluster

from storage.connection import connect
from storage.rows import all_rows, one_row


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 7


class Pair(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize("kind", [Point, Pair])
@pytest.mark.parametrize("query", ["SELECT 1 AS x, 2 AS y", "SELECT 2 AS y, 1 AS x"])
def test_columns_find_their_fields(plain: Cluster, kind: type, query: str) -> None:
    with connect(plain.url()) as conn:
        assert all_rows(conn, kind, query, {}) == [kind(1, 2)]
        assert one_row(conn, kind, query, {}) == kind(1, 2)
        assert one_row(conn, kind, f"{query} LIMIT 0", {}) is None


def test_a_field_that_has_a_default_needs_no_column(plain: Cluster) -> None:
    with connect(plain.url()) as conn:
        assert all_rows(conn, Point, "SELECT 3 AS x", {}) == [Point(3, 7)]


def test_a_column_without_a_field_is_an_error(plain: Cluster) -> None:
    with connect(plain.url()) as conn, pytest.raises(TypeError, match="z"):
        all_rows(conn, Point, "SELECT 1 AS x, 2 AS y, 3 AS z", {})
