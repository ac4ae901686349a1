"""Who listens to the stream, and the one thread that tells them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from api.limits import Limits, limit_tripped
from api.schemas import rfc3339
from fleet.access.scopes import Scope
from storage.connection import DatabaseDownError
from storage.pool import ApiPool
from storage.stream import (
    Changes,
    DeviceNow,
    Listener,
    TicketNow,
    devices_now,
    horizon,
    tickets_now,
)

log = structlog.get_logger(__name__)

QUEUE_MAX: Final = 200
CHANGES_MAX: Final = 500
"""Changes told one by one; of more at once a reader is better off reading the list anew."""
COLLECT_S: Final = 0.25
AGAIN_AFTER_S: Final = 2.0
_START_WITHIN_S: Final = 2.0
READY: Final = "ready"


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `number` is where a reader goes on from; None where there is nothing to resume."""

    name: str
    data: Mapping[str, Any] = field(default_factory=dict)
    number: int | None = None

    def json(self) -> str:
        return json.dumps(self.data, separators=(",", ":"))


LOST: Final = Event("overflow")
"""Something was left out. The stream ends after it; the reader comes back and reads anew."""


def ticket_event(ticket: TicketNow, number: int) -> Event:
    data = {
        "ticket_no": ticket.ticket_no,
        "state": ticket.state,
        "version": ticket.version,
        "severity": ticket.severity,
    }
    return Event("ticket", data, number)


def device_event(device: DeviceNow) -> Event:
    at = rfc3339(device.changed_at)
    data = {"device_id": device.device_id, "is_online": device.is_online, "changed_at": at}
    return Event("device", data)


class Place:
    """One reader's place in the hub: a bounded queue between the hub's thread and its loop."""

    def __init__(self, scope: Scope, who: Hashable) -> None:
        self.scope: Final = scope
        self.who: Final = who
        self._queue: asyncio.Queue[Event] = asyncio.Queue(QUEUE_MAX)
        self._loop: asyncio.AbstractEventLoop | None = None

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Where the queue is read. Nothing is heard before that."""
        self._loop = loop

    def offer(self, events: Sequence[Event]) -> None:
        """Called by the hub's thread; never waits."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._put, events)

    def _put(self, events: Sequence[Event]) -> None:
        if self._queue.qsize() + len(events) >= QUEUE_MAX:
            self._drop()
            events = [LOST]
        for event in events:
            self._queue.put_nowait(event)

    def _drop(self) -> None:
        """A reader that is too slow is told so instead of what it did not read."""
        while not self._queue.empty():
            self._queue.get_nowait()

    async def next(self, seconds: float) -> Event | None:
        """The next event; None when there was none in time."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                return await self._queue.get()
        except TimeoutError:
            return None


class Hub:
    """All readers of one process. Listens from the first reader on."""

    def __init__(self, url: str, pool: ApiPool, limits: Limits) -> None:
        self._url = url
        self._pool = pool
        self._limits = limits
        self._places: set[Place] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._listens = threading.Event()
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._places)

    def join(self, scope: Scope, who: Hashable) -> Place:
        """A place for a reader; give it back with `leave`.

        Raises:
            ProblemError: 429, too many streams are open.
            DatabaseDownError: changes cannot be heard.
        """
        place = Place(scope, who)
        with self._lock:
            self._check_room(who)
            self._places.add(place)
            self._start()
        if not self._listens.wait(_START_WITHIN_S):
            self.leave(place)
            raise DatabaseDownError("changes cannot be heard")
        return place

    def _check_room(self, who: Hashable) -> None:
        own = sum(place.who == who for place in self._places)
        if len(self._places) >= self._limits.streams or own >= self._limits.streams_per_caller:
            each, total = self._limits.streams_per_caller, self._limits.streams
            most = f"{each} open streams of one caller, {total} of all"
            raise limit_tripped("streams", most, 30)

    def leave(self, place: Place) -> None:
        with self._lock:
            self._places.discard(place)

    def close(self) -> None:
        """End every stream. Safe to call twice."""
        self._stop.set()
        self._tell_all([LOST])
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen()
            except DatabaseDownError as exc:
                log.warning("stream_interrupted", reason=str(exc))
                self._rest()
            except Exception:  # every reader hangs on this thread: it may stumble, but not end
                log.exception("stream_failed")
                self._rest()

    def _rest(self) -> None:
        """What was not told is said to be lost; readers come back when there is a listener."""
        self._listens.clear()
        self._tell_all([LOST])
        self._stop.wait(AGAIN_AFTER_S)

    def _listen(self) -> None:
        with Listener(self._url) as listener:
            self._listens.set()
            while not self._stop.is_set():
                changes = listener.collect(COLLECT_S)
                if len(changes) > CHANGES_MAX:
                    self._tell_all([LOST])
                elif changes:
                    self._tell(changes)

    def _tell(self, changes: Changes) -> None:
        """Read what changed once for each reach, and tell those who have it."""
        for scope, places in self._by_scope().items():
            events = self._seen(scope[0], changes)
            for place in places:
                place.offer(events)

    def _by_scope(self) -> Mapping[tuple[Scope, str], list[Place]]:
        """A way past a block is one caller's own, so who asks is part of the reach."""
        found: dict[tuple[Scope, str], list[Place]] = defaultdict(list)
        with self._lock:
            for place in self._places:
                found[place.scope, place.scope.subject].append(place)
        return found

    def _seen(self, scope: Scope, changes: Changes) -> list[Event]:
        with self._pool.read(scope) as conn:
            number = horizon(conn)
            tickets = tickets_now(conn, changes.ticket_nos)
            devices = devices_now(conn, changes.device_nos)
        return [ticket_event(item, number) for item in tickets] + list(map(device_event, devices))

    def _tell_all(self, events: Sequence[Event]) -> None:
        with self._lock:
            places = list(self._places)
        for place in places:
            place.offer(events)
