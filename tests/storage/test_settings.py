"""Settings that devices report: stored as a set, with a history, and seen by whom they concern."""

from __future__ import annotations

import csv
import io
import itertools
import zipfile
from datetime import timedelta

import psycopg
import pytest
from support.records import NOON, NOON_MS, birth, message, record, register, will

from fleet.access.scopes import Reach, Scope
from fleet.wire.settings import encoded
from storage import device_reading, privacy
from storage.connection import connect
from storage.erasure import erase, export
from storage.intake import SQL, Intake
from storage.lending import end_loan, start_loan
from storage.registry import NewDevice, add_devices
from storage.scope import enter

DAY = timedelta(days=1)
DAY_MS = 86_400_000
CHAIR, APAP = "chair-1", "apap-1"
STAFF, UNIT = Scope("r1", Reach.TENANT), Scope("r1", Reach.CARE_UNIT, "unit-2", "frida")
OLD, NEW = Scope("r1", Reach.PERSON, "p-old"), Scope("r1", Reach.PERSON, "p-new")
PRESSURE, MASK = "pressure_max_cmh2o", "mask_type"


@pytest.fixture
def intake(database):
    register(database, CHAIR, "chair-2")
    with connect(database) as conn:
        add_devices(conn, [NewDevice(APAP, "resmed-airsense-11")], tenant="r1")
    with Intake(database, "test") as opened:
        yield opened


def told(boot: int, settings: dict | None, device: str = CHAIR, **how):
    """A birth with settings, at `received_ms`; None: without a word about them."""
    at = how.setdefault("received_ms", NOON_MS)
    fields = {} if settings is None else {"settings": encoded(settings)}
    return message(birth(boot, clock_ms=how.pop("clock_ms", at), **fields), device, **how)


def now(admin, device: str = CHAIR) -> dict:
    """Name → (value, first told, last told), times as days from noon."""
    rows = admin.execute(
        "SELECT name, value, since, reported_at FROM device_setting JOIN device USING (device_no)"
        " WHERE id = %s ORDER BY name",
        [device],
    )
    return {name: (value, _days(since), _days(at)) for name, value, since, at in rows}


def changes(admin, device: str = CHAIR) -> list:
    rows = admin.execute(
        "SELECT name, value, at FROM device_setting_change JOIN device USING (device_no)"
        " WHERE id = %s ORDER BY change_no",
        [device],
    )
    return [(name, value, _days(at)) for name, value, at in rows]


def _days(at):
    return None if at is None else (at - NOON) / DAY


def test_a_birth_is_the_whole_set_and_its_changes_are_kept(intake, admin):
    intake.store([told(1, {"a": 1, "b": "x", "c": True})])
    intake.store([told(2, {"a": 1.0, "b": "y", "d": 0.5}, received_ms=NOON_MS + DAY_MS)])
    assert now(admin) == {"a": (1, 0, 1), "b": ("y", 1, 1), "d": (0.5, 1, 1)}
    assert changes(admin) == [
        ("a", 1, 0), ("b", "x", 0), ("c", True, 0), ("b", "y", 1), ("c", None, 1), ("d", 0.5, 1)
    ]  # fmt: skip


def test_a_birth_without_settings_leaves_them_and_an_empty_set_does_not(intake, admin):
    intake.store([told(1, {"a": 1})])
    intake.store([told(2, None), message(will(2)), message(b"", topic="x")])
    assert now(admin) == {"a": (1, 0, 0)}
    intake.store([told(3, {})])
    assert now(admin) == {}
    assert changes(admin)[1:] == [("a", None, 0)]


