"""Each safeguard holds, and a worker without it is caught by the same check."""

from __future__ import annotations

import time

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from support.devices import METRIC, TENANT, problems

from fleet.wire.records import Record, encode_record
from fleet.wire.topics import UpChannel, up_topic

DEVICE = "wc-000"


def test_the_ledger_takes_a_record_once(shared_database, mosquitto, spawn):
    spawn(shared_database, mosquitto.url).wait_ready()
    assert _rows_of_a_record_sent_twice(shared_database, mosquitto) == 1


def test_without_the_ledger_a_record_is_there_twice(shared_database, mosquitto, spawn):
    spawn(shared_database, mosquitto.url, mutation="no_ledger").wait_ready()
    assert _rows_of_a_record_sent_twice(shared_database, mosquitto) == 2


def _rows_of_a_record_sent_twice(database, mosquitto) -> int:
    with _publisher(mosquitto.port) as publisher:
        _send(publisher, [1, 1])
        _await(database, "SELECT sum(received_n) = 2 FROM intake_total")
    with psycopg.connect(database) as conn:
        return conn.execute("SELECT count(*) FROM sample").fetchone()[0]


@pytest.mark.parametrize("mutation", [None, "ack_before_commit"])
def test_acknowledged_means_committed(mutation, shared_database, mosquitto, spawn, fleet_on):
    """Killed before COMMIT, again and again: no device may have been told yet."""
    fleet = fleet_on(mosquitto.port, seed=3)
    for _ in range(3):
        worker = spawn(
            shared_database, mosquitto.url, mutation=mutation, failpoint="ingest_before_commit"
        )
        assert worker.wait_dead() == -9
    fleet.stop_producing()
    found = problems(shared_database, fleet)
    lost = [line for line in found if "lost" in line]
    assert bool(lost) == (mutation is not None), found


@pytest.mark.parametrize("mutation", [None, "no_ack_fence"])
def test_a_late_acknowledgement_takes_no_other_message_with_it(
    mutation, shared_database, mosquitto, spawn
):
    """Packet ids start over when the broker forgot the session.

    One message waits in the worker while the database is locked; the broker restarts and hands
    out another under the same packet id. The worker stores the first, and dies before it stores
    the second: the broker must still have that. The sender does not repeat anything.
    """
    worker = spawn(
        shared_database, mosquitto.url, mutation=mutation, failpoint="ingest_before_commit:2",
        extra={"FJARRKOLL_INGEST_BULK_WRITERS": "1", "FJARRKOLL_LOG_LEVEL": "debug"},
    ).wait_ready()  # fmt: skip
    with psycopg.connect(shared_database) as lock:
        lock.execute("LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE")
        with _publisher(mosquitto.port) as publisher:
            _send(publisher, [1])
            _await_waiting_writer(lock)
        mosquitto.kill()
        mosquitto.start()
        _await_log(worker, "session_open", 16)
        with _publisher(mosquitto.port) as publisher:
            _send(publisher, [2])
        _await_log(worker, "messages_read", 2)
        lock.rollback()
    assert worker.wait_dead() == -9
    spawn(shared_database, mosquitto.url).wait_ready()
    with _publisher(mosquitto.port) as publisher:
        _send(publisher, [3])
        _await(shared_database, "SELECT count(*) > 0 FROM sample WHERE value = 3")
    with psycopg.connect(shared_database) as conn:
        rows = conn.execute("SELECT value::int FROM sample ORDER BY 1").fetchall()
    stored = [row[0] for row in rows]
    assert stored == ([1, 2, 3] if mutation is None else [1, 3])


class _publisher:  # noqa: N801 - reads as a function where it is used
    def __init__(self, port: int) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.connect("127.0.0.1", port)

    def __enter__(self) -> mqtt.Client:
        self._client.loop_start()
        return self._client

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def _send(publisher: mqtt.Client, seqs) -> None:
    for seq in seqs:
        record = Record("00000000000000aa", seq, 1_795_000_000_000 + seq, m={METRIC: seq})
        topic = up_topic(TENANT, DEVICE, UpChannel.BULK)
        publisher.publish(topic, encode_record(record), qos=1).wait_for_publish(10)


def _await(database: str, question: str, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    with psycopg.connect(database, autocommit=True) as conn:
        while conn.execute(question).fetchone() != (True,):
            assert time.monotonic() < deadline, question
            time.sleep(0.01)


def _await_waiting_writer(conn: psycopg.Connection) -> None:
    deadline = time.monotonic() + 10
    question = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'ledger'::regclass"
    while conn.execute(question).fetchone() == (0,):
        assert time.monotonic() < deadline, "no writer waits for the ledger"
        time.sleep(0.01)


def _await_log(process, event: str, count: int) -> None:
    deadline = time.monotonic() + 10
    while process.log.read_text().count(event) < count:
        assert time.monotonic() < deadline, process.log.read_text()[-2000:]
        time.sleep(0.01)
