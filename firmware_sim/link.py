"""One device on the network: the shell around its conversation. Sockets and waiting live here."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

import aiomqtt
import structlog
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from firmware_sim.life import Life
from firmware_sim.outbox import Outbox
from firmware_sim.protocol import Burst, Conversation, Verdict
from firmware_sim.settings import Address
from firmware_sim.stats import DeviceStats
from fleet.wire.messages import Ack, State, decode_ack, encode_state
from fleet.wire.reasons import PayloadError
from fleet.wire.records import CBOR, JSON, encode_record
from fleet.wire.topics import DownChannel, UpChannel, down_topic, up_topic
from runtime.failpoints import failpoint
from runtime.waiting import until_set

log = structlog.get_logger(__name__)

_BACKOFF_FIRST_S: Final = 0.5
_BACKOFF_MAX_S: Final = 30.0
_PUBLISH_S: Final = 10.0
_GOODBYE_S: Final = 3.0
_LOOK_FOR_OUTAGE_S: Final = 0.5
_NOISE: Final = (b"\x00\xff\x13garbage", b'{"hello": "world"}', b"[1, 2", b'"text"', b"{}")


@dataclass(slots=True)
class Shared:
    """What the links of one process share. `settle` takes note of what a device may forget."""

    address: Address
    outbox: Outbox
    stop: asyncio.Event
    now_ms: Callable[[], int]
    obey: Callable[[str, Verdict], None]
    inflight: int
    cbor: Properties = field(default_factory=lambda: content_type(CBOR))


def content_type(name: str) -> Properties:
    """MQTT 5 publish properties that name the content type."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = name
    return properties


def client_of(address: Address, identifier: str, will: aiomqtt.Will | None) -> aiomqtt.Client:
    """A fresh client: what is under way lives in the outbox, never in a client."""
    client = aiomqtt.Client(
        address.host,
        address.port,
        identifier=identifier,
        username=address.username,
        password=address.password,
        protocol=address.version,
        tls_context=address.tls,
        will=will,
        timeout=10,
        keepalive=60,
        max_inflight_messages=100,
        clean_session=True if address.version is not aiomqtt.ProtocolVersion.V5 else None,
    )
    client.pending_calls_threshold = 10_000
    return client


