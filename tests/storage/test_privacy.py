"""What a person decides, what a loan's end lets go, and what an incident keeps."""

from __future__ import annotations

import csv
import io
import json
import uuid
import zipfile
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.types.json import Jsonb
from support.audits import entry_of

from fleet.access.scopes import Reach, Scope
from fleet.privacy import Kept
from fleet.rules.facts import day_of
from fleet.rules.rule import Needs
from storage import privacy, reading
from storage.audit import AuditFilter, append, page
from storage.connection import connect
from storage.device_reading import contact_hours
from storage.erasure import erase, export, person_loans, tenants_of
from storage.facts import load_facts
from storage.lending import end_loan, start_loan
from storage.privacy import PrivacyError
from storage.reading import SeriesKey, Span
from storage.registry import NewDevice, add_devices, sync_catalogues
from storage.scope import enter

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
FIRST, SECOND = "unit-1", "unit-2"
CHAIR, OTHER, FOREIGN = "wc-1", "wc-2", "wc-x"
SAFETY, SERVICE, CARE = "battery_voltage_v", "odometer_m", "therapy_time_s"
STAFF, CENTRE = Scope("r1", Reach.TENANT), Scope("r1", Reach.CENTRE, "c1")


def person(name: str) -> Scope:
    return Scope("r1", Reach.PERSON, name)


def unit(name: str, subject: str = "frida") -> Scope:
    return Scope("r1", Reach.CARE_UNIT, name, subject)


def reported(conn, device: str, at: datetime) -> None:
    """A value of each kind, and a fault with all that diagnostics makes of it."""
    values = {"device": device, "at": at, "epoch": f"{int(at.timestamp()):016x}"}
    for statement in (
        "SELECT ensure_sample_partition(%(at)s::date)",
        "INSERT INTO sample SELECT %(at)s, %(at)s, 1, d.device_no, m.metric_no, 0, NULL"
        f" FROM device d, metric m WHERE d.id = %(device)s AND m.name IN ('{SAFETY}', '{SERVICE}',"
        f" '{CARE}')",
        "INSERT INTO rollup_hour SELECT s.device_no, metric_no, date_trunc('hour', at), 1, 1, 1,"
        " 1, 1, at FROM sample s JOIN device d USING (device_no) WHERE at = %(at)s"
        " AND d.id = %(device)s",
        "INSERT INTO latest SELECT s.device_no, metric_no, at, 1 FROM sample s"
        " JOIN device d USING (device_no) WHERE at = %(at)s AND d.id = %(device)s"
        " ON CONFLICT (device_no, metric_no) DO UPDATE SET at = EXCLUDED.at",
        "INSERT INTO fault_event (device_no, epoch, seq, idx, system, code, state, at,"
        " received_at, clock) SELECT device_no, %(epoch)s, 1, 0, 'vr2', '3D00', 'raised', %(at)s,"
        " %(at)s, 0 FROM device WHERE id = %(device)s",
        "INSERT INTO episode (device_no, system, code, started_at, last_at, ended_at, raised_n,"
        " cleared_n, logged_n, first_received_at) SELECT device_no, 'vr2', '3D00', %(at)s, %(at)s,"
        " %(at)s, 1, 1, 0, %(at)s FROM device WHERE id = %(device)s",
        "INSERT INTO rule_version VALUES ('r', 1, 'd', 'b', true, %(at)s, 'x')"
        " ON CONFLICT DO NOTHING",
        "INSERT INTO finding (tenant_no, device_no, subject, rule_id, rule_version, about, cause,"
        " need, severity, usability, fixer, component, started_at, last_at, known_at, confidence)"
        " SELECT tenant_no, device_no, 'device', 'r', 1, 'x', 'brake', 'ticket', 'major',"
        " 'degraded', 'technician', 'brake', %(at)s, %(at)s, %(at)s, 1 FROM device"
        " WHERE id = %(device)s",
        "INSERT INTO ticket (device_no, tenant_no, cause, state, order_kind, severity, usability,"
        " fixer, component, title_sv, title_en, body_sv, body_en, started_at, known_at,"
        " updated_at) SELECT device_no, tenant_no, 'brake', 'closed', 'AU', 'major', 'degraded',"
        " 'technician', 'brake', 't', 't', 'b', 'b', %(at)s, %(at)s, %(at)s FROM device"
        " WHERE id = %(device)s",
        "INSERT INTO ticket_event SELECT ticket_no, 1, %(at)s, 'opened', 'diagnostics' FROM ticket"
        " JOIN device d USING (device_no) WHERE started_at = %(at)s AND d.id = %(device)s",
    ):
        conn.execute(statement, values)


