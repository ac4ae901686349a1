"""What every process does the same way: stop on a signal, and when its parent is gone."""

from __future__ import annotations

import os
import signal
import threading
from typing import Final

LIFELINE: Final = "FJARRKOLL_LIFELINE"
"""Set by a parent that keeps our stdin open: when it closes, the parent has ended."""


def stop_event() -> threading.Event:
    """An event set by SIGINT, SIGTERM or the end of the parent; call in the main thread."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if os.environ.get(LIFELINE):
        threading.Thread(target=_await_end, args=(stop,), name="lifeline", daemon=True).start()
    return stop


def _await_end(stop: threading.Event) -> None:
    _await_eof()
    stop.set()


def _await_eof() -> None:
    """Wait for the end of stdin, below Python's own buffer, which a stopping process locks."""
    while os.read(0, 4096):
        pass


def end_with_parent() -> None:
    """For a process with a signal handling of its own: SIGTERM to ourselves at the parent's end."""
    if not os.environ.get(LIFELINE):
        return

    def watch() -> None:
        _await_eof()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
