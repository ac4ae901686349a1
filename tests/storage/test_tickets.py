"""People's work with tickets against the real database: races, histories, figures."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

pytest.importorskip("storage.deadlines", reason="tickets call the clocks, which are not there")

from fleet.access.scopes import Reach, Scope
from fleet.drafts import Draft
from fleet.figures import Span, figures
from fleet.rules.findings import Both
from fleet.sla.policies import load_policies
from fleet.ticket_actions import Action, ActionRefusedError, Outcome, Request
from fleet.ticket_states import FINISHED, OrderKind, State
from fleet.ticket_text import TicketText
from fleet.words import Component, Fixer, Severity, Usability
from storage.connection import connect
from storage.deadlines import PauseRefusedError, clocks_of, open_clocks
from storage.diagnosis import ROLE, lock_devices
from storage.figures import ticket_facts
from storage.findings import Subject
from storage.raising import LostRaceError, NewTicket, insert_tickets
from storage.scope import enter
from storage.tickets import (
    OfSeveralCentresError,
    TicketChangedError,
    TicketNotFoundError,
    change,
    find,
    history,
    listed,
    repeat_of,
    repeats,
    rule_record,
    similar_cases,
)

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)  # a Friday
DAY = timedelta(days=1)
WRITERS = 64


def later(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


@pytest.fixture
def url(plain_database) -> str:
    with psycopg.connect(plain_database) as conn:
        conn.execute("INSERT INTO tenant (id, name) VALUES ('r1', 'R'), ('r2', 'S')")
        conn.execute(
            "INSERT INTO model VALUES ('m3', 'powered_wheelchair', 'maker', 'name'),"
            " ('f5', 'powered_wheelchair', 'maker', 'other'), ('air', 'apap', 'maker', 'third')"
        )
        add_device(conn, "chair-1", "m3")
    return plain_database


@pytest.fixture
def conn(url):
    with connect(url) as connection:
        yield connection


def add_device(conn, device, model, tenant="r1") -> int:
    row = conn.execute(
        "INSERT INTO device (id, tenant_no, model_id, shard)"
        " SELECT %s, tenant_no, %s, 7 FROM tenant WHERE id = %s RETURNING device_no",
        [device, model, tenant],
    ).fetchone()
    return int(row[0])


def add_ticket(
    conn, device="chair-1", cause="left_brake", at=NOON, kind="AU", because=(), **more
) -> int:
    columns = {"rule_id": None, "rule_version": None, "repeats_no": None} | more
    row = conn.execute(
        "INSERT INTO ticket (device_no, tenant_no, cause, order_kind, severity, usability, fixer,"
        " component, title_sv, title_en, body_sv, body_en, started_at, known_at, updated_at,"
        " state_at, urgent_because, rule_id, rule_version, repeats_no)"
        " SELECT device_no, tenant_no, %(cause)s, %(kind)s, 'critical', 'unusable', 'technician',"
        " 'left_brake', 'Bromsfel', 'Brake fault', 'b', 'b', %(at)s, %(at)s, %(at)s, %(at)s,"
        " %(because)s, %(rule_id)s, %(rule_version)s, %(repeats_no)s"
        " FROM device WHERE id = %(device)s RETURNING ticket_no",
        {"device": device, "cause": cause, "kind": kind, "at": at, "because": list(because)}
        | columns,
    ).fetchone()
    conn.execute(
        "INSERT INTO ticket_event (ticket_no, event_no, at, kind, who)"
        " VALUES (%s, 1, %s, 'opened', 'diagnostics')",
        [row[0], at],
    )
    return int(row[0])


def waiting_word(conn, ticket_no) -> str:
    """A reason to wait that the agreement of this ticket allows, or any where it has none."""
    row = conn.execute("SELECT policy_id FROM ticket WHERE ticket_no = %s", [ticket_no]).fetchone()
    policies = [policy for policy in load_policies() if row[0] in (None, policy.id)]
    return next(pause.reason for policy in policies for pause in policy.pauses)


def reorder(conn, ticket_no, new_kind, who, why, now):
    asked = Request(Action.REORDER, who, why, new_kind=new_kind)
    return change(conn, ticket_no, asked, now).replaced_by_no


def confirm_urgent(conn, ticket_no, who, now):
    return change(conn, ticket_no, Request(Action.CONFIRM_URGENT, who), now).replaced_by_no


def decline_urgent(conn, ticket_no, who, why, now):
    change(conn, ticket_no, Request(Action.DECLINE_URGENT, who, why), now)


def do(conn, ticket_no, action, minute=1.0, *, seen=None, who="Anna", **told):
    return change(conn, ticket_no, Request(action, who, **told), later(minute), seen)


def work_through(conn, ticket_no, outcome=Outcome.REAL_FAULT, *, at=NOON, **told) -> None:
    """Take, solve and close a ticket."""
    change(conn, ticket_no, Request(Action.TAKE, "Bo"), at)
    change(conn, ticket_no, Request(Action.SOLVE, "Bo", outcome=outcome, **told), at)
    change(conn, ticket_no, Request(Action.CLOSE, "Bo", "provkörd"), at)


def kinds(conn, ticket_no) -> list[str]:
    return [event.kind for event in history(conn, ticket_no)]


# Races


def race(url, attempt) -> tuple[list, list[Exception]]:
    """Let 64 writers try at once, each committing what went through."""
    start, won, lost, broken = threading.Barrier(WRITERS), [], [], []

    def one(nth: int) -> None:
        try:
            with connect(url) as conn:
                start.wait(20)
                try:
                    won.append(attempt(conn, nth))
                    conn.commit()
                except (ActionRefusedError, LostRaceError) as exc:
                    conn.rollback()
                    lost.append(exc)
        except Exception as exc:
            broken.append(exc)

    threads = [threading.Thread(target=one, args=(nth,)) for nth in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert broken == []
    return won, lost


def test_of_64_people_one_takes_the_ticket_and_the_others_hear_who(url, conn):
    ticket_no = add_ticket(conn)
    conn.commit()
    won, lost = race(url, lambda own, nth: (do(own, ticket_no, Action.TAKE, who=f"P{nth}"), nth))
    assert (len(won), len(lost)) == (1, WRITERS - 1)
    winner = f"P{won[0][1]}"
    ticket = find(conn, ticket_no)
    assert (ticket.assignee, ticket.version) == (winner, 2)
    for exc in lost:
        assert isinstance(exc, TicketChangedError)
        assert f"{winner} was first (assigned at 2026-11-20 12:01:00 UTC)" in str(exc)
    assert kinds(conn, ticket_no) == ["opened", "assigned"]


def test_of_64_writers_one_opens_a_ticket_for_a_cause(url, conn):
    row = conn.execute("SELECT tenant_no, device_no FROM device").fetchone()
    conn.commit()
    title = Both("Bromsfel", "Brake fault")
    draft = Draft(
        "left_brake",
        OrderKind.REPAIR,
        Severity.CRITICAL,
        Usability.UNUSABLE,
        Fixer.TECHNICIAN,
        Component.LEFT_BRAKE,
        TicketText(title, title, title),
        NOON,
        NOON,
        is_active=True,
        rule_id="brake",
        rule_version=1,
        confidence=1.0,
    )
    new = [NewTicket(Subject(*row), draft)]
    won, lost = race(url, lambda own, _: insert_tickets(own, new, NOON))
    assert (len(won), len(lost)) == (1, WRITERS - 1)
    opened = conn.execute("SELECT ticket_no FROM ticket").fetchall()
    assert opened == [tuple(won[0].values())]


def test_of_64_people_one_reorders(url, conn):
    ticket_no = add_ticket(conn)
    conn.commit()
    won, lost = race(
        url,
        lambda own, nth: reorder(own, ticket_no, OrderKind.SUPPORT, f"P{nth}", "fel kö", NOON),
    )
    assert (len(won), len(lost)) == (1, WRITERS - 1)
    rows = conn.execute(
        "SELECT ticket_no, state, order_kind, replaces_no FROM ticket ORDER BY ticket_no"
    ).fetchall()
    assert rows == [
        (ticket_no, "void", "AU", None),
        (won[0], "triaged", "support", ticket_no),
    ]


def test_of_64_answers_to_an_urgent_proposal_one_counts(url, conn):
    ticket_no = add_ticket(conn, because=["sole_mobility"])
    conn.commit()

    def answer(own, nth):
        if nth % 2:
            return decline_urgent(own, ticket_no, f"P{nth}", "reservstol finns", NOON)
        return confirm_urgent(own, ticket_no, f"P{nth}", NOON)

    won, lost = race(url, answer)
    assert (len(won), len(lost)) == (1, WRITERS - 1)
    answers = conn.execute("SELECT urgent_answer FROM ticket ORDER BY ticket_no").fetchall()
    assert answers in ([("declined",)], [("confirmed",), ("confirmed",)])


# One change


def test_a_ticket_from_new_to_closed_leaves_a_whole_history(conn):
    no = add_ticket(conn)
    reason = waiting_word(conn, no)
    do(conn, no, Action.TRIAGE, 1)
    do(conn, no, Action.ASSIGN, 2, assignee="Bo")
    do(conn, no, Action.WAIT, 3, reason=reason, why="beställd i dag")
    do(conn, no, Action.RESUME, 4, who="Bo")
    told = {"outcome": Outcome.PART_REPLACED, "part": "bromsspole", "minutes": 50}
    do(conn, no, Action.SOLVE, 5, who="Bo", **told)
    done = do(conn, no, Action.CLOSE, 6, why="provkörd")
    assert done == (no, State.CLOSED, 7, None)
    ticket = find(conn, no)
    assert (ticket.state, ticket.state_at, ticket.assignee) == ("closed", later(6), "Bo")
    assert (ticket.outcome, ticket.outcome_part) == ("part_replaced", "bromsspole")
    assert ticket.outcome_minutes == 50
    told_of = [
        (event.event_no, event.at, event.kind, event.who)
        for event in history(conn, no)
        if event.who != "diagnostics"
    ]
    assert told_of == [
        (2, later(1), "triaged", "Anna"),
        (3, later(2), "assigned", "Anna"),
        (4, later(3), "waiting", "Anna"),
        (5, later(4), "resumed", "Bo"),
        (6, later(5), "solved", "Bo"),
        (7, later(6), "closed", "Anna"),
    ]
    by_kind = {event.kind: event.detail for event in history(conn, no)}
    assert by_kind["waiting"] == {
        "from": "assigned", "to": "waiting", "reason": reason, "why": "beställd i dag",
        "ticket_version": 4,
    }  # fmt: skip
    assert by_kind["closed"]["why"] == "provkörd"
    sent = conn.execute("SELECT aggregate, kind, payload FROM outbox ORDER BY outbox_no").fetchall()
    assert {row[:2] for row in sent} == {(f"ticket:{no}", "ticket.changed")}
    assert [row[2]["version"] for row in sent] == [2, 3, 4, 5, 6, 7]
    assert sent[-1][2]["events"] == ["closed"]
    assert (sent[-1][2]["device"], sent[-1][2]["tenant"]) == ("chair-1", "r1")
    assert "Anna" not in str(sent)
    assert "Bo'" not in str(sent)


def test_what_is_refused_leaves_no_trace(conn):
    no = add_ticket(conn)
    for action in (Action.CLOSE, Action.REOPEN, Action.RESUME, Action.WAIT):
        with pytest.raises(ActionRefusedError, match=f"ticket {no}: {action}"):
            do(conn, no, action, why="x", reason="x")
    with pytest.raises(ActionRefusedError, match="needs an outcome: real_fault"):
        do(conn, no, Action.SOLVE)
    with pytest.raises(TicketNotFoundError, match="no ticket 999"):
        do(conn, 999, Action.TRIAGE)
    assert (find(conn, no).version, kinds(conn, no)) == (1, ["opened"])
    assert conn.execute("SELECT count(*) FROM outbox").fetchone() == (0,)


def test_who_looked_at_an_older_ticket_is_told_who_was_first(conn):
    no = add_ticket(conn)
    do(conn, no, Action.ASSIGN, who="Bo", assignee="Bo", seen=1)
    with pytest.raises(TicketChangedError, match=r"Bo was first .* is assigned by Bo now"):
        do(conn, no, Action.SOLVE, outcome=Outcome.REAL_FAULT, seen=1)
    do(conn, no, Action.SOLVE, outcome=Outcome.REAL_FAULT, seen=2)


def test_a_fault_that_is_counted_once_more_does_not_stop_a_person(conn):
    no = add_ticket(conn)
    conn.execute("UPDATE ticket SET version = version + 1 WHERE ticket_no = %s", [no])
    assert do(conn, no, Action.TAKE, seen=1).version == 3


def test_what_diagnostics_did_does_not_stop_a_person_either(conn):
    no = add_ticket(conn)
    conn.execute(
        "INSERT INTO ticket_event (ticket_no, event_no, at, kind, who, detail)"
        """ VALUES (%s, 2, %s, 'evidence_added', 'diagnostics', '{"version": 9}')""",
        [no, NOON],
    )
    assert do(conn, no, Action.TAKE, seen=1).version == 2


def test_a_change_waits_for_diagnostics_and_then_goes_through(url, conn):
    no = add_ticket(conn)
    conn.commit()
    done = []

    def take() -> None:
        with connect(url) as other:
            done.append(do(other, no, Action.TAKE))
            other.commit()

    with connect(url) as first:
        first.execute("UPDATE ticket SET version = version + 1 WHERE ticket_no = %s", [no])
        person = threading.Thread(target=take)
        person.start()
        with psycopg.connect(url, autocommit=True) as looking:
            waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            while looking.execute(waits).fetchone() == (0,):
                assert person.is_alive()
        first.commit()
    person.join()
    assert [(change.state, change.version) for change in done] == [(State.ASSIGNED, 3)]


def test_a_refused_transition_is_refused_by_the_constraints_as_well(conn):
    no = add_ticket(conn)
    for state, constraint in [
        ("waiting", "ticket_waits_for_a_reason"),
        ("assigned", "ticket_assigned_to_somebody"),
    ]:
        with pytest.raises(psycopg.errors.CheckViolation, match=constraint), conn.transaction():
            conn.execute("UPDATE ticket SET state = %s WHERE ticket_no = %s", [state, no])


# Another order kind


def test_the_order_kind_is_refused_by_the_trigger(conn):
    no = add_ticket(conn)
    with pytest.raises(psycopg.errors.CheckViolation, match="never changes") as refused:
        conn.execute("UPDATE ticket SET order_kind = 'FU' WHERE ticket_no = %s", [no])
    assert refused.value.diag.constraint_name == "ticket_order_kind_fixed"


def test_a_reordered_ticket_hands_everything_over(conn):
    no = add_ticket(conn, rule_id=None)
    episode = conn.execute(
        "INSERT INTO episode (device_no, system, code, started_at, last_at, raised_n, cleared_n,"
        " logged_n, first_received_at) SELECT device_no, 'vr2', '3D00', %s, %s, 1, 0, 0, %s"
        " FROM device RETURNING episode_no",
        [NOON] * 3,
    ).fetchone()[0]
    conn.execute("INSERT INTO ticket_episode VALUES (%s, %s)", [no, episode])
    finding = add_finding(conn, no)
    do(conn, no, Action.TAKE)
    new_no = reorder(conn, no, OrderKind.SUPPLIER, "Anna", "garanti", later(9))
    old, new = find(conn, no), find(conn, new_no)
    assert (old.state, old.order_kind, old.replaced_by_no) == ("void", "AU", new_no)
    assert (new.state, new.order_kind, new.replaces_no) == ("triaged", "supplier", no)
    assert (new.known_at, new.state_at, new.assignee) == (NOON, later(9), None)
    assert (new.title_sv, new.cause, new.version) == (old.title_sv, old.cause, 1)
    assert conn.execute("TABLE ticket_episode").fetchall() == [(new_no, episode)]
    assert conn.execute("TABLE ticket_finding").fetchall() == [(new_no, finding)]
    (*_, voided) = [event for event in history(conn, no) if event.kind == "voided"]
    assert voided.detail == {
        "from": "assigned", "to": "void", "reason": "other_order_kind",
        "new_kind": "supplier", "why": "garanti", "ticket_version": 3, "replaced_by": new_no,
    }  # fmt: skip
    opened = history(conn, new_no)[0]
    assert (opened.kind, opened.who, opened.detail["replaces"]) == ("opened", "Anna", no)
    sent = conn.execute("SELECT kind, payload ->> 'ticket_no' FROM outbox ORDER BY outbox_no")
    assert sent.fetchall()[-2:] == [("ticket.opened", str(new_no)), ("ticket.changed", str(no))]


def test_a_reorder_waits_while_diagnostics_works_on_the_device(url, conn):
    no = add_ticket(conn)
    device_no = find(conn, no).device_no
    conn.commit()
    with connect(url) as passing, connect(url) as person:
        lock_devices(passing, [device_no])
        person.execute("SET LOCAL lock_timeout = 50")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            reorder(person, no, OrderKind.SUPPORT, "Anna", "fel kö", NOON)
        person.rollback()
        do(person, no, Action.TAKE)
        passing.rollback()
        person.rollback()


def test_what_diagnostics_replaced_names_its_heir(conn):
    no = add_ticket(conn)
    conn.execute("UPDATE ticket SET state = 'void' WHERE ticket_no = %s", [no])
    heir = add_ticket(conn, kind="supplier")
    conn.execute("UPDATE ticket SET replaces_no = %s WHERE ticket_no = %s", [no, heir])
    assert find(conn, no).replaced_by_no == heir


def add_finding(conn, ticket_no) -> int:
    conn.execute(
        "INSERT INTO rule_version VALUES ('brake', 1, 'd', 'b', true, now(), 'us')"
        " ON CONFLICT DO NOTHING"
    )
    row = conn.execute(
        "INSERT INTO finding (tenant_no, device_no, subject, rule_id, rule_version, about, cause,"
        " need, severity, usability, fixer, component, started_at, last_at, known_at, confidence)"
        " SELECT tenant_no, device_no, 'device', 'brake', 1, 'vr2/3D00', cause, 'ticket',"
        " severity, usability, fixer, component, %s, %s, %s, 1 FROM ticket WHERE ticket_no = %s"
        " RETURNING finding_no",
        [NOON, NOON, NOON, ticket_no],
    ).fetchone()
    conn.execute("INSERT INTO ticket_finding VALUES (%s, %s)", [ticket_no, row[0]])
    return int(row[0])


def test_a_group_ticket_takes_its_singles_along(conn):
    group = conn.execute(
        "INSERT INTO ticket (tenant_no, subject, cause, order_kind, severity, usability, fixer,"
        " component, title_sv, title_en, body_sv, body_en, started_at, known_at, updated_at)"
        " SELECT tenant_no, 'model:m3', 'bus', 'AU', 'major', 'degraded', 'supplier', 'bus',"
        " 't', 't', 'b', 'b', %s, %s, %s FROM tenant WHERE id = 'r1' RETURNING ticket_no",
        [NOON] * 3,
    ).fetchone()[0]
    single = add_ticket(conn)
    conn.execute("UPDATE ticket SET incident_no = %s WHERE ticket_no = %s", [group, single])
    conn.execute("SELECT set_config('fjarrkoll.reach', 'centre', true)")
    with pytest.raises(OfSeveralCentresError):
        reorder(conn, group, OrderKind.SUPPLIER, "Anna", "samma fel på alla", NOON)
    with pytest.raises(OfSeveralCentresError):
        change(conn, group, Request(Action.VOID, "Anna", reason="duplicate"), NOON)
    conn.execute("SELECT set_config('fjarrkoll.reach', 'tenant', true)")
    new_no = reorder(conn, group, OrderKind.SUPPLIER, "Anna", "samma fel på alla", NOON)
    assert find(conn, single).incident_no == new_no
    assert (find(conn, new_no).device_id, find(conn, new_no).subject) == (None, "model:m3")
    with pytest.raises(psycopg.errors.UniqueViolation, match="ticket_one_open_per_group"):
        conn.execute(
            "UPDATE ticket SET state = 'new' WHERE ticket_no = %s",
            [group],
        )


def test_urgent_is_confirmed_once_by_a_person(conn):
    no = add_ticket(conn, because=["toilet", "transfer"])
    with pytest.raises(ActionRefusedError, match="system's own name"):
        confirm_urgent(conn, no, "diagnostics", NOON)
    new_no = confirm_urgent(conn, no, "Anna", NOON)
    new = find(conn, new_no)
    assert (new.order_kind, new.urgent_because) == ("akut AU", ["toilet", "transfer"])
    assert (find(conn, no).urgent_answer, new.urgent_answer) == ("confirmed", "confirmed")
    for number in (no, new_no):
        with pytest.raises(ActionRefusedError):
            confirm_urgent(conn, number, "Anna", NOON)
        with pytest.raises(ActionRefusedError):
            decline_urgent(conn, number, "Anna", "nej", NOON)


def test_urgent_is_declined_once_and_the_ticket_goes_on(conn):
    no = add_ticket(conn, because=["toilet"])
    decline_urgent(conn, no, "Anna", "har en reservstol", later(5))
    ticket = find(conn, no)
    assert (ticket.state, ticket.order_kind, ticket.urgent_answer) == ("new", "AU", "declined")
    assert (ticket.state_at, ticket.updated_at) == (NOON, later(5))
    assert history(conn, no)[-1].detail == {"why": "har en reservstol", "ticket_version": 2}
    with pytest.raises(ActionRefusedError, match="declined already"):
        confirm_urgent(conn, no, "Bo", NOON)
    akut = find(conn, reorder(conn, no, OrderKind.URGENT_REPAIR, "Bo", "stolen är borta", NOON))
    assert (akut.order_kind, akut.urgent_answer) == ("akut AU", "confirmed")


# Clocks


def stopped(conn, ticket_no) -> dict[str, datetime | None]:
    return {str(c.clock): c.stopped_at for c in clocks_of(conn, ticket_no, NOON).clocks}


def test_the_clocks_follow_what_people_do(conn):
    no = add_ticket(conn)
    open_clocks(conn, [no], NOON)
    due_at = find(conn, no).due_at
    assert due_at is not None
    do(conn, no, Action.TAKE, 1)
    do(conn, no, Action.WAIT, 2, reason=waiting_word(conn, no))
    change(conn, no, Request(Action.RESUME, "Anna"), NOON + 14 * DAY)
    assert find(conn, no).due_at > due_at, "two weeks of waiting do not count"
    change(conn, no, Request(Action.SOLVE, "Anna", outcome=Outcome.REAL_FAULT), NOON + 15 * DAY)
    assert None not in stopped(conn, no).values()
    change(conn, no, Request(Action.REOPEN, "Anna", "skaver"), NOON + 16 * DAY)
    assert stopped(conn, no)["finish"] is None


def test_a_ticket_waits_only_for_what_its_agreement_allows(conn):
    no = add_ticket(conn)
    open_clocks(conn, [no], NOON)
    do(conn, no, Action.TAKE)
    with pytest.raises(PauseRefusedError, match="use one of") as refused, conn.transaction():
        do(conn, no, Action.WAIT, reason="lunch")
    assert waiting_word(conn, no) in refused.value.allowed
    assert (find(conn, no).state, kinds(conn, no)) == ("assigned", ["opened", "assigned"])


def test_the_clocks_go_over_to_the_ticket_that_takes_the_place(conn):
    no = add_ticket(conn, because=["toilet"])
    open_clocks(conn, [no], NOON)
    new_no = confirm_urgent(conn, no, "Anna", later(30))
    assert None not in stopped(conn, no).values()
    assert None in stopped(conn, new_no).values()
    assert find(conn, new_no).due_at is not None


# Lists


def test_the_list_has_the_deadline_that_binds_first(conn):
    slow, soon, calm = (add_ticket(conn, cause=cause) for cause in ("bus", "battery", "motor"))
    conn.execute("DELETE FROM ticket_clock")
    for ticket_no, due_at in ((slow, NOON + 3 * DAY), (soon, NOON + DAY)):
        conn.execute(
            "INSERT INTO ticket_clock (ticket_no, tenant_no, clock, due_at, notify_at)"
            " SELECT ticket_no, tenant_no, 'finish', %s, %s FROM ticket WHERE ticket_no = %s",
            [due_at, due_at, ticket_no],
        )
    assert [row.ticket_no for row in listed(conn, tenant="r1")] == [soon, slow, calm]
    assert listed(conn)[0].due_at == NOON + DAY
    assert len(listed(conn, limit=1)) == 1
    do(conn, calm, Action.TAKE)
    assert [row.ticket_no for row in listed(conn, assignee="Anna")] == [calm]
    assert [row.ticket_no for row in listed(conn, state=State.NEW)] == [soon, slow]
    assert listed(conn, tenant="r2") == []
    do(conn, calm, Action.VOID, reason="test")
    assert [row.ticket_no for row in listed(conn, state=State.VOID)] == [calm]


# Repeat repairs and figures


@pytest.mark.parametrize(
    ("outcome", "days", "is_repeat"),
    [
        (Outcome.REAL_FAULT, 29, True),
        (Outcome.REAL_FAULT, 30, True),
        (Outcome.REAL_FAULT, 31, False),
        (Outcome.NO_FAULT_FOUND, 1, True),
        (Outcome.USER_ERROR, 1, False),
        (Outcome.REAL_FAULT, -1, False),
    ],
)
def test_a_repair_is_repeated_within_thirty_days(conn, outcome, days, is_repeat):
    no = add_ticket(conn)
    device_no = find(conn, no).device_no
    work_through(conn, no, outcome)
    found = repeat_of(conn, device_no, "left_brake", NOON + days * DAY)
    assert found == (no if is_repeat else None)
    assert repeat_of(conn, device_no, "bus", NOON + days * DAY) is None
    assert repeat_of(conn, device_no + 1, "left_brake", NOON + days * DAY) is None


def test_the_days_count_from_the_repair_not_from_its_closing(conn):
    no = add_ticket(conn)
    do(conn, no, Action.SOLVE, outcome=Outcome.REAL_FAULT)
    change(conn, no, Request(Action.CLOSE, "Anna", "ok"), NOON + 25 * DAY)
    device_no = find(conn, no).device_no
    assert repeat_of(conn, device_no, "left_brake", NOON + 40 * DAY) is None
    assert repeat_of(conn, device_no, "left_brake", NOON + 40 * DAY, within=41 * DAY) == no


def test_what_was_made_void_was_no_repair(conn):
    no = add_ticket(conn)
    do(conn, no, Action.VOID, reason="duplicate")
    assert repeat_of(conn, find(conn, no).device_no, "left_brake", NOON + DAY) is None


def test_the_newest_of_many_repairs_is_the_repeated_one(conn):
    first, other = add_ticket(conn), add_ticket(conn, cause="bus")
    device_no = find(conn, first).device_no
    work_through(conn, first)
    work_through(conn, other)
    second = add_ticket(conn, at=NOON + DAY)
    work_through(conn, second, at=NOON + DAY)
    keys = [(device_no, "left_brake"), (device_no, "bus"), (device_no, "motor")]
    assert repeats(conn, keys * 2, NOON + 2 * DAY) == {
        (device_no, "left_brake"): second,
        (device_no, "bus"): other,
    }
    assert repeats(conn, [], NOON) == {}


def held(conn, tenant, day=0):
    """Of the tickets first solved on a day: how many were repairs, and how many of them held."""
    enter(conn, Scope(tenant, Reach.TENANT))
    low = NOON + day * DAY
    facts = ticket_facts(conn, low, low + DAY)
    share = figures(facts, Span(low, low + DAY, NOON + 9 * DAY)).held
    return share.n, share.hit_n


def test_the_figures_count_what_came_back(conn):
    add_device(conn, "other-1", "m3", "r2")
    work_through(conn, add_ticket(conn, "other-1"))
    fixed, reopened, repeated = (add_ticket(conn, cause=c) for c in ("bus", "motor", "battery"))
    user = add_ticket(conn, cause="joystick")
    for ticket_no in (fixed, repeated):
        work_through(conn, ticket_no)
    work_through(conn, user, Outcome.USER_ERROR)
    do(conn, reopened, Action.SOLVE, outcome=Outcome.REAL_FAULT)
    do(conn, reopened, Action.REOPEN, 2, why="samma fel")
    do(conn, reopened, Action.SOLVE, 3, outcome=Outcome.REAL_FAULT)
    add_ticket(conn, cause="battery", at=NOON + DAY, repeats_no=repeated)
    assert held(conn, "r1") == (3, 1)
    assert held(conn, "r1", day=1) == (0, 0)
    assert held(conn, "r2") == (1, 1)


def test_a_repeat_that_was_a_mistake_does_not_count(conn):
    repaired = add_ticket(conn)
    work_through(conn, repaired)
    again = add_ticket(conn, at=NOON + DAY, repeats_no=repaired)
    assert held(conn, "r1") == (1, 0)
    new_no = reorder(conn, again, OrderKind.SUPPORT, "Anna", "fel kö", NOON)
    assert held(conn, "r1") == (1, 0), "it goes on as another"
    do(conn, new_no, Action.VOID, reason="false_alarm")
    assert held(conn, "r1") == (1, 1)


def test_similar_cases_are_of_the_same_cause_class_and_tenant(conn):
    for device, model, tenant in [
        ("chair-2", "m3", "r1"), ("chair-3", "f5", "r1"), ("chair-4", "m3", "r2"),
        ("apap-1", "air", "r1"),
    ]:  # fmt: skip
        add_device(conn, device, model, tenant)
    asked = add_ticket(conn)
    other_model = add_ticket(conn, "chair-3")
    same_model = add_ticket(conn, "chair-2")
    told = {"part": "bromsspole", "minutes": 30, "why": "glapp i kontakten"}
    work_through(conn, same_model, Outcome.PART_REPLACED, **told)
    work_through(conn, other_model, Outcome.NO_FAULT_FOUND, at=NOON + DAY)
    for device in ("chair-4", "apap-1"):
        work_through(conn, add_ticket(conn, device))
    work_through(conn, add_ticket(conn, "chair-2", cause="bus"))
    found = similar_cases(conn, asked)
    assert [case.ticket_no for case in found.cases] == [same_model, other_model]
    first = found.cases[0]
    assert (first.is_same_model, first.part, first.minutes) == (True, "bromsspole", 30)
    assert (first.outcome, first.said) == ("part_replaced", "glapp i kontakten")
    assert found.by_outcome == {"part_replaced": 1, "no_fault_found": 1}
    assert found.by_part == {"bromsspole": 1}
    few = similar_cases(conn, asked, limit=1)
    assert (len(few.cases), sum(few.by_outcome.values())) == (1, 2)


def test_a_rule_is_judged_by_what_its_tickets_came_to(conn):
    add_finding(conn, add_ticket(conn, cause="none"))
    for nth, outcome in enumerate([*Outcome, Outcome.REAL_FAULT]):
        no = add_ticket(conn, cause=f"c{nth}", rule_id="brake", rule_version=nth % 2 + 1)
        work_through(conn, no, outcome, part="batteri")
    add_ticket(conn, cause="open", rule_id="brake", rule_version=1)
    record = rule_record(conn, "brake")
    assert (record.hits, record.misses) == (4, 2)
    assert record.precision == pytest.approx(4 / 6)
    assert record.by_outcome[Outcome.REAL_FAULT] == 2
    assert rule_record(conn, "brake", 1).by_outcome[Outcome.REAL_FAULT] == 1
    assert rule_record(conn, "never-heard-of").precision is None


def test_diagnostics_may_ask_what_a_new_ticket_repeats(url, conn):
    no = add_ticket(conn)
    work_through(conn, no)
    device_no = find(conn, no).device_no
    conn.commit()
    with connect(url, role=ROLE) as own:
        assert repeats(own, [(device_no, "left_brake")], NOON + DAY) == {
            (device_no, "left_brake"): no
        }
        assert rule_record(own, "x").hits == 0
        own.rollback()


def test_the_api_may_do_what_people_do_and_no_more(url, conn):
    first, second = add_ticket(conn, because=["toilet"]), add_ticket(conn, cause="bus")
    add_finding(conn, first)
    open_clocks(conn, [first, second], NOON)
    conn.commit()
    with connect(url, role="fjarrkoll_api") as own:
        enter(own, Scope("r1", Reach.TENANT))
        akut = confirm_urgent(own, first, "Anna", NOON)
        do(own, akut, Action.TAKE)
        do(own, akut, Action.WAIT, 2, reason=waiting_word(own, akut))
        do(own, akut, Action.RESUME, 3)
        work_through(own, second)
        own.commit()
        for refused in (
            "UPDATE ticket SET order_kind = 'FU'",
            "UPDATE ticket SET title_sv = 'x'",
            "DELETE FROM ticket",
            "UPDATE ticket_event SET who = 'x'",
            "DELETE FROM ticket_event",
            "DELETE FROM ticket_episode",
            "DELETE FROM ticket_pause",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), own.transaction():
                own.execute(refused)


# Anything in any order


_ASKED = st.builds(
    Request,
    action=st.sampled_from(Action),
    who=st.sampled_from(["Anna", "Bo"]),
    why=st.sampled_from(["", "därför"]),
    assignee=st.sampled_from([None, "Cilla"]),
    reason=st.just("duplicate"),
    outcome=st.sampled_from([None, *Outcome]),
    part=st.sampled_from([None, "batteri"]),
    minutes=st.none() | st.integers(0, 90),
    new_kind=st.sampled_from(OrderKind),
)


class Walk(RuleBasedStateMachine):
    """People do anything to the tickets of one cause; the database must stay whole."""

    url = ""

    @initialize()
    def begin(self) -> None:
        self.conn = connect(self.url)
        self.current = self.opened()
        self.pause = waiting_word(self.conn, self.current)
        self.minute = 0

    def opened(self) -> int:
        ticket_no = add_ticket(self.conn, because=["toilet"])
        open_clocks(self.conn, [ticket_no], NOON)
        return ticket_no

    @rule(asked=_ASKED, is_stale=st.booleans())
    def ask(self, asked: Request, is_stale: bool) -> None:
        self.minute += 1
        if asked.action is Action.WAIT:
            asked = Request(asked.action, asked.who, asked.why, reason=self.pause)
        seen = 1 if is_stale else None
        with suppress(ActionRefusedError), self.conn.transaction():
            done = change(self.conn, self.current, asked, later(self.minute), seen)
            self.current = done.replaced_by_no or self.current

    @rule()
    def break_down_again(self) -> None:
        if find(self.conn, self.current).work.state in FINISHED:
            self.current = self.opened()

    @invariant()
    def at_most_one_is_open(self) -> None:
        rows = self.conn.execute(
            "SELECT ticket_no FROM ticket WHERE state NOT IN ('verified', 'closed', 'void')"
        ).fetchall()
        assert rows in ([], [(self.current,)])

    @invariant()
    def every_step_is_told_and_sent(self) -> None:
        for ticket_no, state, version in self.conn.execute(
            "SELECT ticket_no, state, version FROM ticket"
        ).fetchall():
            events = [e for e in history(self.conn, ticket_no) if e.who != "diagnostics"]
            peoples = [event for event in events if event.kind != "opened"]
            assert [event.detail["ticket_version"] for event in peoples] == list(
                range(2, version + 1)
            )
            steps = [(e.detail["from"], e.detail["to"]) for e in peoples if "to" in e.detail]
            assert all(old[1] == new[0] for old, new in pairwise(steps))
            assert not steps or steps[-1][1] == state
            sent = self.conn.execute(
                "SELECT count(*) FROM outbox WHERE aggregate = %s"
                " AND kind IN ('ticket.opened', 'ticket.changed')",
                [f"ticket:{ticket_no}"],
            ).fetchone()
            assert sent == (len(events),)

    @invariant()
    def each_replaced_ticket_has_one_heir(self) -> None:
        assert (
            self.conn.execute(
                "SELECT old.ticket_no FROM ticket old JOIN ticket heir"
                " ON heir.replaces_no = old.ticket_no GROUP BY old.ticket_no, old.state,"
                " old.order_kind HAVING count(*) > 1 OR old.state <> 'void'"
                " OR old.order_kind = min(heir.order_kind)"
            ).fetchall()
            == []
        )

    @invariant()
    def clocks_of_what_is_over_stand_still(self) -> None:
        assert (
            self.conn.execute(
                "SELECT ticket_no FROM ticket_clock JOIN ticket USING (ticket_no)"
                " WHERE stopped_at IS NULL AND state IN ('verified', 'closed', 'void')"
            ).fetchall()
            == []
        )

    def teardown(self) -> None:
        self.conn.rollback()
        self.conn.close()


def test_any_walk_leaves_the_database_whole(url):
    class Here(Walk):
        pass

    Here.url = url
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=25, stateful_step_count=15, deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