@pytest.fixture
def url(request):
    """A fresh database, on plain PostgreSQL unless a test names the kind of server."""
    cluster = request.getfixturevalue(getattr(request, "param", "plain"))
    if cluster is None:
        pytest.skip("no PostgreSQL with TimescaleDB on this machine")
    name = f"t{uuid.uuid4().hex[:12]}"
    yield seeded(cluster.create_migrated(name))
    cluster.drop_database(name)


def seeded(address: str) -> str:
    """One chair lent to p-old by unit-1, then to p-new by unit-2; another only to p-old."""
    with psycopg.connect(address) as conn:
        sync_catalogues(conn, NOW)
        chairs = [NewDevice(CHAIR, "permobil-m3", individual_no="4471"),
                  NewDevice(OTHER, "permobil-m3")]  # fmt: skip
        add_devices(conn, chairs, tenant="r1", centre="c1")
        add_devices(conn, [NewDevice(FOREIGN, "permobil-m3")], tenant="r2", centre="c2")
        start_loan(conn, CHAIR, "p-old", [], NOW - 60 * DAY, care_unit=FIRST)
        reported(conn, CHAIR, NOW - 40 * DAY)
        end_loan(conn, CHAIR, NOW - 31 * DAY)
        start_loan(conn, CHAIR, "p-new", [], NOW - 20 * DAY, care_unit=SECOND)
        reported(conn, CHAIR, NOW - 10 * DAY)
        start_loan(conn, OTHER, "p-old", [], NOW - 60 * DAY, care_unit=FIRST)
        reported(conn, OTHER, NOW - 30 * DAY)
        end_loan(conn, OTHER, NOW - 5 * DAY)
        start_loan(conn, FOREIGN, "p-old", [], NOW - 60 * DAY, care_unit=FIRST)
    return address


on_both = pytest.mark.parametrize("url", ["plain", "timescale"], indirect=True)


@pytest.fixture
def api(url):
    with connect(url, role="fjarrkoll_api") as conn:
        yield conn


@pytest.fixture
def diagnose(url):
    with connect(url, role="fjarrkoll_diagnose") as conn:
        yield conn


@pytest.fixture
def owner(url):
    with connect(url) as conn:
        enter(conn, STAFF)
        yield conn


def values_seen(conn, scope: Scope, metric: str, device: str = CHAIR) -> tuple[int, int, int]:
    """How many samples, hours and newest values of a metric a caller sees."""
    enter(conn, scope)
    device_no, metric_no = reading.device_no(conn, device), reading.metric_no(conn, metric)
    if device_no is None:
        return (0, 0, 0)
    key, span = SeriesKey(device_no, metric_no), Span(NOW - 90 * DAY, NOW + DAY)
    latest = [row for row in reading.latest_values(conn, device_no) if row.metric == metric]
    return (
        len(reading.raw_samples(conn, key, span, 100)),
        len(reading.hourly_samples(conn, key, span, 100)),
        len(latest),
    )


def loan_of(conn, scope: Scope) -> int:
    enter(conn, scope)
    return privacy.own_loan_of(conn, CHAIR).loan_no


# Sharing


@pytest.fixture
def unshared(api):
    """p-new stopped sharing before what the chair reported, and has not begun again."""
    privacy.stop_sharing(api, loan_of(api, person("p-new")), NOW - 11 * DAY)
    api.commit()
    return api


@pytest.mark.parametrize("scope", [STAFF, CENTRE, unit(SECOND)], ids=lambda scope: scope.reach)
@pytest.mark.parametrize("metric", [SERVICE, CARE])
def test_nobody_but_the_person_reads_what_is_not_shared(unshared, scope, metric):
    is_staff = scope.reach in {Reach.TENANT, Reach.CENTRE}
    earlier = 1 if is_staff and metric == SERVICE else 0  # what belongs to care staff never read
    assert values_seen(unshared, scope, metric) == (earlier, earlier, 0)
    assert values_seen(unshared, person("p-new"), metric) == (1, 1, 1)


