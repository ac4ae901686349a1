"""Servers of a test's own: these tests kill them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.brokers import Mosquitto, mosquitto_program
from support.devices import TENANT, DeviceFleet
from support.postgres import Cluster, plain_cluster, timescale_cluster
from support.workers import Process

from fjarrkoll.embedded.broker import free_port
from storage.connection import connect
from storage.migrate import migrate
from storage.registry import NewDevice, add_devices, sync_catalogues

DEVICES = [f"wc-{number:03d}" for number in range(24)]


@pytest.fixture
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="fk-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def mosquitto(directory: Path) -> Iterator[Mosquitto]:
    if mosquitto_program() is None:
        pytest.skip("Mosquitto is not installed: apt-get install mosquitto")
    broker = Mosquitto(directory / "mosquitto", free_port())
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def own_cluster(request: pytest.FixtureRequest, directory: Path) -> Iterator[Cluster]:
    """A server that may be killed; parametrise indirectly with its kind."""
    kind = getattr(request, "param", "plain")
    made = plain_cluster(directory) if kind == "plain" else timescale_cluster(directory)
    if made is None:
        pytest.skip("no PostgreSQL with TimescaleDB on this machine")
    yield made
    made.stop()


@pytest.fixture
def own_database(own_cluster: Cluster) -> str:
    url = own_cluster.create_database("fleet")
    prepare(url)
    return url


@pytest.fixture
def shared_database(plain_database: str) -> str:
    prepare(plain_database)
    return plain_database


def prepare(url: str) -> None:
    migrate(url)
    with connect(url) as conn:
        sync_catalogues(conn, datetime.now(UTC))
        add_devices(conn, [NewDevice(name, "otto-bock-b400") for name in DEVICES], tenant=TENANT)


@pytest.fixture
def spawn(directory: Path) -> Iterator[Callable[..., Process]]:
    """Start processes that end with the test."""
    started: list[Process] = []

    def start(database: str, mqtt: str, **options: object) -> Process:
        log = directory / f"process-{len(started)}.log"
        log.touch()
        process = Process(log, database, mqtt, **options).start()  # type: ignore[arg-type]
        started.append(process)
        return process

    yield start
    for process in started:
        if process.process is not None and process.process.poll() is None:
            process.kill()


@pytest.fixture
def fleet_on(request: pytest.FixtureRequest) -> Iterator[Callable[[int, int], DeviceFleet]]:
    """Start a fleet of test devices that ends with the test."""
    started: list[DeviceFleet] = []

    def start(port: int, seed: int) -> DeviceFleet:
        fleet = DeviceFleet(port, DEVICES, seed)
        fleet.start()
        started.append(fleet)
        return fleet

    yield start
    for fleet in started:
        fleet.stop()
