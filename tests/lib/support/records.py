"""Records, messages and devices for tests, and Hypothesis strategies for valid ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import psycopg
from hypothesis import strategies as st

from fleet.intake import Accepted, DeviceEntry, Message
from fleet.metrics import load_metrics
from fleet.models import load_models
from fleet.wire.messages import OutboxSpan, State, encode_state
from fleet.wire.records import (
    EARLIEST_MS,
    JSON,
    MAX_ABS_VALUE,
    MAX_SEQ,
    Fault,
    Record,
    Series,
    Skipped,
    encode_record,
)
from fleet.wire.topics import UpChannel, shard_of, up_topic
from storage.connection import connect
from storage.registry import NewDevice, add_devices, sync_catalogues

TENANT = "r1"
EPOCH = "9f2c61d0a4b7e813"
OTHER_EPOCH = "00000000000000aa"
NOON = datetime(2024, 3, 5, 12, tzinfo=UTC)
NOON_MS = int(NOON.timestamp() * 1000)
"""Receipt, in tests: long ago, so that no test depends on today's date."""

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

BATTERY = "battery_voltage_v"
CHARGE = "state_of_charge_pct"


@cache
def any_model() -> str:
    return next(model.id for model in load_models())


def register(url: str, *devices: str, tenant: str = TENANT, status: str = "active") -> None:
    """Register devices as the command line does."""
    with connect(url) as conn:
        sync_catalogues(conn, datetime.now(UTC))
        new = [NewDevice(device, any_model()) for device in devices]
        add_devices(conn, new, tenant=tenant, status=status)


def record(seq: int = 1, **fields: Any) -> Record:
    """A record with one battery voltage, a second before noon."""
    fields.setdefault("at", NOON_MS - 1000)
    if not fields.keys() & {"m", "series", "faults"}:
        fields["m"] = {BATTERY: 24.0 + seq / 1000}
    return Record(fields.pop("epoch", EPOCH), seq, **fields)


def fault(state: str = "raised", **fields: Any) -> Fault:
    return Fault(fields.pop("system", "vr2"), fields.pop("code", "2C00"), state, **fields)


def message(
    what: Record | Skipped | State | bytes,
    device: str = "chair-1",
    *,
    tenant: str = TENANT,
    channel: UpChannel | None = None,
    content_type: str | None = None,
    received_ms: int = NOON_MS,
    is_retained: bool = False,
    is_fresh: bool = True,
    topic: str | None = None,
) -> Message:
    """One delivery, on the topic where a well-behaved device would send it."""
    if isinstance(what, State):
        payload, usual = encode_state(what), UpChannel.STATE
    elif isinstance(what, bytes):
        payload, usual = what, UpChannel.BULK
    else:
        payload, usual = encode_record(what, content_type or JSON), UpChannel.BULK
    topic = topic or up_topic(tenant, device, channel or usual)
    return Message(topic, payload, content_type, received_ms, is_retained, is_fresh)


def birth(boot: int = 1, oldest: int | None = None, next_seq: int = 1_000, **fields: Any) -> State:
    """A birth whose clock is right; `oldest` is the oldest record the device still has."""
    fields.setdefault("clock_ms", NOON_MS)
    fields.setdefault("epoch", EPOCH)
    span = None if oldest is None else OutboxSpan(oldest, next_seq)
    return State(True, boot, outbox=span, **fields)


def will(boot: int = 1) -> State:
    return State(False, boot)


def entry(device_no: int = 1, device: str = "chair-1", **fields: Any) -> DeviceEntry:
    """A device as the judge sees it, without a database."""
    known = DeviceEntry(device_no, device, TENANT, "active", shard_of(device))
    return dataclasses.replace(known, **fields)


def ledger(admin: psycopg.Connection, device: str = "chair-1") -> dict[str, tuple[Any, ...]]:
    """Epoch → (received, lost, received_n, stored_n, duplicate_n, quarantined_n, is_gapped)."""
    rows = admin.execute(
        "SELECT epoch, received::text, lost::text, received_n, stored_n, duplicate_n,"
        " quarantined_n, is_gapped FROM ledger JOIN device USING (device_no) WHERE id = %s",
        [device],
    )
    return {row[0]: row[1:] for row in rows}


def samples(admin: psycopg.Connection, device: str = "chair-1") -> list[tuple[Any, ...]]:
    """(metric, at, received at, clock, device's own time, value) in order of time and metric."""
    return admin.execute(
        "SELECT metric.name, at, received_at, clock, device_at, value FROM sample"
        " JOIN device USING (device_no) JOIN metric USING (metric_no) WHERE id = %s"
        " ORDER BY at, metric.name, value",
        [device],
    ).fetchall()


def quarantined(admin: psycopg.Connection) -> list[tuple[Any, ...]]:
    """(reason, payload, message_n) in order of arrival."""
    return admin.execute(
        "SELECT reason, payload, message_n FROM quarantine ORDER BY quarantine_no"
    ).fetchall()


def totals(admin: psycopg.Connection) -> tuple[int, int, int, int, int]:
    """Received, stored, duplicate, quarantined, states: over all ways in."""
    row = admin.execute(
        "SELECT sum(received_n)::int, sum(stored_n)::int, sum(duplicate_n)::int,"
        " sum(quarantined_n)::int, sum(state_n)::int FROM intake_total"
    ).fetchone()
    assert row is not None
    received, stored, duplicate, quarantined, states = (count or 0 for count in row)
    return received, stored, duplicate, quarantined, states


def instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def names(accepted: Sequence[Accepted]) -> list[tuple[str, int]]:
    """Who and which of accepted records, for comparing."""
    return [(item.record.epoch, item.record.seq) for item in accepted]


EPOCHS = st.text("0123456789abcdef", min_size=16, max_size=16)
SEQS = st.integers(1, MAX_SEQ)
KNOWN_METRICS = sorted(metric.name for metric in load_metrics())
METRIC_NAMES = st.sampled_from(KNOWN_METRICS) | st.from_regex(
    r"[a-z][a-z0-9_]{0,30}", fullmatch=True
)
NUMBERS = st.floats(-MAX_ABS_VALUE, MAX_ABS_VALUE)
VALUES = st.dictionaries(METRIC_NAMES, NUMBERS, max_size=5)
CLEAN_TEXT = st.text(
    st.characters(codec="utf-8").filter(lambda c: c.isprintable()), min_size=1, max_size=40
)
TIMES = st.integers(EARLIEST_MS, NOON_MS)
OPTIONAL_COUNTS = st.none() | st.integers(0, 2**31 - 1)
FAULTS = st.builds(
    Fault,
    system=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,39}", fullmatch=True),
    code=CLEAN_TEXT,
    state=st.sampled_from(["raised", "cleared", "logged"]),
    count=OPTIONAL_COUNTS,
    at=st.none() | TIMES,
    ctx=st.dictionaries(
        CLEAN_TEXT,
        st.none() | st.booleans() | st.integers(-(10**12), 10**12) | NUMBERS | CLEAN_TEXT,
        max_size=3,
    ),
)
RECORDS = st.builds(
    Record,
    epoch=EPOCHS,
    seq=SEQS,
    at=TIMES,
    boot=OPTIONAL_COUNTS,
    up=OPTIONAL_COUNTS,
    clock=st.sampled_from(["synced", "drifting", "unset"]),
    m=VALUES,
    series=st.lists(st.builds(Series, dt=st.integers(-DAY_MS, 0), m=VALUES), max_size=3),
    faults=st.lists(FAULTS, max_size=3),
)