@pytest.mark.parametrize("scope", [STAFF, CENTRE, unit(SECOND)], ids=lambda scope: scope.reach)
def test_what_safety_needs_is_shared_all_the_time(unshared, scope):
    samples, hours, latest = values_seen(unshared, scope, SAFETY)
    assert (samples, hours, latest) == ((2, 2, 1) if scope in {STAFF, CENTRE} else (1, 1, 1))
    device_no = reading.device_no(unshared, CHAIR)
    assert reading.faults(unshared, device_no, Span(NOW - 15 * DAY, NOW), 9)


@pytest.mark.parametrize(
    ("metric", "staff_n", "unit_n"), [(SAFETY, 2, 1), (SERVICE, 1, 0), (CARE, 0, 0)]
)
def test_that_a_device_was_heard_of_is_told_by_what_may_be_seen_of_it(
    unshared, owner, metric, staff_n, unit_n
):
    others = (
        "DELETE FROM rollup_hour USING metric m"
        " WHERE m.metric_no = rollup_hour.metric_no AND name <> %s"
    )
    owner.execute(others, [metric])
    owner.commit()
    span = Span(NOW - 90 * DAY, NOW)
    found = []
    for scope in (STAFF, unit(SECOND), person("p-new")):
        enter(unshared, scope)
        found.append(len(contact_hours(unshared, reading.device_no(unshared, CHAIR), span)))
    assert found == [staff_n, unit_n, 1]


def test_overviews_of_the_fleet_leave_out_what_is_not_shared(unshared, owner):
    query = "SELECT device_id FROM signs_of_use(%s, %s, 0, 2, 0, 0, 0, 9)"
    owner.execute(
        "UPDATE latest SET value = CASE WHEN m.name = %s THEN 4000 WHEN d.id = %s THEN 1000"
        " ELSE latest.value END FROM device d, metric m WHERE d.device_no = latest.device_no"
        " AND m.metric_no = latest.metric_no",
        [SAFETY, CHAIR],
    )
    owner.execute(
        "UPDATE rollup_hour SET last = 4000 FROM device d, metric m WHERE d.id = %s AND m.name = %s"
        " AND d.device_no = rollup_hour.device_no AND m.metric_no = rollup_hour.metric_no",
        [OTHER, SAFETY],
    )
    owner.commit()
    enter(unshared, STAFF)
    assert unshared.execute(query, [SAFETY, [SERVICE]]).fetchall() == []
    owner.execute("DELETE FROM sharing_choice")
    owner.commit()
    assert unshared.execute(query, [SAFETY, [SERVICE]]).fetchall() == [(CHAIR,)]


@on_both
def test_sharing_again_shows_what_comes_and_not_what_was(unshared):
    privacy.share_again(unshared, loan_of(unshared, person("p-new")), NOW - 5 * DAY)
    assert values_seen(unshared, unit(SECOND), SERVICE) == (0, 0, 0)
    with connect(unshared.info.dsn) as conn:
        reported(conn, CHAIR, NOW - DAY)
        conn.commit()
    assert values_seen(unshared, unit(SECOND), SERVICE) == (1, 1, 1)


def test_stopping_twice_is_stopping_once(unshared):
    loan_no = loan_of(unshared, person("p-new"))
    privacy.stop_sharing(unshared, loan_no, NOW)
    assert privacy.sharing(unshared, loan_no) == [(NOW - 11 * DAY, None)]


def test_a_choice_ends_with_its_loan(unshared, owner):
    end_loan(owner, CHAIR, NOW - 9 * DAY)
    start_loan(owner, CHAIR, "p-third", [], NOW - 8 * DAY, care_unit=SECOND)
    reported(owner, CHAIR, NOW - 7 * DAY)
    owner.commit()
    assert values_seen(unshared, STAFF, SERVICE) == (2, 2, 1)


@pytest.mark.parametrize("scope", [STAFF, unit(SECOND), person("p-old")], ids=str)
def test_only_the_person_decides_about_sharing(api, owner, scope):
    loan_no = owner.execute("SELECT loan_no FROM person_link WHERE person = 'p-new'").fetchone()[0]
    enter(api, scope)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        privacy.stop_sharing(api, loan_no, NOW)


def test_the_rules_do_not_judge_days_that_are_not_shared(unshared, diagnose):
    (device_no,) = diagnose.execute(
        "SELECT device_no FROM device WHERE id = %s", [CHAIR]
    ).fetchone()
    needs = Needs(metrics=(SAFETY, SERVICE), lookback_days=60)
    facts = load_facts(diagnose, {device_no: NOW - DAY}, needs, NOW)[device_no]
    assert facts.days[SAFETY].day.tolist() == [day_of(NOW - 40 * DAY), day_of(NOW - 10 * DAY)]
    assert facts.days[SERVICE].day.tolist() == [day_of(NOW - 40 * DAY)]


