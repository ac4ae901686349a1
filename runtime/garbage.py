"""The garbage collector of a process that runs for months."""

from __future__ import annotations

import gc


def quiet_collector() -> None:
    """Call it when everything is loaded: what lives now lives for good, and is not looked at again.

    What comes and goes with each message or request is freed by its reference count.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
