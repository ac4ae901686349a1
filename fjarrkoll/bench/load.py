"""Load from many devices over one connection, cheap enough not to be what is measured.

MQTT 5 packets written by hand: a benchmark on two cores cannot spare a client library's share.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
from typing import Final

from fleet.wire.messages import decode_ack
from fleet.wire.records import Fault, Record, encode_record
from fleet.wire.topics import UpChannel, up_topic
from ingest.packets import frame, parse_publish

TENANT: Final = "bench"
EPOCH: Final = "00000000000000b1"
_PUBACK: Final = 0x40
_PUBLISH: Final = 0x30
_METRICS: Final = (
    "battery_voltage_v", "state_of_charge_pct", "drive_time_s", "odometer_m", "motor_current_a",
    "motor_temp_c",
)  # fmt: skip
SAMPLES_PER_RECORD: Final = len(_METRICS)


def device_names(count: int, prefix: str = "wc") -> list[str]:
    return [f"{prefix}-{number:06d}" for number in range(count)]


def record(device: str, seq: int, at_ms: int) -> tuple[str, bytes]:
    """Topic and payload of one record of six samples."""
    values = (24.6, 71, 913_200 + seq * 60, 412_345 + seq * 17, 11.5, 33.1)
    made = Record(EPOCH, seq, at_ms, 17, 8_123_456, m=dict(zip(_METRICS, values, strict=True)))
    return up_topic(TENANT, device, UpChannel.BULK), encode_record(made)


def probe(device: str, seq: int, at_ms: int) -> tuple[str, bytes]:
    """A record that carries its own number, to be looked for."""
    made = Record(EPOCH, seq, at_ms, m={"odometer_m": seq})
    return up_topic(TENANT, device, UpChannel.BULK), encode_record(made)


def fault(device: str, at_ms: int) -> tuple[str, bytes]:
    """A record with a critical fault for a technician."""
    made = Record(EPOCH, 1, at_ms, faults=[Fault("vr2", "3B00", "raised", at=at_ms)])
    return up_topic(TENANT, device, UpChannel.URGENT), encode_record(made)


def _varint(size: int) -> bytes:
    out = bytearray()
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)


def _text(value: str) -> bytes:
    return len(value).to_bytes(2, "big") + value.encode()


def _packet(head: int, body: bytes) -> bytes:
    return bytes([head]) + _varint(len(body)) + body


class Wire:
    """One MQTT 5 connection that publishes with QoS 1 and counts what comes back."""

    def __init__(self, host: str, port: int, name: str) -> None:
        self._socket = socket.create_connection((host, port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        receive_maximum = b"\x21\xff\xff"
        properties = _varint(len(receive_maximum)) + receive_maximum
        connect = _text("MQTT") + b"\x05\x02" + (0).to_bytes(2, "big") + properties + _text(name)
        self._socket.sendall(_packet(0x10, connect))
        self._buffer = b""
        self._kept: list[bytes] | None = None
        self._mid = 0
        self._changed = threading.Condition()
        self.published = 0
        self.accepted = 0
        self.app_acks = 0
        self.settled: dict[str, int] = {}
        self.settled_n = 0
        self._prefix = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def listen(self, prefix: str, *, reads_later: bool = False) -> None:
        """Hear every application acknowledgement, and note those of devices named so.

        With `reads_later` what comes is kept as it is until `read_kept`: real devices read
        their answers on processors of their own.
        """
        self._prefix = prefix
        self._kept = [] if reads_later else None
        body = (1).to_bytes(2, "big") + b"\0" + _text("fk/1/+/+/+/down/ack") + b"\0"
        self._socket.sendall(_packet(0x82, body))

    def publish(self, messages: Iterable[tuple[str, bytes]], window: int = 2_000) -> None:
        """Publish in order, with at most `window` not yet accepted by the broker."""
        out = bytearray()
        for topic, payload in messages:
            self._mid = self._mid % 65_535 + 1
            body = _text(topic) + self._mid.to_bytes(2, "big") + b"\0" + payload
            out += _packet(0x32, body)
            self.published += 1
            if self.published % 200 == 0:
                self._socket.sendall(out)
                out.clear()
                self._await_window(window)
        self._socket.sendall(out)

    def _await_window(self, window: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.published - self.accepted < window, 60)

    def await_accepted(self, timeout_s: float = 120) -> None:
        """Wait until the broker has accepted everything.

        Raises:
            TimeoutError: it has not.
        """
        with self._changed:
            done = self._changed.wait_for(lambda: self.accepted >= self.published, timeout_s)
        if not done:
            raise TimeoutError(f"the broker accepted {self.accepted} of {self.published}")

    def close(self) -> None:
        self._socket.close()
        self._reader.join(timeout=5)

    def _read(self) -> None:
        while True:
            try:
                arrived = self._socket.recv(1 << 18)
            except OSError:
                return
            if not arrived:
                return
            if self._kept is not None:
                self._kept.append(arrived)
                continue
            self._buffer += arrived
            self._take_packets()

    def read_kept(self) -> None:
        """Read what `listen` has kept so far."""
        kept, self._kept = self._kept or [], []
        self._buffer += b"".join(kept)
        self._take_packets()

    def _take_packets(self) -> None:
        buffer, at, accepted = self._buffer, 0, 0
        while at < len(buffer):
            found = frame(buffer, at)
            if found is None:
                break
            kind = buffer[at] & 0xF0
            if kind == _PUBACK:
                accepted += 1
            elif kind == _PUBLISH:
                self._note_ack(buffer, at, *found)
            at = found[1]
        self._buffer = buffer[at:]
        with self._changed:
            self.accepted += accepted
            self._changed.notify_all()

    def _note_ack(self, buffer: bytes, at: int, start: int, end: int) -> None:
        self.app_acks += 1
        publish = parse_publish(buffer, at, start, end)
        device = publish.topic.split("/", 5)[4]
        hi = decode_ack(publish.payload).hi
        if hi is not None and device.startswith(self._prefix):
            self.settled_n += hi - self.settled.get(device, 0)
            self.settled[device] = hi
