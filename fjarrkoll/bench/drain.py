"""How fast a backlog drains, beside its two limits: the bare COPY and the bare client."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import psycopg

from fjarrkoll.bench.load import SAMPLES_PER_RECORD, Wire, device_names, record
from fjarrkoll.bench.stage import Stage, cpu_seconds, peak_memory_mb
from fjarrkoll.stack import Child
from ingest.lanes import Lane, LaneQueue
from ingest.network import Network
from ingest.settings import BatchLimits, IngestSettings
from storage import accounts, binary
from storage.connection import connect
from storage.intake import SQL

SLOTS: Final = 4
ROWS_PER_COMMIT: Final = 12_000
_BARE_PREFIX: Final = "fjarrkoll.bare"

Say = Callable[[str], None]


def measure(stage: Stage, records: int, devices: int, say: Say) -> dict[str, Any]:
    """Drain `records` queued records of `devices`; then the same bytes without a database, and
    the same rows without a broker.
    """
    names = device_names(devices)
    stage.register(names)
    product = _drain(stage, names, records, say)
    bare_client = _bare_client(stage, names, records, say)
    bare_copy = _bare_copy(stage, records * SAMPLES_PER_RECORD, say)
    return product | {
        "bare_client_records_per_s": bare_client,
        "bare_copy_samples_per_s": bare_copy,
        "ratio_to_bare_client": round(product["records_per_s"] / bare_client, 3),
        "ratio_to_bare_copy": round(product["samples_per_s"] / bare_copy, 3),
    }


def _messages(names: list[str], records: int, at_ms: int) -> list[tuple[str, bytes]]:
    """Every device in turn, so that a batch meets as many ledger rows as it can."""
    rounds = -(-records // len(names))
    made = [
        record(name, seq, at_ms - (rounds - seq) * 60_000)
        for seq in range(1, rounds + 1)
        for name in names
    ]
    return made[:records]


def _drain(stage: Stage, names: list[str], records: int, say: Say) -> dict[str, Any]:
    say(f"queueing {records:,} records of {len(names):,} devices")
    first = stage.child("ingest", tag="-sessions")  # makes the sessions that will hold the queue
    first.start()
    first.wait_for_line("process_ready")
    first.stop()
    wire = Wire("127.0.0.1", stage.mqtt_port, "bench-load")
    wire.publish(_messages(names, records, time.time_ns() // 1_000_000))
    wire.await_accepted()
    wire.listen("wc", reads_later=True)
    say("draining")
    worker = stage.child("ingest")
    worker.start()
    worker.wait_for_line("session_connected")
    started, cpu_before_s = time.perf_counter(), cpu_seconds(worker.pid)
    finished = _await_stored(stage, records, worker)
    seconds = finished - started
    cpu_us = (cpu_seconds(worker.pid) - cpu_before_s) / records * 1e6
    result = {
        "records": records,
        "devices": len(names),
        "samples_per_record": SAMPLES_PER_RECORD,
        "seconds": round(seconds, 3),
        "records_per_s": round(records / seconds),
        "samples_per_s": round(records * SAMPLES_PER_RECORD / seconds),
        "worker_cpu_us_per_record": round(cpu_us, 1),
        "worker_peak_memory_mb": peak_memory_mb(worker.pid),
    }
    _await_settled(wire, len(names), -(-records // len(names)))
    result["app_acks"] = wire.app_acks
    worker.stop()
    wire.close()
    return result


def _await_stored(stage: Stage, records: int, worker: Child) -> float:
    with connect(stage.database_url, name="fjarrkoll bench") as conn:
        while accounts.totals(conn).stored < records:
            conn.rollback()
            worker.check()
            time.sleep(0.02)
    return time.perf_counter()


def _await_settled(wire: Wire, devices: int, seq: int) -> None:
    """Every device must have been told that its last record is safe."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        wire.read_kept()
        if sum(hi >= seq for hi in list(wire.settled.values())) >= devices:
            return
        time.sleep(0.05)
    told = sum(hi >= seq for hi in wire.settled.values())
    raise TimeoutError(f"{told} of {devices} devices were told that all is settled")


def _bare_client(stage: Stage, names: list[str], records: int, say: Say) -> float:
    """The same sessions and acknowledgements, with nothing between."""
    say("draining the same without a database")
    settings = IngestSettings(stage.database_url, stage.mqtt_url, client_prefix=_BARE_PREFIX)
    queue = LaneQueue(100_000, 1 << 30, BatchLimits(), time.monotonic)
    _run_network(settings, queue, 0)  # makes the sessions
    wire = Wire("127.0.0.1", stage.mqtt_port, "bench-load-bare")
    wire.publish(_messages(names, records, time.time_ns() // 1_000_000))
    wire.await_accepted()
    wire.close()
    seconds = _run_network(settings, queue, records)
    return round(records / seconds)


def _run_network(settings: IngestSettings, queue: LaneQueue, records: int) -> float:
    def queue_for(_lane: Lane, _slot: int) -> LaneQueue:
        return queue

    network = Network(settings, queue_for)
    network.hold(dict.fromkeys(range(SLOTS), 1), SLOTS)
    network.start()
    while not queue.depth() and network.open_n() < 2 * SLOTS:
        time.sleep(0.001)
    started = time.perf_counter()
    drained = 0
    while drained < records:
        batch = queue.take(1.0)
        network.settle(batch, {})
        drained += sum(not delivery.is_for_other_lane for delivery in batch)
    seconds = time.perf_counter() - started
    time.sleep(0.3)  # let the last acknowledgements out
    network.stop()
    return seconds


def _bare_copy(stage: Stage, rows: int, say: Say) -> float:
    """The same rows into the same table in the order of a drain: one connection, and a commit
    after every 2,000 records.
    """
    say("copying the same rows without a broker")
    with psycopg.connect(stage.database_url) as conn:
        conn.execute("SELECT ensure_sample_partition(current_date)")
        devices = conn.execute("SELECT device_no FROM device ORDER BY random()").fetchall()
        metrics = conn.execute("SELECT metric_no FROM metric ORDER BY metric_no LIMIT 6").fetchall()
        conn.commit()
        batches = _copy_batches(rows, [row[0] for row in devices], [row[0] for row in metrics])
        started = time.perf_counter()
        for batch in batches:
            with conn.cursor() as cursor, cursor.copy(SQL["copy_samples"]) as copy:
                copy.write(batch)
            conn.commit()
        return round(rows / (time.perf_counter() - started))


def _copy_batches(rows: int, devices: list[int], metrics: list[int]) -> list[bytes]:
    now_ms = time.time_ns() // 1_000_000
    numbers = {str(metric_no): metric_no for metric_no in metrics}
    values = dict.fromkeys(numbers, 24.6)
    made: list[bytes] = []
    for number in range(rows // SAMPLES_PER_RECORD):
        device = devices[number % len(devices)]
        prefix = binary.sample_prefix(now_ms - 3_600_000 + number, now_ms, device, 0, None)
        made.extend(binary.sample_rows(prefix, numbers, values))
    return [
        b"".join((binary.HEADER, *made[start : start + ROWS_PER_COMMIT], binary.TRAILER))
        for start in range(0, len(made), ROWS_PER_COMMIT)
    ]