# The loan's boundary


def test_the_next_user_and_their_care_see_nothing_of_the_loan_before(api):
    started = NOW - 20 * DAY
    for scope in (person("p-new"), unit(SECOND)):
        enter(api, scope)
        device_no = reading.device_no(api, CHAIR)
        assert [row.loan_no for row in privacy.own_loans(api)] == [loan_of(api, scope)]
        for metric in (SAFETY, SERVICE, CARE):
            assert values_seen(api, scope, metric) == (1, 1, 1)
        faults = reading.faults(api, device_no, Span(NOW - 90 * DAY, NOW), 99)
        ended = reading.ended_tickets_of(api, device_no, 99)
        findings = reading.findings(api, reading.FindingFilter(device_no=device_no), 99)
        episodes = api.execute("SELECT started_at FROM episode").fetchall()
        assert [row.at >= started for row in faults] == [True]
        assert [row.started_at >= started for row in ended] == [True]
        assert [row.started_at >= started for row in findings] == [True]
        assert [at >= started for (at,) in episodes] == [True]
        events = api.execute("SELECT DISTINCT ticket_no FROM ticket_event").fetchall()
        assert [no for (no,) in events] == [row.ticket_no for row in ended]


@pytest.mark.parametrize("scope", [person("p-old"), unit(FIRST)], ids=str)
def test_who_had_it_before_sees_nothing_at_all(api, scope):
    enter(api, scope)
    assert privacy.own_loans(api) == []
    for table in ("device", "loan", "fault_event", "episode", "finding", "ticket", "latest"):
        assert api.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    (device_no,) = connect(api.info.dsn).execute(
        "SELECT device_no FROM device WHERE id = %s", [CHAIR]
    ).fetchone()  # fmt: skip
    seen = api.execute(
        "SELECT count(*) FROM seen_samples(%s, 1, '-infinity', 'infinity', 9)", [device_no]
    )
    assert seen.fetchone() == (0,)


# The link


def links(owner) -> set[tuple[str, str]]:
    return set(owner.execute(
        "SELECT person, d.id FROM person_link JOIN loan USING (loan_no) JOIN device d"
        " USING (device_no) WHERE d.tenant_no = 1"
    ).fetchall())  # fmt: skip


def test_who_had_a_loan_is_forgotten_in_time_and_the_device_keeps_its_history(diagnose, owner):
    cut = privacy.cut_links(diagnose, NOW - 30 * DAY)
    diagnose.commit()
    assert [(row.tenant, row.device_id, row.ended_at) for row in cut] == [
        ("r1", CHAIR, NOW - 31 * DAY)
    ]
    assert links(owner) == {("p-new", CHAIR), ("p-old", OTHER)}
    assert owner.execute("SELECT count(*) FROM loan").fetchone() == (4,)
    assert owner.execute("SELECT count(*) FROM sample").fetchone() == (9,)
    assert privacy.cut_links(diagnose, NOW - 30 * DAY) == []


