"""Entries and chains of the access log, for tests."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from fleet.access.audit import START, Entry, Head, Row, digest

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

texts = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20
)
_zones = st.sampled_from(
    [UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-11, minutes=-30))]
)
instants = st.builds(
    lambda microseconds, zone: (NOON + timedelta(microseconds=microseconds)).astimezone(zone),
    st.integers(-(10**14), 10**14),  # three years before and after
    _zones,
)


def entry_of(tenant: str = "r1", **fields: Any) -> Entry:
    known: dict[str, Any] = {
        "at": NOON,
        "subject": "SE2321000016-1A2B",
        "name": "Åsa Öst",
        "role": "technician",
        "action": "read",
        "object_kind": "device",
    }
    return Entry(tenant, **(known | fields))


def entries(tenant: str = "r1", **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Entry]:
    """Entries of one tenant with anything in them that a caller can send."""
    maybe = st.none() | texts
    fields = {
        "at": instants, "subject": texts, "name": texts, "role": texts, "action": texts,
        "object_kind": texts, "object_id": maybe, "commission": maybe, "care_unit": maybe,
        "device_id": maybe, "loan_no": st.none() | st.integers(1, 2**63 - 1), "person": maybe,
        "why": maybe, "request_id": maybe,
    }  # fmt: skip
    return st.builds(Entry, st.just(tenant), **(fields | fixed))


def chained(said: Iterable[Entry], previous: bytes = START, first_no: int = 1) -> list[Row]:
    """The rows that the log would hold."""
    rows: list[Row] = []
    for no, entry in enumerate(said, first_no):
        rows.append(Row(no, entry, previous, digest(previous, no, entry)))
        previous = rows[-1].hash
    return rows


def head_of(rows: list[Row], tenant: str = "r1") -> Head:
    return Head(tenant, rows[-1].no, rows[-1].hash) if rows else Head(tenant, 0, START)
