"""What a newcomer does: start the demo, look at the pages, stop it, start it again."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from support.browsing import chromium, chromium_path
from support.signing_in import sign_in

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / "test-artefacts" / "screenshots"
KEYS = {
    "sent", "received", "stored", "duplicate", "quarantined", "lost", "faults", "episodes",
    "tickets", "equation_holds",
}  # fmt: skip
CHROMIUM = chromium_path()


@pytest.fixture
def data_dir() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="fk-demo-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_unattended_demo_balances_and_leaves_nothing_behind(data_dir):
    done = subprocess.run(
        [sys.executable, "-m", "fjarrkoll", "demo", "--seconds", "20", "--devices", "60",
         "--port", "0", "--data", str(data_dir), "--json"],
        capture_output=True, text=True, timeout=180, cwd="/", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = done.stdout.splitlines()
    account = json.loads(line)
    assert account.keys() >= KEYS
    assert account["equation_holds"] is True
    assert account["received"] == account["stored"] + account["duplicate"] + account["quarantined"]
    assert account["stored"] > 5_000
    assert account["tickets"] >= 1
    assert account["lost"]["acknowledged_but_absent"] == 0
    assert account["problems"] == []
    assert _processes_of(data_dir) == []


def test_demo_shows_pages_stops_and_goes_on(data_dir):
    """Started twice on the same data, stopped by Ctrl-C; the first time it is looked at."""
    with _demo(data_dir) as first:
        _await_ticket(first.url)
        before = _stored(first.url)
        if CHROMIUM:
            _photograph(first.url)
        else:
            print("no Chromium: no screenshots (apt-get install chromium)")
    assert first.status == 0, first.log()
    assert _processes_of(data_dir) == []
    with _demo(data_dir) as second:
        assert _stored(second.url) >= before
        with _signed_in(second.url) as client:
            assert client.get("/").status_code == 200
    assert second.status == 0, second.log()
    assert _processes_of(data_dir) == []


class _demo:  # noqa: N801 - reads as a function where it is used
    """A demo in a process of its own; leaving the block presses Ctrl-C."""

    def __init__(self, data_dir: Path) -> None:
        self._log = data_dir / "demo.log"
        self._data_dir = data_dir
        self.url = ""
        self.status: int | None = None

    def __enter__(self) -> _demo:
        command = [
            "demo",
            "--devices",
            "120",
            "--port",
            "0",
            "--data",
            str(self._data_dir / "data"),
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fjarrkoll", *command], stdout=log, stderr=log, cwd="/"
            )
        deadline = time.monotonic() + 90
        while not (found := re.search(r"open (http://\S+)", self.log())):
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)
        self.url = found[1]
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self._process.pid, signal.SIGINT)
        self.status = self._process.wait(120)

    def log(self) -> str:
        return self._log.read_text(errors="replace")


@contextmanager
def _signed_in(url: str) -> Iterator[httpx.Client]:
    """A browser of the demo's administrator, signed in as people do it."""
    with httpx.Client(base_url=url, timeout=10, trust_env=False) as client:
        assert sign_in(client, "demo-adam").status_code == 303
        yield client


def _stored(url: str) -> int:
    with _signed_in(url) as client:
        return int(client.get("/api/v1/ledger").json()["total"]["stored_n"])


def _await_ticket(url: str) -> None:
    """A ticket within a minute; a little longer for the picture: a few, and a wheelchair's."""
    started = time.monotonic()
    with _signed_in(url) as client:
        while True:
            tickets = client.get("/api/v1/tickets").json()["items"]
            passed = time.monotonic() - started
            if len(tickets) >= 4 and any(str(t["device_id"]).startswith("wc-") for t in tickets):
                return
            assert tickets or passed < 60, "no ticket within a minute"
            if passed > 90:
                return
            time.sleep(0.2)


def _processes_of(data_dir: Path) -> list[str]:
    """Processes that still have to do with this directory."""
    found = []
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
            if str(data_dir) in line + process.environ().get("FJARRKOLL_DATABASE_URL", ""):
                found.append(line)
        except psutil.Error:
            continue
    return found


def _photograph(url: str) -> None:
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    with contextmanager(chromium)() as browser:
        page = browser.new_page(viewport={"width": 1200, "height": 800}, locale="sv-SE")
        page.goto(url)
        page.locator('a.button[href^="/sign-in/start"]').click()
        page.locator('button[value="demo-adam"]').click()
        page.wait_for_url(f"{url}/")
        page.screenshot(path=ARTEFACTS / "readme-queue.png")
        device = _device_with_a_ticket(url)
        page.goto(f"{url}/devices/{device}?range=7d")
        page.set_viewport_size({"width": 1200, "height": 1400})
        page.screenshot(path=ARTEFACTS / "readme-device.png")
        assert page.locator("svg").count() > 0


def _device_with_a_ticket(url: str) -> str:
    with _signed_in(url) as client:
        tickets = client.get("/api/v1/tickets").json()["items"]
    chairs = [ticket for ticket in tickets if str(ticket["device_id"]).startswith("wc-")]
    return str((chairs or tickets)[0]["device_id"])
