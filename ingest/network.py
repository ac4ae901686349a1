"""The network thread: all sessions on one selector; reads as far as the queues have room."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from threading import Thread
from typing import Final

import structlog

from fleet.wire.messages import Ack, encode_ack
from fleet.wire.topics import SHARD_COUNT, ack_topic, shard_of
from ingest.buffered_socket import BufferedSocket
from ingest.lanes import AckPacer, Delivery, Lane, LaneQueue
from ingest.session import Session
from ingest.settings import IngestSettings
from runtime.failpoints import failpoint

log = structlog.get_logger()

WAIT_S: Final = 0.25
MAX_READ_PER_TURN: Final = 500
"""Messages of one session before the others get their turn."""

SlotAck = tuple[int, str, bytes]


class Network:
    """Owns the sessions. Other threads hand over work; only this thread touches a client."""

    def __init__(
        self, settings: IngestSettings, queue_for: Callable[[Lane, int], LaneQueue]
    ) -> None:
        self._settings = settings
        self._queue_for = queue_for
        self._sessions: dict[tuple[int, Lane], Session] = {}
        self._held: Mapping[int, int] = {}
        self._slot_count = 1
        self._settled: deque[tuple[Sequence[Delivery], Sequence[SlotAck]]] = deque()
        self._pacer = AckPacer(settings.ack_interval_s)
        self._slot_of: dict[str, int] = {}
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._is_stopping = False
        self._thread = Thread(target=self._run, name="network", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send what is settled, close the sessions and wait for the thread."""
        self._is_stopping = True
        self._wake()
        self._thread.join(timeout=10)

    def hold(self, held: Mapping[int, int], slot_count: int) -> None:
        """From now on read exactly these slots; the values are fences."""
        self._slot_count = slot_count
        self._held = dict(held)
        self._wake()

    def settle(self, deliveries: Sequence[Delivery], acks: Mapping[tuple[str, str], Ack]) -> None:
        """After COMMIT: acknowledge to the broker, then to the devices."""
        self._settled.append((deliveries, [self._addressed(*item) for item in acks.items()]))
        self._wake()

    def _addressed(self, speaker: tuple[str, str], ack: Ack) -> SlotAck:
        shard = shard_of(speaker[1])
        slot = shard * self._slot_count // SHARD_COUNT
        return slot, ack_topic(shard, *speaker), encode_ack(ack)

    def tell(self, acks: Mapping[tuple[str, str], Ack]) -> None:
        """Send acknowledgements that answer no delivery: requests for gaps."""
        self.settle((), acks)

    def open_n(self) -> int:
        """How many sessions are connected with every filter granted."""
        return sum(session.is_open for session in list(self._sessions.values()))

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it has been woken often enough
            self._wake_out.send(b"\0")

    def _run(self) -> None:
        try:
            while not self._is_stopping:
                self._turn()
            self._settle_waiting()
            self._tend_all()
        except BaseException as exc:
            self.failure = exc
            log.exception("network_failed")
        finally:
            for session in self._sessions.values():
                session.close()

    def _turn(self) -> None:
        self._match_sessions()
        now = time.monotonic()
        for session in self._sessions.values():
            session.connect_if_due(now)
        self._settle_waiting()
        self._send_due(now)
        self._tend_all()
        for session in self._wait():
            self._read(session)

    def _match_sessions(self) -> None:
        """Have a session per slot and lane held.

        A new fence means a new connection: what came under the old one is not stored any more,
        and only a new connection makes the broker send it again.
        """
        held = self._held
        for key, session in list(self._sessions.items()):
            if held.get(key[0]) != session.fence:
                self._sessions.pop(key).close()
        for slot, fence in held.items():
            for lane in Lane:
                if (slot, lane) not in self._sessions:
                    place = (slot, self._slot_count, fence)
                    self._sessions[slot, lane] = Session(self._settings, place, lane, _now_ms)

    def _wait(self) -> list[Session]:
        """Wait for something to read or to write; return the sessions to read from."""
        wanting: dict[BufferedSocket, Session] = {}
        writers: list[BufferedSocket] = []
        ready: list[Session] = []
        for session in self._sessions.values():
            live = session.socket
            if live is None:
                continue
            if live.has_unsent():
                writers.append(live)
            if self._queue_for(session.lane, session.slot).room() > 0:
                wanting[live] = session
                if live.has_unread() and live.next_packet() is not None:
                    ready.append(session)
        timeout = 0.0 if ready else self._timeout()
        sources: list[BufferedSocket | socket.socket] = [*wanting, self._wake_in]
        readable, _, _ = select.select(sources, writers, [], timeout)
        self._drain_wakes()
        arrived = [session for live, session in wanting.items() if live in readable]
        return [*ready, *(session for session in arrived if session not in ready)]

    def _timeout(self) -> float:
        due = self._pacer.next_due_s(time.monotonic())
        return WAIT_S if due is None else min(WAIT_S, due + 0.001)

    def _drain_wakes(self) -> None:
        try:
            while self._wake_in.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _read(self, session: Session) -> None:
        queue = self._queue_for(session.lane, session.slot)
        deliveries = session.read(min(queue.room(), MAX_READ_PER_TURN))
        if deliveries:
            log.debug("messages_read", slot=session.slot, count=len(deliveries))
            failpoint("ingest_received")
            queue.put(deliveries)

    def _settle_waiting(self) -> None:
        while self._settled:
            deliveries, acks = self._settled.popleft()
            by_session: defaultdict[tuple[int, Lane], list[Delivery]] = defaultdict(list)
            for delivery in deliveries:
                by_session[delivery.slot, delivery.lane].append(delivery)
            for key, group in by_session.items():
                session = self._sessions.get(key)
                if session is not None:
                    failpoint("ingest_before_mqtt_ack")
                    session.acknowledge(group)
                    session.tend()
                    failpoint("ingest_after_mqtt_ack")
            self._answer(acks)

    def _answer(self, acks: Sequence[SlotAck]) -> None:
        if not acks:
            return
        failpoint("ingest_before_app_ack")
        now = time.monotonic()
        for slot, topic, payload in acks:
            if self._pacer.offer(topic, payload, now):
                self._publish(slot, topic, payload)
            else:
                self._slot_of[topic] = slot

    def _send_due(self, now: float) -> None:
        for topic, payload in self._pacer.due(now):
            self._publish(self._slot_of.pop(topic, 0), topic, payload)

    def _publish(self, slot: int, topic: str, payload: bytes) -> None:
        """Send on the slot's urgent session. Lost is fine: the device asks again."""
        session = self._sessions.get((slot, Lane.URGENT))
        if session is not None:
            session.publish(topic, payload)

    def _tend_all(self) -> None:
        for session in self._sessions.values():
            session.tend()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
