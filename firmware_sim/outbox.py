"""The device outbox of the contract: records on disk until they are settled.

One SQLite file holds the outboxes of all devices of a process, so that one fsync settles a whole
tick. What `append` has returned for survives kill -9 and power loss.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final, Literal

Channel = Literal["urgent", "bulk"]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS device (
    id       TEXT PRIMARY KEY,
    epoch    TEXT NOT NULL,
    boot     INTEGER NOT NULL DEFAULT 0,
    next_seq INTEGER NOT NULL DEFAULT 1,
    acked_hi INTEGER NOT NULL DEFAULT 0,
    held     INTEGER NOT NULL DEFAULT 0,  -- records after acked_hi that are still here
    lost     INTEGER NOT NULL DEFAULT 0,
    memory   BLOB                         -- what the device remembers of its own doings
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS record (
    device  TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    urgent  INTEGER NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (device, seq)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS record_urgent ON record (device, seq) WHERE urgent = 1;
CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Draft:
    """A record before it has a number. `encode` is called once, with the epoch and the seq."""

    channel: Channel
    encode: Callable[[str, int], bytes]


@dataclass(frozen=True, slots=True)
class Entry:
    """One device's share of an append: its records, and its memory if that changed."""

    device: str
    drafts: Sequence[Draft]
    memory: bytes | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    seq: int
    channel: Channel
    payload: bytes


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append did: the new numbers, and how many old records had to make room."""

    first_seq: int
    next_seq: int
    urgent: tuple[int, ...]
    dropped: int
    oldest_seq: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One device's outbox as it stands. `holes` are missing ranges, ends included."""

    device: str
    epoch: str
    boot: int
    oldest_seq: int
    next_seq: int
    acked_hi: int
    lost: int
    holes: tuple[tuple[int, int], ...] = ()
    urgent: tuple[int, ...] = ()
    memory: bytes | None = field(default=None, repr=False)