class Link:
    """Keeps one device connected, sends what its conversation wants sent, and hears the answers."""

    def __init__(
        self,
        life: Life,
        conversation: Conversation,
        shared: Shared,
        stats: DeviceStats,
        rng: Random,
    ) -> None:
        plan = life.plan
        self.conversation = conversation
        self._life = life
        self._shared = shared
        self._stats = stats
        self._rng = rng
        self._woken = asyncio.Event()
        self._skipped: set[int] = set()
        self._state_topic = up_topic(plan.tenant, plan.id, UpChannel.STATE)
        self._bulk_topic = up_topic(plan.tenant, plan.id, UpChannel.BULK)
        self._urgent_topic = up_topic(plan.tenant, plan.id, UpChannel.URGENT)
        self._ack_topic = down_topic(plan.tenant, plan.id, DownChannel.ACK)
        self._properties = (
            shared.cbor
            if plan.cbor and shared.address.version is aiomqtt.ProtocolVersion.V5
            else None
        )

    def wake(self) -> None:
        """There is something new to send."""
        self._woken.set()

    async def run(self, delay_s: float) -> None:
        """Stay connected until the process stops, except in an outage."""
        backoff_s = _BACKOFF_FIRST_S
        await self._pause(delay_s)
        while not self._shared.stop.is_set():
            if self._is_out():
                await self._pause(_LOOK_FOR_OUTAGE_S)
                continue
            try:
                async with self._connected() as client:
                    backoff_s = _BACKOFF_FIRST_S
                    await self._session(client)
            except aiomqtt.MqttError as exc:
                self._stats.connect_failures += 1
                log.debug("link_lost", device_id=self._life.plan.id, cause=str(exc)[:200])
                await self._pause(backoff_s * self._rng.uniform(0.5, 1.5))
                backoff_s = min(backoff_s * 2, _BACKOFF_MAX_S)

    def _is_out(self) -> bool:
        now_ms = self._shared.now_ms()
        return any(first <= now_ms < last for first, last in self._life.quirks.outages)

    async def _pause(self, seconds: float) -> None:
        await until_set(self._shared.stop, seconds)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiomqtt.Client]:
        will = aiomqtt.Will(
            self._state_topic, encode_state(self.conversation.will()), qos=1, retain=True
        )
        async with client_of(self._shared.address, self._life.plan.id, will) as client:
            await client.subscribe(self._ack_topic, qos=0)
            self._stats.connects += 1
            try:
                yield client
            finally:
                if client._disconnected.done():  # else asyncio reports it as never looked at
                    client._disconnected.exception()

    async def _session(self, client: aiomqtt.Client) -> None:
        self.conversation.on_connect()
        work = [
            asyncio.create_task(self._send(client)),
            asyncio.create_task(self._receive(client)),
            asyncio.create_task(self._watch()),
        ]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
        for task in done:
            task.result()
        if self._shared.stop.is_set():
            with contextlib.suppress(aiomqtt.MqttError):
                await self._publish_state(client, self.conversation.will(), within_s=_GOODBYE_S)
        else:
            await _tear(client)

    async def _watch(self) -> None:
        """Return when the process stops or an outage begins."""
        if not self._life.quirks.outages:
            await self._shared.stop.wait()
        while not self._shared.stop.is_set() and not self._is_out():
            await self._pause(_LOOK_FOR_OUTAGE_S)

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            payload = message.payload
            if not isinstance(payload, bytes | bytearray):
                continue
            try:
                ack = decode_ack(bytes(payload))
            except PayloadError:
                continue
            self._hear(ack)

    def _hear(self, ack: Ack) -> None:
        before = self.conversation.acked_hi
        verdict = self.conversation.on_ack(ack, time.monotonic())
        if verdict.settle is not None:
            self._stats.acked += verdict.settle - before
            self._stats.acked_hi = verdict.settle
        if verdict.rewind is not None:
            self._stats.acked -= min(self._stats.acked, before - self.conversation.acked_hi)
            self._stats.acked_hi = self.conversation.acked_hi
        self._shared.obey(self._life.plan.id, verdict)
        self._woken.set()

    async def _send(self, client: aiomqtt.Client) -> None:
        talk = self.conversation
        while True:
            self._woken.clear()
            burst = talk.take(time.monotonic(), self._shared.inflight)
            if burst:
                await self._publish(client, burst)
            if talk.has_more:
                continue
            due = talk.next_due()
            await until_set(self._woken, None if due is None else max(0.02, due - time.monotonic()))

    async def _publish(self, client: aiomqtt.Client, burst: Burst) -> None:
        failpoint("outbox_before_publish")
        if burst.state:
            moment = self._life.moment(time.time_ns() // 1_000_000)
            identity = self._life.plan.identity(self.conversation.boot)
            birth = self.conversation.state(identity, moment.at_ms, moment.clock)
            await self._publish_state(client, birth)
            self._stats.births += 1
        async with _confirmed_within(_PUBLISH_S):
            await _publish_all(client, self._messages(burst))
        self._stats.sent = self.conversation.sent_distinct
        self._stats.duplicates = self._stats.publishes - self._stats.sent
        failpoint("outbox_after_publish")

    def _messages(self, burst: Burst) -> list[tuple[str, bytes, Properties | None]]:
        quirks = self._life.quirks
        messages: list[tuple[str, bytes, Properties | None]] = []
        for stored in self._shared.outbox.fetch(self._life.plan.id, burst.records):
            topic = self._urgent_topic if stored.channel == "urgent" else self._bulk_topic
            twice = quirks.duplicate_share and self._rng.random() < quirks.duplicate_share
            for _ in range(self._rng.randrange(2, 4) if twice else 1):
                messages.append((topic, stored.payload, self._properties))
                self._stats.publishes += 1
            if quirks.malformed_share and self._rng.random() < quirks.malformed_share:
                messages.append((topic, self._rng.choice(_NOISE), None))
                self._stats.malformed += 1
        for seq in burst.skips:
            payload = encode_record(
                self.conversation.skipped(seq), CBOR if self._properties else JSON
            )
            messages.append((self._bulk_topic, payload, self._properties))
            self._skipped.add(seq)
            self._stats.skipped = len(self._skipped)
        return messages

    async def _publish_state(
        self, client: aiomqtt.Client, state: State, within_s: float = _PUBLISH_S
    ) -> None:
        async with _confirmed_within(within_s):
            await client.publish(
                self._state_topic, encode_state(state), qos=1, retain=True, timeout=math.inf
            )


@contextlib.asynccontextmanager
async def _confirmed_within(seconds: float) -> AsyncIterator[None]:
    """A limit of our own: aiomqtt's can lose a cancellation (see `runtime.waiting`)."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise aiomqtt.MqttError("the broker does not confirm") from None


async def _publish_all(
    client: aiomqtt.Client, messages: list[tuple[str, bytes, Properties | None]]
) -> None:
    """Publish at once and wait for every PUBACK; one timer for all, not one for each."""
    results = await asyncio.gather(
        *(
            client.publish(topic, payload, qos=1, properties=properties, timeout=math.inf)
            for topic, payload, properties in messages
        ),
        return_exceptions=True,
    )
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def _tear(client: aiomqtt.Client) -> None:
    """Cut the connection as a dead radio does, without a goodbye: the broker sends the will."""
    connection = client._client.socket()
    if isinstance(connection, socket.socket):
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        await asyncio.sleep(0.05)  # lets the client see the end, so that it does not say goodbye
