"""How much one caller may ask for, so that nobody's haste becomes everybody's wait.

Counts live in this process and are bounded. The buckets take the time as an argument.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from fastapi import Request

from api.access.settings import AccessSettings
from api.problems import ProblemError
from fleet.access.callers import Caller

KEYS_MAX: Final = 10_000
WAITING_MAX: Final = 16
HEAVY: Final = frozenset({
    "get_samples", "fhir_search_observations", "export_person", "export_person_page", "export_mine",
    "my_export_page", "replay_quarantine", "replay_all_page",
})  # fmt: skip
"""Operations that read many rows. Only so many run at once, so light ones always get through."""
SUMS: Final = frozenset({
    "get_fleet", "fleet_page", "list_fleet_devices", "fleet_devices_page", "get_key_figures",
    "list_figure_tickets", "figures_page", "figures_csv", "figure_tickets_page",
    "list_signs_of_use", "use_page", "use_sheet",
})  # fmt: skip
"""Operations over the whole fleet, counted one at a time and then kept; others wait for that."""

TAKING_TURNS: Final = HEAVY | SUMS
SIGN_INS: Final = frozenset({"sign_in_page", "start_sign_in", "finish_sign_in"})


@dataclass(frozen=True, slots=True)
class Limits:
    """How much. Rates are a second; a burst is what may come at once after a rest.

    Attributes:
        requests_per_s: of one signed-in caller.
        sign_ins_per_s: attempts to sign in, with their pages, and tokens that are refused or of a
            key that is not known, of one address.
        heavy: requests at once that read many rows, of all callers; and of one.
        sums: the same of sums over the whole fleet.
        heavy_wait_s: how long such a request waits for its turn.
        streams: open streams of all callers; and of one.
    """

    requests_per_s: float = 50.0
    request_burst: int = 200
    sign_ins_per_s: float = 1.0
    sign_in_burst: int = 100
    heavy: int = 1
    heavy_per_caller: int = 2
    sums: int = 8
    sums_per_caller: int = 2
    heavy_wait_s: float = 2.0
    streams: int = 100
    streams_per_caller: int = 10


class Buckets:
    """A token bucket for each key. Forgets the key that has rested longest when there are many."""

    def __init__(self, per_s: float, burst: int, keys_max: int = KEYS_MAX) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._keys_max = keys_max
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, key: Hashable, now_s: float) -> float:
        """Take one; 0 when it was there, otherwise the seconds until it will be."""
        with self._lock:
            level, at_s = self._levels.pop(key, (self._burst, now_s))
            level = min(self._burst, level + max(0.0, now_s - at_s) * self._per_s)
            is_there = level >= 1.0
            self._levels[key] = (level - 1.0 if is_there else level, max(now_s, at_s))
            if len(self._levels) > self._keys_max:
                self._levels.popitem(last=False)
        return 0.0 if is_there else (1.0 - level) / self._per_s


class Slots:
    """So many at once, of all and of each; others wait for a while. Used by one event loop."""

    def __init__(self, total: int, each: int, wait_s: float) -> None:
        self.total: Final = total
        self.each: Final = each
        self._wait_s = wait_s
        self._held: Counter[Hashable] = Counter()
        self._waiting_n = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def held(self, who: Hashable) -> AsyncIterator[None]:
        """One slot for as long as the block lasts.

        Raises:
            TimeoutError: none became free in time, or too many wait already.
        """
        await self._enter(who)
        try:
            yield
        finally:
            await self._leave(who)

    async def _enter(self, who: Hashable) -> None:
        if self._waiting_n >= WAITING_MAX:
            raise TimeoutError
        self._waiting_n += 1
        try:
            async with asyncio.timeout(self._wait_s), self._changed:
                await self._changed.wait_for(lambda: self._fits(who))
                self._held[who] += 1
        finally:
            self._waiting_n -= 1

    def _fits(self, who: Hashable) -> bool:
        return self._held.total() < self.total and self._held[who] < self.each

    async def _leave(self, who: Hashable) -> None:
        self._held[who] -= 1
        if not self._held[who]:
            del self._held[who]
        async with self._changed:
            self._changed.notify_all()


class Guard:
    """The limits of one process, with its clock."""

    def __init__(self, limits: Limits, access: AccessSettings) -> None:
        self._limits = limits
        self._is_behind_proxy = access.public_url is not None
        self._callers = Buckets(limits.requests_per_s, limits.request_burst)
        self._addresses = Buckets(limits.sign_ins_per_s, limits.sign_in_burst)
        self._turns = {
            HEAVY: Slots(limits.heavy, limits.heavy_per_caller, limits.heavy_wait_s),
            SUMS: Slots(limits.sums, limits.sums_per_caller, limits.heavy_wait_s),
        }

    def check_caller(self, caller: Caller) -> None:
        """Count a request of somebody who is signed in.

        Raises:
            ProblemError: 429.
        """
        wait_s = self._callers.take((caller.tenant, caller.subject), time.monotonic())
        if wait_s:
            rate = f"{self._limits.requests_per_s:g} requests a second of one caller"
            raise limit_tripped("caller-requests", rate, wait_s)

    def check_address(self, request: Request) -> None:
        """Count an attempt to sign in, or a token that is refused.

        Raises:
            ProblemError: 429.
        """
        address = client_address(request, is_behind_proxy=self._is_behind_proxy)
        wait_s = self._addresses.take(address, time.monotonic())
        if wait_s:
            rate = f"{self._limits.sign_ins_per_s:g} attempts a second from one address"
            raise limit_tripped("address-sign-ins", rate, wait_s)

    def check_attempt(self, caller: Caller) -> None:
        """Count an attempt of somebody who is signed in at what could be guessed.

        Raises:
            ProblemError: 429.
        """
        wait_s = self._addresses.take((caller.tenant, caller.subject), time.monotonic())
        if wait_s:
            rate = f"{self._limits.sign_ins_per_s:g} attempts a second of one caller"
            raise limit_tripped("caller-attempts", rate, wait_s)

    def turns(self, operation: str) -> Slots:
        """The slots that an operation of `TAKING_TURNS` needs one of."""
        return next(slots for kind, slots in self._turns.items() if operation in kind)


def client_address(request: Request, *, is_behind_proxy: bool) -> str:
    """Where a request comes from. Only the last address is our own proxy's word."""
    peer = request.client.host if request.client else ""
    if not is_behind_proxy:
        return peer
    said = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    return said[:60] or peer


def limit_tripped(name: str, what: str, wait_s: float) -> ProblemError:
    """429, with the name of the limit in the type and in the text."""
    return ProblemError(
        429,
        f"limit-{name}",
        f"The limit {name} has tripped: {what}.",
        "Try again after the time in Retry-After, and ask for less at a time.",
        headers={"Retry-After": str(max(1, math.ceil(wait_s)))},
    )


async def in_turn(request: Request) -> AsyncIterator[None]:
    """A dependency after the gate, of routes in `TAKING_TURNS`.

    Raises:
        ProblemError: 429.
    """
    caller: Caller = request.state.caller
    guard: Guard = request.app.state.rooms.guard
    slots = guard.turns(request.scope["route"].operation_id)
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(slots.held((caller.tenant, caller.subject)))
        except TimeoutError as exc:
            most = f"{slots.each} of one caller, {slots.total} of all"
            raise limit_tripped("heavy-requests", f"large answers at once: {most}", 1) from exc
        yield
