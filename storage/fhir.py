"""What the FHIR views read beside the rest of the API. Functions take a connection."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from storage.connection import Connection
from storage.queries import load_queries

_SQL: Final = load_queries("fhir.sql")


def metric_name(conn: Connection, metric_no: int) -> str | None:
    row = conn.execute(_SQL["metric_name"], {"metric_no": metric_no}).fetchone()
    return None if row is None else str(row[0])


def has_metric(conn: Connection, device_no: int, metric_no: int) -> bool:
    """Whether the device has reported the metric, as far as the caller sees."""
    values = {"device_no": device_no, "metric_no": metric_no}
    row = conn.execute(_SQL["has_metric"], values).fetchone()
    return row is not None and bool(row[0])


def metrics_of(conn: Connection, device_no: int) -> list[tuple[int, str]]:
    """Number and name of each metric that the device has reported."""
    return [tuple(row) for row in conn.execute(_SQL["metrics_of"], {"device_no": device_no})]


def tickets_of_device(
    conn: Connection, device_no: int, states: Collection[str], before_no: int, limit: int
) -> list[int]:
    """Numbers of tickets, the newest first."""
    values = {
        "device_no": device_no,
        "states": list(states),
        "before_no": before_no,
        "limit": limit,
    }
    return [int(row[0]) for row in conn.execute(_SQL["tickets_of_device"], values)]
