"""Whether the database commits, asked seldom however many want to know."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from storage.connection import DatabaseDownError

KEPT_FOR_S: Final = 1.0
"""How long an answer counts. Each question takes a connection and a commit."""


class Readiness:
    """One question at a time; whoever comes meanwhile gets the answer before.

    `prove` raises DatabaseDownError where it cannot commit. `clock` returns seconds that only grow.
    """

    def __init__(
        self, prove: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._prove = prove
        self._clock = clock
        self._lock = threading.Lock()
        self._until_s = float("-inf")
        self._problem: str | None = "nobody has asked the database yet"

    def check(self) -> None:
        """Return where the database commits, or did a moment ago.

        Raises:
            DatabaseDownError: it does not.
        """
        if self._clock() >= self._until_s and self._lock.acquire(blocking=False):
            try:
                self._ask()
            finally:
                self._lock.release()
        problem = self._problem
        if problem is not None:
            raise DatabaseDownError(problem)

    def _ask(self) -> None:
        try:
            self._prove()
        except DatabaseDownError as exc:
            self._problem = str(exc)
        else:
            self._problem = None
        self._until_s = self._clock() + KEPT_FOR_S
