"""Sums over the whole fleet, kept for a minute: they cost more than a page may take.

What is kept belongs to one scope and is never given to another. Every page that shows it says when
it was counted.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from fleet.access.scopes import Scope

KEPT_FOR: Final = timedelta(seconds=60)
KEPT_MAX: Final = 16

Value = TypeVar("Value")


@dataclass(slots=True)
class _Entry:
    """One value, and the lock that lets one caller count it while others wait."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    counted_at: datetime | None = None
    value: Any = None


class Kept:
    """The newest sums that were asked for, at most `KEPT_MAX` of them, in one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[Scope, Hashable], _Entry] = OrderedDict()

    def get(self, scope: Scope, key: Hashable, now: datetime, count: Callable[[], Value]) -> Value:
        """What was counted within the last minute for this scope, or is counted now.

        Call it outside a database transaction: it may wait for another caller's count. What
        `count` raises goes to its caller, and nothing is kept.
        """
        entry = self._entry(scope, key)
        with entry.lock:
            if entry.counted_at is None or not timedelta(0) <= now - entry.counted_at < KEPT_FOR:
                entry.value, entry.counted_at = count(), now
            found: Value = entry.value
            return found

    def _entry(self, scope: Scope, key: Hashable) -> _Entry:
        with self._lock:
            entry = self._entries.setdefault((scope, key), _Entry())
            self._entries.move_to_end((scope, key))
            while len(self._entries) > KEPT_MAX:
                self._entries.popitem(last=False)
            return entry
