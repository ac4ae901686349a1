"""The process as it runs: kills, lost connections, records that break a pass, and how fast."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from support.world import NOON

from diagnostics import process
from diagnostics.passes import diagnose
from diagnostics.process import DiagnoseSettings, run
from fleet.rules.facts import day_of, day_starts_at

PROGRAM = """
import os, sys, threading
from diagnostics.process import DiagnoseSettings, run
from runtime.failpoints import arm
arm(os.environ.get("FJARRKOLL_FAILPOINT"))
run(DiagnoseSettings(sys.argv[1]), threading.Event())
"""
QUIET = "SELECT NOT EXISTS (SELECT FROM inbox) AND NOT EXISTS (SELECT FROM dirty_hour)"


def _wait_until(world, statement, timeout_s=20.0):
    deadline = time.monotonic() + timeout_s
    while not world.rows(statement)[0][0]:
        assert time.monotonic() < deadline, f"never came true: {statement}"
        time.sleep(0.02)


@contextmanager
def _running(world, **settings):
    """The process in this one, stopped at the end; it must end without an error."""
    stop, ready, failures = threading.Event(), threading.Event(), []

    def main() -> None:
        try:
            run(DiagnoseSettings(world.url, **settings), stop, ready.set)
        except Exception as exc:
            failures.append(exc)

    thread = threading.Thread(target=main)
    thread.start()
    try:
        assert ready.wait(10), failures
        yield
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()
    assert failures == []


def _start(world, failpoint=None):
    environment = {**os.environ, "FJARRKOLL_FAILPOINT": failpoint or ""}
    return subprocess.Popen([sys.executable, "-c", PROGRAM, world.url], env=environment)


@pytest.mark.parametrize(
    ("failpoint", "ticket_n"), [("diagnose_before_commit", 0), ("diagnose_after_commit", 1)]
)
def test_killed_around_its_commit_it_opens_exactly_one_ticket(world, report, failpoint, ticket_n):
    device_no = world.device()
    world.report(device_no, report(0, "raised"), report(1, "raised", "3D01"))
    assert _start(world, failpoint).wait(30) == -signal.SIGKILL
    assert world.rows("SELECT count(*) FROM ticket") == [(ticket_n,)]
    assert world.rows("SELECT count(*) FROM inbox") == [(0 if ticket_n else 2,)]
    second = _start(world)
    try:
        _wait_until(world, QUIET)
    finally:
        second.kill()
        second.wait()
    counts = "SELECT (SELECT count(*) FROM ticket), (SELECT count(*) FROM ticket_event),"
    counts += " (SELECT count(*) FROM outbox), (SELECT count(*) FROM ticket_episode)"
    assert world.rows(counts) == [(1, 2, 1, 2)]


def _due_agenda(world):
    """A device whose battery sags, rolled up and due: the next look opens its ticket."""
    device_no = world.device()
    yesterday = day_of(datetime.now(UTC)) - 3
    noon = day_starts_at(yesterday).astimezone(UTC) + timedelta(hours=12)
    world.sag(device_no, noon)
    world.roll_up(noon + timedelta(days=2))


NOT_DUE = "SELECT NOT EXISTS (SELECT FROM agenda WHERE due_at <= now())"


@pytest.mark.parametrize(
    ("failpoint", "ticket_n"), [("agenda_before_commit", 0), ("agenda_after_commit", 1)]
)
def test_killed_around_the_commit_of_a_look_it_opens_exactly_one_ticket(
    plain_world, failpoint, ticket_n
):
    world = plain_world
    _due_agenda(world)
    assert _start(world, failpoint).wait(30) == -signal.SIGKILL
    assert world.rows("SELECT count(*) FROM ticket") == [(ticket_n,)]
    assert world.rows("SELECT count(*) FROM finding") == [(ticket_n,)]
    assert world.rows(NOT_DUE) == [(bool(ticket_n),)]
    second = _start(world)
    try:
        _wait_until(world, NOT_DUE)
    finally:
        second.kill()
        second.wait()
    counts = "SELECT (SELECT count(*) FROM ticket), (SELECT count(*) FROM ticket_event"
    counts += " WHERE kind = 'opened'), (SELECT count(*) FROM outbox), (SELECT count(*) FROM"
    counts += " ticket_finding), (SELECT count(*) FROM ticket_clock)"
    assert world.rows(counts) == [(1, 1, 1, 1, 2)]


def test_killed_at_every_step_in_turn_an_episode_has_one_ticket(plain_world, report):
    """Each round a new fault of another device, and a process that dies at the next step."""
    world = plain_world
    steps = (
        "diagnose_before_commit", "diagnose_after_commit",
        "agenda_before_commit", "agenda_after_commit",
    )  # fmt: skip
    for nth, failpoint in enumerate(steps):
        device_no = world.device(f"chair-{nth}")
        world.report(device_no, report(nth, "raised"))
        world.place(f"chair-{nth}", "in_use", NOON)  # what people say makes the device due
        assert _start(world, failpoint).wait(30) == -signal.SIGKILL
    last = _start(world)
    try:
        _wait_until(world, QUIET)
        _wait_until(world, NOT_DUE)
    finally:
        last.kill()
        last.wait()
    per_device = world.rows(
        "SELECT count(*), count(DISTINCT episode_no) FROM ticket JOIN ticket_episode"
        " USING (ticket_no) GROUP BY device_no"
    )
    assert per_device == [(1, 1)] * len(steps)
    opened = world.rows("SELECT count(*) FROM outbox WHERE kind = 'ticket.opened'")
    assert opened == [(len(steps),)], "what else there is tells of deadlines missed since that noon"


def test_a_fault_is_a_ticket_and_a_dirty_hour_a_rollup_within_seconds(world, report):
    device_no = world.device()
    world.conn.execute("SELECT ensure_sample_partition('2026-11-01')")
    with _running(world, rollup_poll_s=0.1):
        started_s = time.monotonic()
        world.report(device_no, report(0, "raised"))
        world.conn.execute("INSERT INTO dirty_hour VALUES (date_trunc('hour', now()), 1)")
        _wait_until(world, "SELECT count(*) = 1 FROM ticket")
        assert time.monotonic() - started_s < 2
        _wait_until(world, QUIET)


def test_it_comes_back_when_its_connections_are_cut(world, report):
    device_no = world.device()
    with _running(world):
        world.conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'diagnose%' AND datname = current_database()"
        )
        world.report(device_no, report(0, "raised"))
        _wait_until(world, "SELECT count(*) = 1 FROM ticket")


def test_a_record_that_breaks_every_pass_is_put_off_and_the_rest_goes_on(
    world, report, monkeypatch
):
    def broken(conn, book, now, taken):
        if any(row.seq == 3 for row in taken):
            raise ValueError("this record is a fault in the program")
        return diagnose(conn, book, now, taken)

    monkeypatch.setattr(process, "diagnose", broken)
    device_no = world.device()
    world.report(device_no, *(report(minute, "raised") for minute in range(6)))
    with _running(world):
        _wait_until(world, "SELECT count(*) = 1 FROM inbox")
    ((seq, due_at),) = world.rows("SELECT seq, due_at FROM inbox")
    assert seq == 3
    assert due_at > datetime.now(UTC) + timedelta(minutes=50)
    assert world.rows("SELECT raised_n FROM episode") == [(6,)], "its events are stored, and count"


def test_it_waits_for_a_database_that_is_not_there():
    stop, told = threading.Event(), []
    settings = DiagnoseSettings("postgresql://postgres@/none?host=/nowhere")
    thread = threading.Thread(target=run, args=(settings, stop, lambda: told.append(1)))
    thread.start()
    time.sleep(0.3)
    assert thread.is_alive()
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert told == []


def test_what_nobody_expected_ends_the_process(world, monkeypatch):
    def broken(conn, limit, now):
        raise ZeroDivisionError

    monkeypatch.setattr(process.rollup, "recompute", broken)
    with pytest.raises(ZeroDivisionError):
        run(DiagnoseSettings(world.url), threading.Event())