class Outbox:
    """Records per device, numbered in the write that stores them.

    Args:
        path: the SQLite file; created when missing.
        rng: draws the epochs.
        limit: unsettled records per device; beyond it the oldest are dropped and lost.
        grace: settled records kept per device, for a backend that was restored.
    """

    def __init__(self, path: Path, rng: Random, *, limit: int = 20_000, grace: int = 200) -> None:
        self._rng = rng
        self._limit = limit
        self._grace = grace
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def boot(self, devices: Iterable[str]) -> None:
        """Start `devices`: create missing outboxes, each with a fresh epoch; count the boot."""
        with self._transaction():
            self._db.executemany(
                "INSERT INTO device (id, epoch, boot) VALUES (?, ?, 1)"
                " ON CONFLICT (id) DO UPDATE SET boot = boot + 1",
                [(device, f"{self._rng.getrandbits(64):016x}") for device in devices],
            )

    def append(
        self, entries: Iterable[Entry], notes: dict[str, bytes] | None = None
    ) -> dict[str, Appended]:
        """Number and store the records of many devices in one transaction.

        When this returns they are on disk. `notes` are stored in the same transaction.
        """
        with self._transaction():
            for name, value in (notes or {}).items():
                self._db.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (name, value))
            return {entry.device: self._append(entry) for entry in entries}

    def _append(self, entry: Entry) -> Appended:
        epoch, first = self._db.execute(
            "SELECT epoch, next_seq FROM device WHERE id = ?", (entry.device,)
        ).fetchone()
        rows = [
            (entry.device, seq, draft.channel == "urgent", draft.encode(epoch, seq))
            for seq, draft in enumerate(entry.drafts, first)
        ]
        self._db.executemany("INSERT INTO record VALUES (?, ?, ?, ?)", rows)
        self._db.execute(
            "UPDATE device SET next_seq = next_seq + ?1, held = held + ?1,"
            " memory = coalesce(?2, memory) WHERE id = ?3",
            (len(rows), entry.memory, entry.device),
        )
        dropped = self._drop_surplus(entry.device)
        return Appended(
            first_seq=first,
            next_seq=first + len(rows),
            urgent=tuple(seq for _, seq, urgent, _ in rows if urgent),
            dropped=dropped,
            oldest_seq=self.oldest_seq(entry.device) if dropped else 0,
        )

    def _drop_surplus(self, device: str) -> int:
        held, acked_hi = self._db.execute(
            "SELECT held, acked_hi FROM device WHERE id = ?", (device,)
        ).fetchone()
        surplus = held - self._limit
        if surplus <= 0:
            return 0
        (last,) = self._db.execute(
            "SELECT seq FROM record WHERE device = ? AND seq > ? ORDER BY seq LIMIT 1 OFFSET ?",
            (device, acked_hi, surplus - 1),
        ).fetchone()
        self._db.execute("DELETE FROM record WHERE device = ? AND seq <= ?", (device, last))
        self._db.execute(
            "UPDATE device SET held = held - ?1, lost = lost + ?1 WHERE id = ?2", (surplus, device)
        )
        return int(surplus)

    def fetch(self, device: str, seqs: Sequence[int]) -> list[Stored]:
        """The records of these numbers that are still here, oldest first."""
        if not seqs:
            return []
        if seqs[-1] - seqs[0] == len(seqs) - 1:
            rows = self._db.execute(
                "SELECT seq, urgent, payload FROM record"
                " WHERE device = ? AND seq BETWEEN ? AND ? ORDER BY seq",
                (device, seqs[0], seqs[-1]),
            )
        else:
            marks = ",".join("?" * len(seqs))
            rows = self._db.execute(
                "SELECT seq, urgent, payload FROM record"  # noqa: S608 - question marks only
                f" WHERE device = ? AND seq IN ({marks}) ORDER BY seq",
                (device, *seqs),
            )
        return [Stored(seq, "urgent" if urgent else "bulk", data) for seq, urgent, data in rows]

    def settle(self, acked: dict[str, int]) -> None:
        """Forget what is acknowledged, up to and including each number, less the grace.

        The caller has checked epoch and order; a lower number than before changes nothing.
        """
        with self._transaction():
            for device, hi in acked.items():
                self._db.execute(
                    "UPDATE device SET acked_hi = ?2, held = held - (SELECT count(*) FROM record"
                    " WHERE device = ?1 AND seq > acked_hi AND seq <= ?2)"
                    " WHERE id = ?1 AND acked_hi < ?2 AND ?2 < next_seq",
                    (device, hi),
                )
                self._db.execute(
                    "DELETE FROM record WHERE device = ?1"
                    " AND seq <= (SELECT acked_hi FROM device WHERE id = ?1) - ?2",
                    (device, self._grace),
                )

    def rewind(self, device: str, seq: int) -> None:
        """Count the records from `seq` on as unsettled again, as far as they are still here."""
        with self._transaction():
            self._db.execute(
                "UPDATE device SET held = held + (SELECT count(*) FROM record"
                " WHERE device = ?1 AND seq >= ?2 AND seq <= acked_hi), acked_hi = ?2 - 1"
                " WHERE id = ?1 AND acked_hi >= ?2",
                (device, max(1, seq)),
            )

    def lose(self, device: str, first: int, last: int) -> int:
        """Lose a range, ends included, as worn flash memory does. Returns how many were lost."""
        with self._transaction():
            lost = self._db.execute(
                "DELETE FROM record WHERE device = ?1 AND seq BETWEEN max(?2,"
                " (SELECT acked_hi + 1 FROM device WHERE id = ?1)) AND ?3",
                (device, first, last),
            ).rowcount
            self._db.execute(
                "UPDATE device SET held = held - ?1, lost = lost + ?1 WHERE id = ?2", (lost, device)
            )
        return lost

    def oldest_seq(self, device: str) -> int:
        """The oldest number still held, settled ones included; `next_seq` when empty."""
        row = self._db.execute(
            "SELECT coalesce((SELECT min(seq) FROM record WHERE device = ?1),"
            " (SELECT next_seq FROM device WHERE id = ?1))",
            (device,),
        ).fetchone()
        return int(row[0])

    def load(self, device: str) -> Snapshot:
        """Read one device's outbox, as the device does when it starts."""
        epoch, boot, next_seq, acked_hi, lost, memory = self._db.execute(
            "SELECT epoch, boot, next_seq, acked_hi, lost, memory FROM device WHERE id = ?",
            (device,),
        ).fetchone()
        oldest = self.oldest_seq(device)
        return Snapshot(
            device=device,
            epoch=epoch,
            boot=boot,
            oldest_seq=oldest,
            next_seq=next_seq,
            acked_hi=acked_hi,
            lost=lost,
            holes=self._holes(device, oldest, next_seq),
            urgent=tuple(
                seq
                for (seq,) in self._db.execute(
                    "SELECT seq FROM record WHERE device = ? AND urgent = 1 AND seq > ?"
                    " ORDER BY seq",
                    (device, acked_hi),
                )
            ),
            memory=memory,
        )

    def _holes(self, device: str, oldest: int, next_seq: int) -> tuple[tuple[int, int], ...]:
        seqs = self._db.execute("SELECT seq FROM record WHERE device = ? ORDER BY seq", (device,))
        holes: list[tuple[int, int]] = []
        expected = oldest
        for (seq,) in seqs:
            if seq > expected:
                holes.append((expected, seq - 1))
            expected = seq + 1
        if expected < next_seq:
            holes.append((expected, next_seq - 1))
        return tuple(holes)

    def acked(self) -> dict[tuple[str, str], int]:
        """The highest settled number per (device, epoch)."""
        rows = self._db.execute("SELECT id, epoch, acked_hi FROM device ORDER BY id")
        return {(device, epoch): hi for device, epoch, hi in rows}

    def unsettled(self) -> int:
        """Records of all devices that still wait for an acknowledgement."""
        (total,) = self._db.execute("SELECT coalesce(sum(held), 0) FROM device").fetchone()
        return int(total)

    def note(self, name: str) -> bytes | None:
        """What `append` or `keep_note` stored under `name`."""
        row = self._db.execute("SELECT value FROM note WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)


class _Transaction:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")
