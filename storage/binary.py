"""Rows in PostgreSQL's binary COPY format."""

from __future__ import annotations

from struct import Struct
from typing import Final

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + b"\0" * 8
TRAILER: Final = b"\xff\xff"

PG_EPOCH_MS: Final = 946_684_800_000
"""2000-01-01, from which PostgreSQL counts."""

HOUR_MS: Final = 3_600_000
_FIXED = Struct(">hiqiqiiih").pack
_DEVICE_AT = Struct(">iq").pack
_NO_DEVICE_AT: Final = b"\xff\xff\xff\xff"
_TAIL = Struct(">iiid").pack
_DIRTY = Struct(">hiqii").pack


def sample_prefix(
    at_ms: int, received_ms: int, device_no: int, clock: int, device_at_ms: int | None
) -> bytes:
    """The part of a sample row that all samples of one instant share."""
    at_us = (at_ms - PG_EPOCH_MS) * 1000
    received_us = (received_ms - PG_EPOCH_MS) * 1000
    head = _FIXED(7, 8, at_us, 8, received_us, 4, device_no, 2, clock)
    if device_at_ms is None:
        return head + _NO_DEVICE_AT
    return head + _DEVICE_AT(8, (device_at_ms - PG_EPOCH_MS) * 1000)


def sample_rows(prefix: bytes, metrics: dict[str, int], values: dict[str, float]) -> list[bytes]:
    """Rows of `(at, received_at, device_no, clock, device_at, metric_no, value)`."""
    return [prefix + _TAIL(4, metrics[name], 8, value) for name, value in values.items()]


def dirty_row(hour_ms: int, device_no: int) -> bytes:
    return _DIRTY(2, 8, (hour_ms - PG_EPOCH_MS) * 1000, 4, device_no)
