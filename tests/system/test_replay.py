"""Every recording goes the whole way, over the embedded broker: sim, ingest, rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg

from fjarrkoll.balance import draw_up
from fjarrkoll.embedded.broker import EmbeddedBroker
from storage.connection import connect
from storage.registry import NewDevice, add_devices

RECORDINGS = sorted((Path(__file__).parents[1] / "fixtures" / "payloads").glob("*.jsonl"))


def test_every_recording_is_stored_or_explained(shared_database, directory, spawn):
    heads = [json.loads(path.open().readline())["recording"] for path in RECORDINGS]
    with connect(shared_database) as conn:
        devices = [NewDevice(head["device"], head["model"]) for head in heads]
        add_devices(conn, devices, tenant="demo")
    broker = EmbeddedBroker(directory)
    broker.start()
    try:
        spawn(shared_database, broker.url).wait_ready()
        reports = _replay_all(broker.url)
        _await_quiet(shared_database)
    finally:
        broker.stop()
    sent = sum(report["sent"] for report in reports)
    assert sent > 200
    with connect(shared_database) as conn:
        balance = draw_up(conn, {})
    assert balance.is_right
    assert balance.received >= sent
    assert balance.stored > 0.9 * sent
    assert balance.faults > 0
    assert set(balance.quarantined_by_reason) <= {"malformed", "bad_time", "out_of_range"}
    assert _devices_with_samples(shared_database) == {head["device"] for head in heads}


def _replay_all(mqtt: str) -> list[dict[str, int]]:
    """All at once, as fast as they go, with their times moved to end now."""
    options = ("--speed", "3600", "--rebase", "--json")
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "fjarrkoll", "sim", "--replay", str(path), *options],
            env=dict(os.environ) | {"FJARRKOLL_MQTT_URL": mqtt},
            stdout=subprocess.PIPE,
        )
        for path in RECORDINGS
    ]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0] * len(running)
    return [json.loads(output) for output in outputs]


def _await_quiet(database: str) -> None:
    """Wait until the worker has stored what it has got."""
    deadline = time.monotonic() + 20
    before = -1
    with psycopg.connect(database, autocommit=True) as conn:
        while time.monotonic() < deadline:
            row = conn.execute("SELECT sum(received_n) FROM intake_total").fetchone()
            if row is not None and row[0] == before:
                return
            before = row[0] if row is not None else -1
            time.sleep(0.3)


def _devices_with_samples(database: str) -> set[str]:
    with psycopg.connect(database) as conn:
        rows = conn.execute("SELECT DISTINCT device.id FROM sample JOIN device USING (device_no)")
        return {row[0] for row in rows}
