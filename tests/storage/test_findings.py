"""Findings as stored: they read back, their tickets follow them, and nothing is read whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from support.evidence import episode
from support.findings import finding, reported

from fleet.drafts import draft
from fleet.rules.findings import Both, Need, Point
from fleet.rules.reconcile import StoredFinding
from fleet.ticket_states import OrderKind
from fleet.words import DeviceClass
from storage.connection import connect
from storage.diagnosis import ROLE, EpisodeChanges, FaultKey, save_episodes
from storage.findings import (
    MAX_POINTS,
    FindingChanges,
    Subject,
    findings_in,
    is_same,
    link_findings,
    linked_findings,
    put_agenda,
    save_findings,
    settled_findings,
    stretches,
    take_agenda,
)
from storage.queries import load_queries
from storage.raising import NewTicket, insert_tickets

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def admin(plain_database):
    with psycopg.connect(plain_database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO tenant (id, name) VALUES ('r1', 'R');"
            " INSERT INTO model VALUES ('m', 'powered_wheelchair', 'maker', 'name');"
            " INSERT INTO device (id, tenant_no, model_id, shard)"
            " SELECT 'chair-' || n, tenant_no, 'm', 7 FROM tenant, generate_series(1, 3) AS n;"
            " INSERT INTO rule_version SELECT id, 1, 'd', 'b', false, now(), 'eva'"
            " FROM unnest(ARRAY['a-rule', 'b-rule', 'reported-fault']) AS id"
        )
        yield connection


@pytest.fixture
def conn(plain_database, admin):
    """With the rights of the process."""
    with connect(plain_database, role=ROLE) as connection:
        yield connection
        connection.rollback()


CHAIR = Subject(1, 1)


def _save(conn, *found, subject=CHAIR):
    numbers, _ = save_findings(conn, FindingChanges((), [(subject, f) for f in found], ()))
    return [numbers[subject, f.rule_id, f.about, f.started_at] for f in found]


def _stored(conn, from_at=NOON - 24 * HOUR, rules=("a-rule", "b-rule", "reported-fault")):
    return findings_in(conn, {1: from_at}, rules).get(1, [])


RICH = finding(
    NOON, NOON + HOUR, order=OrderKind.PREVENTIVE, occurrence_n=7, measures={"a_v": 1.5},
    points=(Point(NOON, "battery_voltage_v", 20.25),),
    ruled_out=(Both("Laddaren", "The charger"),),
)  # fmt: skip


def test_a_finding_reads_back_as_it_was_saved(conn):
    numbers = _save(conn, RICH, finding(NOON, about="contact", rule_id="b-rule"))
    first, second = _stored(conn)
    assert [first.finding_no, second.finding_no] == numbers
    assert first.finding == RICH
    assert is_same(second.finding, finding(NOON, about="contact", rule_id="b-rule"))
    assert not is_same(second.finding, RICH)


def test_a_finding_about_a_fault_reads_back_with_its_episodes(conn):
    key = FaultKey(1, "vr2", "3D00")
    (number,) = save_episodes(conn, EpisodeChanges((), [(key, episode(NOON))], ())).values()
    (found,) = reported([("vr2/3D00", episode(NOON))])
    found = replace(found, episodes=[found.episodes[0]._replace(episode_no=number)])
    _save(conn, found)
    ((_, stored),) = _stored(conn)
    assert [item.episode_no for item in stored.episodes] == [number]
    assert stored.episodes[0].fault.code == "3D00"
    assert is_same(stored, found)


def test_the_newest_points_are_kept_and_no_more_than_a_page_shows(conn):
    points = [Point(NOON + n * HOUR, "battery_voltage_v", float(n)) for n in range(MAX_POINTS + 9)]
    _save(conn, finding(NOON, points=points))
    ((_, stored),) = _stored(conn)
    assert list(stored.points) == points[-MAX_POINTS:]


@pytest.mark.parametrize(
    ("end", "from_at", "is_in"),
    [
        (None, NOON + 100 * HOUR, True),
        (NOON + HOUR, NOON + HOUR, True),
        (NOON + HOUR, NOON + 2 * HOUR, False),
    ],
)
def test_a_window_decides_what_reaches_into_it(conn, end, from_at, is_in):
    _save(conn, finding(NOON, end))
    assert bool(_stored(conn, from_at)) is is_in
    assert _stored(conn, from_at, ["b-rule"]) == []
    (stretch,) = stretches(conn, [1], ["a-rule"], NOON)[1]
    assert stretch == (NOON, end)
    assert stretch.reaches(from_at) is is_in, "the window is built by the same measure"


def test_what_changed_is_written_and_keeps_its_number(conn):
    (number,) = _save(conn, finding(NOON))
    ended = finding(NOON, NOON + HOUR, need=Need.HISTORY, occurrence_n=3)
    save_findings(conn, FindingChanges([StoredFinding(number, ended)], (), ()))
    assert _stored(conn) == [StoredFinding(number, ended)]


def test_a_device_has_one_finding_of_a_rule_and_subject_from_a_moment_on(conn):
    _save(conn, finding(NOON))
    with pytest.raises(psycopg.errors.UniqueViolation, match="finding_unique_start"):
        _save(conn, finding(NOON))


def _ticket(conn, *numbers, subject=CHAIR):
    drafted = draft(DeviceClass.POWERED_WHEELCHAIR, [finding(NOON)])
    (ticket_no,) = insert_tickets(conn, [NewTicket(subject, drafted)], NOON).values()
    link_findings(conn, [(ticket_no, number) for number in numbers])
    return ticket_no


def test_tickets_follow_what_is_merged_and_are_named_when_nothing_is_left(conn):
    first, second = _save(conn, finding(NOON), finding(NOON + HOUR))
    ticket_no = _ticket(conn, second)
    _, orphaned = save_findings(conn, FindingChanges((), (), [(second, first)]))
    assert orphaned == []
    assert list(linked_findings(conn, [ticket_no])[ticket_no]) == [first]
    _, orphaned = save_findings(conn, FindingChanges((), (), [(first, None)]))
    assert orphaned == [(1, "battery")]
    assert linked_findings(conn, [ticket_no]) == {ticket_no: {}}


def test_the_last_ticket_that_people_ended_answers(conn, admin):
    (number,) = _save(conn, finding(NOON))
    answers = []
    for state, withdrawn in (("closed", False), ("void", False), ("void", True)):
        ticket_no = _ticket(conn, number)
        conn.execute(
            "UPDATE ticket SET state = %s, is_withdrawn = %s, state_at = %s WHERE ticket_no = %s",
            [state, withdrawn, NOON + ticket_no * HOUR, ticket_no],
        )
        answers.append(str(settled_findings(conn, [number])[number].state))
    assert answers == ["closed", "void", "void"]
    (_, at, is_group) = settled_findings(conn, [number])[number]
    assert (at, is_group) == (NOON + 2 * HOUR, False), "what diagnostics withdrew answers nothing"


def test_the_agenda_keeps_the_earlier_time_and_gives_a_device_to_one_taker(plain_database, conn):
    put_agenda(conn, {1: (NOON, NOON + HOUR), 2: (NOON, NOON), 3: (NOON, NOON + 9 * HOUR)})
    put_agenda(conn, {1: (NOON - HOUR, NOON + 2 * HOUR), 2: (NOON + HOUR, NOON + HOUR)})
    conn.commit()
    with connect(plain_database, role=ROLE) as other:
        assert take_agenda(conn, NOON + HOUR, 1) == {2: NOON}
        assert take_agenda(other, NOON + HOUR, 9) == {1: NOON - HOUR}
        assert take_agenda(other, NOON + HOUR, 9) == {}
        other.rollback()
    conn.rollback()
    assert set(take_agenda(conn, NOON + HOUR, 9)) == {1, 2}, "a crash forgets nothing"


@pytest.fixture(scope="module")
def large(plain):
    """100,000 findings and tickets of 20,000 devices, 20,000 agenda rows."""
    url = plain.create_migrated("findings")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO tenant (id, name) VALUES ('r1', 'R');"
            " INSERT INTO model VALUES ('m', 'powered_wheelchair', 'maker', 'name');"
            " INSERT INTO device (id, tenant_no, model_id, shard) SELECT 'd' || n, tenant_no, 'm',"
            " 7 FROM tenant, generate_series(1, 20000) AS n;"
            " INSERT INTO rule_version VALUES ('a-rule', 1, 'd', 'b', false, now(), 'eva');"
            " INSERT INTO agenda SELECT device_no, now(), now() + device_no * interval '1 s'"
            " FROM device;"
            " INSERT INTO finding (tenant_no, device_no, subject, rule_id, rule_version, about,"
            " cause, need, severity, usability, fixer, component, started_at, last_at, ended_at,"
            " known_at, confidence) SELECT 1, 1 + n % 20000, 'device', 'a-rule', 1,"
            " 'vr2/' || n % 300, 'battery', 'ticket', 'major', 'usable', 'technician', 'battery',"
            " now() - n * interval '5 min', now(), CASE WHEN n % 10 > 0 THEN now() END, now(), 1"
            " FROM generate_series(1, 100000) AS n;"
            " INSERT INTO ticket (device_no, tenant_no, cause, order_kind, severity, usability,"
            " fixer, component, title_sv, title_en, body_sv, body_en, started_at, known_at,"
            " updated_at, state) SELECT 1 + n % 20000, 1, 'c' || n, 'AU', 'major', 'usable',"
            " 'technician', 'battery', 't', 't', 'b', 'b', now(), now(), now(), 'closed'"
            " FROM generate_series(1, 100000) AS n;"
            " INSERT INTO ticket_finding SELECT n, n FROM generate_series(1, 100000) AS n"
        )
        connection.execute("VACUUM ANALYZE")
        yield connection
    plain.drop_database("findings")


DEVICES = {"devices": [1, 2, 3]}
AT = {"from_at": [NOON] * 3}
PLANS = {
    "take_agenda": {"now": NOON, "limit": 100},
    "findings_in": {**DEVICES, **AT, "rules": ["a-rule"]},
    "stretches": {**DEVICES, "rules": ["a-rule"], "since_at": NOON},
    "same_about": {"tenants": [1], "abouts": ["vr2/7"], "at": [NOON], "within": HOUR},
    "storm_members": {"tenant_no": 1, "about": "vr2/7", "from_at": NOON, "until_at": NOON + HOUR},
    "held_by_group": {"findings": [1, 2, 3]},
    "settled_findings": {"findings": [1, 2, 3]},
    "linked_findings": {"tickets": [1, 2, 3]},
    "singles_of": {"findings": [1, 2, 3]},
    "members_of": {"ticket_no": 7},
    "measured_since": {**DEVICES, "since_at": NOON},
    "orphaned": {"gone": [1, 2], "heirs": [None, None]},
}


@pytest.mark.parametrize("name", sorted(PLANS))
def test_the_cost_grows_with_what_changed_and_not_with_what_is_stored(large, name):
    query = load_queries("findings.sql")[name]
    plan = "\n".join(row[0] for row in large.execute(f"EXPLAIN {query}", PLANS[name]))
    for table in ("finding", "ticket", "ticket_finding", "agenda"):
        assert f"Seq Scan on {table} " not in f"{plan} ", f"{name}\n{plan}"
    assert "Index" in plan or name == "measured_since"


def test_a_fleets_day_reads_the_tenants_newest_findings_only(large):
    query = load_queries("groups.sql")["faulted"]
    row = large.execute("SELECT now() - interval '1 day', now() - interval '23 h'").fetchone()
    values = {"tenant_no": 1, "from_at": row[0], "to_at": row[1]}
    plan = "\n".join(row[0] for row in large.execute(f"EXPLAIN {query}", values))
    assert "Seq Scan on finding" not in plan, plan
