"""The embedded broker with an MQTT 5 listener, and a backend that does no more than acknowledge."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiomqtt
import iotcore
import pytest

from fleet.wire.messages import Ack, State, decode_state, encode_ack
from fleet.wire.reasons import PayloadError
from fleet.wire.records import Record, Skipped, decode_record, salvage_identity
from fleet.wire.topics import DownChannel, Topic, down_topic, parse_topic

_CONFIG = """
id = 0
[router]
id = 0
max_connections = 2000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v5.1]
name = "v5"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 262144
max_inflight_count = 100
dynamic_filters = true
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def broker_on(port: int, folder: Path) -> Iterator[None]:
    config = folder / f"broker-{port}.toml"
    config.write_text(_CONFIG.format(port=port))
    with iotcore.Broker(config_path=str(config)):
        yield


@pytest.fixture(scope="module")
def broker_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    with broker_on(port, tmp_path_factory.mktemp("broker")):
        yield port


@dataclass(slots=True)
class Backend:
    """Commits in memory what arrives, and acknowledges it. Gaps stand for `gap_after_s`."""

    gap_after_s: float = 0.5
    deaf: bool = False
    records: dict[tuple[str, str], dict[int, Record | None]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    lost: dict[tuple[str, str], set[int]] = field(default_factory=lambda: defaultdict(set))
    states: list[tuple[Topic, State]] = field(default_factory=list)
    channels: dict[tuple[str, str, int], str] = field(default_factory=dict)
    messages: int = 0
    duplicates: int = 0
    quarantined: int = 0
    noise: int = 0
    content: dict[tuple[str, str, int], bytes] = field(default_factory=dict)
    topics: dict[str, Topic] = field(default_factory=dict)
    changed: set[tuple[str, str]] = field(default_factory=set)
    settled: dict[tuple[str, str], int] = field(default_factory=dict)
    gap_since: dict[tuple[str, str], float] = field(default_factory=dict)

    def take(self, message: aiomqtt.Message) -> None:
        topic = parse_topic(str(message.topic))
        payload = message.payload
        assert isinstance(payload, bytes | bytearray)
        self.topics[topic.device] = topic
        if topic.channel == "state":
            self._take_state(topic, decode_state(bytes(payload)))
            return
        self.messages += 1
        content_type = getattr(message.properties, "ContentType", None)
        self._take_record(topic, bytes(payload), content_type)

    def _take_state(self, topic: Topic, state: State) -> None:
        self.states.append((topic, state))
        if state.epoch is None or state.outbox is None:
            return
        key = (topic.device, state.epoch)
        have = self.records[key]
        self.lost[key] |= {seq for seq in range(1, state.outbox.oldest_seq) if seq not in have}
        self.changed.add(key)

    def _take_record(self, topic: Topic, payload: bytes, content_type: str | None) -> None:
        record: Record | Skipped | None
        try:
            record = decode_record(payload, content_type)
        except PayloadError:
            record = None
            self.quarantined += 1
        identity = salvage_identity(payload, content_type)
        if identity is None:
            self.noise += 1
            return
        key = (topic.device, identity[0])
        seq = identity[1]
        self.changed.add(key)
        if isinstance(record, Skipped):
            self.lost[key].add(seq)
        elif seq in self.records[key]:
            assert self.content[*key, seq] == payload
            self.duplicates += 1
        else:
            self.records[key][seq] = record
            self.content[*key, seq] = payload
            self.channels[*key, seq] = topic.channel

    def hi(self, key: tuple[str, str]) -> int:
        hi = self.settled.get(key, 0)
        while hi + 1 in self.records[key] or hi + 1 in self.lost[key]:
            hi += 1
        self.settled[key] = hi
        return hi

    def ack(self, key: tuple[str, str], now: float) -> Ack:
        hi = self.hi(key)
        have, lost = self.records[key], self.lost[key]
        highest = max(max(have, default=0), max(lost, default=0))
        missing = [seq for seq in range(hi + 1, highest) if seq not in have and seq not in lost]
        if not missing:
            self.gap_since.pop(key, None)
            return Ack(key[1], hi)
        since = self.gap_since.setdefault(key, now)
        self.changed.add(key)
        return Ack(key[1], hi, [(seq, seq) for seq in missing] if now - since > self.gap_after_s else [])

    async def serve(self, client: aiomqtt.Client) -> None:
        acking = asyncio.create_task(self._acknowledge(client))
        try:
            async for message in client.messages:
                self.take(message)
        finally:
            acking.cancel()

    async def _acknowledge(self, client: aiomqtt.Client) -> None:
        while True:
            await asyncio.sleep(0.1)
            if self.deaf:
                continue
            changed, self.changed = self.changed, set()
            for key in changed:
                topic = self.topics[key[0]]
                ack = self.ack(key, asyncio.get_running_loop().time())
                where = down_topic(topic.tenant, topic.device, DownChannel.ACK)
                await client.publish(where, encode_ack(ack), qos=0)


@contextlib.asynccontextmanager
async def serving(port: int, backend: Backend) -> AsyncIterator[Backend]:
    """Run `backend` beside the test, and stop it afterwards."""
    client = aiomqtt.Client(
        "127.0.0.1", port, identifier="backend", protocol=aiomqtt.ProtocolVersion.V5
    )
    async with client:
        await client.subscribe("fk/1/+/+/+/up/+", qos=1)
        task = asyncio.create_task(backend.serve(client))
        try:
            yield backend
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def until(is_true: Callable[[], bool], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not is_true():
            await asyncio.sleep(0.02)
