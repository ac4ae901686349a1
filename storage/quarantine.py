"""Keep what was refused: raw bytes, topic, reason and time, within quotas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from fleet.intake import Refused
from fleet.wire.topics import MAX_PAYLOAD_BYTES
from storage.connection import Connection
from storage.queries import load_queries

SQL: Final = load_queries("intake.sql")
KEPT_PER_DEVICE: Final = 1_000
KEPT_IN_ALL: Final = 100_000

_COLUMNS: Final = (
    "digest", "reason", "detail", "topic", "tenant_id", "device_id", "content_type", "payload",
    "payload_size", "epoch", "seq", "message_n", "received_at", "last_at",
)  # fmt: skip


def keep(conn: Connection, refused: Sequence[Refused]) -> None:
    """Count every refused message, and keep those that the quotas have room for."""
    if not refused:
        return
    rows = _within_quota(conn, _distinct(refused))
    if rows:
        columns = zip(*(rows[digest] for digest in sorted(rows)), strict=True)
        parameters = dict(zip(_COLUMNS, map(list, columns), strict=True))
        conn.execute(SQL["insert_quarantine"], parameters)
    counts = Counter(item.reason.value for item in refused)
    conn.execute(
        SQL["count_quarantine"], {"reasons": list(counts), "counts": list(counts.values())}
    )


def _distinct(refused: Sequence[Refused]) -> dict[bytes, list[Any]]:
    rows: dict[bytes, list[Any]] = {}
    for item in refused:
        row = _row(item)
        known = rows.setdefault(row[0], row)
        if known is not row:
            known[_COLUMNS.index("message_n")] += 1
    return rows


def _row(item: Refused) -> list[Any]:
    message = item.message
    topic = message.topic.encode("utf-8", "surrogateescape")
    digest = sha256(len(topic).to_bytes(4, "big") + topic + message.payload).digest()
    epoch, seq = item.identity or (None, None)
    at = datetime.fromtimestamp(message.received_ms / 1000, UTC)
    return [
        digest,
        item.reason.value,
        storable(item.detail),
        topic[:1000],
        item.tenant,
        item.device_id,
        storable(message.content_type[:200]) if message.content_type else None,
        message.payload[:MAX_PAYLOAD_BYTES],
        len(message.payload),
        epoch,
        seq,
        1,
        at,
        at,
    ]


def storable(text: str) -> str:
    """Text that PostgreSQL can hold: no NUL, no lone surrogate."""
    return text.replace("\0", "�").encode("utf-8", "replace").decode()


def _within_quota(conn: Connection, rows: dict[bytes, list[Any]]) -> dict[bytes, list[Any]]:
    """The rows to write: those that are kept already and count up, and what there is room for."""
    found = conn.execute(SQL["known_in_quarantine"], {"digests": list(rows)})
    known = {digest for (digest,) in found}
    new = {digest: values for digest, values in rows.items() if digest not in known}
    return {digest: rows[digest] for digest in known} | _with_room(conn, new)


def _with_room(conn: Connection, new: dict[bytes, list[Any]]) -> dict[bytes, list[Any]]:
    row = conn.execute(SQL["quarantine_is_full"], {"limit": KEPT_IN_ALL}).fetchone()
    if not new or row == (True,):
        return {}
    column = _COLUMNS.index("device_id")
    devices = {values[column] for values in new.values() if values[column] is not None}
    rows_kept = conn.execute(SQL["kept_in_quarantine"], {"devices": list(devices)}).fetchall()
    kept: Counter[str | None] = Counter(dict(rows_kept))
    allowed = {}
    for digest, values in new.items():
        kept[values[column]] += 1
        if values[column] is None or kept[values[column]] <= KEPT_PER_DEVICE:
            allowed[digest] = values
    return allowed
