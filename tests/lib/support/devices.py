"""Devices with an outbox, as a test needs them: what they were told is settled can be checked."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random

import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

from fleet.wire.messages import decode_ack
from fleet.wire.records import Fault, Record, encode_record
from fleet.wire.topics import UpChannel, parse_topic, up_topic

TENANT = "test"
METRIC = "odometer_m"
"""Carries the sequence number, so that rows can be told apart without the ledger's help."""


@dataclass
class _Device:
    name: str
    epoch: str
    next_seq: int = 1
    hi: int = 0
    sent_upto: int = 0
    progress_at: float = 0.0


@dataclass
class DeviceFleet:
    """Keeps every record until an application acknowledgement settles it; sends again meanwhile."""

    port: int
    names: list[str]
    seed: int
    window: int = 20
    resend_after_s: float = 0.7
    fault_share: float = 0.02
    devices: dict[str, _Device] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = Random(self.seed)
        for name in self.names:
            self.devices[name] = _Device(name, f"{self._rng.getrandbits(64):016x}")
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._is_producing = True
        self._is_stopping = False
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.max_inflight_messages_set(400)
        self._client.reconnect_delay_set(0.05, 0.2)
        self._client.on_connect = lambda client, *_: client.subscribe("fk/1/+/+/+/down/ack", qos=0)
        self._client.on_message = self._on_ack
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._client.connect_async("127.0.0.1", self.port, keepalive=10)
        self._client.loop_start()
        self._thread.start()

    def _run(self) -> None:
        while not self._is_stopping:
            now = time.monotonic()
            if self._client.is_connected():
                for device in self.devices.values():
                    self._speak(device, now)
            time.sleep(0.02)

    def _speak(self, device: _Device, now: float) -> None:
        with self._lock:
            if self._is_producing and device.next_seq - device.hi <= self.window:
                device.next_seq += self._rng.randint(0, 2)
            if now - device.progress_at > self.resend_after_s:
                device.sent_upto = device.hi  # from the oldest on, once more
                device.progress_at = now
            todo = range(device.sent_upto + 1, device.next_seq)
            device.sent_upto = device.next_seq - 1
        for seq in todo:
            self._publish(device, seq)

    def _publish(self, device: _Device, seq: int) -> None:
        fault = Fault("vr2", "2C00", "raised") if seq % round(1 / self.fault_share) == 0 else None
        record = Record(
            device.epoch, seq, 1_795_000_000_000 + seq * 1000, m={METRIC: seq},
            faults=[fault] if fault else [],
        )  # fmt: skip
        channel = UpChannel.URGENT if fault else UpChannel.BULK
        self._client.publish(up_topic(TENANT, device.name, channel), encode_record(record), qos=1)

    def _on_ack(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        device = self.devices[parse_topic(message.topic).device]
        ack = decode_ack(message.payload)
        with self._lock:
            if ack.epoch != device.epoch or ack.hi is None or ack.hi <= device.hi:
                return
            if ack.hi >= device.next_seq:
                self.wrong.append(f"{device.name} was told {ack.hi}, it made {device.next_seq - 1}")
            device.hi = ack.hi
            device.progress_at = time.monotonic()
            self._changed.notify_all()

    def made(self) -> dict[str, int]:
        with self._lock:
            return {device.name: device.next_seq - 1 for device in self.devices.values()}

    def await_settled(self, wanted: dict[str, int], timeout_s: float) -> float:
        """Wait until everything up to `wanted` is acknowledged; returns the seconds it took."""
        started = time.monotonic()
        with self._changed:
            settled = self._changed.wait_for(
                lambda: all(self.devices[name].hi >= seq for name, seq in wanted.items()), timeout_s
            )
        assert settled, f"not acknowledged within {timeout_s} s: " + ", ".join(
            f"{n} {self.devices[n].hi}/{s}" for n, s in wanted.items() if self.devices[n].hi < s
        )
        return time.monotonic() - started

    def await_progress(self, names: list[str], timeout_s: float) -> float:
        """Wait until each of these has all acknowledged that it made, and something new."""
        with self._lock:
            devices = [self.devices[name] for name in names]
            wanted = {d.name: max(d.next_seq - 1, d.hi + 1) for d in devices}
        return self.await_settled(wanted, timeout_s)

    def stop_producing(self) -> None:
        with self._lock:
            self._is_producing = False

    def stop(self) -> None:
        self._is_stopping = True
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()


def problems(database: str, fleet: DeviceFleet) -> list[str]:
    """Everything that breaks the promise: lost, twice, or counted wrong. Empty is right."""
    found = list(fleet.wrong)
    with psycopg.connect(database) as conn:
        rows = conn.execute(
            "SELECT device.id, value::bigint FROM sample JOIN device USING (device_no)"
            " JOIN metric USING (metric_no) WHERE metric.name = %s",
            [METRIC],
        ).fetchall()
        faults = conn.execute(
            "SELECT count(*), count(DISTINCT (device_no, epoch, seq)) FROM fault_event"
        ).fetchone()
        totals = conn.execute(
            "SELECT sum(received_n), sum(stored_n), sum(stored_n + duplicate_n + quarantined_n)"
            " FROM intake_total"
        ).fetchone()
    stored = Counter(rows)
    twice = [key for key, count in stored.items() if count > 1]
    if twice:
        found.append(f"{len(twice)} records are there twice, as {twice[:3]}")
    for device in fleet.devices.values():
        lost = [seq for seq in range(1, device.hi + 1) if (device.name, seq) not in stored]
        if lost:
            found.append(f"{device.name}: acknowledged up to {device.hi}, lost {lost[:5]}")
    assert faults is not None
    assert totals is not None
    if faults[0] != faults[1]:
        found.append("fault rows are there twice")
    if totals[0] != totals[2]:
        found.append(f"received {totals[0]}, accounted for {totals[2]}")
    if totals[1] != len(stored):
        found.append(f"stored {totals[1]} by the books, {len(stored)} in the table")
    return found
