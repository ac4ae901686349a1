"""Rows of a query as objects of one kind, whose fields are the query's columns by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from psycopg import Cursor

from storage.connection import Connection

Row = TypeVar("Row")


def all_rows(
    conn: Connection, kind: type[Row], query: str, values: Mapping[str, object]
) -> list[Row]:
    """Every row that the query finds."""
    with conn.cursor(row_factory=by_name(kind)) as cursor:
        return cursor.execute(query, values).fetchall()


def one_row(
    conn: Connection, kind: type[Row], query: str, values: Mapping[str, object]
) -> Row | None:
    """The first row that the query finds; None without one."""
    with conn.cursor(row_factory=by_name(kind)) as cursor:
        return cursor.execute(query, values).fetchone()


def by_name(kind: type[Row]) -> Callable[[Cursor[Any]], Callable[[Sequence[Any]], Row]]:
    """A row factory of psycopg. Columns that come in the order of the fields need no names, which
    halves what a row costs.
    """

    def factory(cursor: Cursor[Any]) -> Callable[[Sequence[Any]], Row]:
        names = [column.name for column in cursor.description or ()]
        if names == _fields(kind):
            return getattr(kind, "_make", None) or (lambda values: kind(*values))
        return lambda values: kind(**dict(zip(names, values, strict=True)))

    return factory


def _fields(kind: type[Any]) -> list[str]:
    return list(getattr(kind, "__dataclass_fields__", ()) or kind._fields)