BIRTHS = [
    told(5, {"a": 1, "b": 2}, received_ms=NOON_MS),
    told(6, None, received_ms=NOON_MS),
    told(7, {"a": 3}, received_ms=NOON_MS),
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
@pytest.mark.parametrize("is_one_batch", [True, False])
def test_any_order_of_births_ends_the_same(intake, admin, order, is_one_batch):
    batch = [BIRTHS[number] for number in order]
    for part in [batch] if is_one_batch else [[item] for item in batch]:
        intake.store(part)
    assert now(admin) == {"a": (3, 0, 0)}
    assert changes(admin)[-1][:2] in {("b", None), ("a", 3)}


@pytest.mark.parametrize("order", list(itertools.permutations(range(2))), ids=str)
def test_a_newer_birth_without_settings_makes_none_too_old(intake, admin, order):
    for number in order:
        intake.store([BIRTHS[number]])
    assert now(admin) == {"a": (1, 0, 0), "b": (2, 0, 0)}


def test_a_copy_of_the_same_boot_changes_nothing(intake, admin):
    intake.store([told(5, {"a": 1})])
    intake.store([told(5, {"a": 2}, is_retained=True)])
    assert now(admin) == {"a": (1, 0, 0)}
    intake.store([told(5, {"a": 2})])
    assert now(admin) == {"a": (2, 0, 0)}


def test_settings_that_cannot_be_kept_are_counted_and_cost_nothing(intake, admin):
    bad = {"a": 1, "BAD": 1, "b": 1e13, "c": "x" * 65}
    outcome = intake.store([told(5, bad), message(record(1))])
    assert (outcome.states, outcome.stored, outcome.quarantined) == (1, 1, 0)
    assert now(admin).keys() == {"a"}
    assert admin.execute("SELECT boot, settings_left_out_n FROM device_state").fetchone() == (5, 3)


def test_a_batch_writes_settings_once_and_none_without_settings(intake, monkeypatch):
    said = []

    class Counted(dict):
        def __getitem__(self, name):
            said.append(name)
            return super().__getitem__(name)

    monkeypatch.setattr("storage.intake.SQL", Counted(SQL))
    intake.store([told(1, None), message(record(1))])
    assert "write_settings" not in said
    intake.store([told(1, {"a": 1}), told(1, {"b": 1}, "chair-2"), told(1, {"c": 1}, APAP)])
    assert said.count("write_settings") == 1


def test_each_birth_of_a_batch_is_told(intake, admin):
    intake.store(
        [told(n, {"a": n}, received_ms=NOON_MS + n * DAY_MS) for n in (1, 2, 3)]
        + [told(1, {"a": 9}, "chair-2")]
    )
    assert changes(admin) == [("a", 1, 1), ("a", 2, 2), ("a", 3, 3)]
    assert changes(admin, "chair-2") == [("a", 9, 0)]


LATE = {"received_ms": NOON_MS + 9 * DAY_MS, "is_fresh": False}


@pytest.mark.parametrize(
    ("how", "day"),
    [
        pytest.param({"received_ms": NOON_MS + 9 * DAY_MS}, 9, id="straight: receipt"),
        pytest.param(LATE, 2, id="it waited: the clock"),
        pytest.param({**LATE, "is_fresh": True, "is_retained": True}, 2, id="a copy: the clock"),
        pytest.param({**LATE, "clock_ms": NOON_MS + 10 * DAY_MS}, None, id="a clock that is fast"),
        pytest.param({**LATE, "clock_ms": 0}, None, id="a clock that was never set"),
    ],
)
def test_when_it_was_said_is_known_or_said_to_be_unknown(intake, admin, how, day):
    intake.store([told(1, {"a": 1}, **{"clock_ms": NOON_MS + 2 * DAY_MS, **how})])
    assert now(admin) == {"a": (1, day, day)}


# Who sees what


@pytest.fixture
def lent(intake, database):
    """An APAP unit of two people in turn, and what it was set to in each loan."""
    with connect(database) as conn:
        start_loan(conn, APAP, "p-old", [], NOON, care_unit="unit-1")
        end_loan(conn, APAP, NOON + 10 * DAY)
        start_loan(conn, APAP, "p-new", [], NOON + 20 * DAY, care_unit="unit-2")
    for day, settings in (
        (1, {PRESSURE: 9, MASK: "nasal", "odd_name": 1}),
        (2, {PRESSURE: 10, MASK: "pillows", "odd_name": 1}),
    ):
        intake.store([told(day, settings, APAP, received_ms=NOON_MS + day * DAY_MS)])
    return intake


def second_loan(intake, settings, boot=30, **how):
    intake.store([told(boot, settings, APAP, received_ms=NOON_MS + boot * DAY_MS, **how)])


@pytest.fixture
def api(database):
    with connect(database, role="fjarrkoll_api") as conn:
        yield conn


def seen(api, scope):
    """What a caller sees: settings, changes as (name, before, now), and how many are kept back."""
    enter(api, scope)
    number = api.execute("SELECT device_no FROM device WHERE id = %s", [APAP]).fetchone()
    found = ({}, [], (0, 0))
    if number is not None:
        found = (
            {one.name: one.value for one in device_reading.settings(api, *number)},
            [(one.name, one.before, one.value)
             for one in device_reading.setting_changes(api, *number, 20)],
            device_reading.settings_kept_back(api, *number),
        )  # fmt: skip
    api.rollback()
    return found


def test_those_who_repair_see_no_setting_of_the_treatment(lent, api):
    assert seen(api, STAFF) == ({MASK: "pillows"}, [(MASK, "nasal", "pillows")], (2, 0))


@pytest.mark.parametrize("scope", [NEW, UNIT], ids=["person", "unit"])
def test_the_next_user_sees_nothing_of_the_last_ones(lent, api, scope):
    assert seen(api, scope) == ({}, [], (0, 0))
    second_loan(lent, {PRESSURE: 12, MASK: "pillows"})
    settings, changed, _ = seen(api, scope)
    assert settings == {PRESSURE: 12, MASK: "pillows"}
    assert changed == [], "what was before is the last user's"
    second_loan(lent, {PRESSURE: 13, MASK: "pillows"}, 31)
    assert seen(api, scope)[1] == [(PRESSURE, 12, 13)]


def test_since_when_does_not_reach_into_the_last_loan(lent, api):
    second_loan(lent, {PRESSURE: 10})
    enter(api, NEW)
    (one,) = device_reading.settings(api, _apap(api))
    assert (one.value, one.since) == (10, NOON + 20 * DAY)


def _apap(conn) -> int:
    return conn.execute("SELECT device_no FROM device WHERE id = %s", [APAP]).fetchone()[0]


def test_a_birth_of_unknown_age_belongs_to_no_loan(lent, api):
    second_loan(lent, {PRESSURE: 11, MASK: "nasal"}, is_fresh=False, clock_ms=0)
    assert seen(api, NEW)[:2] == ({}, [])
    assert seen(api, STAFF)[0] == {MASK: "nasal"}


@pytest.mark.parametrize(
    "scope",
    [OLD, Scope("r2", Reach.TENANT), Scope("r1", Reach.CARE_UNIT, "unit-1", "x"),
     Scope("r1", Reach.CENTRE, "x"), Scope("r2", Reach.PERSON, "p-new")],
    ids=str,
)  # fmt: skip
def test_nobody_else_sees_any(lent, api, scope):
    second_loan(lent, {PRESSURE: 12, MASK: "nasal"})
    enter(api, scope)
    for table in ("device_setting", "device_setting_change"):
        assert api.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    number = 3
    assert api.execute("SELECT care_setting_n(%s)", [number]).fetchone() == (0,)
    assert api.execute("SELECT * FROM loan_settings(1)").fetchall() == []


def test_what_is_not_shared_is_the_persons_alone(lent, api, admin):
    admin.execute(
        "INSERT INTO sharing_choice (loan_no, from_at) SELECT loan_no, %s FROM loan"
        " WHERE ended_at IS NULL",
        [NOON + 25 * DAY],
    )
    second_loan(lent, {PRESSURE: 12, MASK: "full_face"})
    assert seen(api, NEW)[0] == {PRESSURE: 12, MASK: "full_face"}
    assert seen(api, UNIT)[0] == {}
    assert seen(api, STAFF)[:2] == ({}, [(MASK, "nasal", "pillows")])


@pytest.mark.parametrize(
    "statement",
    ["UPDATE device_setting SET value = '1'", "DELETE FROM device_setting",
     "INSERT INTO device_setting VALUES (1, 'a', '1', false, now(), now())",
     "UPDATE device_setting_change SET value = '1'", "DELETE FROM device_setting_change"],
)  # fmt: skip
@pytest.mark.parametrize("role", ["fjarrkoll_api", "fjarrkoll_diagnose"])
def test_only_ingest_writes_settings(lent, database, role, statement):
    with connect(database, role=role) as conn:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(statement)
        conn.rollback()


@pytest.mark.parametrize("word", ["UPDATE device_setting_change SET value = '1'",
                                  "DELETE FROM device_setting_change"])  # fmt: skip
def test_history_only_grows(lent, database, word):
    with (
        connect(database, role="fjarrkoll_ingest") as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        conn.execute(word)


# What a person may have, and have let go


def exported(conn, person: str) -> list[tuple[str, str]]:
    out = io.BytesIO()
    enter(conn, STAFF)
    export(conn, "r1", person, out, NOON + 40 * DAY)
    text = zipfile.ZipFile(out).read("settings.csv").decode()
    return [(row["setting"], row["value"]) for row in csv.DictReader(io.StringIO(text))]


def test_an_export_has_the_settings_of_the_persons_own_loan(lent, api):
    second_loan(lent, {PRESSURE: 12, MASK: "pillows"})
    assert exported(api, "p-old") == [
        (MASK, "nasal"), ("odd_name", "1"), (PRESSURE, "9"), (MASK, "pillows"), (PRESSURE, "10")
    ]  # fmt: skip
    assert exported(api, "p-new") == [(MASK, "pillows"), ("odd_name", ""), (PRESSURE, "12")]


def test_erasure_lets_go_of_settings_but_for_those_of_the_treatment(lent, api, admin):
    enter(api, STAFF)
    erase(api, "p-old")
    api.commit()
    assert {name for name, *_ in changes(admin, APAP)} == {PRESSURE, "odd_name"}
    assert now(admin, APAP).keys() == {PRESSURE, "odd_name"}


def test_a_hold_beats_the_erasure_of_settings(lent, api, admin):
    enter(api, STAFF)
    privacy.hold(api, device=APAP, why="tillbud", who="Anna Ek", now=NOON)
    api.commit()
    enter(api, STAFF)
    with pytest.raises(psycopg.errors.CheckViolation, match="incident hold"):
        api.execute("SELECT erase_settings(loan_no) FROM loan WHERE ended_at IS NOT NULL")
    with pytest.raises(psycopg.errors.CheckViolation, match="incident hold"):
        admin.execute("DELETE FROM device_setting_change")
