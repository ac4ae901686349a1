"""Faults without a ticket of their own stand on the ticket of what explains them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from api.explained import explained
from storage.reading import EpisodeRow

START = datetime(2026, 11, 20, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BATTERY, BUS, JOYSTICK, MOTOR = ("vr2", "2C00"), ("vr2", "5400"), ("vr2", "7100"), ("vr2", "3B00")


def episode(number, fault, start_min=0, end_min=30):
    start, end = START + MINUTE * start_min, START + MINUTE * end_min
    return EpisodeRow(number, *fault, start, end, end, 1, 1, 0, start)


def words(causes, others):
    found = explained(causes, others, START + timedelta(days=1))
    return [(one.fault.code, one.episode_n, one.why.sv) for one in found]


def test_a_low_battery_explains_what_came_with_it():
    others = [episode(2, JOYSTICK, 1, 5), episode(3, JOYSTICK, 9, 12), episode(4, MOTOR, 2, 4)]
    ((code, times, why),) = words([episode(1, BATTERY)], others)
    assert (code, times) == ("7100", 2)
    assert why.startswith("Batterispänningen var för låg.")


@pytest.mark.parametrize(
    ("causes", "others"),
    [
        ([], [episode(2, JOYSTICK, 1, 5)]),
        ([episode(1, BATTERY)], []),
        ([episode(1, MOTOR)], [episode(2, JOYSTICK, 1, 5)]),
        ([episode(1, BATTERY)], [episode(2, JOYSTICK, 300, 305)]),
        ([episode(1, BATTERY)], [episode(2, BATTERY, 3, 5)]),
    ],
)
def test_nothing_is_called_a_consequence_without_its_cause(causes, others):
    assert words(causes, others) == []


def test_the_page_says_what_is_ruled_out_as_a_fault_of_its_own(client, fleet):
    with psycopg.connect(fleet.url, autocommit=True) as conn:
        numbers = [_episode(conn, fleet, code) for code in ("2C00", "7100")]
        conn.execute("INSERT INTO ticket_episode VALUES (1, %s)", numbers[:1])
        _explained(conn, numbers[1])
        try:
            swedish = client.get("/tickets/1?lang=sv").text
            english = client.get("/tickets/1?lang=en").text
        finally:
            conn.execute("DELETE FROM finding WHERE finding_no = 999999")
            conn.execute("DELETE FROM ticket_episode WHERE episode_no = ANY(%s)", (numbers,))
            conn.execute("DELETE FROM episode WHERE episode_no = ANY(%s)", (numbers,))
    part = swedish.partition("Uteslutet som egna fel</h3>")[2].partition("</section>")[0]
    assert '<span class="code">7100</span> Styrspaksfel' in part
    assert "Batterispänningen var för låg." in part
    assert "Ruled out as faults of their own" in english
    assert "The battery voltage was too low." in english
    assert "Uteslutet som egna fel" not in client.get("/tickets/1?lang=sv").text


def _episode(conn, fleet, code):
    at = fleet.now - timedelta(hours=3)
    row = conn.execute(
        "INSERT INTO episode (device_no, system, code, started_at, last_at, ended_at, raised_n,"
        " cleared_n, logged_n, first_received_at) SELECT device_no, 'vr2', %s, %s, %s, %s, 1, 1, 0,"
        " %s FROM ticket WHERE ticket_no = 1 RETURNING episode_no",
        (code, at, at, at, at),
    ).fetchone()
    return row[0]


def _explained(conn, episode_no):
    """A finding as diagnostics keeps it, made of one that the ticket has."""
    conn.execute(
        "CREATE TEMP TABLE one AS SELECT f.* FROM finding AS f"
        " JOIN ticket_finding USING (finding_no) WHERE ticket_no = 1 LIMIT 1"
    )
    conn.execute(
        "UPDATE one SET finding_no = 999999, need = 'explained', about = 'vr2/7100',"
        " detail = jsonb_build_object('episodes', jsonb_build_array(%s::bigint))",
        (episode_no,),
    )
    conn.execute("INSERT INTO finding OVERRIDING SYSTEM VALUE SELECT * FROM one")
