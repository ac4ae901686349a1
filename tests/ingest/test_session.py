"""When a session counts as open, against a broker of a few bytes that can refuse."""

from __future__ import annotations

import socket
import struct

import pytest
from structlog.testing import capture_logs

from ingest.lanes import Lane
from ingest.session import Session
from ingest.settings import IngestSettings

CONNACK = bytes([0x20, 3, 0, 0, 0])
GRANTED_QOS_1 = 0x01
NOT_AUTHORISED = 0x87


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        yield server


@pytest.fixture
def session(listener):
    port = listener.getsockname()[1]
    settings = IngestSettings(
        database_url="postgresql://nowhere", mqtt_url=f"mqtt://127.0.0.1:{port}"
    )
    made = Session(settings, (0, 4, 1), Lane.BULK, lambda: 0)
    yield made
    made.close()


def test_a_session_is_open_when_its_last_filter_is_granted(listener, session):
    broker = _connected(listener, session)
    first, second = _subscriptions(broker, session)
    _answer(broker, session, _suback(first, GRANTED_QOS_1))
    assert session.is_connected
    assert not session.is_open
    with capture_logs() as logs:
        _answer(broker, session, _suback(second, GRANTED_QOS_1))
    assert session.is_open
    assert [line["event"] for line in logs] == ["session_open"]


def test_a_refused_filter_is_told_with_what_to_do(listener, session):
    broker = _connected(listener, session)
    first, _ = _subscriptions(broker, session)
    with capture_logs() as logs:
        _answer(broker, session, _suback(first, NOT_AUTHORISED))
    assert not session.is_open
    (line,) = logs
    assert (line["event"], line["reason"]) == ("subscription_refused", "Not authorized")
    assert "fk/1/#" in line["advice"]


def _connected(listener, session) -> socket.socket:
    session.connect_if_due(1.0)
    broker, _ = listener.accept()
    broker.settimeout(10)
    session.tend()
    broker.recv(4096)
    _answer(broker, session, CONNACK)
    return broker


def _answer(broker, session, packet: bytes) -> None:
    broker.sendall(packet)
    _until(lambda: session.socket.next_packet() or session.socket.fill())
    session.read(10)


def _until(happens) -> None:
    for _ in range(1_000_000):
        if happens():
            return
    raise AssertionError("nothing came")


def _subscriptions(broker, session) -> list[tuple[int, int]]:
    """Packet id and number of filters of each SUBSCRIBE."""
    session.tend()
    sent = broker.recv(65536)
    found = []
    while sent:
        assert sent[0] == 0x82
        size, start = _variable(sent)
        (mid,) = struct.unpack_from("!H", sent, start)
        body = sent[start + 3 : start + size]  # an empty list of properties is one byte
        found.append((mid, _filter_count(body)))
        sent = sent[start + size :]
    return found


def _variable(packet: bytes) -> tuple[int, int]:
    size = shift = 0
    for at in range(1, 5):
        size |= (packet[at] & 0x7F) << shift
        shift += 7
        if not packet[at] & 0x80:
            return size, at + 1
    raise AssertionError(packet)


def _filter_count(body: bytes) -> int:
    count = at = 0
    while at < len(body):
        (length,) = struct.unpack_from("!H", body, at)
        at += 2 + length + 1
        count += 1
    return count


def _suback(subscription: tuple[int, int], reason: int) -> bytes:
    mid, count = subscription
    body = struct.pack("!H", mid) + b"\0" + bytes([reason]) * count
    return bytes([0x90, len(body)]) + body
