"""Sessions of one database user give way, on a real server; everybody else's are left alone."""

from __future__ import annotations

import os
import pwd
import subprocess
import traceback
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from support.postgres import Cluster

from fjarrkoll.bench.beside import idle_loops
from fjarrkoll.stack import Child
from runtime.giving_way import (
    SHARE,
    GivingWayError,
    give_way,
    has_own_share,
    is_session_of,
    pass_over,
)

USER = "fjarrkoll_api_login"
needs_shares = pytest.mark.skipif(
    not has_own_share(os.getpid()), reason="this kernel gives sessions no share of their own"
)
TITLES = [
    ("postgres: fjarrkoll_api_login fjarrkoll [local] idle", True),
    ("postgres: fjarrkoll_api_login fjarrkoll 127.0.0.1(43210) SELECT", True),
    ("postgres: fjarrkoll_api_login fjarrkoll ::1(43210) idle in transaction", True),
    ("postgres: 15/main: fjarrkoll_api_login fjarrkoll [local] COMMIT", True),
    ("postgres: fjarrkoll_ingest_login fjarrkoll [local] COPY", False),
    ("postgres: fjarrkoll_api_login_2 fjarrkoll [local] idle", False),
    ("postgres: fjarrkoll_ingest_login fjarrkoll_api_login [local] idle", False),
    ("postgres: checkpointer ", False),
    ("postgres: 15/main: walwriter ", False),
    ("postgres: parallel worker for PID 4711 ", False),
    ("vim postgres: fjarrkoll_api_login fjarrkoll [local] idle", False),
    ("", False),
]


@pytest.mark.parametrize(("title", "is_its"), TITLES, ids=[title for title, _ in TITLES])
def test_a_session_is_known_by_its_title(title: str, is_its: bool) -> None:
    assert is_session_of(title, USER) is is_its


@pytest.fixture
def reader(plain: Cluster) -> Iterator[str]:
    """A database user of this test alone, who may log in and nothing more."""
    user = f"reader_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(plain.url(), autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {user} LOGIN")
        yield user
        conn.execute(f"DROP ROLE {user}")


def _policy(conn: psycopg.Connection) -> int:
    return os.sched_getscheduler(conn.info.backend_pid)


def _share(pid: int) -> int:
    """The `nice` value of a process's autogroup."""
    return int(Path(f"/proc/{pid}/autogroup").read_text().rpartition(" ")[2])


@needs_shares
def test_only_sessions_of_that_user_give_way_and_each_is_told_once(
    plain: Cluster, reader: str
) -> None:
    with psycopg.connect(plain.url()) as other, psycopg.connect(plain.url(), user=reader) as conn:
        assert pass_over(reader) == [conn.info.backend_pid]
        assert _policy(conn) == os.SCHED_IDLE
        assert _share(conn.info.backend_pid) == SHARE
        assert _policy(other) == os.SCHED_OTHER
        assert _share(other.info.backend_pid) == 0
        assert pass_over(reader) == []
        assert conn.execute("SELECT 1").fetchone() == (1,)


@needs_shares
def test_the_command_needs_no_database_and_ends_in_good_order(
    plain: Cluster, reader: str, tmp_path: Path
) -> None:
    child = Child("give-way", ("give-way", "--user", reader), {}, tmp_path / "log")
    with psycopg.connect(plain.url(), user=reader) as conn:
        child.start()
        line = child.wait_for_line("session_gives_way")
        assert str(conn.info.backend_pid) in line
        assert _policy(conn) == os.SCHED_IDLE
    assert child.stop() == 0


def test_what_has_ended_is_passed_over() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    give_way(pid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_users_process_is_refused_with_what_to_do() -> None:
    mine, child = os.getpid(), os.fork()
    if child == 0:
        os.setuid(pwd.getpwnam("nobody").pw_uid)
        try:
            give_way(mine)
        except GivingWayError as exc:
            os._exit(0 if "run this as the user that PostgreSQL runs as" in str(exc) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert os.sched_getscheduler(mine) == os.SCHED_OTHER


@needs_shares
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_many_sessions_get_their_share_though_the_kernel_takes_ten_a_second() -> None:
    child = os.fork()
    if child == 0:
        os._exit(_exit_code_of_many_sessions())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _exit_code_of_many_sessions() -> int:
    os.setuid(pwd.getpwnam("nobody").pw_uid)
    sessions = [subprocess.Popen(["sleep", "60"], start_new_session=True) for _ in range(4)]
    try:
        for one in sessions:
            give_way(one.pid)
        return 0 if [_share(one.pid) for one in sessions] == [SHARE] * 4 else 1
    except BaseException:  # a fork of the test run must not go on as one
        traceback.print_exc()
        return 2
    finally:
        for one in sessions:
            one.kill()
            one.wait()


@pytest.mark.parametrize(
    ("switch", "cgroup", "weighed", "has_share"),
    [
        ("1", "0::/", [], True),
        ("1", "0::/system.slice/postgresql.service", [], True),
        ("1", "0::/system.slice/postgresql.service", ["system.slice"], False),
        ("1", "0::/system.slice/postgresql.service", ["system.slice/postgresql.service"], False),
        ("1", "0::/", [""], False),
        ("1", "4:memory:/pg\n3:cpu,cpuacct:/\n0::/", [], True),
        ("1", "3:cpu,cpuacct:/pg\n0::/", [], False),
        ("0", "0::/", [], False),
        (None, "0::/", [], False),
    ],
)
def test_who_would_starve_is_known(
    tmp_path: Path, switch: str | None, cgroup: str, weighed: list[str], has_share: bool
) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    (proc / "7").mkdir(parents=True)
    (proc / "7/cgroup").write_text(cgroup + "\n")
    (proc / "sys/kernel").mkdir(parents=True)
    if switch is not None:
        (proc / "sys/kernel/sched_autogroup_enabled").write_text(switch + "\n")
    for group in weighed:
        (groups / group).mkdir(parents=True, exist_ok=True)
        (groups / group / "cpu.weight").write_text("100\n")
    assert has_own_share(7, proc, groups) is has_share


def test_the_loops_of_the_benchmark_give_way_and_end() -> None:
    with idle_loops():
        children = _children()
        loops = [pid for pid in children if os.sched_getscheduler(pid) == os.SCHED_IDLE]
        assert len(loops) == os.cpu_count()
    assert not set(loops) & set(_children())


def _children() -> list[int]:
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]
