"""The whole path on one machine: embedded servers, simulated fleet, every process, one account."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from firmware_sim.plan import fleet_plan
from fjarrkoll.balance import Balance, draw_up
from fjarrkoll.embedded.broker import EmbeddedBroker
from fjarrkoll.embedded.cast import DEMO_CARE_UNIT, DEMO_DEVICE, DEMO_PERSON
from fjarrkoll.embedded.postgres import PostgresServer, create_database
from fjarrkoll.stack import Child, ChildError
from storage import accounts
from storage.centres import ContactChange, name_unit, set_contact
from storage.connection import Connection, connect
from storage.lending import BasicNeed, loans, start_loan
from storage.migrate import migrate
from storage.registry import NewDevice, add_devices, sync_catalogues

TENANT: Final = "demo"
CENTRE: Final = ("hmc-demo", "Hjälpmedelscentralen")
# The number reaches nobody: Post- och telestyrelsen keeps 08-465 004 00 to 99 for use in books and
# films. Nor is .example a domain.
CONTACT: Final = ContactChange(
    phone="08-465 004 00",
    hours="vardagar 8–16, akuta fel dygnet runt",
    email="hjalpmedel@region.example",
    link="https://www.1177.se/",
)
DEMO_CARE_UNIT_NAME: Final = "Rehabmottagningen"
SETTLE_TIMEOUT_S: Final = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What `fjarrkoll demo` was asked for. `seconds` None means until stopped."""

    devices: int
    seed: int
    scenario: str
    seconds: float | None
    data_dir: Path | None
    api_port: int
    wants_account: bool = True
    database_url: str | None = None
    mqtt_url: str | None = None


