"""The buffered socket over a real pair of sockets, plain and TLS."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import buffered_socket
from ingest.buffered_socket import BufferedSocket
from ingest.packets import PacketError, publish_qos0


@pytest.fixture
def pair():
    raw, peer = socket.socketpair()
    raw.setblocking(False)
    with raw, peer:
        yield BufferedSocket(raw), peer


def take_all(buffered):
    found = []
    while (whole := buffered.next_packet()) is not None:
        assert buffered.next_is_publish()
        found.append(buffered.take_publish(*whole))
    return found


messages = st.lists(
    st.tuples(st.from_regex(r"[a-z]{1,20}", fullmatch=True), st.binary(max_size=300)), max_size=8
)


@given(messages, st.data())
def test_whole_packets_come_out_however_the_bytes_arrive(sent, data):
    stream = b"".join(publish_qos0(*item) for item in sent)
    raw, peer = socket.socketpair()
    raw.setblocking(False)
    found = []
    with raw, peer:
        buffered = BufferedSocket(raw)
        while stream:
            size = data.draw(st.integers(1, len(stream)))
            peer.sendall(stream[:size])
            stream = stream[size:]
            buffered.fill()
            found += take_all(buffered)
        assert not buffered.has_unread()
    assert [(item.topic, item.payload) for item in found] == sent


@given(st.binary(min_size=1, max_size=2_000), st.data())
def test_paho_gets_every_byte_in_order(stream, data):
    raw, peer = socket.socketpair()
    raw.setblocking(False)
    with raw, peer:
        buffered = BufferedSocket(raw)
        peer.sendall(stream)
        found = b""
        while len(found) < len(stream):
            found += buffered.recv(data.draw(st.integers(1, 50)))
        assert found == stream
        with pytest.raises(BlockingIOError):
            buffered.recv(1)


def test_what_is_half_there_waits_in_the_buffer(pair):
    buffered, peer = pair
    packet = publish_qos0("topic", b"payload")
    peer.sendall(packet + packet[:5])
    buffered.fill()
    assert len(take_all(buffered)) == 1
    assert buffered.has_unread()
    buffered.fill()
    assert buffered.next_packet() is None
    peer.sendall(packet[5:])
    buffered.fill()
    assert len(take_all(buffered)) == 1


def test_nothing_to_read_is_no_error_and_no_end(pair):
    buffered, _ = pair
    buffered.fill()
    assert buffered.next_packet() is None
    assert not buffered.is_at_end
    assert not buffered.has_unread()


def test_the_end_of_the_stream_is_noticed_after_what_came_before(pair):
    buffered, peer = pair
    peer.sendall(publish_qos0("topic", b"last words") + b"\x30\x09half")
    peer.close()
    buffered.fill()
    assert [item.payload for item in take_all(buffered)] == [b"last words"]
    buffered.fill()
    assert buffered.is_at_end
    assert buffered.recv(100) == b"\x30\x09half"
    assert buffered.recv(1) == b""


def test_a_publish_that_is_none_is_refused(pair):
    buffered, peer = pair
    peer.sendall(b"\x30\xff\xff\xff\xff\xff")
    buffered.fill()
    with pytest.raises(PacketError):
        buffered.next_packet()


def test_large_output_to_a_slow_peer_arrives_whole_and_in_order(pair):
    buffered, peer = pair
    packets = [publish_qos0(f"t{n}", b"x" * 3_000) for n in range(1_000)]
    for packet in packets:
        assert buffered.send(packet) == len(packet)
    wanted, found = b"".join(packets), bytearray()
    buffered.flush()
    assert buffered.has_unsent(), "more than the system takes at once"
    while len(found) < len(wanted):
        found += peer.recv(10_000)
        buffered.flush()
    assert bytes(found) == wanted
    assert not buffered.has_unsent()


def test_a_peer_that_reads_nothing_stops_the_sender(pair, monkeypatch):
    monkeypatch.setattr(buffered_socket, "MAX_UNSENT_BYTES", 1_000)
    buffered, peer = pair
    buffered.send(b"a" * 999)
    buffered.send(b"b" * 999)
    with pytest.raises(BlockingIOError):
        buffered.send(b"c")
    buffered.flush()
    assert peer.recv(3_000) == b"a" * 999 + b"b" * 999, "whole packets, and nothing of the third"
    buffered.send(b"c")


def test_a_peer_that_is_gone_is_an_error_to_flush_and_none_to_close(pair):
    buffered, peer = pair
    peer.close()
    buffered.send(b"abc")
    with pytest.raises(OSError, match=r"."):
        buffered.flush()
    buffered.send(b"abc")
    buffered.close()


def test_close_sends_what_waits(pair):
    buffered, peer = pair
    buffered.send(b"goodbye")
    buffered.close()
    assert peer.recv(100) == b"goodbye"
    assert peer.recv(100) == b""


def test_shut_forgets_and_ends(pair):
    buffered, peer = pair
    peer.sendall(b"unread")
    buffered.fill()
    buffered.send(b"unsent")
    buffered.shut()
    assert not buffered.has_unread()
    assert not buffered.has_unsent()
    assert buffered.recv(1) == b""
    assert peer.recv(100) == b""
    buffered.shut()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl program to make a certificate with")
    place = tmp_path_factory.mktemp("tls")
    command = (
        f"{program} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        f" -subj /CN=localhost -keyout {place}/key.pem -out {place}/cert.pem"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    return place / "cert.pem", place / "key.pem"


@pytest.fixture
def tls_pair(certificate):
    """A client's TLS socket as paho leaves it after the handshake, and the server's end."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*certificate)
    client = ssl.create_default_context(cafile=str(certificate[0]))
    ours, theirs = socket.socketpair()
    one = client.wrap_socket(ours, server_hostname="localhost", do_handshake_on_connect=False)
    two = server.wrap_socket(theirs, server_side=True, do_handshake_on_connect=False)
    for end in (one, two):
        end.setblocking(False)
    waiting = [one, two]
    while waiting:
        for end in list(waiting):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(end)
    with one, two:
        yield BufferedSocket(one), two


def test_over_tls_nothing_to_read_is_no_error(tls_pair):
    """After the handshake a session ticket waits: the socket is readable, and holds no data."""
    buffered, peer = tls_pair
    for _ in range(3):
        buffered.fill()
    assert not buffered.is_at_end
    peer.send(publish_qos0("topic", b"payload"))
    buffered.fill()
    assert [item.payload for item in take_all(buffered)] == [b"payload"]


def test_over_tls_large_output_to_a_slow_peer_arrives_whole(tls_pair):
    buffered, peer = tls_pair
    packets = [publish_qos0(f"t{n}", bytes([n % 251]) * 3_000) for n in range(500)]
    for packet in packets:
        buffered.send(packet)
    wanted, found = b"".join(packets), bytearray()
    while len(found) < len(wanted):
        buffered.flush()
        try:
            found += peer.recv(10_000)
        except ssl.SSLWantReadError:
            continue
    assert bytes(found) == wanted
