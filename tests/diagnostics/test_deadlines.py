"""Ticks: notices before a deadline and breaches after it, each once, by many processes."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from diagnostics.deadlines import tick
from fleet.sla.calendar import SWEDEN
from fleet.sla.policies import Clock
from storage.connection import connect
from storage.deadlines import assign_agreement, open_clocks
from storage.diagnosis import ROLE


def swedish(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SWEDEN).astimezone(UTC)


MONDAY = swedish("2026-11-23T10:00")
START_DUE, FINISH_DUE = swedish("2026-11-26T16:00"), swedish("2026-12-07T16:00")
START_TOLD, FINISH_TOLD = swedish("2026-11-26T08:00"), swedish("2026-12-07T08:00")
SECOND = timedelta(seconds=1)


@pytest.fixture
def tickets(plain_database):
    """A function that makes so many tickets with clocks, and returns their numbers."""
    with connect(plain_database) as conn:
        conn.execute("INSERT INTO tenant (id, name) VALUES ('r1', 'R')")
        conn.execute("INSERT INTO model VALUES ('m', 'powered_wheelchair', 'maker', 'name')")
        conn.execute(
            "INSERT INTO device (id, tenant_no, model_id, shard)"
            " SELECT 'chair-1', tenant_no, 'm', 7 FROM tenant"
        )
        assign_agreement(conn, tenant="r1", policy_id="vgr", from_at=MONDAY, who="eva")

        def make(count: int = 1) -> list[int]:
            rows = conn.execute(
                "INSERT INTO ticket (device_no, tenant_no, cause, order_kind, severity, usability,"
                " fixer, component, title_sv, title_en, body_sv, body_en, started_at, known_at,"
                " updated_at) SELECT device_no, tenant_no, 'c' || n, 'AU', 'major', 'usable',"
                " 'technician', 'battery', 't', 't', 'b', 'b', %(at)s, %(at)s, %(at)s"
                " FROM device, generate_series(1, %(n)s) AS n RETURNING ticket_no",
                {"at": MONDAY, "n": count},
            ).fetchall()
            numbers = [row[0] for row in rows]
            open_clocks(conn, numbers, MONDAY)
            conn.commit()
            return numbers

        yield make


@pytest.fixture
def process(plain_database):
    """A connection with the rights of the process."""
    with connect(plain_database, role=ROLE) as conn:
        yield conn
        conn.rollback()


@pytest.fixture
def look(plain_database):
    with psycopg.connect(plain_database, autocommit=True) as conn:
        yield lambda query: conn.execute(query).fetchall()


def test_nothing_is_done_before_its_time(tickets, process):
    tickets()
    result = tick(process, START_TOLD - SECOND)
    assert (result.noticed, result.breached, result.is_full) == ((), (), False)


def test_a_notice_is_drafted_once_before_the_deadline(tickets, process, look):
    (number,) = tickets()
    assert tick(process, START_TOLD).noticed == ((number, Clock.START),)
    assert tick(process, START_TOLD + SECOND).noticed == ()
    process.commit()
    ((kind, who, detail),) = look("SELECT kind, who, detail FROM ticket_event")
    assert (kind, who) == ("notice_drafted", "diagnostics")
    assert detail["text_sv"].startswith(f"Ärende {number} om chair-1 ska påbörjas senast")
    assert detail["text_en"].startswith(f"Ticket {number} about chair-1 is to begin by")
    assert detail["clause"] == "Avhjälpande underhåll: påbörjas inom 3 arbetsdagar"
    ((aggregate, kind, payload),) = look("SELECT aggregate, kind, payload FROM outbox")
    assert (aggregate, kind) == (f"ticket:{number}", "prescriber.notice")
    assert payload["subject_sv"] == f"Ärende {number} riskerar att bli försenat"
    assert datetime.fromisoformat(payload["due_at"]) == START_DUE
    assert (payload["device"], payload["tenant"], payload["order_kind"]) == ("chair-1", "r1", "AU")


def test_a_breach_is_recorded_once_and_each_clock_by_itself(tickets, process, look):
    (number,) = tickets()
    tick(process, START_TOLD)
    assert tick(process, START_DUE).breached == ()
    assert tick(process, START_DUE + SECOND).breached == ((number, Clock.START),)
    assert tick(process, FINISH_TOLD).breached == ()
    assert tick(process, FINISH_DUE + SECOND).breached == ((number, Clock.FINISH),)
    assert tick(process, FINISH_DUE + timedelta(days=30)).breached == ()
    process.commit()
    events = look("SELECT kind, detail ->> 'clock' FROM ticket_event ORDER BY event_no")
    assert events == [
        ("notice_drafted", "start"), ("deadline_breached", "start"),
        ("notice_drafted", "finish"), ("deadline_breached", "finish"),
    ]  # fmt: skip
    sent = look("SELECT kind, payload ->> 'clock' FROM outbox ORDER BY outbox_no")
    assert sent == [
        ("prescriber.notice", "start"), ("ticket.deadline_breached", "start"),
        ("prescriber.notice", "finish"), ("ticket.deadline_breached", "finish"),
    ]  # fmt: skip


def test_a_notice_after_a_standstill_says_late_instead_of_warning(tickets, process, look):
    tickets()
    result = tick(process, START_DUE + SECOND)
    assert (len(result.noticed), len(result.breached)) == (1, 1)
    process.commit()
    texts = look("SELECT payload ->> 'subject_en' FROM outbox")
    assert {text.split(" ", 2)[2] for (text,) in texts} == {"is late"}


def test_a_clock_that_is_stopped_is_left_alone(tickets, process):
    tickets()
    process.execute("UPDATE ticket_clock SET stopped_at = %s", [MONDAY])
    result = tick(process, FINISH_DUE + SECOND)
    assert (result.noticed, result.breached) == ((), ())


def test_a_tick_takes_no_more_than_its_limit_and_says_so(tickets, process):
    tickets(5)
    sizes = []
    while (result := tick(process, START_DUE + SECOND, 2)).is_full:
        sizes.append((len(result.noticed), len(result.breached)))
    assert sizes == [(2, 2), (2, 2)]
    assert (len(result.noticed), len(result.breached)) == (1, 1)


def test_a_tick_that_is_rolled_back_has_told_nobody(tickets, process, look):
    tickets()
    tick(process, START_DUE + SECOND)
    process.rollback()
    assert look("SELECT count(*) FROM outbox") == [(0,)]
    assert len(tick(process, START_DUE + SECOND).breached) == 1


def test_two_processes_share_the_work_and_never_do_it_twice(tickets, plain_database, look):
    numbers = tickets(6)
    with connect(plain_database, role=ROLE) as one, connect(plain_database, role=ROLE) as two:
        first = tick(one, START_DUE + SECOND, 4)
        second = tick(two, START_DUE + SECOND, 4)
        one.commit()
        two.commit()
        rest = tick(two, START_DUE + SECOND, 4)
        two.commit()
    assert (len(first.breached), len(second.breached), len(rest.breached)) == (4, 2, 0)
    done = [number for number, _ in (*first.breached, *second.breached)]
    assert sorted(done) == sorted(numbers)
    assert look("SELECT count(*), count(DISTINCT ticket_no) FROM ticket_event") == [(12, 6)]


def test_racing_processes_record_every_breach_exactly_once(tickets, plain_database, look):
    tickets(40)
    barrier, done = threading.Barrier(4), []

    def work() -> None:
        with connect(plain_database, role=ROLE) as conn:
            barrier.wait()
            for _ in range(20):
                done.extend(tick(conn, START_DUE + SECOND, 3).breached)
                conn.commit()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == len(set(done)) == 40
    counts = look("SELECT kind, count(*) FROM outbox GROUP BY kind ORDER BY kind")
    assert counts == [("prescriber.notice", 40), ("ticket.deadline_breached", 40)]


def test_a_ticket_that_somebody_is_changing_is_skipped_and_taken_later(
    tickets, plain_database, process
):
    numbers = tickets(2)
    with connect(plain_database) as person:
        person.execute("UPDATE ticket SET version = 2 WHERE ticket_no = %s", [numbers[0]])
        assert tick(process, START_DUE + SECOND).breached == ((numbers[1], Clock.START),)
        process.commit()
        person.commit()
    assert tick(process, START_DUE + SECOND).breached == ((numbers[0], Clock.START),)


def test_a_ticket_of_a_newer_release_is_told_of_in_its_own_words(tickets, process, look):
    tickets()
    process.execute("UPDATE ticket SET policy_version = 99")
    tick(process, START_TOLD)
    process.commit()
    ((agreement, clause),) = look(
        "SELECT payload ->> 'agreement', payload ->> 'clause' FROM outbox"
    )
    assert agreement == "vgr"
    assert clause.startswith("Avhjälpande underhåll: påbörjas inom 3 arbetsdagar; ")
