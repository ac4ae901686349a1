"""Real `fjarrkoll` processes for tests, and workers with one safeguard taken out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

MUTANT = Path(__file__).with_name("mutant.py")


@dataclass
class Process:
    """One process with its log."""

    log: Path
    database: str
    mqtt: str
    command: tuple[str, ...] = ("ingest",)
    failpoint: str | None = None
    mutation: str | None = None
    lease_s: float = 1.0
    extra: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Process:
        environment = dict(os.environ) | {
            "FJARRKOLL_DATABASE_URL": self.database,
            "FJARRKOLL_MQTT_URL": self.mqtt,
            "FJARRKOLL_INGEST_LEASE_S": str(self.lease_s),
        }
        environment |= self.extra
        if self.failpoint:
            environment["FJARRKOLL_FAILPOINT"] = self.failpoint
        program = ["-m", "fjarrkoll", *self.command]
        if self.mutation:
            program = [str(MUTANT), self.mutation]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program], env=environment, stdout=log, stderr=log
            )
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def wait_ready(self, timeout_s: float = 30.0) -> Process:
        """Wait until it says that it works."""
        deadline = time.monotonic() + timeout_s
        while b"process_ready" not in self.log.read_bytes():
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.02)
        return self

    def wait_dead(self, timeout_s: float = 30.0) -> int:
        assert self.process is not None
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it did not die: {self.log.read_text()[-3000:]}") from None

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode
