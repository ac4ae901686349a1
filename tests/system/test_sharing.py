"""Two workers share the shards; one that is frozen or slow to die does no harm."""

from __future__ import annotations

import os
import signal
import time

import psycopg
from support.devices import problems


def test_two_workers_share_and_one_leaves_in_order(shared_database, mosquitto, spawn, fleet_on):
    first = spawn(shared_database, mosquitto.url).wait_ready()
    second = spawn(shared_database, mosquitto.url).wait_ready()
    _await_holders(shared_database, [2, 2])
    fleet = fleet_on(mosquitto.port, seed=1)
    fleet.await_progress(fleet.names, 10)
    assert first.stop() == 0
    _await_holders(shared_database, [4])
    fleet.await_progress(fleet.names, 10)
    assert second.stop() == 0
    assert problems(shared_database, fleet) == []


def test_a_frozen_worker_is_taken_over_and_its_late_work_refused(
    shared_database, mosquitto, spawn, fleet_on
):
    frozen = spawn(shared_database, mosquitto.url).wait_ready()
    spawn(shared_database, mosquitto.url).wait_ready()
    _await_holders(shared_database, [2, 2])
    fleet = fleet_on(mosquitto.port, seed=2)
    for _ in range(3):
        fleet.await_progress(fleet.names, 20)
        os.kill(frozen.pid, signal.SIGSTOP)
        _await_holders(shared_database, [4])
        fleet.await_progress(fleet.names, 20)
        os.kill(frozen.pid, signal.SIGCONT)
        _await_holders(shared_database, [2, 2])
    fleet.stop_producing()
    fleet.await_settled(fleet.made(), 20)
    assert problems(shared_database, fleet) == []


def _await_holders(database: str, wanted: list[int]) -> None:
    """Wait until the slots are held in these numbers."""
    deadline = time.monotonic() + 10
    query = "SELECT count(*) FROM ingest_slot WHERE holder IS NOT NULL GROUP BY holder ORDER BY 1"
    with psycopg.connect(database, autocommit=True) as conn:
        while (found := [row[0] for row in conn.execute(query)]) != wanted:
            assert time.monotonic() < deadline, f"held {found}, wanted {wanted}"
            time.sleep(0.02)
