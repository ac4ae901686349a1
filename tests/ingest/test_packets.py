"""Our reading of PUBLISH against paho's writing and reading of it, and against any bytes."""

from __future__ import annotations

import random
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import _packet
from paho.mqtt.client import Client, MQTTMessageInfo, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.lanes import Lane
from ingest.packets import PacketError, frame, parse_publish, puback, publish_qos0
from ingest.session import Session
from ingest.settings import IngestSettings

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
TOPICS = TEXTS.filter(lambda text: text and not set(text) & set("#+"))
PAYLOADS = st.binary(max_size=400) | st.integers(0, 40_000).map(lambda size: b"x" * size)
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "PayloadFormatIndicator": st.integers(0, 1),
        "MessageExpiryInterval": st.integers(0, 2**32 - 1),
        "TopicAlias": st.integers(1, 2**16 - 1),
        "ResponseTopic": TOPICS,
        "CorrelationData": st.binary(max_size=300),
        "UserProperty": st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4),
        "SubscriptionIdentifier": st.integers(1, 268_435_455),
        "ContentType": TEXTS,
    },
)


class Sink:
    """Keeps what paho would send."""

    def __init__(self):
        self.sent = b""

    def send(self, data):
        self.sent += bytes(data)
        return len(data)

    def fileno(self):
        return -1


def paho_publish(topic, payload, properties, qos=1, mid=7, retain=False, dup=False):
    """The packet as paho writes it."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    client._sock = sink = Sink()
    client.on_socket_register_write = lambda *_: None
    info = MQTTMessageInfo(mid)
    client._send_publish(mid, topic.encode(), payload, qos, retain, dup, info, packed(properties))
    client.loop_write()
    client._sock = None
    return sink.sent


def packed(values):
    properties = Properties(PacketTypes.PUBLISH)
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


def ours(packet, at=0):
    found = frame(packet, at)
    assert found is not None
    return parse_publish(packet, at, *found), found[1]


@given(TOPICS, PAYLOADS, PROPERTIES, st.integers(0, 1), st.booleans(), st.booleans())
def test_what_paho_writes_we_read(topic, payload, properties, qos, retain, dup):
    packet = paho_publish(topic, payload, properties, qos, 7, retain, dup)
    found, end = ours(packet)
    assert end == len(packet)
    assert found == (topic, payload, properties.get("ContentType"), 7 if qos else 0, retain)


@given(TOPICS, st.binary(max_size=50), PROPERTIES, st.binary(max_size=20), st.binary(max_size=20))
def test_neighbours_in_the_buffer_are_not_read(topic, payload, properties, before, after):
    packet = paho_publish(topic, payload, properties)
    found, end = ours(before + packet + after, len(before))
    assert end == len(before + packet)
    assert found == ours(packet)[0]


@given(TOPICS, PAYLOADS)
def test_what_we_write_paho_reads(topic, payload):
    packet = publish_qos0(topic, payload)
    start, end = frame(packet, 0)
    assert end == len(packet)
    told = _packet.decode_publish(packet[0], packet[start:], MQTTv5)
    assert (told.topic.decode(), told.payload, told.qos, told.retain) == (topic, payload, 0, False)


@given(st.integers(1, 2**16 - 1))
def test_our_acknowledgement_is_read_by_paho(mid):
    packet = puback(mid)
    assert frame(packet, 0) == (2, 4)
    assert _packet.decode_puback(packet[0], packet[2:], MQTTv5).mid == mid


@given(TOPICS, st.sampled_from([0, 1, 100, 127, 128, 16_383, 16_384]), PROPERTIES)
def test_a_packet_is_whole_at_its_last_byte_and_never_before(topic, size, properties):
    packet = paho_publish(topic, b"x" * size, properties)
    whole = frame(packet, 0)
    assert whole is not None
    cuts = {*range(min(len(packet), 300)), *range(max(0, len(packet) - 300), len(packet))}
    assert [cut for cut in cuts if frame(packet[:cut], 0) is not None] == []
    assert frame(packet + b"\xff" * 9, 0) == whole


def test_a_length_of_more_than_four_bytes_is_no_packet():
    with pytest.raises(PacketError):
        frame(b"\x30\xff\xff\xff\xff\x01", 0)
    assert frame(b"\x30\xff\xff\xff\x7f", 0) is None


def read_all(data):
    """Read as a session does; what is not MQTT may only raise what the session handles."""
    try:
        at = 0
        while (found := frame(data, at)) is not None:
            publish = parse_publish(data, at, *found)
            assert len(publish.payload) <= len(data)
            assert found[0] <= found[1] <= len(data)
            at = found[1]
    except (PacketError, IndexError):
        pass


@given(
    st.binary(max_size=80) | st.binary(max_size=60).map(lambda body: b"\x32%c" % len(body) + body)
)
def test_any_bytes_are_read_or_refused(data):
    read_all(data)
    read_all(b"\x32" + data)


@given(TOPICS, st.binary(max_size=50), PROPERTIES, st.data())
def test_a_damaged_packet_is_read_or_refused(topic, payload, properties, data):
    packet = bytearray(paho_publish(topic, payload, properties))
    for _ in range(data.draw(st.integers(1, 5))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    read_all(bytes(packet) + data.draw(st.binary(max_size=5)))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("ffff616161", id="a topic longer than the packet"),
        pytest.param("0001ff000100", id="a topic that is not UTF-8"),
        pytest.param("000161000105", id="properties longer than the packet"),
        pytest.param("000161000101" + "7f", id="a property that nobody knows"),
        pytest.param("000161000101" + "11", id="a property of another packet"),
        pytest.param("000161000103" + "030005", id="text longer than the properties"),
        pytest.param("000161000102" + "0200", id="a number cut short"),
        pytest.param("000161000105" + "0bffffffff", id="a number without end"),
        pytest.param("0001610001" + "ffffffffff", id="a length without end"),
        pytest.param("00016100", id="no packet id"),
        pytest.param("", id="nothing at all"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(body):
    content = bytes.fromhex(body)
    packet = bytes([0x32, len(content)]) + content
    for after in (b"", b"\0" * 20, b"\xff" * 20):
        with pytest.raises((PacketError, IndexError)):
            ours(packet + after)


CONNACK = b"\x20\x03\x00\x00\x00"


def test_a_session_survives_a_broker_that_talks_nonsense():
    """Whatever comes, the session gives the connection up and nothing else."""
    generator = random.Random(5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"mqtt://127.0.0.1:{server.getsockname()[1]}"
        for turn in range(150):
            body = generator.randbytes(generator.choice((0, 1, 5, 20)))
            kind = bytes([generator.randrange(16) << 4 | generator.choice((0, 2)), len(body)])
            _listen_to(server, address, CONNACK * (turn % 2) + (kind if turn % 3 else b"") + body)


def _listen_to(server, address, nonsense):
    session = Session(IngestSettings("", address), (0, 1, 1), Lane.BULK, lambda: 0)
    session.connect_if_due(1e12)
    peer, _ = server.accept()
    with peer:
        session.tend()
        peer.sendall(nonsense)
        peer.shutdown(socket.SHUT_WR)
        for _ in range(200):
            if session.socket is None:
                break
            session.read(100)
            session.tend()
    assert session.socket is None, "the peer has closed, and the session has noticed"
