"""A running server of pages and API, for tests that need an address."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from api.process import ApiSettings, run

_START_TIMEOUT_S = 20.0


@contextmanager
def running(settings: ApiSettings) -> Iterator[str]:
    """Serve until the block ends; gives the address."""
    stop, ready, found = threading.Event(), threading.Event(), list[str]()

    def on_ready(url: str) -> None:
        found.append(url)
        ready.set()

    thread = threading.Thread(target=run, args=(settings, stop, on_ready), daemon=True)
    thread.start()
    assert ready.wait(_START_TIMEOUT_S), "the server did not say that it is ready"
    try:
        yield found[0]
    finally:
        stop.set()
        thread.join(_START_TIMEOUT_S)
    assert not thread.is_alive()
