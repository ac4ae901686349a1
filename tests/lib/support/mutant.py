"""An ingest worker with one safeguard taken out: tests show that its absence is noticed.

usage: mutant.py no_ack_fence | no_ledger | ack_before_commit
"""

from __future__ import annotations

import sys
from typing import Any

import fleet.batch
import ingest.session
import storage.intake
from fjarrkoll.cli import main


def no_ack_fence() -> None:
    """Acknowledge whatever packet id, on whatever connection there is now."""
    real = ingest.session.Session.acknowledge

    def acknowledge(self: Any, deliveries: Any) -> int:
        import msgspec

        return real(self, [msgspec.structs.replace(d, connection=self.connection) for d in deliveries])

    ingest.session.Session.acknowledge = acknowledge  # type: ignore[method-assign]


def no_ledger() -> None:
    """Believe that everything is new."""

    def is_new(entry: Any, seq: int, _is_skipped: bool) -> bool:
        entry.received.add(seq)
        return True

    fleet.batch._is_new = is_new


def ack_before_commit() -> None:
    """Say that a batch is safe, and commit it with the next one only."""

    class Late:
        def __init__(self, conn: Any) -> None:
            self._conn = conn

        def __getattr__(self, name: str) -> Any:
            return getattr(self._conn, name)

        def commit(self) -> None:
            """Not yet."""

    real = storage.intake.Intake._store

    def store(self: Any, conn: Any, *arguments: Any) -> Any:
        conn.commit()
        return real(self, Late(conn), *arguments)

    storage.intake.Intake._store = store  # type: ignore[method-assign]


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    sys.argv = ["fjarrkoll", "ingest"]
    main()
