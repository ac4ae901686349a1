"""The four MQTT 5 packets of the hot path, read and written without objects in between.

Source: MQTT Version 5.0 (OASIS), sections 2.1.4, 2.2.2, 3.3 and 3.4. Everything else of the
protocol is paho's.
"""

from __future__ import annotations

from typing import Final, NamedTuple

PUBLISH: Final = 0x30
_CONTENT_TYPE: Final = 0x03
_PUBACK: Final = b"\x40\x02"

# Bytes that a property's value takes: fixed, or -1 string or binary, -2 string pair, -3 varint.
_PROPERTY_SIZES: Final = {
    0x01: 1,
    0x02: 4,
    0x03: -1,
    0x08: -1,
    0x09: -1,
    0x0B: -3,
    0x23: 2,
    0x26: -2,
}


class PacketError(ValueError):
    """The broker sent bytes that are not MQTT 5: give up the connection."""


class Publish(NamedTuple):
    """One PUBLISH as received. `mid` is 0 for QoS 0."""

    topic: str
    payload: bytes
    content_type: str | None
    mid: int
    is_retained: bool


def frame(buffer: bytes, at: int) -> tuple[int, int] | None:
    """Where the body of the packet at `at` starts and ends, or None when it is not all there."""
    size = 0
    for index in range(4):
        if at + 1 + index >= len(buffer):
            return None
        byte = buffer[at + 1 + index]
        size |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            start = at + 2 + index
            return (start, start + size) if start + size <= len(buffer) else None
    raise PacketError("a remaining length of more than four bytes")


def parse_publish(buffer: bytes, at: int, start: int, end: int) -> Publish:
    """Read the PUBLISH whose first byte is at `at` and whose body is `start` to `end`.

    Raises:
        PacketError: a length points outside the packet, or the topic is not UTF-8.
    """
    head = buffer[at]
    topic_end = start + 2 + (buffer[start] << 8 | buffer[start + 1])
    position = topic_end
    mid = 0
    if head & 0x06:
        mid = buffer[position] << 8 | buffer[position + 1]
        position += 2
    content_type = None
    if buffer[position]:
        content_type, position = _properties(buffer, position, end)
    else:
        position += 1
    if topic_end > end or position > end:
        raise PacketError("a PUBLISH whose lengths do not fit")
    try:
        topic = buffer[start + 2 : topic_end].decode()
    except UnicodeDecodeError as exc:
        raise PacketError("a topic that is not UTF-8") from exc
    return Publish(topic, buffer[position:end], content_type, mid, bool(head & 1))


def _properties(buffer: bytes, position: int, end: int) -> tuple[str | None, int]:
    """The content type among the properties at `position`, and where the payload starts."""
    size, position = _varint(buffer, position, end)
    stop = position + size
    if stop > end:
        raise PacketError("properties longer than their packet")
    content_type = None
    while position < stop:
        kind = buffer[position]
        after = _skip(buffer, kind, position + 1, stop)
        if kind == _CONTENT_TYPE:
            content_type = buffer[position + 3 : after].decode("utf-8", "replace")
        position = after
    return content_type, stop


def _skip(buffer: bytes, kind: int, position: int, stop: int) -> int:
    """The position after the value of a property."""
    size = _PROPERTY_SIZES.get(kind)
    if size is None:
        raise PacketError(f"property {kind:#04x} does not belong in a PUBLISH")
    if size == -3:
        return _varint(buffer, position, stop)[1]
    if size > 0:
        position += size
    for _ in range(-size):
        if position + 2 > stop:
            raise PacketError("a property longer than its packet")
        position += 2 + (buffer[position] << 8 | buffer[position + 1])
    if position > stop:
        raise PacketError("a property longer than its packet")
    return position


def _varint(buffer: bytes, position: int, end: int) -> tuple[int, int]:
    value = 0
    for index in range(4):
        if position + index >= end:
            break
        byte = buffer[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise PacketError("a length that does not end")


def puback(mid: int) -> bytes:
    """Acknowledge one QoS 1 message with reason Success, which may be left out."""
    return _PUBACK + mid.to_bytes(2, "big")


def publish_qos0(topic: str, payload: bytes) -> bytes:
    """A PUBLISH with QoS 0, not retained, without properties."""
    name = topic.encode()
    size = 2 + len(name) + 1 + len(payload)
    length = bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return b"\x30" + length + len(name).to_bytes(2, "big") + name + b"\0" + payload
