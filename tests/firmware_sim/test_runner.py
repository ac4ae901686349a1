"""The whole process against the embedded broker and a backend that only acknowledges."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import aiomqtt
import pytest
from pydantic import SecretStr, ValidationError

from firmware_sim.outbox import Outbox
from firmware_sim.replay import read_recording
from firmware_sim.runner import Config, SettingsError, Simulation, Stats, main
from firmware_sim.scenarios import SCENARIOS, Quirks
from firmware_sim.settings import broker_address
from fjarrkoll.embedded.broker import EmbeddedBroker, free_port
from fleet.wire.messages import Ack, State, decode_state, encode_ack
from fleet.wire.reasons import PayloadError
from fleet.wire.records import Record, Skipped, decode_record, salvage_identity
from fleet.wire.topics import DownChannel, Topic, down_topic, parse_topic

PAYLOADS = Path(__file__).parents[1] / "fixtures" / "payloads"


@contextlib.contextmanager
def broker_on(port: int, folder: Path) -> Iterator[None]:
    broker = EmbeddedBroker(folder, port)
    broker.start()
    try:
        yield
    finally:
        broker.stop()


@pytest.fixture(scope="module")
def broker_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    with broker_on(port, tmp_path_factory.mktemp("broker")):
        yield port


@dataclass(slots=True)
class Backend:
    """Commits in memory what arrives, and acknowledges it. Gaps stand for `gap_after_s`.

    Each test has a tenant of its own: the broker, and what it retains, is shared.
    """

    tenant: str
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
    markers: int = 0
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
            self.markers += 1
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
        return Ack(
            key[1], hi, [(seq, seq) for seq in missing] if now - since > self.gap_after_s else []
        )

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
        "127.0.0.1",
        port,
        identifier=f"backend-{backend.tenant}",
        protocol=aiomqtt.ProtocolVersion.V5,
    )
    async with client:
        await client.subscribe(f"fk/1/+/{backend.tenant}/+/up/+", qos=1)
        task = asyncio.create_task(backend.serve(client))
        try:
            yield backend
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            if client._disconnected.done():
                client._disconnected.exception()


async def until(is_true: Callable[[], bool], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not is_true():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.02)


@pytest.fixture
def backend() -> Backend:
    return Backend(f"t{uuid.uuid4().hex[:12]}")


@pytest.fixture
def configured(broker_port: int, tmp_path: Path, backend: Backend) -> Callable[..., Config]:
    def build(**given: Any) -> Config:
        usual: dict[str, Any] = {
            "mqtt_url": SecretStr(f"mqtt://127.0.0.1:{broker_port}"),
            "outbox_path": tmp_path / "outbox.db",
            "devices": 6,
            "history_days": 0.5,
            "scenario": "quiet",
            "live": False,
            "run_for_s": 20,
            "connects_per_s": 500,
            "resend_after_s": 0.5,
            "seed": 11,
            "tenant": backend.tenant,
        }
        return Config(**{**usual, **given})

    return build


@contextlib.asynccontextmanager
async def running(simulation: Simulation) -> AsyncIterator[asyncio.Event]:
    stop = asyncio.Event()
    task = asyncio.create_task(simulation.run(stop))
    try:
        yield stop
    finally:
        stop.set()
        await task


async def finish(config: Config, backend: Backend, port: int) -> tuple[Simulation, Stats]:
    simulation = Simulation(config)
    async with serving(port, backend):
        stats = await simulation.run(asyncio.Event())
    return simulation, stats


def assert_nothing_missing(simulation: Simulation, backend: Backend) -> None:
    for (device, epoch), hi in simulation.acked_records().items():
        key = (device, epoch)
        assert backend.hi(key) >= hi
        assert simulation.stats.of(device).acked_hi == hi
        assert hi == simulation.stats.of(device).created


def test_a_fleet_sends_its_history_and_is_drained(
    configured: Callable[..., Config], backend: Backend, broker_port: int
) -> None:
    simulation, stats = asyncio.run(finish(configured(devices=12), backend, broker_port))
    totals = stats.totals()
    assert stats.is_drained
    assert totals["created"] == totals["sent"] == totals["acked"] > 50
    assert totals["births"] == 12
    assert backend.quarantined == 0
    assert_nothing_missing(simulation, backend)
    assert json.loads(stats.to_json())["sent"] == totals["sent"]
    for topic, state in backend.states:
        device = next(device for device in simulation.plan if device.id == topic.device)
        assert state.model in (device.model, None)
    assert [state for _, state in backend.states if not state.online]


def test_a_second_start_goes_on_with_the_same_data(
    configured: Callable[..., Config], backend: Backend, broker_port: int
) -> None:
    first, before = asyncio.run(finish(configured(), backend, broker_port))
    assert before.first_start
    count = backend.messages
    second, after = asyncio.run(finish(configured(), backend, broker_port))
    assert not after.first_start
    assert backend.messages - count <= 6
    assert second.acked_records().keys() == first.acked_records().keys()
    assert {state.boot for _, state in backend.states} == {1, 2}


def test_another_simulation_is_not_mixed_into_the_outbox(
    configured: Callable[..., Config], backend: Backend, broker_port: int
) -> None:
    asyncio.run(finish(configured(devices=2), backend, broker_port))
    with pytest.raises(SettingsError, match="seed 11, not 12"):
        asyncio.run(Simulation(configured(devices=2, seed=12)).run(asyncio.Event()))


def test_duplicates_malformed_and_losses_are_counted_and_told(
    configured: Callable[..., Config],
    backend: Backend,
    broker_port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    troubled = replace(SCENARIOS["demo"], outages=0.0, malformed=0.4, lossy=0.3, duplicates=0.4)
    monkeypatch.setitem(SCENARIOS, "demo", troubled)
    truth = tmp_path / "truth.jsonl"
    config = configured(devices=14, history_days=2, scenario="demo", truth=truth)
    simulation, stats = asyncio.run(finish(config, backend, broker_port))
    totals = stats.totals()
    assert stats.is_drained
    assert_nothing_missing(simulation, backend)
    assert sum(len(records) for records in backend.records.values()) == totals["sent"]
    noise = totals["malformed"] - totals["malformed_records"]
    assert backend.noise == noise > 0
    assert totals["malformed_records"] > 0
    assert totals["duplicates"] == backend.duplicates > 0
    assert totals["lost"] == sum(len(lost) for lost in backend.lost.values()) > 0
    assert backend.messages == totals["publishes"] + noise + backend.markers
    facts = [json.loads(line) for line in truth.read_text().splitlines()]
    assert {fact["kind"] for fact in facts} == {"simulation", "fault", "quirks", "lost", "stats"}
    for fact in facts:
        if fact["kind"] == "lost":
            assert fact["epoch"] == stats.of(fact["device"]).epoch


def test_faults_happen_live_and_arrive_on_the_urgent_lane(
    configured: Callable[..., Config],
    backend: Backend,
    broker_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    soon = replace(SCENARIOS["quiet"], live_faults=1, live_faults_after_s=1.0)
    monkeypatch.setitem(SCENARIOS, "quiet", soon)

    async def scenario() -> None:
        simulation = Simulation(configured(live=True))

        def told() -> list[tuple[str, str]]:
            return [
                (device, backend.channels[device, epoch, seq])
                for (device, epoch), records in backend.records.items()
                for seq, record in records.items()
                if isinstance(record, Record) and record.faults
            ]

        async with serving(broker_port, backend), running(simulation):
            await until(lambda: bool(told()))
            assert told() == [(simulation.faults[0].device, "urgent")]
            assert simulation.faults[0].since_ms <= simulation.now_ms() <= wall_ms()

    asyncio.run(scenario())


def test_devices_that_are_woken_while_they_are_told_to_stop_do_stop(
    configured: Callable[..., Config], backend: Backend, broker_port: int
) -> None:
    """Python 3.11's `asyncio.wait_for` forgets a cancellation that meets what it waited for."""

    async def scenario() -> None:
        backend.deaf = True  # so that each device waits for an acknowledgement, with a time limit
        simulation = Simulation(configured(live=True, resend_after_s=60))
        async with serving(broker_port, backend):
            async with asyncio.timeout(10):
                async with running(simulation) as stop:
                    await until(lambda: simulation.stats.totals()["sent"] > 50)
                    stop.set()
                    for _ in range(20):
                        for link in simulation._links.values():
                            link.wake()
                        await asyncio.sleep(0)

    asyncio.run(scenario())


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def test_a_fast_life_catches_up_but_never_lives_in_the_future(
    configured: Callable[..., Config], backend: Backend, broker_port: int
) -> None:
    async def scenario() -> None:
        config = configured(live=True, speed=3600, history_days=0.05)
        simulation = Simulation(config)
        async with serving(broker_port, backend), running(simulation):
            await until(lambda: bool(backend.states))
            assert simulation.now_ms() < wall_ms() - 60_000
            await until(lambda: simulation.now_ms() > wall_ms() - 500)
            await asyncio.sleep(0.2)
            assert wall_ms() - 100 <= simulation.now_ms() <= wall_ms()
        for records in backend.records.values():
            for record in records.values():
                assert isinstance(record, Record)
                assert record.at <= wall_ms()

    asyncio.run(scenario())


