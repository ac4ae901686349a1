"""The simulator process: a fleet that makes up its history, sends it, and then lives on."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import resource
import signal
import time
from collections.abc import Sequence
from random import Random, SystemRandom
from typing import Any, Final

import msgspec
import structlog

from firmware_sim.devices.rhythm import DAY, MINUTE, SECOND
from firmware_sim.life import Life, Start
from firmware_sim.link import Link, Shared
from firmware_sim.outbox import Entry, Outbox
from firmware_sim.plan import PlannedDevice, fleet_plan
from firmware_sim.protocol import Conversation, Limits, Verdict
from firmware_sim.replay import replay
from firmware_sim.scenarios import (
    SCENARIOS,
    Quirks,
    Span,
    draw_faults,
    draw_live_faults,
    draw_quirks,
)
from firmware_sim.settings import Config, SettingsError, broker_address, check_tenant
from firmware_sim.stats import Stats
from firmware_sim.truth import HiddenFault, TruthFile
from runtime.waiting import until_set

__all__ = ["Config", "SettingsError", "Simulation", "Stats", "fleet_plan", "main"]

log = structlog.get_logger(__name__)

_TICK_S: Final = 0.25
_SETTLE_S: Final = 0.1
_CATCH_UP_MIN: Final = 10
_GENERATE_AT_ONCE: Final = 8
_NOTE: Final = "simulation"


class _Note(msgspec.Struct):
    """What the outbox file remembers of the simulation it belongs to."""

    seed: int
    devices: int
    scenario: str
    tenant: str
    from_ms: int
    live_ms: int
    speed: float
    faults: list[HiddenFault]
    lost: list[tuple[str, str, int, int]] = []


class Simulation:
    """A fleet of simulated devices.

    A first start makes up `history_days` of backlog and sends it by the normal path. With
    `speed` X over 1, the last 10·X minutes of history are not sent at once but lived X times
    as fast, which takes some ten minutes of wall time; then time goes on as it does. The
    simulated time never passes the wall clock. A later start on the same outbox file makes up
    what was missed meanwhile and goes on.
    """

    def __init__(self, config: Config) -> None:
        check_tenant(config)
        if config.scenario not in SCENARIOS:
            raise SettingsError(
                f"scenario {config.scenario!r} is unknown: use one of {', '.join(SCENARIOS)}"
            )
        self.config = config
        self.scenario = SCENARIOS[config.scenario]
        self.plan: list[PlannedDevice] = fleet_plan(config.devices, config.seed, config.tenant)
        self.stats = Stats(config.scenario, config.seed, config.speed)
        self.faults: list[HiddenFault] = []
        self._address = broker_address(config)
        self._quirks: dict[str, Quirks] = {}
        self._lives: dict[str, Life] = {}
        self._links: dict[str, Link] = {}
        self._to_settle: dict[str, int] = {}
        self._acked: dict[tuple[str, str], int] = {}
        self._outbox: Outbox | None = None
        self._truth: TruthFile | None = None
        self._live_from_s: float | None = None
        self._live_from_ms = 0

    def acked_records(self) -> dict[tuple[str, str], int]:
        """For each (device, epoch): every record up to this number was acknowledged."""
        self._flush()
        return dict(self._acked)

    def is_drained(self) -> bool:
        """True if every record that is still held has been acknowledged."""
        return len(self._links) == len(self.plan) and all(
            link.conversation.is_drained for link in self._links.values()
        )

    def now_ms(self) -> int:
        """The simulated time, never ahead of the wall clock."""
        wall_ms = time.time_ns() // 1_000_000
        if self._live_from_s is None:
            return min(wall_ms, self._live_from_ms)
        lived_ms = int((time.monotonic() - self._live_from_s) * self.config.speed * SECOND)
        return min(wall_ms, self._live_from_ms + lived_ms)

    async def run(self, stop: asyncio.Event) -> Stats:
        """Run until `stop`, or until the backlog is settled when the config is not live.

        Raises:
            SettingsError: the outbox file belongs to another simulation.
        """
        started_s = time.monotonic()
        _allow_many_connections()
        self._outbox = outbox = Outbox(
            self.config.outbox_path,
            SystemRandom(),
            limit=self.config.outbox_limit,
            grace=self.config.grace,
        )
        try:
            note = self._prepare(outbox)
            done = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                helpers = [
                    group.create_task(self._settle()),
                    group.create_task(_link_stop(stop, done)),
                ]
                if self.config.run_for_s is not None:
                    helpers.append(group.create_task(_set_after(done, self.config.run_for_s)))
                await self._start_devices(outbox, note, group, done)
                log.info(
                    "fleet_started", devices=len(self.plan), first_start=self.stats.first_start
                )
                await self._live(outbox, done)
                for helper in helpers:
                    helper.cancel()
        finally:
            self._flush()
            self._finish(outbox, started_s)
        return self.stats

    def _prepare(self, outbox: Outbox) -> _Note:
        """Draw or recall what this simulation is, and give every device its life."""
        now_ms = time.time_ns() // 1_000_000
        stored = outbox.note(_NOTE)
        self.stats.first_start = stored is None
        note = self._first_note(now_ms) if stored is None else self._recall(stored, now_ms)
        span = Span(note.from_ms, note.live_ms, note.speed)
        self.faults = note.faults
        self._quirks = draw_quirks(self.scenario, self.plan, span, self.config.seed)
        outbox.append([], {_NOTE: msgspec.msgpack.encode(note)})
        outbox.boot([device.id for device in self.plan])
        if self.config.truth is not None:
            self._truth = TruthFile(self.config.truth)
            self._truth.write(self._facts(note))
        return note

    def _first_note(self, now_ms: int) -> _Note:
        config = self.config
        from_ms = now_ms - int(config.history_days * DAY)
        live_ms = max(from_ms, now_ms - self._catch_up_ms())
        self._live_from_ms = live_ms
        span = Span(from_ms, live_ms, config.speed)
        return _Note(
            seed=config.seed,
            devices=config.devices,
            scenario=config.scenario,
            tenant=config.tenant,
            from_ms=from_ms,
            live_ms=live_ms,
            speed=config.speed,
            faults=draw_faults(self.scenario, self.plan, span, config.seed)
            if config.history_days
            else draw_live_faults(self.scenario, self.plan, span, Random(config.seed)),  # noqa: S311 - a simulation
        )

    def _recall(self, stored: bytes, now_ms: int) -> _Note:
        note = msgspec.msgpack.decode(stored, type=_Note)
        for name in ("seed", "devices", "scenario", "tenant"):
            if getattr(note, name) != getattr(self.config, name):
                raise SettingsError(
                    f"{self.config.outbox_path} holds a simulation with {name}"
                    f" {getattr(note, name)!r}, not {getattr(self.config, name)!r}:"
                    " use the same, or another outbox file"
                )
        self._live_from_ms = max(note.live_ms, now_ms - self._catch_up_ms())
        span = Span(note.from_ms, self._live_from_ms, self.config.speed)
        ill = {fault.device for fault in note.faults if fault.cleared_ms is None}
        healthy = [device for device in self.plan if device.id not in ill]
        rng = Random(f"{note.seed} {self._live_from_ms}")  # noqa: S311 - a simulation
        rng.shuffle(healthy)
        note.faults = [*note.faults, *draw_live_faults(self.scenario, healthy, span, rng)]
        return note

    def _catch_up_ms(self) -> int:
        return int(_CATCH_UP_MIN * MINUTE * self.config.speed) if self.config.speed > 1 else 0

    async def _start_devices(
        self, outbox: Outbox, note: _Note, group: asyncio.TaskGroup, done: asyncio.Event
    ) -> None:
        """Make up each device's history, some devices at a time, and let it connect."""
        shared = Shared(
            address=self._address,
            outbox=outbox,
            stop=done,
            now_ms=self.now_ms,
            obey=self._obey,
            inflight=self.config.inflight,
        )
        began_s = time.monotonic()
        for first in range(0, len(self.plan), _GENERATE_AT_ONCE):
            some = self.plan[first : first + _GENERATE_AT_ONCE]
            self._generate(outbox, note, some)
            for index, device in enumerate(some, first):
                delay_s = max(0.0, began_s + index / self.config.connects_per_s - time.monotonic())
                link = self._link(outbox, device, shared)
                self._links[device.id] = link
                group.create_task(link.run(delay_s))
            await asyncio.sleep(0)
            if done.is_set():
                return

    def _generate(self, outbox: Outbox, note: _Note, devices: Sequence[PlannedDevice]) -> None:
        entries = []
        for device in devices:
            held = outbox.load(device.id)
            life = Life(
                device,
                self._quirks[device.id],
                [fault for fault in note.faults if fault.device == device.id],
                Start(self.config.seed, held.boot, note.from_ms, held.memory),
            )
            self._lives[device.id] = life
            drafts = life.advance(self._live_from_ms)
            entries.append(Entry(device.id, drafts, life.kept()))
        outbox.append(entries)
        if self.stats.first_start:
            for device in devices:
                if self._quirks[device.id].loses_records:
                    self._lose_some(outbox, note, device.id)

    def _lose_some(self, outbox: Outbox, note: _Note, device: str) -> None:
        """Worn flash: the oldest records, and a stretch in the middle, are gone before sending."""
        held = outbox.load(device)
        count = held.next_seq - 1
        if count < 10:
            return
        rng = Random(f"flash {self.config.seed} {device}")  # noqa: S311 - a simulation
        middle = rng.randrange(count // 3, count // 2)
        for first, last in ((1, max(1, count // 50)), (middle, middle + max(2, count // 15))):
            outbox.lose(device, first, last)
            note.lost.append((device, held.epoch, first, last))
        outbox.append([], {_NOTE: msgspec.msgpack.encode(note)})
        if self._truth is not None:
            self._truth.write(self._facts(note))

    def _link(self, outbox: Outbox, device: PlannedDevice, shared: Shared) -> Link:
        config = self.config
        held = outbox.load(device.id)
        stats = self.stats.of(device.id)
        stats.epoch, stats.acked_hi, stats.created = held.epoch, held.acked_hi, held.next_seq - 1
        rng = Random(f"network {config.seed} {device.id}")  # noqa: S311 - a simulation
        limits = Limits(window=config.window, resend_after_s=config.resend_after_s)
        conversation = Conversation(held, rng, limits)
        return Link(self._lives[device.id], conversation, shared, stats, rng)

    async def _live(self, outbox: Outbox, done: asyncio.Event) -> None:
        """Let simulated time pass until the end, one tick and one transaction at a time."""
        self._live_from_s = time.monotonic()
        due = [(life.wake_ms, device) for device, life in self._lives.items()]
        heapq.heapify(due)
        while not done.is_set():
            if self.config.live:
                self._tick(outbox, due, self.now_ms())
            elif self.is_drained() and all(one.births for one in self.stats.devices.values()):
                done.set()
            await until_set(done, _TICK_S)

    def _tick(self, outbox: Outbox, due: list[tuple[int, str]], now_ms: int) -> None:
        entries = []
        while due and due[0][0] <= now_ms:
            _, device = heapq.heappop(due)
            life = self._lives[device]
            drafts = life.advance(now_ms)
            entries.append(Entry(device, drafts, life.kept()))
            heapq.heappush(due, (life.wake_ms, device))
        if not entries:
            return
        for device, appended in outbox.append(entries).items():
            self.stats.of(device).created = appended.next_seq - 1
            link = self._links[device]
            link.conversation.on_append(appended)
            link.wake()

    def _obey(self, device: str, verdict: Verdict) -> None:
        if verdict.settle is not None:
            self._to_settle[device] = verdict.settle
        if verdict.rewind is not None and self._outbox is not None:
            self._flush()
            self._outbox.rewind(device, verdict.rewind)

    async def _settle(self) -> None:
        while True:
            await asyncio.sleep(_SETTLE_S)
            self._flush()

    def _flush(self) -> None:
        """Forget what was acknowledged since the last time, in one transaction."""
        if self._outbox is None:
            return
        if self._to_settle:
            settled, self._to_settle = self._to_settle, {}
            self._outbox.settle(settled)
            for device, hi in settled.items():
                self._links[device].conversation.on_trimmed(max(1, hi - self.config.grace + 1))
        self._acked = self._outbox.acked()

    def _finish(self, outbox: Outbox, started_s: float) -> None:
        self.stats.is_drained = self.is_drained()
        self.stats.wall_s = time.monotonic() - started_s
        for device, life in self._lives.items():
            stats = self.stats.of(device)
            stats.lost = outbox.load(device).lost
            stats.malformed_records = life.broken
            stats.malformed += life.broken
        if self._truth is not None:
            self._truth.write([{"kind": "stats", **self.stats.totals()}])
        self._outbox = None
        outbox.close()

    def _facts(self, note: _Note) -> list[dict[str, Any]]:
        """The truth so far, one fact a line; times in true milliseconds."""
        facts: list[dict[str, Any]] = [
            {
                "kind": "simulation",
                "seed": note.seed,
                "scenario": note.scenario,
                "devices": note.devices,
                "tenant": note.tenant,
                "from_ms": note.from_ms,
                "live_ms": note.live_ms,
            }
        ]
        facts += [{"kind": "fault", **msgspec.to_builtins(fault)} for fault in note.faults]
        for device, quirks in self._quirks.items():
            if quirks != Quirks():
                facts.append({"kind": "quirks", "device": device, **_as_fact(quirks)})
        facts += [
            {"kind": "lost", "device": device, "epoch": epoch, "first": first, "last": last}
            for device, epoch, first, last in note.lost
        ]
        return facts


def _as_fact(quirks: Quirks) -> dict[str, Any]:
    return {name: getattr(quirks, name) for name in Quirks.__slots__}


async def _link_stop(stop: asyncio.Event, done: asyncio.Event) -> None:
    await stop.wait()
    done.set()


async def _set_after(done: asyncio.Event, seconds: float) -> None:
    await asyncio.sleep(seconds)
    done.set()


def _allow_many_connections() -> None:
    """Each connection takes three descriptors; the usual soft limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main(config: Config) -> Stats:
    """Run one simulator process until it is done, or until SIGINT or SIGTERM.

    Raises:
        SettingsError: the settings cannot be used.
        RecordingError: the file to replay is no recording.
    """
    return asyncio.run(_main(config))


async def _main(config: Config) -> Stats:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread
            loop.add_signal_handler(number, stop.set)
    if config.replay is not None:
        return await replay(config, config.replay, stop)
    return await Simulation(config).run(stop)
