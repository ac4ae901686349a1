"""The gap sweep: write down what is missing, close what has come, say what to ask for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from fleet.batch import LedgerKey
from fleet.gaps import GapChanges, OpenGap, reconcile, to_ask
from fleet.ranges import SeqSet
from fleet.wire.messages import Ack
from storage.connection import Connection
from storage.queries import load_queries

SQL: Final = load_queries("gaps.sql")
ROWS_PER_SWEEP: Final = 2_000


@dataclass(frozen=True, slots=True)
class GapRequest:
    """An acknowledgement that asks a device for what is missing."""

    tenant: str
    device: str
    ack: Ack


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found: requests to send, and the device to go on after (0: from the start)."""

    requests: list[GapRequest]
    after: int = 0


def sweep(
    conn: Connection, shards: Sequence[int], now: datetime, age: timedelta, after: int = 0
) -> Swept:
    """Bring the written gaps of some shards up to date; the caller commits.

    Returns:
        One request per device whose gaps have stood for `age`, asked for again after the same
        time; they count as asked.
    """
    limits = {"shards": list(shards), "limit": ROWS_PER_SWEEP, "after": after}
    rows = conn.execute(SQL["gapped_ledger"], limits).fetchall()
    if not rows:
        return Swept([])
    known = _open_gaps(conn, [row[0] for row in rows])
    changes: dict[LedgerKey, GapChanges] = {}
    requests: list[GapRequest] = []
    asked: list[int] = []
    for device_no, epoch, received_text, lost_text, tenant, device in rows:
        key = (device_no, epoch)
        received = SeqSet.from_sql(received_text)
        changes[key] = reconcile(received, SeqSet.from_sql(lost_text), known[key], now)
        wanted = to_ask(changes[key].kept, now, age)
        if wanted:
            asked.extend(gap.gap_no for gap in wanted)
            gaps = [(gap.low, gap.high) for gap in wanted]
            requests.append(GapRequest(tenant, device, Ack(epoch, received.contiguous_hi(), gaps)))
    _write(conn, changes, now)
    conn.execute(SQL["note_asked"], {"gap_no": asked, "at": now})
    return Swept(requests, rows[-1][0] if len(rows) >= ROWS_PER_SWEEP else 0)


def _open_gaps(conn: Connection, devices: list[int]) -> defaultdict[LedgerKey, list[OpenGap]]:
    found: defaultdict[LedgerKey, list[OpenGap]] = defaultdict(list)
    for device_no, epoch, *gap in conn.execute(SQL["open_gaps"], {"devices": devices}):
        found[device_no, epoch].append(OpenGap(*gap))
    return found


def _write(conn: Connection, changes: dict[LedgerKey, GapChanges], now: datetime) -> None:
    closed = [ending for change in changes.values() for ending in change.closed]
    if closed:
        numbers, words = zip(*closed, strict=True)
        parameters: dict[str, Any] = {"gap_no": list(numbers), "closed_as": list(words), "at": now}
        conn.execute(SQL["close_gaps"], parameters)
    opened = [(*key, *gap) for key, change in changes.items() for gap in change.opened]
    if opened:
        columns = map(list, zip(*opened, strict=True))
        names = ("device_no", "epoch", "low", "high", "opened_at")
        conn.execute(SQL["insert_gaps"], dict(zip(names, columns, strict=True)))