def test_nothing_is_lost_when_the_broker_goes_away(
    configured: Callable[..., Config], backend: Backend, tmp_path: Path
) -> None:
    async def scenario() -> None:
        backend.deaf = True
        port = free_port()
        config = configured(
            mqtt_url=SecretStr(f"mqtt://127.0.0.1:{port}"), devices=4, history_days=2
        )
        simulation = Simulation(config)
        async with running(simulation):
            with broker_on(port, tmp_path), contextlib.suppress(aiomqtt.MqttError):
                async with serving(port, backend):
                    await until(lambda: backend.messages > 40)
            assert simulation.stats.totals()["acked"] == 0
            backend.deaf = False
            with broker_on(port, tmp_path):
                async with serving(port, backend):
                    await until(simulation.is_drained, 15)
        assert simulation.stats.totals()["acked"] == simulation.stats.totals()["created"]
        assert_nothing_missing(simulation, backend)

    asyncio.run(scenario())


def test_an_outage_begins_without_a_goodbye_and_ends_with_a_flush(
    configured: Callable[..., Config],
    backend: Backend,
    broker_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("firmware_sim.link._LOOK_FOR_OUTAGE_S", 0.05)
    start = wall_ms()
    away = Quirks(outages=((start - 9_999, start + 600), (start + 1_500, start + 2_300)))
    monkeypatch.setattr(
        "firmware_sim.runner.draw_quirks",
        lambda scenario, plan, span, seed: {
            device.id: away if index == 0 else Quirks() for index, device in enumerate(plan)
        },
    )

    async def scenario() -> None:
        simulation = Simulation(configured(devices=2, live=True))
        first = simulation.plan[0].id

        def heard() -> list[bool]:
            return [state.online for topic, state in backend.states if topic.device == first]

        async with serving(broker_port, backend), running(simulation):
            await until(lambda: bool(backend.states))
            assert not heard()
            await until(lambda: heard() == [True])
            await until(simulation.is_drained)
            await until(lambda: heard() == [True, False])
            await until(lambda: heard() == [True, False, True])
        assert simulation.stats.of(first).connects == 2

    asyncio.run(scenario())


_KILLED = """
import sys
from pathlib import Path
from pydantic import SecretStr
from firmware_sim.runner import Config, main
main(Config(mqtt_url=SecretStr(sys.argv[1]), outbox_path=Path(sys.argv[2]), devices=6, seed=11,
            history_days=0.5, scenario="quiet", tenant=sys.argv[3], connects_per_s=500,
            resend_after_s=0.5))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_simulator_loses_nothing_and_a_stopped_one_says_goodbye(
    configured: Callable[..., Config],
    backend: Backend,
    broker_port: int,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    async def scenario() -> None:
        backend.deaf = True
        url = f"mqtt://127.0.0.1:{broker_port}"
        path = tmp_path / "outbox.db"
        async with serving(broker_port, backend):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _KILLED,
                url,
                str(path),
                backend.tenant,
                stdout=subprocess.DEVNULL,
            )
            await until(lambda: backend.messages > 30)
            os.kill(process.pid, number)
            await process.wait()
            await until(
                lambda: sum(1 for topic, state in backend.states if not state.online) >= 6
            )  # wills of the killed, goodbyes of the stopped
            assert process.returncode == (0 if number is signal.SIGTERM else -number)
            box = Outbox(path, Random(1))
            assert box.unsettled() > 30
            box.close()

            backend.deaf = False
            simulation = Simulation(configured())
            await simulation.run(asyncio.Event())
            assert simulation.stats.is_drained
            assert_nothing_missing(simulation, backend)

    asyncio.run(scenario())


def test_a_recording_is_replayed_unchanged(
    configured: Callable[..., Config], backend: Backend, broker_port: int
) -> None:
    path = PAYLOADS / "dynamic-rhino2_fw2.3.7.jsonl"
    recording = read_recording(path)

    async def scenario() -> None:
        async with serving(broker_port, backend):
            config = configured(replay=path, speed=3600)
            stats = await asyncio.to_thread(main, config)
        assert stats.totals()["publishes"] == backend.messages
        assert stats.totals()["duplicates"] == backend.duplicates == 1
        assert backend.quarantined == 0
        assert set(backend.content.values()) == {
            sent.payload for sent in recording.messages if sent.channel.value != "state"
        }
        one = stats.of("rec-dynamic-rhino2")
        assert one.acked_hi == one.sent

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "given",
    [{"devices": 0}, {"speed": 0.5}, {"history_days": 61}, {"window": 0}, {"nonsense": 1}],
)
def test_settings_have_bounds(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Config(**given)


@pytest.mark.parametrize(
    "given", [{"scenario": "chaos"}, {"tenant": "a/b"}, {"mqtt_url": SecretStr("http://x")}]
)
def test_settings_that_cannot_be_used_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        Simulation(Config(**given))


def test_the_address_is_read_from_the_url() -> None:
    address = broker_address(Config(mqtt_url=SecretStr("mqtts://dev%40x:p%3Aw@broker.example")))
    assert (address.host, address.port) == ("broker.example", 8883)
    assert (address.username, address.password) == ("dev@x", "p:w")
    assert address.tls is not None
    assert "p%3Aw" not in repr(Config(mqtt_url=SecretStr("mqtt://u:p%3Aw@h")))
