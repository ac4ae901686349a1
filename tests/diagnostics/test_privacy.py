"""Who had a finished loan is forgotten by the running process, and the log says that it was."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from diagnostics.privacy import forget_persons
from diagnostics.process import DiagnoseSettings, run
from fleet.access.scopes import Reach, Scope
from storage.audit import AuditFilter, check_chain, page
from storage.connection import connect
from storage.lending import end_loan, start_loan
from storage.privacy import hold
from storage.registry import NewDevice, add_devices, sync_catalogues
from storage.scope import enter

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture
def url(plain_database):
    """Loans that ended 40, 31 and 5 days ago, in two tenants, and one that runs."""
    with connect(plain_database) as conn:
        sync_catalogues(conn, NOW)
        for tenant, device, ago in (("a", "a-1", 40), ("a", "a-2", 5), ("b", "b-1", 31),
                                    ("b", "b-2", None)):  # fmt: skip
            add_devices(conn, [NewDevice(device, "permobil-m3")], tenant=tenant)
            start_loan(conn, device, f"p-{device}", [], NOW - 60 * DAY)
            if ago is not None:
                end_loan(conn, device, NOW - ago * DAY)
        conn.commit()
    return plain_database


def linked(url) -> set[str]:
    with connect(url) as conn:
        return {person for (person,) in conn.execute("SELECT person FROM person_link")}


def test_the_process_forgets_in_time_and_notes_it(url):
    stop = threading.Event()
    settings = DiagnoseSettings(url, forget_poll_s=0.02)
    thread = threading.Thread(target=run, args=(settings, stop))
    thread.start()
    waited = threading.Event()
    give_up = time.monotonic() + 60
    try:
        while linked(url) != {"p-a-2", "p-b-2"} and not waited.wait(0.05):
            assert thread.is_alive()
            assert time.monotonic() < give_up
    finally:
        stop.set()
        thread.join(20)
    with connect(url) as conn:
        for tenant, device in (("a", "a-1"), ("b", "b-1")):
            (row,) = page(conn, AuditFilter(tenant), 10)
            said = (row.entry.action, row.entry.role, row.entry.device_id, row.entry.person)
            assert said == ("cut_link", "system", device, None)
            assert check_chain(conn, tenant, []).is_right


def test_more_than_one_batch_is_forgotten_and_a_hold_is_left(url):
    with connect(url) as owner:
        enter(owner, Scope("a", Reach.TENANT))
        hold(owner, device="a-1", why="stolen välte", who="Adam", now=NOW)
        owner.commit()
    with connect(url, role="fjarrkoll_diagnose") as conn:
        assert forget_persons(conn, NOW, 0, limit=1) == 1
        assert forget_persons(conn, NOW, 0, limit=1) == 1
        assert forget_persons(conn, NOW, 0, limit=1) == 0
        conn.commit()
    assert linked(url) == {"p-a-1", "p-b-2"}
