"""The store of diagnostics by itself; what passes make of it is tested in tests/diagnostics."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import psycopg
import pytest
from support.findings import reported

from fleet.drafts import draft
from fleet.episodes import Episode, Stored
from fleet.words import DeviceClass
from storage.connection import connect
from storage.diagnosis import (
    ROLE,
    EpisodeChanges,
    FaultKey,
    InboxRow,
    finish_inbox,
    inbox_depth,
    save_episodes,
    take_inbox,
)
from storage.findings import Subject
from storage.queries import load_queries
from storage.raising import LostRaceError, NewTicket, TicketKey, insert_tickets, open_tickets

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
EPISODE = Episode(NOON, NOON, None, 1, 0, 0, NOON)
DRAFT = draft(DeviceClass.POWERED_WHEELCHAIR, reported([("vr2/3D00", EPISODE)]))


@pytest.fixture
def device(admin) -> Subject:
    admin.execute("INSERT INTO tenant (id, name) VALUES ('r1', 'R')")
    admin.execute("INSERT INTO model VALUES ('m', 'powered_wheelchair', 'maker', 'name')")
    row = admin.execute(
        "INSERT INTO device (id, tenant_no, model_id, shard)"
        " SELECT 'chair-1', tenant_no, 'm', 7 FROM tenant RETURNING device_no, tenant_no"
    ).fetchone()
    return Subject(row[1], row[0])


def test_of_sixteen_racing_writers_without_any_lock_one_opens_the_ticket(database, admin, device):
    start, won, lost = threading.Barrier(16), [], []

    def race() -> None:
        with connect(database, role=ROLE) as conn:
            start.wait()
            try:
                won.append(insert_tickets(conn, [NewTicket(device, DRAFT)], NOON))
                conn.commit()
            except LostRaceError:
                conn.rollback()
                lost.append(1)

    threads = [threading.Thread(target=race) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 15)
    assert admin.execute("SELECT ticket_no FROM ticket").fetchall() == [tuple(won[0].values())]


def test_a_second_open_ticket_of_a_cause_is_refused_by_the_database(database, device):
    with connect(database, role=ROLE) as conn:
        insert_tickets(conn, [NewTicket(device, DRAFT)], NOON)
        with pytest.raises(psycopg.errors.UniqueViolation, match="ticket_one_open_per_cause"):
            conn.execute(
                "INSERT INTO ticket (device_no, tenant_no, cause, order_kind, severity, usability,"
                " fixer, component, title_sv, title_en, body_sv, body_en, started_at, known_at,"
                " updated_at) SELECT device_no, tenant_no, cause, order_kind, severity, usability,"
                " fixer, component, title_sv, title_en, body_sv, body_en, started_at, known_at,"
                " updated_at FROM ticket"
            )
        conn.rollback()


def test_a_ticket_reads_back_as_it_was_drafted(database, device):
    with connect(database, role=ROLE) as conn:
        (number,) = insert_tickets(conn, [NewTicket(device, DRAFT)], NOON).values()
        key = TicketKey(device.device_no, DRAFT.cause)
        ticket = open_tickets(conn, [key, TicketKey(device.device_no, "brake")])[key]
        assert (ticket.ticket_no, ticket.draft, ticket.state_at) == (number, DRAFT, NOON)
        conn.rollback()


def test_two_takers_never_hold_the_same_record(database, admin, device):
    _fill_inbox(admin, device, 5)
    with connect(database, role=ROLE) as first, connect(database, role=ROLE) as second:
        taken = [take_inbox(conn, NOON, 3) for conn in (first, second)]
        assert [[row.seq for row in rows] for rows in taken] == [[1, 2, 3], [4, 5]]
        first.rollback()
        second.rollback()


def test_a_held_record_is_taken_again_when_it_is_due(database, admin, device):
    _fill_inbox(admin, device, 1)
    later = NOON.replace(hour=13)
    with connect(database, role=ROLE) as conn:
        taken = take_inbox(conn, NOON, 9)
        finish_inbox(conn, taken, {device.device_no: later})
        assert take_inbox(conn, NOON, 9) == []
        assert inbox_depth(conn, NOON) == (0, None)
        assert take_inbox(conn, later, 9) == taken
        assert inbox_depth(conn, later) == (1, NOON)
        conn.rollback()


def test_an_open_episode_may_close_while_another_opens(database, device):
    key = FaultKey(device.device_no, "vr2", "3D00")
    later = NOON.replace(hour=13)
    over = Episode(NOON, NOON, NOON, 1, 1, 0, NOON)
    reopened = Episode(later, later, None, 1, 0, 0, NOON)
    with connect(database, role=ROLE) as conn:
        first = save_episodes(conn, EpisodeChanges([], [(key, EPISODE)], []))
        assert save_episodes(conn, EpisodeChanges([], [], [])) == {}
        old = Stored(first[key, NOON], over)
        (number,) = save_episodes(conn, EpisodeChanges([old], [(key, reopened)], [])).values()
        ended = Episode(later, later, later, 1, 1, 0, NOON)
        back = [Stored(old.episode_no, EPISODE), Stored(number, ended)]
        save_episodes(conn, EpisodeChanges(back, [], []))
        conn.rollback()


def _fill_inbox(admin, device, count):
    for seq in range(1, count + 1):
        admin.execute(
            "INSERT INTO inbox (device_no, epoch, seq, received_at) VALUES (%s, 'e', %s, %s)",
            [device.device_no, seq, NOON],
        )


def test_faults_are_read_by_index(admin, device):
    admin.execute(
        "INSERT INTO fault_event (device_no, epoch, seq, idx, system, code, state, count, at,"
        " received_at, clock) SELECT %s, '9f2c61d0a4b7e813', i, 0, 'vr2', (i %% 50)::text,"
        " CASE i %% 3 WHEN 0 THEN 'logged' ELSE 'raised' END, i, now() - i * interval '1 min',"
        " now(), 0 FROM generate_series(1, 20000) i",
        [device.device_no],
    )
    admin.execute("VACUUM ANALYZE fault_event")
    queries = load_queries("diagnosis.sql")
    record = InboxRow(1, device.device_no, "9f2c61d0a4b7e813", 7, NOON)
    devices = {"devices": [record.device_no] * 3}
    touched = devices | {"epochs": [record.epoch] * 3, "seqs": [7, 8, 9], "flap_window": "10 min"}
    wanted = devices | {"systems": ["vr2"] * 3, "codes": list("123"), "from_at": [NOON] * 3}
    for name, parameters in (("touched_faults", touched), ("fault_events", wanted)):
        plan = admin.execute(f"EXPLAIN {queries[name]}", parameters).fetchall()
        text = "\n".join(row[0] for row in plan)
        assert "Seq Scan on fault_event" not in text, name
        if name == "touched_faults":
            assert "fault_event_logged" in text