@contextmanager
def _directory(settings: DemoSettings) -> Iterator[Path]:
    """The given directory, kept; or one for this run only, which goes with it."""
    if settings.data_dir is not None:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        yield settings.data_dir
        return
    path = Path(tempfile.mkdtemp(prefix="fjarrkoll-demo-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _database(settings: DemoSettings, directory: Path, say: Say) -> Iterator[str]:
    if settings.database_url is not None:
        yield settings.database_url
        return
    server = PostgresServer(directory)
    say("starting PostgreSQL")
    try:
        server.start()
        yield create_database(server, "fjarrkoll")
    finally:
        server.stop()


@contextmanager
def _broker(settings: DemoSettings, directory: Path, say: Say) -> Iterator[str]:
    if settings.mqtt_url is not None:
        yield settings.mqtt_url
        return
    broker = EmbeddedBroker(directory)
    say("starting the MQTT broker")
    try:
        broker.start()
        yield broker.url
    finally:
        broker.stop()


def run_demo(settings: DemoSettings, stop: threading.Event, say: Say) -> dict[str, Any] | None:
    """Run until `stop`, or for `seconds`; returns the account that `--json` prints, if wanted.

    Raises:
        ChildError: a process ended by itself.
    """
    with (
        _directory(settings) as directory,
        _database(settings, directory, say) as database_url,
        _broker(settings, directory, say) as mqtt_url,
    ):
        demo = _Demo(settings, directory, database_url, mqtt_url, say)
        demo.prepare()
        try:
            demo.start()
            demo.watch(stop)
            return demo.account() if settings.wants_account else None
        finally:
            demo.stop()


def lend_to_user(conn: Connection, now: datetime) -> None:
    """Lend a wheelchair to the demo's user, so that the user and the prescriber see something."""
    if not loans(conn, DEMO_DEVICE):
        needs = [BasicNeed.SOLE_MOBILITY]
        since = now - timedelta(days=90)
        start_loan(conn, DEMO_DEVICE, DEMO_PERSON, needs, since, care_unit=DEMO_CARE_UNIT)


class _Demo:
    def __init__(
        self, settings: DemoSettings, directory: Path, database_url: str, mqtt_url: str, say: Say
    ) -> None:
        self._settings = settings
        self._database_url = database_url
        self._say = say
        environment = {
            "FJARRKOLL_DATABASE_URL": database_url,
            "FJARRKOLL_MQTT_URL": mqtt_url,
        }
        logs = directory / "logs"
        logs.mkdir(exist_ok=True)

        def child(name: str, *arguments: str, stdout: Path | None = None) -> Child:
            return Child(name, (name, *arguments), environment, logs / f"{name}.log", stdout)

        self._report = directory / f"sim-{time.time_ns()}.json"
        self._ingest = child("ingest")
        self._diagnose = child("diagnose")
        self._api = child(
            "api",
            *("--port", str(settings.api_port), "--demo-issuer", "--demo-tenant", TENANT),
        )
        self._sim = child(
            "sim",
            *("--devices", str(settings.devices), "--seed", str(settings.seed)),
            *("--scenario", settings.scenario, "--outbox", str(directory / "outbox.db")),
            *("--truth", str(directory / "truth.jsonl"), "--tenant", TENANT, "--json"),
            stdout=self._report,
        )
        self._backend = [self._ingest, self._diagnose, self._api]
        for one in (*self._backend, self._sim):
            one.log.unlink(missing_ok=True)

    def prepare(self) -> None:
        """Migrate, and register the fleet that is going to speak."""
        self._say("preparing the database")
        migrate(self._database_url)
        plan = fleet_plan(self._settings.devices, self._settings.seed, TENANT)
        devices = [NewDevice(d.id, d.model, d.serial, d.individual_no) for d in plan]
        with connect(self._database_url) as conn:
            sync_catalogues(conn, datetime.now(UTC))
            add_devices(conn, devices, tenant=TENANT, centre=CENTRE[0], centre_name=CENTRE[1])
            set_contact(conn, TENANT, CENTRE[0], CONTACT)
            name_unit(conn, TENANT, DEMO_CARE_UNIT, DEMO_CARE_UNIT_NAME)
            lend_to_user(conn, datetime.now(UTC))

    def start(self) -> None:
        self._say("starting ingest, diagnostics and the API")
        for child in self._backend:
            child.start()
        for child in self._backend:
            child.wait_for_line("process_ready")
        line = self._api.wait_for_line("address=")
        self._url = line.split("address=", 1)[1].split()[0]
        self._say(f"starting {self._settings.devices} simulated devices with a week of history")
        self._sim.start()
        self._say(f"open {self._url} - Ctrl-C stops everything")

    def watch(self, stop: threading.Event) -> None:
        """Tell how it goes until it is time to end, or a process has ended."""
        started = time.monotonic()
        seconds = self._settings.seconds
        with connect(self._database_url, name="fjarrkoll demo") as conn:
            while not stop.is_set():
                for child in (*self._backend, self._sim):
                    child.check()
                passed = time.monotonic() - started
                if seconds is not None and passed >= seconds:
                    return
                self._tell(conn, passed)
                stop.wait(2.0 if seconds is None else min(2.0, max(0.05, seconds - passed)))

    def _tell(self, conn: Connection, passed: float) -> None:
        totals = accounts.totals(conn)
        conn.rollback()
        self._say(
            f"{passed:4.0f} s  records {totals.stored:,}  duplicates {totals.duplicate:,}"
            f"  quarantined {totals.quarantined:,}  tickets {totals.tickets:,}"
        )

    def account(self) -> dict[str, Any]:
        """End the fleet first, let what is on the way arrive, then draw up the account."""
        self._say("stopping the devices")
        status = self._sim.stop()
        report = self._read_report(status)
        acked = {
            (device, told["epoch"]): told["acked_hi"]
            for device, told in report["devices"].items()
            if told["epoch"]
        }
        with connect(self._database_url, name="fjarrkoll demo") as conn:
            self._await_quiet(conn)
            balance: Balance = draw_up(conn, acked)
        return {
            "sent": report["sent"],
            "acknowledged": report["acked"],
            **balance.as_dict(),
            "is_right": balance.is_right and balance.tickets > 0,
        }

    def _read_report(self, status: int | None) -> dict[str, Any]:
        try:
            report: dict[str, Any] = json.loads(self._report.read_text().splitlines()[-1])
        except (OSError, IndexError, ValueError) as exc:
            raise ChildError(f"the simulator gave no report (status {status}): {exc}") from exc
        finally:
            self._report.unlink(missing_ok=True)
        return report

    def _await_quiet(self, conn: Connection) -> None:
        """Wait until nothing more comes in and diagnostics has caught up."""
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        before = -1
        while time.monotonic() < deadline:
            received = accounts.totals(conn).received
            left = accounts.work_left(conn)
            conn.rollback()
            if received == before and left == 0:
                return
            before = received
            time.sleep(0.5)

    def stop(self) -> None:
        for child in (self._sim, *reversed(self._backend)):
            child.stop()
