"""Processes that give way: what else wants their processor gets it soon, and gets more of it.

PostgreSQL gives all its sessions one priority, so where they share processors a person's question
delays a device's record. Linux has a class whose processes displace nobody when they wake
(`SCHED_IDLE`, sched(7)). How much they get, and how soon another that wakes displaces them, is set
by the kernel's autogroups (same page): each session has its share. Without those, this class gets
next to nothing while others compute.

A database session's process is told from others by its title, which names the database user, so
whoever changes the class needs no way into the database: only its operating-system user.
"""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path
from typing import Final

import psutil
import structlog

EVERY_S: Final = 5.0
SHARE: Final = 5
"""The `nice` value of the autogroup of what gives way: a third of the share of what stores."""
RETRY_S: Final = 0.1
RETRIES_MAX: Final = 50
"""The kernel takes such a value from an ordinary user ten times a second, from all of them."""
PROC: Final = Path("/proc")
GROUPS: Final = Path("/sys/fs/cgroup")
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
    """Put all threads of a process into the class that gives way; no effect when it has ended.

    Where it leads a session, so that its autogroup is its own, that gets a smaller share too.

    Raises:
        GivingWayError: not our process, or a system without such a class.
    """
    if not hasattr(os, "SCHED_IDLE"):
        raise GivingWayError("only Linux has processes that give way: use `nice` here")
    try:
        if os.getsid(pid) == pid:
            _lower_share(PROC / str(pid) / "autogroup")
        for thread in psutil.Process(pid).threads():
            os.sched_setscheduler(thread.id, os.SCHED_IDLE, os.sched_param(0))
    except (ProcessLookupError, psutil.NoSuchProcess):
        return
    except (PermissionError, psutil.AccessDenied):
        raise GivingWayError(
            f"process {pid} belongs to another user: run this as the user that PostgreSQL runs as"
        ) from None


def _lower_share(autogroup: Path) -> None:
    """Give the session less, unless the kernel has no autogroups or the process has ended."""
    for _ in range(RETRIES_MAX):
        try:
            autogroup.write_text(str(SHARE))
        except BlockingIOError:
            time.sleep(RETRY_S)
        except FileNotFoundError:
            return
        else:
            return
    raise GivingWayError(f"{autogroup} takes no value: the kernel asks to try again, and again")


def has_own_share(pid: int, proc: Path = PROC, groups: Path = GROUPS) -> bool:
    """Whether the kernel gives the process's session a share of the processors.

    It does where autogroups are on, and the process is in no other group that has a share
    (cgroups(7)). Elsewhere what gives way gets next to nothing while others compute.
    """
    try:
        is_on = (proc / "sys/kernel/sched_autogroup_enabled").read_text().strip() == "1"
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return is_on and not any(_divides(line, groups) for line in lines)


def _divides(line: str, groups: Path) -> bool:
    """Whether one line of /proc/PID/cgroup names a group that has a share of the processors."""
    number, controllers, path = line.split(":", 2)
    if number != "0":
        return "cpu" in controllers.split(",") and path != "/"
    # The root of all has no weight; that of a container, which looks like it from inside, has one.
    folders = [groups / path.strip("/"), *(groups / path.strip("/")).parents]
    return any((folder / "cpu.weight").exists() for folder in folders)


def pass_over(user: str) -> list[int]:
    """Make every session of a database user give way; returns the pids of those that did not yet.

    Raises:
        GivingWayError: as `give_way`, or a session would starve.
    """
    found = [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if is_session_of(" ".join(process.info["cmdline"] or ()), user)
    ]
    new = [pid for pid in found if not _gives_way(pid)]
    for pid in new:
        if psutil.pid_exists(pid) and not has_own_share(pid):
            raise GivingWayError(
                f"process {pid} has no share of its own, and would starve while others compute: set"
                " kernel.sched_autogroup_enabled=1 and leave services without CPUWeight= and"
                " CPUQuota=, or do without this command"
            )
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
        GivingWayError: as `pass_over`.
    """
    while True:
        for pid in pass_over(user):
            log.info("session_gives_way", pid=pid, user=user)
        if stop.wait(every_s):
            return
