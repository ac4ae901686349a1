"""What one API process holds while it runs: connections in, connections out, and counts."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry, Counter, Histogram

from api.access.callers import Access
from api.hub import Hub
from api.kept import Kept
from api.limits import Guard
from api.readiness import Readiness
from api.settings import ApiSettings
from storage.audit import AuditWriter, append
from storage.connection import Connection, DatabaseDownError
from storage.intake import Intake
from storage.pool import ApiPool

if TYPE_CHECKING:
    from api.access.gate import Errand  # the gate stands before the rooms, and imports them

COUNTING_WAIT_S: Final = 10.0
"""How long a sum over the fleet waits for those before it: as long as one statement may take."""
_INTAKE_ROLE: Final = "fjarrkoll_ingest"


class IntakePool:
    """A few ways in for HTTP, each used by one thread at a time."""

    def __init__(self, url: str, size: int, wait_s: float) -> None:
        self._wait_s = wait_s
        self._free: queue.LifoQueue[Intake] = queue.LifoQueue()
        self._all = [
            Intake(url, f"http-{number}", role=_INTAKE_ROLE) for number in range(1, size + 1)
        ]
        for intake in self._all:
            self._free.put(intake)

    @contextmanager
    def borrow(self) -> Iterator[Intake]:
        """One way in, for as long as the block lasts.

        Raises:
            DatabaseDownError: all stay busy.
        """
        try:
            intake = self._free.get(timeout=self._wait_s)
        except queue.Empty as exc:
            raise DatabaseDownError("every way in is busy") from exc
        try:
            yield intake
        finally:
            self._free.put(intake)

    def close(self) -> None:
        for intake in self._all:
            intake.close()


class Meters:
    """What `/metrics` shows of this process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "fjarrkoll_api_requests",
            "Answered requests.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.duration_s = Histogram(
            "fjarrkoll_api_request_duration_seconds",
            "Time to answer.",
            ["route"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 10),
            registry=self.registry,
        )
        self.records = Counter(
            "fjarrkoll_api_ingest_records",
            "Records received over HTTP, by what became of them.",
            ["outcome"],
            registry=self.registry,
        )


class Rooms:
    """Everything a route may use. Opened and closed with the application."""

    def __init__(self, settings: ApiSettings) -> None:
        self.settings: Final = settings
        wait_s = settings.database_wait_s
        self.pool: Final = ApiPool(settings.database_url, settings.pool_size, wait_s)
        self.counting: Final = ApiPool(settings.database_url, 1, COUNTING_WAIT_S)
        self.intake: Final = IntakePool(settings.database_url, settings.intake_pool_size, wait_s)
        self.access: Final = Access(settings.access, self.pool)
        self.log: Final = AuditWriter(settings.database_url)
        self.meters: Final = Meters()
        self.guard: Final = Guard(settings.limits, settings.access)
        self.kept: Final = Kept()
        self.readiness: Final = Readiness(self._prove)
        self.streams: Final = Hub(settings.database_url, self.pool, settings.limits)

    def _prove(self) -> None:
        if not self.log.is_working:
            raise DatabaseDownError("the access log's writer has ended: restart the process")
        self.pool.prove_commit()

    @contextmanager
    def running(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.callback(self.intake.close)
            stack.callback(self.pool.close)
            stack.callback(self.access.close)
            stack.callback(self.log.close)
            stack.callback(self.streams.close)
            stack.callback(self.counting.close)
            stack.callback(self.kept.close)
            self.pool.open()
            self.counting.open()
            yield

    @contextmanager
    def read(self, errand: Errand) -> Iterator[Connection]:
        """One view of the data, within the caller's reach.

        Raises:
            DatabaseDownError: no connection in time, or the database gave up.
        """
        with self.pool.read(errand.scope) as conn:
            yield conn

    @contextmanager
    def count(self, errand: Errand) -> Iterator[Connection]:
        """As `read`, for sums over the whole fleet: one at a time, beside everybody's requests.

        Raises:
            DatabaseDownError: others' sums took too long, or the database gave up.
        """
        with self.counting.read(errand.scope) as conn:
            yield conn

    @contextmanager
    def change(self, errand: Errand) -> Iterator[Connection]:
        """One change within the caller's reach, committed together with its entry in the log.

        Raises:
            DatabaseDownError: as `read`; then nothing is changed.
            DataRejectedError: the change breaks an invariant.
        """
        with self.pool.write(errand.scope) as conn:
            yield conn
            append(conn, errand.caller.tenant, [errand.entry(datetime.now(UTC))])


async def _rooms(request: Request) -> Rooms:
    # async: what does not wait need not change threads, and every request would do it thrice
    rooms: Rooms = request.app.state.rooms
    return rooms


InRooms = Annotated[Rooms, Depends(_rooms)]
