"""Tickets that a test opens by hand, and takes away again so that others meet the same fleet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import psycopg
from starlette.testclient import TestClient
from support.people import bearer

from fleet.access.callers import Role

REPORT = {
    "device": "fk-50050",
    "order_kind": "AU",
    "title": "Stolen drar åt vänster",
    "text": "Användaren ringde. Stolen drar åt vänster i nedförsbacke.",
    "component": "left_brake",
}


class Opens(Protocol):
    """Opens a ticket and returns its number; what is given replaces what `REPORT` says."""

    def __call__(self, **changes: str) -> int: ...


def opening(client: TestClient, url: str, last_no: int) -> Iterator[Opens]:
    def open_one(**changes: str) -> int:
        headers = bearer(Role.SERVICE_DESK)
        response = client.post("/api/v1/tickets", json={**REPORT, **changes}, headers=headers)
        assert response.status_code == 201, response.text
        number: Any = response.json()["ticket_no"]
        return int(number)

    yield open_one
    _remove_after(url, last_no)


def _remove_after(url: str, last_no: int) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        for table in ("ticket_event", "ticket_clock", "ticket_pause"):
            conn.execute(f"DELETE FROM {table} WHERE ticket_no > %s", (last_no,))
        conn.execute(
            "DELETE FROM outbox WHERE split_part(aggregate, ':', 2)::bigint > %s", (last_no,)
        )
        conn.execute("DELETE FROM ticket WHERE ticket_no > %s", (last_no,))
        conn.execute("DELETE FROM idempotency")
