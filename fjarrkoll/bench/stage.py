"""The servers and processes of a benchmark, and what machine it ran on."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil

from fjarrkoll.bench.load import TENANT
from fjarrkoll.embedded.broker import EmbeddedBroker, free_port
from fjarrkoll.embedded.postgres import PostgresServer, create_database
from fjarrkoll.stack import Child
from storage import accounts
from storage.connection import connect
from storage.migrate import migrate
from storage.registry import NewDevice, add_devices, sync_catalogues

MODEL: Final = "otto-bock-b400"


@dataclass(frozen=True, slots=True)
class Stage:
    """Addresses of a fresh database and broker, and a place for logs."""

    directory: Path
    database_url: str
    mqtt_url: str
    mqtt_port: int
    broker: str
    has_own_database: bool = True

    def child(
        self, name: str, *arguments: str, tag: str = "", more: Mapping[str, str] | None = None
    ) -> Child:
        """A `fjarrkoll` process on these servers; `more` is its environment beside theirs."""
        environment: Mapping[str, str] = {
            "FJARRKOLL_DATABASE_URL": self.database_url,
            "FJARRKOLL_MQTT_URL": self.mqtt_url,
            "FJARRKOLL_LOG_LEVEL": "info",
            **(more or {}),
        }
        log = self.directory / f"{name}{tag}.log"
        return Child(name, (name, *arguments), environment, log)

    def register(self, names: list[str]) -> None:
        with connect(self.database_url) as conn:
            add_devices(conn, [NewDevice(name, MODEL) for name in names], tenant=TENANT)


@contextmanager
def stage(database_url: str | None, bin_dir: Path | None) -> Iterator[Stage]:
    """A broker and a database of our own; Mosquitto where it is installed.

    Args:
        database_url: an empty database to use instead of starting one.
        bin_dir: PostgreSQL programs to use instead of the embedded ones.
    """
    directory = Path(tempfile.mkdtemp(prefix="fjarrkoll-bench-"))
    has_own_database = database_url is None
    try:
        with ExitStack() as stack:
            if database_url is None:
                database_url = stack.enter_context(_postgres(directory, bin_dir))
            port, broker = stack.enter_context(_broker(directory))
            migrate(database_url)
            with connect(database_url) as conn:
                sync_catalogues(conn, datetime.now(UTC))
            yield Stage(
                directory, database_url, f"mqtt://127.0.0.1:{port}", port, broker, has_own_database
            )
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _postgres(directory: Path, bin_dir: Path | None) -> Iterator[str]:
    if bin_dir is None:
        server = PostgresServer(directory)
    else:
        preload = {"shared_preload_libraries": "timescaledb", "timescaledb.telemetry_level": "off"}
        server = PostgresServer(directory, bin_dir=bin_dir, settings=preload)
    try:
        server.start()
        yield create_database(server, "bench")
    finally:
        server.stop()


@contextmanager
def _broker(directory: Path) -> Iterator[tuple[int, str]]:
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        embedded = EmbeddedBroker(directory)
        embedded.start()
        try:
            yield embedded.port, "rumqttd (embedded)"
        finally:
            embedded.stop()
        return
    port = free_port()
    config = directory / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
        "max_inflight_messages 4000\nmax_packet_size 262144\n"
    )
    process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        _await_port(port)
        yield port, "mosquitto"
    finally:
        process.terminate()
        process.wait(10)


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def circumstances(stage: Stage) -> dict[str, Any]:
    """Machine, versions and command, so that a number can be made again."""
    with connect(stage.database_url) as conn:
        postgres, timescale = accounts.server(conn)
    return {
        "command": " ".join(["fjarrkoll", *sys.argv[1:]]),
        "machine": {
            "cpu": _cpu_model(),
            "cores": os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
            "load_before": round(os.getloadavg()[0], 2),
        },
        "versions": {
            "fjarrkoll": version("fjarrkoll"),
            "python": platform.python_version(),
            "postgresql": postgres,
            "timescaledb": timescale,
            "broker": stage.broker,
            "paho-mqtt": version("paho-mqtt"),
            "psycopg": version("psycopg"),
            "msgspec": version("msgspec"),
        },
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def peak_memory_mb(pid: int) -> float:
    """The most resident memory that a process has had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Median, p99 and maximum in milliseconds, and how many there were."""
    if not seconds:
        return {"count": 0}
    ordered = sorted(seconds)
    return {
        "count": len(ordered),
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 1),
        "p99_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1000, 1),
        "max_ms": round(ordered[-1] * 1000, 1),
    }
