"""Processes that give way: they get a processor when nothing else on the machine wants it.

PostgreSQL gives all its sessions one priority, so where they share processors a person's question
delays a device's record. Linux has a class for work that waits for idle processors (`SCHED_IDLE`,
sched(7)). Where it divides its processors among sessions first (autogroups, same page), the share
of the process's session goes down too, for a class counts only within one.

A database session's process is told from others by its title, which names the database user, so
whoever changes the class needs no way into the database: only its operating-system user.
"""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import Final

import psutil
import structlog

EVERY_S: Final = 5.0
LOWEST_SHARE: Final = "19"
"""The `nice` value of an autogroup that gets least."""
_TITLE: Final = re.compile(r"^postgres: (?:\S+: )?(?P<user>\S+) \S+ (?:\[local\]|\S+\(\d+\)) ")

log = structlog.get_logger()


class GivingWayError(RuntimeError):
    """The class of a process cannot be changed; the message says why."""


def is_session_of(title: str, user: str) -> bool:
    """Whether a process's title is that of a PostgreSQL session of this user.

    Titles look like `postgres: user database [local] idle`, with `cluster_name: ` before the user
    where the server has one (PostgreSQL, `update_process_title` and `cluster_name`).
    """
    found = _TITLE.match(title)
    return found is not None and found["user"] == user


def give_way(pid: int) -> None:
    """Put a process with all its threads behind the others; no effect when it has ended.

    Where it leads a session of its own, the whole session is put behind the others.

    Raises:
        GivingWayError: not our process, or a system without such a class.
    """
    if not hasattr(os, "SCHED_IDLE"):
        raise GivingWayError("only Linux has processes that give way: use `nice` here")
    try:
        for thread in psutil.Process(pid).threads():
            os.sched_setscheduler(thread.id, os.SCHED_IDLE, os.sched_param(0))
        if os.getsid(pid) == pid:
            _lower_share(Path(f"/proc/{pid}/autogroup"))
    except (ProcessLookupError, psutil.NoSuchProcess):
        return
    except (PermissionError, psutil.AccessDenied):
        raise GivingWayError(
            f"process {pid} belongs to another user: run this as the user that PostgreSQL runs as"
        ) from None


def _lower_share(autogroup: Path) -> None:
    try:
        autogroup.write_text(LOWEST_SHARE)
    except FileNotFoundError:
        return  # a kernel without them, or a process that has ended


def pass_over(user: str) -> list[int]:
    """Make every session of a database user give way; returns the pids of those that did not yet.

    Raises:
        GivingWayError: as `give_way`.
    """
    found = [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if is_session_of(" ".join(process.info["cmdline"] or ()), user)
    ]
    new = [pid for pid in found if not _gives_way(pid)]
    for pid in new:
        give_way(pid)
    return new


def _gives_way(pid: int) -> bool:
    try:
        return os.sched_getscheduler(pid) == os.SCHED_IDLE
    except (AttributeError, ProcessLookupError):
        return False


def keep_passing_over(user: str, stop: threading.Event, every_s: float = EVERY_S) -> None:
    """`pass_over` again and again, since connections come and go, until `stop`.

    Raises:
        GivingWayError: as `give_way`.
    """
    while True:
        for pid in pass_over(user):
            log.info("session_gives_way", pid=pid, user=user)
        if stop.wait(every_s):
            return
