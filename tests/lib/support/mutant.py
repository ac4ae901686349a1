"""An ingest worker with one safeguard taken out: tests show that its absence is noticed.

usage: mutant.py no_ack_fence | no_ledger | ack_before_commit
"""

from __future__ import annotations

import sys
import time
from typing import Any

import msgspec

import fleet.batch
import ingest.network
import ingest.session
import storage.intake
from fjarrkoll.cli import main


def no_ack_fence() -> None:
    """Acknowledge whatever packet id, on whatever connection there is now."""
    real = ingest.session.Session.acknowledge

    def acknowledge(self: Any, deliveries: Any) -> int:
        return real(
            self, [msgspec.structs.replace(d, connection=self.connection) for d in deliveries]
        )

    ingest.session.Session.acknowledge = acknowledge  # type: ignore[method-assign]


def no_ledger() -> None:
    """Believe that everything is new."""

    def is_new(entry: Any, seq: int, **_: bool) -> bool:
        entry.received.add(seq)
        return True

    fleet.batch._is_new = is_new


def ack_before_commit() -> None:
    """Tell the devices that a batch is safe, and commit it a little later."""
    networks: list[Any] = []
    die = storage.intake.failpoint
    start = ingest.network.Network.start

    def note_and_start(self: Any) -> None:
        networks.append(self)
        start(self)

    def tell_early(name: str) -> None:
        if name == "ingest_before_commit":
            networks[0].settle((), sys._getframe(1).f_locals["plan"].acks)
            time.sleep(0.3)
        die(name)

    ingest.network.Network.start = note_and_start  # type: ignore[method-assign]
    storage.intake.failpoint = tell_early


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    sys.argv = ["fjarrkoll", "ingest"]
    main()
