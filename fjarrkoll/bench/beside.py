"""What runs beside live load while its delay is measured: readers, or loops that give way."""

from __future__ import annotations

import os
import queue
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier, Event
from random import Random
from typing import Any, Final

from fjarrkoll.bench.browsers import browse
from fjarrkoll.bench.stage import percentiles
from runtime.giving_way import give_way

COOKIE: Final = "fjarrkoll_session"
READERS: Final = 32
_PATIENCE_S: Final = 60.0


@contextmanager
def idle_loops() -> Iterator[None]:
    """One loop for each core that does nothing and gives way: what a busy machine alone costs."""
    context = get_context("spawn")
    cores = os.cpu_count() or 1
    begun, stop = context.Barrier(cores + 1), context.Event()
    loops = [context.Process(target=spin, args=(begun, stop)) for _ in range(cores)]
    for loop in loops:
        loop.start()
    try:
        begun.wait(_PATIENCE_S)
        yield
    finally:
        stop.set()
        for loop in loops:
            loop.join(30)


def spin(begun: Barrier, stop: Event) -> None:
    """Compute nothing from when all have begun until `stop`."""
    give_way(os.getpid())
    begun.wait(_PATIENCE_S)
    while not stop.is_set():
        sum(range(10_000))


@contextmanager
def readers(
    urls: Sequence[str], told: Sequence[tuple[str, str]], per_s: int
) -> Iterator[dict[str, Any]]:
    """A mix of reads at a steady rate, from another process; what it counted comes at the end.

    Each connection stays with one of `urls`, as a proxy's would.
    """
    context = get_context("spawn")
    begun, stop, result = context.Event(), context.Event(), context.Queue(1)
    # In one order each time, and not all for the same at the same time.
    told = Random(1).sample(told, len(told))  # noqa: S311 - no secret
    process = context.Process(target=read_steadily, args=(urls, told, per_s, (begun, stop), result))
    counted: dict[str, Any] = {}
    process.start()
    try:
        if not begun.wait(_PATIENCE_S):
            raise RuntimeError(f"no reader was answered within {_PATIENCE_S:.0f} s")
        yield counted
    finally:
        stop.set()
        counted.update(_last_word(result))
        process.join(30)


def _last_word(result: Any) -> dict[str, Any]:
    try:
        return dict(result.get(timeout=_PATIENCE_S))
    except queue.Empty:
        raise RuntimeError("the reading process ended without its figures: see above") from None


def read_steadily(
    urls: Sequence[str],
    told: Sequence[tuple[str, str]],
    per_s: int,
    begun_stop: tuple[Event, Event],
    result: Any,
) -> None:
    """Ask for one after another, so many a second, over several connections at once.

    `begun_stop`: set at the first answer, and set by the caller to end it.
    """
    give_way(os.getpid())  # browsers have processors of their own
    begun, stop = begun_stop
    asked = ((path, f"{COOKIE}={token}") for path, token in cycle(told))
    answers = []
    began = time.monotonic()
    for answer in browse(cycle(urls), READERS, asked, per_s, stop.is_set):
        answers.append(answer)
        begun.set()
    seconds = time.monotonic() - began
    result.put(
        {
            "requests_per_s": round(len(answers) / seconds, 1),
            "by_status": dict(Counter(str(answer.status) for answer in answers)),
            "request": percentiles([answer.took_s for answer in answers]),
        }
    )
