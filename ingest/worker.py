"""The ingest worker: leases slots, reads their sessions, stores batches, acknowledges."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Final

import psycopg
import structlog
from prometheus_client import Counter, Gauge, Histogram

from fleet.wire.topics import SHARD_COUNT
from ingest.lanes import Delivery, Lane, LaneQueue
from ingest.network import Network
from ingest.settings import IngestSettings
from runtime.garbage import quiet_collector
from runtime.health import Health
from storage import gaps, leases
from storage.connection import Connection, DatabaseDownError, check_durability, connect
from storage.intake import Intake, LeaseLostError

log = structlog.get_logger()

ROLE: Final = "fjarrkoll_ingest"
TAKE_TIMEOUT_S: Final = 0.2

_messages = Counter("fjarrkoll_ingest_messages_total", "Messages by outcome", ["outcome"])
_samples = Counter("fjarrkoll_ingest_samples_total", "Samples stored")
_batch_s = Histogram("fjarrkoll_ingest_batch_seconds", "Time to store one batch", ["lane"])
_depth = Gauge("fjarrkoll_ingest_queue_rows", "Messages waiting in the worker", ["lane"])
_slots = Gauge("fjarrkoll_ingest_slots", "Slots held by this worker")
_gap_requests = Counter("fjarrkoll_ingest_gap_requests_total", "Requests for missing records")


class Worker:
    """One process's worth of ingest. `run` returns when `stop` is set and all is put away."""

    def __init__(self, settings: IngestSettings, health: Health | None = None) -> None:
        self._settings = settings
        self._health = health or Health("ingest")
        self._stop = Event()
        self._queues = self._new_queues()
        self._network = Network(settings, self._queue_for)
        self._held: dict[int, int] = {}
        self._held_until = 0.0
        self._slot_count = 1
        self._swept_after = 0
        self._failure: BaseException | None = None

    def _new_queues(self) -> dict[tuple[Lane, int], LaneQueue]:
        writers = {Lane.URGENT: 1, Lane.BULK: self._settings.bulk_writers}
        return {
            (lane, k): self._new_queue() for lane, count in writers.items() for k in range(count)
        }

    def _new_queue(self) -> LaneQueue:
        settings = self._settings
        return LaneQueue(
            settings.queue_rows_max, settings.queue_bytes_max, settings.limits, time.monotonic
        )

    def _queue_for(self, lane: Lane, slot: int) -> LaneQueue:
        """A slot's messages always go through the same writer, so their order holds."""
        writers = 1 if lane is Lane.URGENT else self._settings.bulk_writers
        return self._queues[lane, slot % writers]

    def run(self, stop: Event, on_ready: Callable[[], None] | None = None) -> None:
        """Work until `stop` is set.

        Raises:
            StorageError: the database may not be trusted with records, or is not migrated.
        """
        self._check_database()
        quiet_collector()
        writers = [
            Thread(target=self._write, args=(key, queue), name=f"{key[0]}-{key[1]}", daemon=True)
            for key, queue in self._queues.items()
        ]
        self._network.start()
        for writer in writers:
            writer.start()
        try:
            self._keep_house(stop, on_ready)
        finally:
            self._stop.set()
            for queue in self._queues.values():
                queue.close()
            for writer in writers:
                writer.join(timeout=10)
            self._network.stop()
            self._give_up_slots()

    def _check_database(self) -> None:
        with connect(self._settings.database_url, role=ROLE, name="fjarrkoll ingest check") as conn:
            check_durability(conn, is_throwaway=self._settings.is_throwaway)

    def _keep_house(self, stop: Event, on_ready: Callable[[], None] | None) -> None:
        """Renew leases and sweep gaps, until told to stop or a thread has died."""
        conn: Connection | None = None
        next_sweep = 0.0
        while not stop.is_set():
            try:
                if conn is None or conn.closed:
                    conn = connect(self._settings.database_url, role=ROLE, name="fjarrkoll lease")
                self._renew(conn)
                if time.monotonic() >= next_sweep:
                    next_sweep = time.monotonic() + self._settings.gap_sweep_s
                    self._sweep(conn)
            except (psycopg.Error, DatabaseDownError) as exc:
                log.warning("lease_not_renewed", error=str(exc).splitlines()[0])
                if conn is not None:
                    conn.close()
            self._drop_expired()
            if on_ready is not None and self._held and self._is_listening():
                on_ready()
                on_ready = None
            failure = self._failure or self._network.failure
            if failure is not None:
                raise RuntimeError("a thread of the worker has failed") from failure
            stop.wait(0.05 if on_ready is not None else self._settings.lease_s / 4)
        if conn is not None:
            conn.close()

    def _is_listening(self) -> bool:
        return self._network.open_n() >= len(Lane) * len(self._held)

    def _renew(self, conn: Connection) -> None:
        lease = timedelta(seconds=self._settings.lease_s)
        asked_at = time.monotonic()
        held, slot_count = leases.renew(conn, self._settings.worker, lease)
        conn.commit()
        if held != self._held:
            log.info("slots_held", slots=sorted(held), of=slot_count)
        self._held = held
        self._held_until = asked_at + self._settings.lease_s
        self._network.hold(held, slot_count)
        self._slot_count = slot_count
        _slots.set(len(held))
        for lane in Lane:
            _depth.labels(lane.value).set(
                sum(queue.depth() for key, queue in self._queues.items() if key[0] is lane)
            )

    def _drop_expired(self) -> None:
        """Without a renewal in time others may hold our slots: stop reading them."""
        if self._held and time.monotonic() > self._held_until:
            log.warning("lease_expired", slots=sorted(self._held))
            self._held = {}
            self._network.hold({}, 1)

    def _sweep(self, conn: Connection) -> None:
        width = SHARD_COUNT // self._slot_count
        shards = [s for slot in self._held for s in range(slot * width, (slot + 1) * width)]
        age = timedelta(seconds=self._settings.gap_age_s)
        swept = gaps.sweep(conn, shards, datetime.now(UTC), age, self._swept_after)
        conn.commit()
        self._swept_after = swept.after
        _gap_requests.inc(len(swept.requests))
        self._network.tell({(r.tenant, r.device): r.ack for r in swept.requests})

    def _write(self, key: tuple[Lane, int], queue: LaneQueue) -> None:
        """One writer: take a batch, store it, have it acknowledged; for ever."""
        try:
            with Intake(self._settings.database_url, f"mqtt/{key[0]}", ROLE) as intake:
                while not self._stop.is_set():
                    batch = queue.take(TAKE_TIMEOUT_S)
                    if batch:
                        self._store_until_done(intake, batch, key[0])
        except BaseException as exc:
            self._failure = exc
            log.exception("writer_failed", lane=key[0].value)

    def _store_until_done(self, intake: Intake, batch: list[Delivery], lane: Lane) -> None:
        """Store a batch however long the database is away; nothing else is taken meanwhile."""
        backoff_s = 0.05
        while batch and not self._stop.is_set():
            try:
                with _batch_s.labels(lane.value).time():
                    self._store(intake, batch)
                self._health.succeeded()
            except LeaseLostError as exc:
                batch = [delivery for delivery in batch if delivery.slot not in exc.slots]
            except DatabaseDownError as exc:
                self._health.failed(str(exc))
                log.warning("batch_not_stored", rows=len(batch), error=str(exc), retry_s=backoff_s)
                self._stop.wait(backoff_s)
                backoff_s = min(backoff_s * 2, self._settings.backoff_max_s)

    def _store(self, intake: Intake, batch: list[Delivery]) -> None:
        """Store and acknowledge part by part, in the order of arrival.

        What is settled leaves `batch`: acknowledged twice, a packet id would take another
        message with it.
        """
        held = {delivery.slot: delivery.fence for delivery in batch}
        own = [at for at, delivery in enumerate(batch) if not delivery.is_for_other_lane]
        messages = [batch[at].message for at in own]
        settled = stored = 0
        for part, outcome in intake.store_parts(messages, held):
            stored += len(part)
            end = own[stored] if stored < len(own) else len(batch)
            self._network.settle(batch[: end - settled], outcome.acks)
            del batch[: end - settled]
            settled = end
            _messages.labels("stored").inc(outcome.stored)
            _messages.labels("duplicate").inc(outcome.duplicate)
            _messages.labels("quarantined").inc(outcome.quarantined)
            _samples.inc(outcome.samples)
            if outcome.quarantined:
                log.info("messages_quarantined", count=outcome.quarantined)

    def _give_up_slots(self) -> None:
        try:
            with connect(self._settings.database_url, role=ROLE, name="fjarrkoll lease") as conn:
                leases.release(conn, self._settings.worker)
        except (psycopg.Error, DatabaseDownError) as exc:
            log.warning("slots_not_released", error=str(exc).splitlines()[0])
