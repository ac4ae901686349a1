"""One MQTT session: the source port's real implementation, paho with manual acknowledgement.

Used from the network thread only.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from fleet.intake import Message
from fleet.wire.topics import SHARD_COUNT, UpChannel
from ingest.buffered_socket import BufferedSocket
from ingest.lanes import Delivery, Lane
from ingest.packets import PacketError, Publish, puback, publish_qos0
from ingest.settings import IngestSettings
from runtime.broker_url import BrokerAddress

log = structlog.get_logger()

MAX_PACKET_BYTES: Final = 16 * 1024 * 1024
"""Larger ones the broker must drop; up to here they come in and are quarantined as too large."""

SMALLEST_WINDOW: Final = 100
"""Unacknowledged messages that the embedded broker hands out; others allow more."""
SETTLE_S: Final = 0.5

_URGENT_CHANNELS: Final = (UpChannel.URGENT.value, UpChannel.STATE.value)
_URGENT_ENDINGS: Final = tuple(f"/{channel}" for channel in _URGENT_CHANNELS)
_RETAINED_IF_NEW: Final = 1


def filters(slot: int, slot_count: int, lane: Lane) -> list[str]:
    """The topic filters of one slot's session.

    The bulk lane asks for every channel, so that also an unknown one is seen and quarantined;
    what belongs to the urgent lane comes twice that way and is stored by that lane only.
    """
    width = SHARD_COUNT // slot_count
    shards = [f"{shard:02x}" for shard in range(slot * width, (slot + 1) * width)]
    if slot_count == 1:
        shards = ["+"]
    channels = _URGENT_CHANNELS if lane is Lane.URGENT else ("+",)
    return [f"fk/1/{shard}/+/+/up/{channel}" for channel in channels for shard in shards]


def belongs_to(topic: str, lane: Lane) -> bool:
    """Tell if a message is this lane's to handle, and not the other's."""
    return topic.endswith(_URGENT_ENDINGS) is (lane is Lane.URGENT)


class _BufferedClient(Client):
    """paho on a buffered socket."""

    def _create_socket(self) -> Any:
        raw = super()._create_socket()
        assert isinstance(raw, socket.socket), "TCP or TLS, never WebSocket"
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return BufferedSocket(raw)


class Session:
    """A persistent session of one slot and lane, under a client id that never changes."""

    def __init__(
        self,
        settings: IngestSettings,
        place: tuple[int, int, int],
        lane: Lane,
        now_ms: Callable[[], int],
    ) -> None:
        """`place` is the slot, of how many, and under which fence."""
        self.slot, slot_count, self.fence = place
        self.lane = lane
        self.connection = 0
        self.is_connected = False
        self._place = {"slot": self.slot, "lane": lane.value}
        self._unanswered: set[int | None] = set()
        self._settings = settings
        self._filters = filters(self.slot, slot_count, lane)
        self._now_ms = now_ms
        self._caught_up = False
        self._connected_at = 0.0
        self._unacknowledged = 0
        self._retry_at = 0.0
        self._backoff_s = 0.1
        self._address = BrokerAddress.parse(settings.mqtt_url)
        self._client = self._new_client()

    def _new_client(self) -> Client:
        name = f"{self._settings.client_prefix}.{self.slot}.{self.lane}"
        client = _BufferedClient(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTv5, manual_ack=True
        )
        if self._address.user is not None:
            client.username_pw_set(self._address.user, self._address.password)
        if self._address.is_tls:
            client.tls_set_context(ssl.create_default_context())
        # With this callback set paho leaves writing to us, and many packets go out as one.
        client.on_socket_register_write = _leave_writing_to_us
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        return client

    @property
    def is_open(self) -> bool:
        """Connected, and every filter granted."""
        return self.is_connected and not self._unanswered

    @property
    def socket(self) -> BufferedSocket | None:
        """The live socket, None while there is none."""
        found: Any = self._client.socket()
        return found if isinstance(found, BufferedSocket) else None

    def connect_if_due(self, now: float) -> None:
        """Connect when there is no connection and the last failure is long enough ago."""
        if self.socket is not None or now < self._retry_at:
            return
        self._retry_at = now + self._backoff_s
        self._backoff_s = min(self._backoff_s * 2, self._settings.backoff_max_s)
        address = self._address
        try:
            self._client.connect(
                address.host,
                address.port,
                keepalive=self._settings.keepalive_s,
                clean_start=False,
                properties=self._connect_properties(),
            )
        except (OSError, ValueError) as exc:
            log.warning("broker_unreachable", host=address.host, port=address.port, error=str(exc))

    def _connect_properties(self) -> Properties:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self._settings.session_expiry_s
        properties.ReceiveMaximum = self._settings.receive_maximum
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        return properties

    def _on_connect(
        self, client: Client, _data: object, flags: Any, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            log.error("broker_refused", **self._place, reason=str(reason))
            return
        self.connection += 1
        self._caught_up = False
        self._connected_at = time.monotonic()
        self._unacknowledged = 0
        self._backoff_s = 0.1
        is_resumed = bool(flags.session_present)
        log.info("session_connected", **self._place, is_resumed=is_resumed)
        options = SubscribeOptions(qos=1, retainHandling=_RETAINED_IF_NEW)
        self._unanswered = {
            client.subscribe([(name, options) for name in self._filters[start : start + 32]])[1]
            for start in range(0, len(self._filters), 32)
        }
        self.is_connected = True  # last: another thread asks whether the session is open

    def _on_subscribe(
        self,
        _client: Client,
        _data: object,
        mid: int,
        reasons: Sequence[ReasonCode],
        _properties: object,
    ) -> None:
        """Open once every filter is granted: before that the broker keeps nothing for us."""
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            advice = "let the worker's account read fk/1/#, as in the broker files of deploy/"
            log.error("subscription_refused", **self._place, reason=refused[0], advice=advice)
            return
        self._unanswered.discard(mid)
        if self.is_open:
            log.info("session_open", **self._place)

    def _on_disconnect(
        self,
        _client: Client,
        _data: object,
        _flags: object,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        self.is_connected = False
        self._retry_at = time.monotonic() + self._backoff_s
        log.info("session_lost", **self._place, reason=str(reason))

    def read(self, room: int) -> list[Delivery]:
        """Take up to `room` messages that have arrived; the rest stays in the socket."""
        live = self.socket
        if live is None:
            return []
        try:
            if live.next_packet() is None:
                live.fill()
            return self._take(live, room)
        except (OSError, PacketError, IndexError) as exc:
            log.warning("session_broken", **self._place, error=str(exc))
            self._drop()
            return []

    def _take(self, live: BufferedSocket, room: int) -> list[Delivery]:
        taken: list[Delivery] = []
        now_ms = self._now_ms()
        while len(taken) < room:
            found = live.next_packet()
            if found is None:
                if live.is_at_end:
                    self._client.loop_read()  # paho sees the end and tells us
                self._note_dry()
                break
            if not live.next_is_publish():
                if self._client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    break
                continue
            publish = live.take_publish(*found)
            taken.append(self._delivery(publish, now_ms))
        self._unacknowledged += len(taken)
        return taken

    def _note_dry(self) -> None:
        """Nothing more to read and little unacknowledged: the broker's queue has run empty.

        From here on receipt tells when a device spoke, and a birth tells the skew of its clock.
        """
        is_settled = time.monotonic() - self._connected_at > SETTLE_S
        if is_settled and self._unacknowledged < SMALLEST_WINDOW // 2:
            self._caught_up = True

    def _delivery(self, publish: Publish, now_ms: int) -> Delivery:
        return Delivery(
            Message(
                publish.topic,
                publish.payload,
                publish.content_type,
                now_ms,
                publish.is_retained,
                self._caught_up,
            ),
            self.slot,
            self.fence,
            self.lane,
            self.connection,
            publish.mid,
            not belongs_to(publish.topic, self.lane),
        )

    def acknowledge(self, deliveries: Sequence[Delivery]) -> int:
        """Acknowledge to the broker what came on the present connection; returns how many.

        An acknowledgement for an earlier connection is dropped: there the broker sends the
        message again, and here its packet id belongs to another message.
        """
        live = self.socket
        if live is None or not self.is_connected:
            return 0
        current = [d.mid for d in deliveries if d.connection == self.connection and d.mid]
        try:
            live.send(b"".join(map(puback, current)))
        except BlockingIOError:
            self._drop()  # a broker that reads nothing any more gets a new connection
            return 0
        self._unacknowledged -= len(current)
        return len(current)

    def publish(self, topic: str, payload: bytes) -> bool:
        """Publish with QoS 0 if connected; False when it could not be sent."""
        live = self.socket
        if live is None or not self.is_connected:
            return False
        try:
            live.send(publish_qos0(topic, payload))
        except BlockingIOError:
            return False
        return True

    def tend(self) -> None:
        """Write what is due and keep the connection alive."""
        live = self.socket
        if live is None:
            return
        try:
            self._client.loop_write()
            live.flush()
            self._client.loop_misc()
        except OSError as exc:
            log.warning("session_broken", **self._place, error=str(exc))
            self._drop()

    def _drop(self) -> None:
        """Abandon the connection; the broker keeps the session."""
        live = self.socket
        self.is_connected = False
        if live is not None:
            live.shut()
            self._client.loop_read()  # paho reads the end, and forgets the socket

    def close(self) -> None:
        """Leave in good order; the broker keeps the session and its queue."""
        live = self.socket
        if live is None:
            return
        try:
            self._client.disconnect()
            self._client.loop_write()
            live.flush()
        except OSError as exc:
            log.info("goodbye_not_heard", **self._place, error=str(exc))
        self._drop()


def _leave_writing_to_us(_client: Client, _data: object, _socket: object) -> None:
    """Paho calls this when it has something to send; `Session.tend` sends it."""
