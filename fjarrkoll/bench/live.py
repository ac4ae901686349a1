"""Delay under live load, with and without a flush: record to queryable, fault to ticket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from fjarrkoll.bench.load import Wire, device_names, fault, probe, record
from fjarrkoll.bench.stage import Stage, peak_memory_mb, percentiles

PROBE_EVERY_S: Final = 0.05
FAULT_EVERY_S: Final = 0.1
FAULTS_MAX: Final = 3_000
TICK_S: Final = 0.02
_PROBE: Final = "probe-0"
_PATIENCE_S: Final = 20.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """How much load.

    `outstanding` is how many records of the backlog are under way at once: the devices of a
    flush keep the rest in their outboxes and send within their windows (contract, section 4).
    """

    seconds: float = 20.0
    rate_per_s: int = 2_000
    devices: int = 20_000
    backlog: int = 500_000
    backlog_devices: int = 20_000
    outstanding: int = 2_500
    faults_max: int = FAULTS_MAX


def measure(stage: Stage, settings: LiveSettings, say: Say) -> dict[str, Any]:
    """Run live load twice: alone, and while a backlog drains."""
    with running(stage, settings) as run:
        say(f"{settings.rate_per_s:,} records/s for {settings.seconds:.0f} s")
        alone = run.live()
        say(f"the same while a backlog of {settings.backlog:,} records drains")
        flushed = run.live_during_flush()
        return {
            "alone": alone,
            "during_flush": flushed,
            "worker_peak_memory_mb": run.peak_memory_mb(),
        }


@contextmanager
def running(stage: Stage, settings: LiveSettings) -> Iterator[Run]:
    """Workers, and a load that can be let loose on them, for as long as the block lasts."""
    stage.register(
        device_names(settings.devices, "live")
        + device_names(settings.backlog_devices, "late")
        + device_names(settings.faults_max, "sick")
        + [_PROBE]
    )
    ingest, diagnose = stage.child("ingest", tag="-live"), stage.child("diagnose")
    for child in (ingest, diagnose):
        child.start()
        child.wait_for_line("process_ready")
    try:
        run = Run(stage, settings, ingest.pid)
        yield run
        run.close()
    finally:
        diagnose.stop()
        ingest.stop()


@dataclass
class _Watch:
    """What was sent when, and when it showed."""

    sent: dict[int, float] = field(default_factory=dict)
    seen: dict[int, float] = field(default_factory=dict)

    def delays(self) -> list[float]:
        return [self.seen[key] - at for key, at in self.sent.items() if key in self.seen]

    def missing(self) -> int:
        return len(self.sent.keys() - self.seen.keys())


class Run:
    """A load from many devices, and watchers that see when it shows."""

    def __init__(self, stage: Stage, settings: LiveSettings, worker_pid: int) -> None:
        self._stage = stage
        self._worker_pid = worker_pid
        self._settings = settings
        self._live = Wire("127.0.0.1", stage.mqtt_port, "bench-live")
        self._names = device_names(settings.devices, "live")
        self._next = 0
        self._probes = 0
        self._faults = 0
        with psycopg.connect(stage.database_url) as conn:
            rows = conn.execute("SELECT id, device_no FROM device").fetchall()
        self._numbers: dict[str, int] = dict(rows)

    def close(self) -> None:
        self._live.close()

    def peak_memory_mb(self) -> float:
        return peak_memory_mb(self._worker_pid)

    def live(self) -> dict[str, Any]:
        """Live load for the given time; everything sent must show in the end."""
        ends = time.monotonic() + self._settings.seconds
        return self._with_watchers(lambda: time.monotonic() < ends)

    def live_during_flush(self) -> dict[str, Any]:
        """Live load from the start of a flush to its end."""
        flush = _Flush(self._stage, self._settings)
        flush.start()
        began = time.monotonic()
        result = self._with_watchers(flush.is_running)
        seconds = flush.seconds(began)
        result["backlog"] = self._settings.backlog
        result["backlog_outstanding_max"] = self._settings.outstanding
        result["backlog_records_per_s"] = round(self._settings.backlog / seconds)
        return result

    def _with_watchers(self, goes_on: Callable[[], bool]) -> dict[str, Any]:
        probes, faults = _Watch(), _Watch()
        stop = threading.Event()
        watchers = [threading.Thread(target=self._watch_probes, args=(probes, stop))]
        if self._settings.faults_max:  # to look costs what is measured: not for nothing
            watchers.append(threading.Thread(target=self._watch_tickets, args=(faults, stop)))
        for watcher in watchers:
            watcher.start()
        began = time.monotonic()
        sent = self._send(goes_on, probes, faults)
        seconds = time.monotonic() - began
        deadline = time.monotonic() + _PATIENCE_S
        while (probes.missing() or faults.missing()) and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()
        for watcher in watchers:
            watcher.join()
        return {
            "seconds": round(seconds, 1),
            "sent_records_per_s": round(sent / seconds),
            "record_to_queryable": percentiles(probes.delays()),
            "fault_to_ticket": percentiles(faults.delays()),
            "never_seen": probes.missing() + faults.missing(),
        }

    def _send(self, goes_on: Callable[[], bool], probes: _Watch, faults: _Watch) -> int:
        """Send at the given rate, in ticks; probes and faults go in between."""
        began = time.monotonic()
        sent = 0
        next_probe = next_fault = began
        while goes_on():
            now = time.monotonic()
            due = int((now - began) * self._settings.rate_per_s) - sent
            messages = [self._record() for _ in range(due)]
            if now >= next_probe:
                next_probe += PROBE_EVERY_S
                messages.append(self._probe(probes))
            if now >= next_fault and self._faults < self._settings.faults_max:
                next_fault += FAULT_EVERY_S
                messages.append(self._fault(faults))
            self._live.publish(messages)
            sent += due
            time.sleep(TICK_S)
        return sent

    def _record(self) -> tuple[str, bytes]:
        turn, at = divmod(self._next, len(self._names))
        self._next += 1
        return record(self._names[at], turn + 1, time.time_ns() // 1_000_000)

    def _probe(self, watch: _Watch) -> tuple[str, bytes]:
        self._probes += 1
        watch.sent[self._probes] = time.monotonic()
        return probe(_PROBE, self._probes, time.time_ns() // 1_000_000)

    def _fault(self, watch: _Watch) -> tuple[str, bytes]:
        name = f"sick-{self._faults:06d}"
        self._faults += 1
        watch.sent[self._numbers[name]] = time.monotonic()
        return fault(name, time.time_ns() // 1_000_000)

    def _watch_probes(self, watch: _Watch, stop: threading.Event) -> None:
        number = self._numbers[_PROBE]
        query = (
            "SELECT value::int FROM sample"
            " WHERE device_no = %s AND at > now() - interval '2 minutes' AND value > %s"
        )
        highest = 0
        with psycopg.connect(self._stage.database_url, autocommit=True) as conn:
            while not stop.wait(0.005):
                for row in conn.execute(query, [number, highest]).fetchall():
                    watch.seen.setdefault(row[0], time.monotonic())
                    highest = max(highest, row[0])

    def _watch_tickets(self, watch: _Watch, stop: threading.Event) -> None:
        highest = 0
        query = "SELECT ticket_no, device_no FROM ticket WHERE ticket_no > %s"
        with psycopg.connect(self._stage.database_url, autocommit=True) as conn:
            while not stop.wait(0.005):
                for ticket_no, device_no in conn.execute(query, [highest]).fetchall():
                    watch.seen.setdefault(device_no, time.monotonic())
                    highest = max(highest, ticket_no)


class _Flush:
    """A backlog in the outboxes of many devices, sent within a window in all."""

    def __init__(self, stage: Stage, settings: LiveSettings) -> None:
        self._settings = settings
        self._wire = Wire("127.0.0.1", stage.mqtt_port, "bench-flush")
        self._wire.listen("late")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ended_at: float | None = None

    def start(self) -> None:
        self._thread.start()

    def is_running(self) -> bool:
        return self._ended_at is None

    def seconds(self, began: float) -> float:
        self._thread.join()
        self._wire.close()
        assert self._ended_at is not None
        return self._ended_at - began

    def _run(self) -> None:
        messages = self._messages()
        sent = 0
        chunk = 250
        while sent < self._settings.backlog:
            if sent - self._wire.settled_n > self._settings.outstanding - chunk:
                time.sleep(0.005)
                continue
            self._wire.publish([next(messages) for _ in range(chunk)])
            sent += chunk
        while self._wire.settled_n < self._settings.backlog:
            time.sleep(0.01)
        self._ended_at = time.monotonic()

    def _messages(self) -> Iterator[tuple[str, bytes]]:
        names = device_names(self._settings.backlog_devices, "late")
        rounds = self._settings.backlog // len(names)
        start_ms = time.time_ns() // 1_000_000 - 48 * 3_600_000
        step_ms = 48 * 3_600_000 // rounds
        for seq in range(1, rounds + 1):
            for name in names:
                yield record(name, seq, start_ms + seq * step_ms)
