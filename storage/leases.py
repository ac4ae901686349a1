"""Who reads which shards: slots leased by the database's clock, with fencing numbers."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from storage.connection import Connection
from storage.queries import load_queries

SQL: Final = load_queries("leases.sql")


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot as the table has it."""

    slot: int
    holder: uuid.UUID | None
    fence: int
    is_live: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """What a worker does about the slots at one renewal."""

    keep: list[int]
    take: list[int]
    free: list[int]


def share(slots: list[Slot], worker: uuid.UUID, worker_count: int) -> Decision:
    """Decide fairly: everyone holds at most its share, and takes what nobody holds. Pure."""
    fair = -(-len(slots) // max(1, worker_count))
    mine = [slot.slot for slot in slots if slot.holder == worker and slot.is_live]
    idle = [slot.slot for slot in slots if slot.holder is None or not slot.is_live]
    return Decision(mine[:fair], idle[: max(0, fair - len(mine))], mine[fair:])


def renew(conn: Connection, worker: uuid.UUID, lease: timedelta) -> tuple[dict[int, int], int]:
    """Beat, keep, take and free slots in one transaction; the caller commits.

    Returns:
        slot → fence of what this worker holds from now on, and the number of slots there are.
    """
    known = {"worker": worker, "lease": lease}
    conn.execute(SQL["beat"], known)
    conn.execute(SQL["bury"], known)
    slots = [Slot(*row) for row in conn.execute(SQL["lock_slots"])]
    row = conn.execute(SQL["count_workers"], known).fetchone()
    assert row is not None
    decision = share(slots, worker, row[0])
    conn.execute(SQL["renew_slots"], known | {"slots": decision.keep})
    conn.execute(SQL["take_slots"], known | {"slots": decision.take})
    conn.execute(SQL["free_slots"], known | {"slots": decision.free})
    fences = {slot.slot: slot.fence for slot in slots}
    held = {slot: fences[slot] for slot in decision.keep}
    held |= {slot: fences[slot] + 1 for slot in decision.take}
    return held, len(slots)


def release(conn: Connection, worker: uuid.UUID) -> None:
    """Give up everything at an orderly stop; the caller commits."""
    slots = [Slot(*row).slot for row in conn.execute(SQL["lock_slots"])]
    conn.execute(SQL["free_slots"], {"slots": slots, "worker": worker})
    conn.execute(SQL["leave"], {"worker": worker})
