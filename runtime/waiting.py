"""Waiting with a time limit, without losing a cancellation.

`asyncio.wait_for` of Python 3.11 swallows a cancellation that comes in the moment in which what
it waits for is done (https://github.com/python/cpython/issues/86296): the task then runs on, and
whoever waits for its end waits for ever. `asyncio.timeout` does not.
"""

from __future__ import annotations

import asyncio


async def until_set(event: asyncio.Event, seconds: float | None) -> bool:
    """True once `event` is set, False after `seconds`; None waits without a limit."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
