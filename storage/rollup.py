"""Hourly rollups and latest values, recomputed for exactly the hours that samples touched."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from fleet.rules.facts import day_closes_at, day_starts_at, last_closed_day
from storage.connection import Connection
from storage.queries import load_queries

DEPTH_LIMIT: Final = 1_000_000

_SQL: Final = load_queries("rollup.sql")


def recompute(conn: Connection, limit: int, now: datetime) -> int | None:
    """Work off up to `limit` marks; the caller commits.

    An hour without samples any more has no rollup either. `latest` only goes forward. The
    devices are put on the agenda of the rules.

    Returns:
        Marks worked off; None when another runner is at it.
    """
    row = conn.execute(_SQL["try_lock"]).fetchone()
    assert row is not None
    if not row[0]:
        return None
    # A statement of its own: what it deletes was committed, so the next statement sees the samples.
    marks = conn.execute(_SQL["take_dirty_hours"], {"limit": limit}).fetchall()
    if marks:
        devices, hours = zip(*marks, strict=True)
        day = last_closed_day(now)
        conn.execute(
            _SQL["recompute_hours"],
            {
                "devices": list(devices),
                "hours": list(hours),
                "now": now,
                "closed_at": day_starts_at(day + 1),
                "closes_at": day_closes_at(day + 1),
            },
        )
    return len(marks)


def dirty_depth(conn: Connection) -> int:
    """How many marks wait, counted up to `DEPTH_LIMIT`."""
    row = conn.execute(_SQL["dirty_depth"], {"limit": DEPTH_LIMIT}).fetchone()
    assert row is not None
    return int(row[0])