@pytest.mark.parametrize("statement", ["SELECT * FROM person_link", "DELETE FROM person_link"])
def test_diagnostics_cuts_links_and_has_no_other_right_on_them(diagnose, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        diagnose.execute(statement)


def test_the_api_may_not_cut_links(api):
    enter(api, STAFF)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        privacy.cut_links(api, NOW)


# Holds


HELD_BY = [{"device": CHAIR}, {"person": "p-old"}]


@pytest.fixture(params=HELD_BY, ids=["device", "person"])
def held(request, owner):
    """An incident with what p-old had on loan, by the device or by the person."""
    number = privacy.hold(owner, **request.param, why="stol välte", who="Adam", now=NOW)
    owner.commit()
    enter(owner, STAFF)
    return number


def refused(conn, work) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        work()
    assert caught.value.diag.constraint_name == "incident_hold_keeps"
    assert "incident hold" in str(caught.value)
    conn.rollback()
    enter(conn, STAFF)


def test_a_hold_beats_link_cutting(held, diagnose, owner):
    assert CHAIR not in {row.device_id for row in privacy.cut_links(diagnose, NOW - 30 * DAY)}
    refused(owner, lambda: owner.execute("DELETE FROM person_link WHERE person = 'p-old'"))
    refused(owner, lambda: owner.execute("UPDATE person_link SET person = 'p-z'"))
    refused(owner, lambda: owner.execute("DELETE FROM loan WHERE ended_at < now()"))
    assert ("p-old", CHAIR) in links(owner)


@on_both
def test_a_hold_beats_erasure(held, owner):
    before = owner.execute("SELECT count(*) FROM sample").fetchone()
    result = erase(owner, "p-old")
    loan = next(loan for loan in person_loans(owner, "p-old") if loan.device_id == CHAIR)
    assert (Kept.HELD, loan.loan_no) in {(stay.kept, stay.loan_no) for stay in result.staying}
    assert CHAIR not in {erased.device_id for erased in result.erased}
    owner.rollback()
    enter(owner, STAFF)
    span = (loan.loan_no, NOW - 60 * DAY, NOW)
    refused(owner, lambda: owner.execute("SELECT erase_samples(%s, %s, %s)", span))
    refused(owner, lambda: owner.execute("SELECT erase_loan(%s)", [loan.loan_no]))
    assert owner.execute("SELECT count(*) FROM sample").fetchone() == before


@on_both
@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM sample WHERE at < now() - interval '35 days'",
     "DELETE FROM fault_event WHERE at < now() - interval '35 days'",
     "DELETE FROM ticket WHERE started_at < now() - interval '35 days'",
     "TRUNCATE sample", "TRUNCATE person_link", "TRUNCATE fault_event"],
)  # fmt: skip
def test_a_hold_beats_retention(held, owner, statement):
    refused(owner, lambda: owner.execute(statement))


@pytest.mark.parametrize("url", ["timescale"], indirect=True)
def test_a_hold_beats_the_deletion_of_compressed_samples(held, owner):
    owner.execute("SELECT compress_chunk(c) FROM show_chunks('sample') c")
    owner.commit()
    device_no = owner.execute("SELECT device_no FROM device WHERE id = %s", [CHAIR]).fetchone()[0]
    enter(owner, STAFF)
    refused(owner, lambda: owner.execute("DELETE FROM sample WHERE device_no = %s", [device_no]))
    refused(owner, lambda: owner.execute("DELETE FROM sample"))


def test_what_a_hold_does_not_concern_goes_as_before(owner):
    privacy.hold(owner, device=OTHER, why="stol välte", who="Adam", now=NOW)
    gone = owner.execute("DELETE FROM sample WHERE at < now() - interval '35 days'").rowcount
    assert gone == 3
    assert [row.device_id for row in privacy.cut_links(owner, NOW)] == [CHAIR]


def test_a_released_hold_keeps_nothing(held, owner):
    assert privacy.release_hold(owner, held, "Greta", NOW)
    assert not privacy.release_hold(owner, held, "Greta", NOW)
    (found,) = privacy.holds(owner, 10)
    assert (found.released_by, found.who) == ("Greta", "Adam")
    assert CHAIR in {row.device_id for row in privacy.cut_links(owner, NOW - 30 * DAY)}


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM incident_hold", "UPDATE incident_hold SET why = 'inget'",
     "UPDATE incident_hold SET device_no = NULL, person = 'x'"],
)  # fmt: skip
def test_a_hold_is_released_and_never_removed(held, owner, statement):
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        owner.execute(statement)
    assert caught.value.diag.constraint_name == "incident_hold_stays"


@pytest.mark.parametrize(
    ("what", "message"),
    [({}, "name a device or a person"), ({"device": "nope"}, "not registered"),
     ({"device": FOREIGN}, "not registered"), ({"device": CHAIR, "person": "p"}, "one of the two")],
)  # fmt: skip
def test_a_hold_is_of_one_thing_that_exists(owner, what, message):
    with pytest.raises(PrivacyError, match=message):
        privacy.hold(owner, **what, why="stol välte", who="Adam", now=NOW)


# Blocks


def test_a_blocked_unit_sees_that_something_is_blocked_and_nothing_of_it(api):
    enter(api, person("p-new"))
    privacy.add_block(api, SECOND, NOW - HOUR)
    api.commit()
    assert values_seen(api, unit(SECOND), SAFETY) == (0, 0, 0)
    enter(api, unit(SECOND))
    assert (privacy.own_loans(api), privacy.blocked_loan_n(api)) == ([], 1)
    for table in ("device", "ticket", "fault_event", "episode", "finding", "loan", "person_link"):
        assert api.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    assert values_seen(api, person("p-new"), SAFETY) == (1, 1, 1)
    assert values_seen(api, STAFF, SAFETY) == (2, 2, 1)


