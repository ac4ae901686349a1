"""Software and hardware versions that devices tell at each start, and how they changed."""

from __future__ import annotations

import itertools
from datetime import timedelta

import psycopg
import pytest
from support.records import NOON, NOON_MS, birth, message, record, register, will

from fleet.access.scopes import Reach, Scope
from storage.connection import connect
from storage.device_reading import versions
from storage.intake import SQL, Intake
from storage.lending import end_loan, start_loan
from storage.scope import enter

DAY = timedelta(days=1)
DAY_MS = 86_400_000
STAFF = Scope("r1", Reach.TENANT)


@pytest.fixture
def intake(database):
    register(database, "chair-1", "chair-2")
    with Intake(database, "test") as opened:
        yield opened


@pytest.fixture
def api(database):
    with connect(database, role="fjarrkoll_api") as conn:
        yield conn


def told(boot, fw, hw="A", device="chair-1", **how):
    """A birth on the day of its boot."""
    at = how.setdefault("received_ms", NOON_MS + boot * DAY_MS)
    return message(birth(boot, clock_ms=how.pop("clock_ms", at), fw=fw, hw=hw), device, **how)


def seen(api, scope=STAFF, limit=50):
    """(boot, firmware before and now, days from noon), the newest first."""
    enter(api, scope)
    rows = versions(api, 1, limit)
    api.rollback()
    return [
        (
            row.boot,
            None if row.is_first else row.before_fw,
            row.fw,
            row.at and (row.at - NOON) / DAY,
        )
        for row in rows
    ]


BIRTHS = [told(1, "2.3"), told(2, "2.4"), told(3, "2.3"), told(4, "2.3")]
CHANGES = [(3, "2.4", "2.3", 3), (2, "2.3", "2.4", 2), (1, None, "2.3", 1)]


@pytest.mark.parametrize("is_one_batch", [True, False])
def test_any_order_of_births_ends_in_the_same_history(intake, api, admin, is_one_batch):
    for order in itertools.permutations(BIRTHS):
        for part in [list(order)] if is_one_batch else [[one] for one in order]:
            intake.store(part)
        assert seen(api) == CHANGES
        admin.execute("DELETE FROM device_boot")


def test_a_start_that_tells_no_version_is_passed_over(intake, api):
    intake.store([told(1, "2.3"), told(2, None, None), told(3, "2.3"), told(4, None, None)])
    assert seen(api) == [(1, None, "2.3", 1)]


def test_a_start_that_is_told_again_changes_nothing(intake, api):
    intake.store([told(1, "2.3"), told(2, "2.4"), message(will(2))])
    again = {"received_ms": NOON_MS + 9 * DAY_MS}
    intake.store([told(2, "2.4", **again), told(2, "2.4", is_retained=True, **again)])
    assert seen(api) == [(2, "2.3", "2.4", 2), (1, None, "2.3", 1)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_births_of_one_start_that_contradict_each_other_end_the_same(intake, api, order):
    births = told(1, "2.3"), told(1, "2.4", received_ms=NOON_MS + 2 * DAY_MS)
    for number in order:
        intake.store([births[number]])
    assert seen(api) == [(1, None, "2.4", 1)]


def test_the_hardware_changes_too(intake, api):
    intake.store([told(1, "2.3"), told(2, "2.3", "B")])
    enter(api, STAFF)
    newest, first = versions(api, 1, 50)
    assert (newest.before_hw, newest.hw, first.is_first) == ("A", "B", True)
    assert [row.boot for row in versions(api, 1, 1)] == [2]


def test_when_a_waiting_birth_was_said_is_not_known(intake, api):
    intake.store([told(1, "2.3"), told(2, "2.4", is_fresh=False, clock_ms=0)])
    assert seen(api)[0] == (2, "2.3", "2.4", None)
    intake.store([told(2, "2.4", received_ms=NOON_MS + 5 * DAY_MS)])
    assert seen(api)[0] == (2, "2.3", "2.4", 5)


def test_births_cost_no_statement_more_and_records_none(intake, monkeypatch):
    said = []

    class Counted(dict):
        def __getitem__(self, name):
            said.append(name)
            return super().__getitem__(name)

    monkeypatch.setattr("storage.intake.SQL", Counted(SQL))
    intake.store([message(record(1))])
    assert "write_boot" not in said
    intake.store([told(1, "2.3")])
    assert [name for name in said if "birth" in name or "boot" in name] == [
        "skewed_boots", "skewed_boots", "write_birth", "write_boot"
    ]  # fmt: skip


def test_who_has_a_loan_sees_what_was_told_in_it(intake, api, database):
    with connect(database) as conn:
        start_loan(conn, "chair-1", "p-old", [], NOON, care_unit="unit-1")
        end_loan(conn, "chair-1", NOON + 2.5 * DAY)
        start_loan(conn, "chair-1", "p-new", [], NOON + 2.5 * DAY, care_unit="unit-2")
    intake.store(BIRTHS)
    for scope in (Scope("r1", Reach.PERSON, "p-new"), Scope("r1", Reach.CARE_UNIT, "unit-2", "x")):
        assert seen(api, scope) == [(3, None, "2.3", 3)]
    others = ("r1", Reach.PERSON, "p-old"), ("r2", Reach.TENANT), ("r1", Reach.CENTRE, "x")
    assert [seen(api, Scope(*other)) for other in others] == [[], [], []]


def test_the_api_reads_starts_through_the_function_only(api):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        api.execute("SELECT fw FROM device_boot")
