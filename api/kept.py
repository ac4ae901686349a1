"""Sums over the whole fleet, kept for a while: they cost more than a page may take.

What is kept belongs to one scope and is never given to another. Every page that shows it says when
it was counted.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import structlog

from fleet.access.scopes import Scope

log = structlog.get_logger(__name__)

KEPT_FOR: Final = timedelta(seconds=60)
"""How long a sum is new."""
COST_SHARE: Final = 300
"""And for so many times what counting it took, so that no sum takes more than 0.3 % of a core."""
GIVEN_TIMES: Final = 5
"""So many times as long it is still given, while it is counted anew for the next who asks."""
KEPT_MAX: Final = 16

Value = TypeVar("Value")
Task = Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Counted:
    value: Any
    at: datetime
    took: timedelta

    @property
    def new_for(self) -> timedelta:
        return max(KEPT_FOR, COST_SHARE * self.took)

    def is_new(self, now: datetime) -> bool:
        return self._is_within(self.new_for, now)

    def is_given(self, now: datetime) -> bool:
        return self._is_within(GIVEN_TIMES * self.new_for, now)

    def _is_within(self, limit: timedelta, now: datetime) -> bool:
        """A clock that was set back makes it unknown."""
        return timedelta(0) <= now - self.at < limit


@dataclass(slots=True)
class _Entry:
    """One sum, and the lock that lets one caller count it while others wait."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    counted: _Counted | None = None
    is_awaited: bool = False


class Kept:
    """The newest sums that were asked for, at most `KEPT_MAX` of them, in one process."""

    def __init__(
        self,
        later: Callable[[Task], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`later` runs a count that nobody waits for; one thread of its own when left out."""
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[Scope, Hashable], _Entry] = OrderedDict()
        self._counters = ThreadPoolExecutor(1, "recount")
        self._later = self._counters.submit if later is None else later
        self._clock = clock

    def close(self) -> None:
        """Let go of what waits to be counted, and wait for what is being counted."""
        self._counters.shutdown(cancel_futures=True)

    def get(self, scope: Scope, key: Hashable, now: datetime, count: Callable[[], Value]) -> Value:
        """What was counted for this scope not long ago, or is counted now.

        Call it outside a database transaction: it may wait for another caller's count. What
        `count` raises goes to its caller, and nothing is kept.
        """
        entry = self._entry(scope, key)
        found = entry.counted
        if found is None or not found.is_given(now):
            found = self._counted(entry, found, now, count)
        elif not found.is_new(now):
            self._ask_for(entry, found, now, count)
        value: Value = found.value
        return value

    def _counted(
        self, entry: _Entry, old: _Counted | None, now: datetime, count: Callable[[], Value]
    ) -> _Counted:
        """What somebody else has counted in place of `old` meanwhile, or is counted now."""
        with entry.lock:
            found = entry.counted
            if found is None or found is old:
                began_s = self._clock()
                value = count()
                took = timedelta(seconds=self._clock() - began_s)
                found = entry.counted = _Counted(value, now, took)
            return found

    def _ask_for(
        self, entry: _Entry, old: _Counted, now: datetime, count: Callable[[], Value]
    ) -> None:
        """Have it counted by and by: one sum at a time, and each waits there once at most."""

        def recount() -> None:
            try:
                self._counted(entry, old, now, count)
            except Exception as exc:  # nobody waits; whoever asks next is told
                log.warning("sum_not_counted", reason=str(exc)[:200])
            finally:
                entry.is_awaited = False

        with self._lock:
            if entry.is_awaited:
                return
            entry.is_awaited = True
        self._later(recount)

    def _entry(self, scope: Scope, key: Hashable) -> _Entry:
        with self._lock:
            entry = self._entries.setdefault((scope, key), _Entry())
            self._entries.move_to_end((scope, key))
            while len(self._entries) > KEPT_MAX:
                self._entries.popitem(last=False)
            return entry