@pytest.mark.parametrize(("kept", "seen_n"), [(None, 0), (FIRST, 0), (SECOND, 1)])
def test_all_units_but_one_may_be_kept_out(api, kept, seen_n):
    enter(api, person("p-new"))
    privacy.add_block(api, None, NOW - HOUR, kept)
    api.commit()
    enter(api, unit(SECOND))
    assert len(privacy.own_loans(api)) == seen_n


def test_a_block_is_taken_back_by_the_person_alone(api):
    enter(api, person("p-new"))
    privacy.add_block(api, SECOND, NOW - HOUR)
    (block,) = privacy.blocks(api)
    api.commit()
    for scope in (person("p-old"), unit(SECOND), STAFF):
        enter(api, scope)
        assert not privacy.end_block(api, block.block_no, NOW)
        assert privacy.blocks(api) == []
    enter(api, person("p-new"))
    assert privacy.end_block(api, block.block_no, NOW - HOUR / 2)
    api.commit()
    enter(api, unit(SECOND))
    assert len(privacy.own_loans(api)) == 1


@pytest.fixture
def blocked(api):
    enter(api, person("p-new"))
    privacy.add_block(api, SECOND, NOW - HOUR)
    api.commit()
    return api


WHY = "Medvetslös, akut bedömning"


def test_in_an_emergency_one_caller_passes_for_two_hours(blocked, owner):
    enter(blocked, unit(SECOND, "frida"))
    assert privacy.override_block(blocked, "4471", WHY) == CHAIR
    assert len(privacy.own_loans(blocked)) == 1
    blocked.commit()
    enter(blocked, unit(SECOND, "other"))
    assert privacy.own_loans(blocked) == [], "it is hers, and not the whole unit's"
    owner.execute("UPDATE block_override SET from_at = from_at - interval '2 hours',"
                  " until_at = until_at - interval '2 hours'")  # fmt: skip
    owner.commit()
    enter(blocked, unit(SECOND, "frida"))
    assert privacy.own_loans(blocked) == []


@pytest.mark.parametrize(
    ("why", "length", "constraint"),
    [("akut", 2 * HOUR, "block_override_has_reason"),
     (WHY, 3 * HOUR, "block_override_is_short"), (WHY, -HOUR, "block_override_is_short")],
)  # fmt: skip
def test_an_emergency_has_a_reason_and_an_end(blocked, why, length, constraint):
    enter(blocked, unit(SECOND))
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        privacy.override_block(blocked, "4471", why, length)
    assert caught.value.diag.constraint_name == constraint


@pytest.mark.parametrize(
    ("scope", "number"), [(unit(FIRST), "4471"), (unit(SECOND), "9999")], ids=str
)
def test_only_the_unit_that_is_blocked_passes(blocked, scope, number):
    enter(blocked, scope)
    assert privacy.override_block(blocked, number, WHY) is None


def test_nobody_else_passes_a_block(blocked):
    enter(blocked, STAFF)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        privacy.override_block(blocked, "4471", WHY)


# Self-help


def test_an_answer_is_kept_once_and_may_change(api):
    enter(api, person("p-new"))
    loan_no = privacy.own_loan_of(api, CHAIR).loan_no
    assert privacy.answer(api, loan_no, None, "wc-charge", False, NOW)
    assert not privacy.answer(api, loan_no, None, "wc-charge", False, NOW)
    assert privacy.answer(api, loan_no, None, "wc-charge", True, NOW + HOUR)
    assert [(a.step, a.helped) for a in privacy.answers(api, loan_no)] == [("wc-charge", True)]


def test_nobody_answers_for_another(api, owner):
    loan_no = owner.execute("SELECT loan_no FROM person_link WHERE person = 'p-new'").fetchone()[0]
    for scope in (person("p-old"), unit(SECOND), STAFF):
        enter(api, scope)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            privacy.answer(api, loan_no, None, "wc-charge", True, NOW)
        api.rollback()


# Erasure and export


def metrics_left(owner, device: str) -> list[str]:
    rows = owner.execute(
        "SELECT m.name FROM sample s JOIN metric m USING (metric_no) JOIN device d"
        " USING (device_no) WHERE d.id = %s ORDER BY 1", [device]
    )  # fmt: skip
    return [name for (name,) in rows]


