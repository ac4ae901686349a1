"""Deliveries, the bounded queues between network and writers, and when a batch closes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec

from fleet.intake import Message
from ingest.settings import BatchLimits


class Lane(StrEnum):
    """Two lanes in separate MQTT sessions, so that a flush of history delays no brake fault."""

    URGENT = "urgent"
    BULK = "bulk"


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """One message with what is needed to acknowledge it, and nothing else, later.

    `connection` numbers the connection it came on: packet ids start over on the next one, and
    an acknowledgement that crosses over would destroy another message. What the other lane
    handles is not stored, but takes its turn: a client must acknowledge in the order of arrival
    (MQTT 5, 4.6), and some brokers insist on it.
    """

    message: Message
    slot: int
    fence: int
    lane: Lane
    connection: int
    mid: int
    is_for_other_lane: bool = False


def is_closed(rows: int, size: int, age_s: float, limits: BatchLimits) -> bool:
    """Tell if a batch of `rows` and `size` bytes, begun `age_s` ago, goes off now."""
    return rows >= limits.rows_max or size >= limits.bytes_max or age_s >= limits.age_max_s


class LaneQueue:
    """A queue with room for so many rows and bytes; whoever fills it stops reading its socket."""

    def __init__(
        self, rows_max: int, bytes_max: int, limits: BatchLimits, clock: Callable[[], float]
    ) -> None:
        self._rows_max = rows_max
        self._bytes_max = bytes_max
        self._limits = limits
        self._clock = clock
        self._items: deque[Delivery] = deque()
        self._size = 0
        self._first_at = 0.0
        self._changed = threading.Condition()
        self._is_closing = False

    def room(self) -> int:
        """How many more rows fit. One message may exceed the byte limit, no second one."""
        if self._size >= self._bytes_max:
            return 0
        return max(0, self._rows_max - len(self._items))

    def depth(self) -> int:
        return len(self._items)

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Add what `room` had promised room for."""
        with self._changed:
            began = not self._items
            if began:
                self._first_at = self._clock()
            self._items.extend(deliveries)
            self._size += sum(len(item.message.payload) for item in deliveries)
            # In between the writer sleeps: the end of the batch's time wakes it.
            if began or is_closed(len(self._items), self._size, 0.0, self._limits):
                self._changed.notify()

    def take(self, timeout_s: float) -> list[Delivery]:
        """The next batch, oldest first; empty when none began within `timeout_s`."""
        with self._changed:
            if not self._items:
                self._changed.wait(timeout_s)
            while self._items and not self._is_closing:
                age_s = self._clock() - self._first_at
                if is_closed(len(self._items), self._size, age_s, self._limits):
                    break
                self._changed.wait(self._limits.age_max_s - age_s)
            return self._cut()

    def _cut(self) -> list[Delivery]:
        batch: list[Delivery] = []
        size = 0
        while self._items and not (batch and is_closed(len(batch), size, 0.0, self._limits)):
            batch.append(self._items.popleft())
            size += len(batch[-1].message.payload)
        self._size -= size
        self._first_at = self._clock()
        return batch

    def close(self) -> None:
        """Let a waiting writer go."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()


class AckPacer:
    """At most one application acknowledgement per device and interval; the newest wins."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._free_at: dict[str, float] = {}
        self._turns: deque[tuple[float, str]] = deque()
        self._waiting: dict[str, bytes] = {}

    def offer(self, topic: str, payload: bytes, now: float) -> bool:
        """True: send it now. False: it waits for its turn, in place of an older one."""
        if self._free_at.get(topic, 0.0) > now:
            self._waiting[topic] = payload
            return False
        self._waiting.pop(topic, None)
        self._take_turn(topic, now)
        return True

    def due(self, now: float) -> list[tuple[str, bytes]]:
        """What waited and may go now; it counts as sent. Forgets devices that fell silent."""
        ready = []
        while self._turns and self._turns[0][0] <= now:
            free_at, topic = self._turns.popleft()
            if self._free_at.get(topic) != free_at:
                continue  # it has taken a later turn since
            del self._free_at[topic]
            payload = self._waiting.pop(topic, None)
            if payload is not None:
                ready.append((topic, payload))
                self._take_turn(topic, now)
        return ready

    def next_due_s(self, now: float) -> float | None:
        """Seconds until something waiting may go, None when nothing waits."""
        return max(0.0, self._turns[0][0] - now) if self._waiting else None

    def _take_turn(self, topic: str, now: float) -> None:
        free_at = now + self._interval_s
        self._free_at[topic] = free_at
        self._turns.append((free_at, topic))
