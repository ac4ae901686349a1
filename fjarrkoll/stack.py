"""Child processes of the demo and the benchmarks: started, watched, ended in order."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from runtime.shell import LIFELINE

STOP_TIMEOUT_S: Final = 20.0


class ChildError(RuntimeError):
    """A process of the stack ended by itself; the message shows the end of its log."""


@dataclass
class Child:
    """One `fjarrkoll …` process, in a session of its own so that Ctrl-C reaches only us.

    Its stdin is a lifeline: when we end, however we end, it closes and the child stops.
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    stdout: Path | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        output = (self.stdout or self.log).open("ab")
        with output, self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "fjarrkoll", *self.arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=log,
                env=dict(os.environ) | dict(self.environment) | {LIFELINE: "1"},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self.process is not None, "started before it is asked"
        return self.process.pid

    def check(self) -> None:
        """Raise if it ended.

        Raises:
            ChildError: it did.
        """
        if self.process is not None and self.process.poll() is not None:
            tail = self.log.read_text(errors="replace")[-3000:]
            raise ChildError(
                f"{self.name} ended with status {self.process.returncode}. The end of"
                f" {self.log}:\n{tail}"
            )

    def stop(self) -> int | None:
        """Ask it to end, wait, and kill it if it does not; returns its exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        return self.process.returncode

    def wait_for_line(self, text: str, timeout_s: float = 60.0) -> str:
        """Wait until the log has a line with `text`, and return it.

        Raises:
            ChildError: it ended first, or the line did not come in time.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for line in self.log.read_text(errors="replace").splitlines():
                if text in line:
                    return line
            self.check()
            time.sleep(0.05)
        raise ChildError(
            f"{self.name} did not say {text!r} within {timeout_s:.0f} s: see {self.log}"
        )