@on_both
def test_erasure_lets_go_what_the_law_lets_go(url, owner):
    append(owner, "r1", [entry_of(at=NOW - 6 * DAY, device_id=OTHER)])
    owner.commit()
    with connect(url, role="fjarrkoll_api") as api:
        enter(api, STAFF)
        result = erase(api, "p-old")
        api.commit()
    assert [(one.device_id, one.sample_n, one.link_n) for one in result.erased] == [
        (CHAIR, 2, 1), (OTHER, 2, 1)
    ]  # fmt: skip
    assert {stay.kept for stay in result.staying} == {
        Kept.RECORD_OF_CARE, Kept.ENGINEERING, Kept.ACCESS_LOG
    }  # fmt: skip
    assert metrics_left(owner, OTHER) == [CARE]
    assert metrics_left(owner, CHAIR) == sorted([CARE, CARE, SAFETY, SERVICE])
    for table, left in (("ticket", 3), ("episode", 3), ("fault_event", 3), ("loan", 4)):
        assert owner.execute(f"SELECT count(*) FROM {table}").fetchone() == (left,), table
    assert links(owner) == {("p-new", CHAIR)}
    assert len(page(owner, AuditFilter("r1", person="p-old"), 10)) == 1
    hours = owner.execute("SELECT count(*) FROM rollup_hour JOIN metric USING (metric_no)"
                          " WHERE name <> %s", [CARE])  # fmt: skip
    assert hours.fetchone() == (2,)


def copied(owner, device: str, at: datetime) -> None:
    """A message that was refused, and the finding of that time with values from around it."""
    owner.execute(
        "INSERT INTO quarantine (digest, reason, detail, topic, tenant_id, device_id, payload,"
        " payload_size, received_at, last_at) VALUES (sha256(convert_to(%(name)s, 'UTF8')),"
        " 'malformed', 'x', 't', 'r1', %(device)s, %(payload)s, 6, %(at)s, %(at)s)",
        {"name": f"{device} {at}", "device": device, "payload": b"\tsecr\xff", "at": at},
    )
    points = [[round(when.timestamp() * 1000), metric, 7]
              for when in (at - 100 * DAY, at) for metric in (SERVICE, CARE)]  # fmt: skip
    owner.execute(
        "UPDATE finding SET detail = %s FROM device d WHERE d.device_no = finding.device_no"
        " AND d.id = %s AND started_at = %s", [Jsonb({"points": points, "said": {}}), device, at]
    )  # fmt: skip


def copies(owner, device: str) -> tuple[list[bytes], list[int]]:
    """The bytes in quarantine, and how many values each finding keeps, the oldest first."""
    payloads = owner.execute(
        "SELECT payload FROM quarantine WHERE device_id = %s ORDER BY received_at", [device]
    ).fetchall()
    points = owner.execute(
        "SELECT jsonb_array_length(detail -> 'points') FROM finding JOIN device d USING (device_no)"
        " WHERE d.id = %s ORDER BY started_at", [device]
    ).fetchall()  # fmt: skip
    return [payload for (payload,) in payloads], [count for (count,) in points]


def test_erasure_takes_the_copies_along_and_the_next_users_stay(url, owner):
    copied(owner, CHAIR, NOW - 40 * DAY)
    copied(owner, CHAIR, NOW - 10 * DAY)
    owner.commit()
    with connect(url, role="fjarrkoll_api") as api:
        enter(api, STAFF)
        erase(api, "p-old")
        api.commit()
    assert copies(owner, CHAIR) == ([b"", b"\tsecr\xff"], [3, 4])


def test_a_hold_keeps_the_copies_too(owner):
    copied(owner, CHAIR, NOW - 40 * DAY)
    privacy.hold(owner, device=CHAIR, why="tillbud", who="A", now=NOW)
    erase(owner, "p-old")
    assert copies(owner, CHAIR)[0] == [b"\tsecr\xff"]


def test_an_export_has_what_could_not_be_stored(owner):
    copied(owner, CHAIR, NOW - 40 * DAY)
    copied(owner, CHAIR, NOW - 10 * DAY)
    out = io.BytesIO()
    assert export(owner, "r1", "p-old", out, NOW).refused_n == 1
    text = zipfile.ZipFile(out).read("quarantine.csv").decode()
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["device"], row["message"]) == (CHAIR, "'\tsecr\\xff")


