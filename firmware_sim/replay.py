"""Send a recording again, unchanged, or with its times moved so that it ends now.

A recording is JSON lines. The first may be `{"recording": {"device": …, "tenant": …, …}}`; every
other is one message: `topic_channel`, `after_ms` since the message before, `payload` (JSON, sent
byte for byte as it stands in the file) or `payload_b64`, and `content_type` if it had one.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import aiomqtt
import cbor2
import msgspec

from firmware_sim.link import client_of, content_type
from firmware_sim.settings import Config, broker_address
from firmware_sim.stats import DeviceStats, Stats
from fleet.wire.messages import decode_ack
from fleet.wire.reasons import PayloadError
from fleet.wire.records import CBOR, EARLIEST_MS, load_cbor
from fleet.wire.topics import DownChannel, UpChannel, down_topic, is_id, up_topic
from runtime.waiting import until_set

_LINGER_S: Final = 2.0


class RecordingError(ValueError):
    """The file is not a recording; the message names the line."""


class Head(msgspec.Struct, frozen=True):
    """Who was recorded. `ended_ms` is the true time of the last message, if it is known."""

    device: str
    tenant: str = "demo"
    model: str | None = None
    hw: str | None = None
    fw: str | None = None
    ended_ms: int | None = None
    note: str | None = None


class _HeadLine(msgspec.Struct):
    recording: Head


class _Line(msgspec.Struct):
    topic_channel: str
    after_ms: int = 0
    content_type: str | None = None
    payload: msgspec.Raw = msgspec.Raw()
    payload_b64: str | None = None


class Sent(msgspec.Struct, frozen=True):
    """One recorded message."""

    channel: UpChannel
    after_ms: int
    content_type: str | None
    payload: bytes


class Recording(msgspec.Struct, frozen=True):
    head: Head | None
    messages: list[Sent]


def read_recording(path: Path) -> Recording:
    """Read and check a recording.

    Raises:
        RecordingError: which line is wrong, and how.
    """
    head = None
    messages = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            if number == 1 and line.startswith(b'{"recording"'):
                head = msgspec.json.decode(line, type=_HeadLine).recording
                continue
            messages.append(_message(msgspec.json.decode(line, type=_Line)))
        except (msgspec.DecodeError, ValueError, binascii.Error) as exc:
            raise RecordingError(f"{path.name}, line {number}: {exc}") from exc
    if not messages:
        raise RecordingError(f"{path.name}: no message in it")
    return Recording(head, messages)


def _message(line: _Line) -> Sent:
    payload = bytes(line.payload)
    if not payload:
        if line.payload_b64 is None:
            raise ValueError("neither payload nor payload_b64")
        payload = base64.b64decode(line.payload_b64, validate=True)
    if line.after_ms < 0:
        raise ValueError(f"after_ms {line.after_ms} is negative")
    return Sent(UpChannel(line.topic_channel), line.after_ms, line.content_type, payload)


def rebased(messages: Sequence[Sent], ended_ms: int, now_ms: int) -> list[Sent]:
    """Move every time that a set clock has shown, so that `ended_ms` becomes `now_ms`.

    Epoch, seq and everything else stay; times of an unset clock stay too.
    """
    shift_ms = now_ms - ended_ms
    return [
        Sent(sent.channel, sent.after_ms, sent.content_type, _moved(sent, shift_ms))
        for sent in messages
    ]


def _moved(sent: Sent, shift_ms: int) -> bytes:
    try:
        if sent.content_type == CBOR:
            return cbor2.dumps(_shift(load_cbor(sent.payload), shift_ms))
        return msgspec.json.encode(_shift(msgspec.json.decode(sent.payload), shift_ms))
    except (PayloadError, msgspec.DecodeError):
        return sent.payload  # what cannot be read is sent as it was


def _shift(item: Any, shift_ms: int) -> Any:
    if not isinstance(item, dict):
        return item
    moved = dict(item)
    for name in ("at", "clock_ms"):
        value = moved.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value >= EARLIEST_MS:
            moved[name] = value + shift_ms
    if isinstance(moved.get("faults"), list):
        moved["faults"] = [_shift(fault, shift_ms) for fault in moved["faults"]]
    return moved


async def replay(config: Config, path: Path, stop: asyncio.Event) -> Stats:
    """Send the recording `path`, `speed` times as fast as it was made.

    Raises:
        RecordingError: the file is no recording, or nobody says which device it was.
        aiomqtt.MqttError: the broker went away.
    """
    recording = read_recording(path)
    device = config.replay_device or (recording.head.device if recording.head else None)
    if device is None or not is_id(device):
        raise RecordingError(f"{path.name}: which device is it? Name one in the head or as option")
    messages: Sequence[Sent] = recording.messages
    if config.rebase and recording.head is not None and recording.head.ended_ms is not None:
        messages = rebased(messages, recording.head.ended_ms, time.time_ns() // 1_000_000)
    stats = Stats("replay", config.seed, config.speed)
    began_s = time.monotonic()
    one = stats.of(device)
    client = client_of(broker_address(config), device, None)
    async with client:
        await client.subscribe(down_topic(config.tenant, device, DownChannel.ACK), qos=0)
        hearing = asyncio.create_task(_hear(client, one))
        seen: set[bytes] = set()
        try:
            for sent in messages:
                await until_set(stop, sent.after_ms / 1000 / config.speed)
                if stop.is_set():
                    break
                await _publish(client, up_topic(config.tenant, device, sent.channel), sent)
                _count(one, sent, seen)
            await until_set(stop, _LINGER_S)
        finally:
            hearing.cancel()
    stats.wall_s = time.monotonic() - began_s
    return stats


async def _publish(client: aiomqtt.Client, topic: str, sent: Sent) -> None:
    await client.publish(
        topic,
        sent.payload,
        qos=1,
        retain=sent.channel is UpChannel.STATE,
        properties=content_type(sent.content_type) if sent.content_type else None,
    )


def _count(one: DeviceStats, sent: Sent, seen: set[bytes]) -> None:
    if sent.channel is UpChannel.STATE:
        one.births += 1
        return
    one.publishes += 1
    if sent.payload in seen:
        one.duplicates += 1
        return
    seen.add(sent.payload)
    one.sent += 1
    one.created += 1


async def _hear(client: aiomqtt.Client, one: DeviceStats) -> None:
    async for message in client.messages:
        if not isinstance(message.payload, bytes | bytearray):
            continue
        with contextlib.suppress(PayloadError):
            ack = decode_ack(bytes(message.payload))
            one.epoch = ack.epoch
            one.acked_hi = max(one.acked_hi, ack.hi or 0)