def test_a_loan_that_runs_stays_and_so_does_its_block(owner):
    owner.execute("INSERT INTO block (tenant_no, person, care_unit, from_at)"
                  " VALUES (1, 'p-new', 'x', now())")  # fmt: skip
    result = erase(owner, "p-new")
    assert (result.erased, result.block_n) == ([], 0)
    assert [stay.kept for stay in result.staying][:1] == [Kept.LOAN_RUNS]
    end_loan(owner, CHAIR, NOW)
    assert erase(owner, "p-new").block_n == 1


@pytest.mark.parametrize("scope", [Scope("r2", Reach.TENANT), CENTRE, unit(FIRST)], ids=str)
def test_nobody_erases_or_exports_what_is_not_their_tenants(api, scope):
    enter(api, scope)
    if scope.tenant == "r1":
        with pytest.raises(PrivacyError, match="no loan is linked"):
            erase(api, "p-old")
    else:
        assert {loan.device_id for loan in person_loans(api, "p-old")} == {FOREIGN}
    assert api.execute("SELECT erase_samples(1, '-infinity', 'infinity')").fetchone() == (0,)
    assert api.execute("SELECT link_n FROM erase_loan(1)").fetchone() == (0,)
    rows = api.execute("SELECT * FROM loan_samples(1, '-infinity', 'infinity')").fetchall()
    assert rows == []


@on_both
def test_an_export_holds_everything_about_the_person_and_no_names(url, owner):
    enter(owner, STAFF)
    append(owner, "r1", [entry_of(at=NOW - 6 * DAY, device_id=OTHER, name="Tova Tekniker")])
    owner.commit()
    out = io.BytesIO()
    with connect(url, role="fjarrkoll_api") as api:
        enter(api, person("p-new"))
        privacy.stop_sharing(api, privacy.own_loan_of(api, CHAIR).loan_no, NOW - 15 * DAY)
        api.commit()
        enter(api, STAFF)
        count = export(api, "r1", "p-old", out, NOW)
    archive = zipfile.ZipFile(out)
    assert (count.loan_n, count.sample_n, count.fault_n, count.ticket_n, count.log_n) == (
        2, 6, 2, 2, 1
    )  # fmt: skip
    telemetry = list(csv.DictReader(io.StringIO(archive.read("telemetry.csv").decode())))
    assert {row["metric"] for row in telemetry} == {SAFETY, SERVICE, CARE}
    loans = json.loads(archive.read("loans.json"))
    assert [loan["device_id"] for loan in loans] == [CHAIR, OTHER]
    whole = b"".join(archive.read(name) for name in archive.namelist()).decode()
    assert "Tova" not in whole
    assert "p-new" not in whole
    log = list(csv.DictReader(io.StringIO(archive.read("access_log.csv").decode())))
    assert log[0]["device"] == OTHER


def test_a_person_has_their_own_unshared_values_in_their_export(unshared):
    out = io.BytesIO()
    enter(unshared, STAFF)
    assert export(unshared, "r1", "p-new", out, NOW).sample_n == 3


def test_the_owner_finds_where_a_pseudonym_is_known(owner):
    assert tenants_of(owner, "p-old") == ["r1", "r2"]
    assert tenants_of(owner, "p-nobody") == []


# The access log


@pytest.mark.parametrize(("low", "high"), [(None, None), (3, None), (None, 3), (2, 5), (-9, 99)])
def test_the_numbers_of_a_time_hold_every_entry_of_it_and_little_else(owner, low, high):
    for hour in range(10):
        append(owner, "r1", [entry_of(at=NOW - 10 * HOUR + hour * HOUR)])
    from_at, until_at = (None if n is None else NOW - 10 * HOUR + n * HOUR for n in (low, high))
    wanted = AuditFilter("r1", from_at=from_at, until_at=until_at)
    numbers = {row.no for row in page(owner, wanted, 99)}
    first, last = privacy.log_range(owner, "r1", from_at, until_at)
    assert numbers <= set(range(first, last + 1))
    assert last + 1 - first <= len(numbers) + 2
    within = AuditFilter("r1", from_at=from_at, until_at=until_at, from_no=first)
    assert {row.no for row in page(owner, within, 99, last + 1)} == numbers


def test_an_empty_log_has_no_numbers(owner):
    assert privacy.log_range(owner, "r1", None, None) is None
