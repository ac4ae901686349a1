"""Passes over the inbox, on both kinds of server, with the rights of the process."""

from __future__ import annotations

import random
import threading
from datetime import timedelta

import pytest

from diagnostics.passes import diagnose, work_agenda
from diagnostics.rulebook import Rules
from fleet import episodes
from fleet.tickets import SETTLE
from storage.connection import connect
from storage.diagnosis import take_inbox

LATE = timedelta(hours=48)


def test_a_raise_becomes_an_episode_a_ticket_an_event_and_a_delivery(world, report):
    device_no = world.device()
    world.report(device_no, report(0, "raised"))
    (result,) = world.diagnose()
    assert (result.taken_n, result.episode_n, len(result.opened)) == (1, 1, 1)
    assert [row[1:4] for row in world.tickets()] == [("left_motor", "new", "AU")]
    assert world.event_kinds() == ["opened", "urgent_proposed"]
    assert world.rows("SELECT aggregate, kind, payload ->> 'device' FROM outbox") == [
        (f"ticket:{result.opened[0]}", "ticket.opened", "chair-1")
    ]
    assert world.rows("SELECT count(*) FROM inbox") == [(0,)]


def test_a_pass_over_the_same_rows_again_changes_nothing(world, report):
    device_no = world.device()
    world.report(device_no, report(0, "raised"), report(3, "cleared"), report(4, "raised"))
    world.diagnose()
    before = world.picture(), world.rows("SELECT * FROM ticket"), world.rows("SELECT * FROM outbox")
    world.conn.execute(
        "INSERT INTO inbox (device_no, epoch, seq, received_at)"
        " SELECT device_no, epoch, seq, received_at FROM fault_event"
    )
    world.diagnose()
    after = world.picture(), world.rows("SELECT * FROM ticket"), world.rows("SELECT * FROM outbox")
    assert after == before


@pytest.mark.parametrize(
    ("fault", "device_class", "expected"),
    [
        (("vr2", "3D00"), "powered_wheelchair", ("left_motor", "AU", "critical")),
        (("vr2", "7100"), "powered_wheelchair", ("joystick", "AU", "major")),
        (("vr2", "FFFF"), "powered_wheelchair", ("vr2/FFFF", "AU", "major")),
        (("acme", "E9"), "powered_wheelchair", ("acme/E9", "supplier", "major")),
        (("acme", "E9"), "scale", ("acme/E9", "supplier", "major")),
        (("gatt.2bed.scale", "x"), "scale", ("gatt.2bed.scale/x", "support", "major")),
    ],
)
def test_who_gets_the_order(world, report, fault, device_class, expected):
    device_no = world.device(device_class=device_class)
    system, code = fault
    world.report(device_no, report(0, "raised", code, system))
    world.diagnose()
    assert world.rows("SELECT cause, order_kind, severity FROM ticket") == [expected]


@pytest.mark.parametrize("code", ["2C00", "7902"])
def test_what_the_user_can_fix_or_is_minor_is_an_episode_only(world, report, code):
    world.report(world.device(), report(0, "raised", code))
    world.diagnose()
    assert world.rows("SELECT code FROM episode") == [(code,)]
    assert world.tickets() == []


def test_a_clear_leaves_the_ticket_open_and_says_so(world, report):
    device_no = world.device()
    world.report(device_no, report(0, "raised"))
    world.diagnose()
    world.report(device_no, report(5, "cleared"))
    world.diagnose()
    assert world.rows("SELECT state, is_active, version FROM ticket") == [("new", False, 2)]
    assert world.event_kinds() == ["cleared", "opened", "urgent_proposed"]
    kinds = world.rows("SELECT kind, payload -> 'events' FROM outbox ORDER BY outbox_no")
    assert kinds == [("ticket.opened", ["opened"]), ("ticket.changed", ["cleared"])]


def test_flapping_is_one_episode_one_ticket_and_few_deliveries(world, report):
    device_no = world.device()
    for minute in range(0, 40, 4):
        world.report(device_no, report(minute, "raised"))
        world.diagnose()
        world.report(device_no, report(minute + 2, "raised"))
        world.diagnose()
    assert world.rows("SELECT raised_n FROM episode") == [(20,)]
    ((*_, title),) = world.tickets()
    assert title.endswith("20\N{NO-BREAK SPACE}gånger")
    assert world.rows("SELECT count(*) FROM outbox") == [(1,)]


def test_several_codes_of_one_component_are_one_ticket(world, report):
    device_no = world.device()
    world.report(device_no, report(0, "raised", "3D00"))
    world.diagnose()
    world.report(device_no, report(1, "raised", "3D01"), report(2, "raised", "7100"))
    world.diagnose()
    assert [row[1] for row in world.tickets()] == ["left_motor", "joystick"]
    assert sorted(set(world.event_kinds())) == ["evidence_added", "opened", "urgent_proposed"]
    assert world.rows("SELECT count(*) FROM ticket_episode") == [(3,)]


def test_a_known_fault_that_turns_out_worse_raises_the_severity(world, report):
    device_no = world.device()
    world.report(device_no, report(0, "raised", "skip"), report(0, "raised", "7100"))
    world.diagnose()
    world.conn.execute("UPDATE ticket SET severity = 'minor'")
    world.report(device_no, report(1, "raised", "7101"))
    world.diagnose()
    found = world.rows("SELECT severity, order_kind FROM ticket WHERE cause = 'joystick'")
    assert found == [("major", "AU")]
    assert "severity_raised" in world.event_kinds()


def test_an_old_fault_that_was_over_when_we_heard_of_it_is_history(world, report):
    device_no = world.device()
    world.report(device_no, report(0, "raised", late=LATE), report(5, "cleared", late=LATE))
    world.diagnose()
    assert world.rows("SELECT raised_n, cleared_n FROM episode") == [(1, 1)]
    assert world.tickets() == []


def test_an_old_raise_waits_for_its_clear(world, report, noon):
    device_no = world.device()
    world.report(device_no, report(0, "raised", late=LATE))
    (result,) = world.diagnose(noon + LATE)
    assert (result.held_n, result.opened) == (1, ())
    assert world.rows("SELECT count(*) FROM inbox") == [(1,)]
    world.report(device_no, report(5, "cleared", late=LATE))
    world.diagnose(noon + LATE + timedelta(minutes=6))
    assert world.tickets() == []
    assert world.rows("SELECT count(*) FROM inbox") == [(0,)]


def test_an_old_raise_without_a_clear_is_a_ticket_once_it_has_settled(world, report, noon):
    device_no = world.device()
    world.report(device_no, report(0, "raised", late=LATE))
    world.diagnose(noon + LATE)
    world.diagnose(noon + LATE + SETTLE)
    assert [row[1] for row in world.tickets()] == ["left_motor"]


def test_a_clear_that_came_much_later_makes_an_untouched_ticket_void(world, report, noon):
    device_no = world.device()
    world.report(device_no, report(0, "raised", late=LATE))
    world.diagnose(noon + LATE + SETTLE)
    world.report(device_no, report(5, "cleared", late=LATE))
    world.diagnose(noon + LATE + SETTLE)
    assert world.rows("SELECT state FROM ticket") == [("void",)]
    assert world.event_kinds() == ["opened", "urgent_proposed", "voided"]


def test_a_solved_ticket_comes_back_when_the_fault_does(world, report, noon):
    device_no = world.device()
    world.report(device_no, report(0, "raised"), report(1, "cleared"))
    world.diagnose()
    _set_state(world, "solved", noon + timedelta(hours=1))
    world.report(device_no, report(30, "raised"), report(31, "cleared"))
    world.diagnose()
    assert world.rows("SELECT state FROM ticket") == [("solved",)], "that was before the repair"
    world.report(device_no, report(90, "raised"))
    world.diagnose()
    assert world.rows("SELECT state FROM ticket") == [("new",)]
    assert "recurred" in world.event_kinds()


@pytest.mark.parametrize(
    ("state", "minute", "states"),
    [
        pytest.param("verified", 30, ["verified"], id="reported before the repair was verified"),
        pytest.param("verified", 90, ["verified", "new"], id="reported after it"),
        pytest.param("void", 90, ["void"], id="a person said that this is nothing"),
    ],
)
def test_a_finished_ticket_answers_for_its_episode(world, report, state, minute, states):
    device_no = world.device()
    world.report(device_no, report(0, "raised"))
    world.diagnose()
    _set_state(world, state, report(60, "raised").at)
    world.report(device_no, report(minute, "raised"))
    world.diagnose()
    assert [row[2] for row in world.tickets()] == states


def test_a_new_episode_after_a_void_ticket_is_a_new_ticket(world, report, noon):
    device_no = world.device()
    world.report(device_no, report(0, "raised"), report(1, "cleared"))
    world.diagnose()
    _set_state(world, "void", noon + timedelta(hours=1))
    world.report(device_no, report(90, "raised"))
    world.diagnose()
    assert [row[2] for row in world.tickets()] == ["void", "new"]


def _set_state(world, state, at):
    world.conn.execute("UPDATE ticket SET state = %s, state_at = %s", [state, at])


def test_tickets_follow_episodes_that_merge(world, report):
    device_no = world.device()
    world.report(device_no, report(0, "raised"), report(1, "cleared"))
    world.report(device_no, report(20, "raised"), report(21, "cleared"))
    world.diagnose()
    before = world.rows("SELECT min(episode_no) FROM episode")
    world.report(device_no, report(8, "raised"), report(11, "cleared"))
    world.diagnose()
    assert world.rows("SELECT episode_no FROM episode") == before
    assert world.rows("SELECT count(*) FROM ticket_episode") == [(1,)]


def _day(generator):
    """A day of two devices: flapping, several codes, logs, clears without raises."""
    codes = ["3D00", "3D01", "7100", "2C00", "FFFF"]
    states = ["raised", "raised", "cleared", "cleared", "logged"]
    for _ in range(120):
        state = generator.choice(states)
        yield (
            generator.choice([0, 1]),
            {
                "minute": generator.randrange(0, 24 * 60, 2),
                "state": state,
                "code": generator.choice(codes),
                "count": generator.randrange(6) if state == "logged" else None,
                "late": timedelta(minutes=generator.randrange(1, 60)),
            },
        )


@pytest.mark.parametrize(("seed", "max_events"), [(0, 1_000), (1, 1_000), (2, 5)])
def test_any_permutation_in_any_batches_gives_the_same_episodes_and_tickets(
    world, report, noon, monkeypatch, seed, max_events
):
    monkeypatch.setattr(episodes, "MAX_EVENTS", max_events)
    generator = random.Random(seed)
    devices = [world.device("chair-1"), world.device("chair-2")]
    day = [world.numbered(devices[which], report(**fields)) for which, fields in _day(generator)]
    pictures = []
    for _ in range(4):
        world.conn.execute(
            "TRUNCATE fault_event, inbox, episode, ticket, ticket_event, ticket_episode, outbox,"
            " finding, ticket_finding, ticket_clock, ticket_pause, agenda CASCADE"
        )
        shuffled = generator.sample(day, len(day))
        while shuffled:
            size = generator.randint(1, 40)
            world.store(shuffled[:size])
            world.diagnose(noon + timedelta(days=3), limit=generator.randint(1, 30))
            shuffled = shuffled[size:]
        pictures.append(world.picture())
    assert pictures[0]["tickets"]
    for picture in pictures[1:]:
        for name, rows in picture.items():
            assert set(map(repr, rows)) == set(map(repr, pictures[0][name])), name


def test_sixteen_racing_processes_open_one_ticket_per_cause(world, report):
    devices = [world.device(f"chair-{n}") for n in range(3)]
    for device_no in devices:
        world.report(device_no, *(report(minute, "raised") for minute in range(16)))
    start = threading.Barrier(16)
    failures = []

    def race() -> None:
        try:
            with connect(world.url, role="fjarrkoll_diagnose") as conn:
                start.wait()
                for _ in range(4):
                    _, noon = conn.rollback(), world.rows("SELECT now()")[0][0]
                    diagnose(conn, Rules().book(conn), noon, take_inbox(conn, noon, 1))
                    conn.commit()
        except Exception as exc:
            failures.append(exc)

    threads = [threading.Thread(target=race) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert world.rows("SELECT count(*), count(DISTINCT device_no) FROM ticket") == [(3, 3)]
    assert world.rows("SELECT raised_n FROM episode") == [(16,)] * 3


def test_sixty_four_writers_race_to_open_one_ticket(world, report, noon):
    """Each takes one record of one fault, when all have begun: one ticket, no error, one delivery.

    The same records are offered over and over, so that late writers meet a ticket that is open.
    """
    device_no = world.device()
    world.report(device_no, *(report(minute / 10, "raised") for minute in range(64)))
    now = noon + timedelta(hours=1)
    start = threading.Barrier(64)
    failures, opened = [], []
    book = _book(world)

    def race() -> None:
        try:
            with connect(world.url, role="fjarrkoll_diagnose") as conn:
                start.wait()
                result = diagnose(conn, book, now, take_inbox(conn, now, 1))
                conn.commit()
                opened.extend(result.opened)
        except Exception as exc:
            failures.append(exc)

    threads = [threading.Thread(target=race) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    world.diagnose(now)
    assert failures == []
    assert len(opened) == 1
    assert world.rows("SELECT count(*) FROM ticket") == [(1,)]
    assert world.rows("SELECT raised_n FROM episode") == [(64,)]
    assert world.rows("SELECT kind, count(*) FROM outbox GROUP BY kind") == [("ticket.opened", 1)]
    assert world.rows("SELECT count(*) FROM inbox") == [(0,)]


def test_writers_of_faults_and_of_values_race_for_one_cause(plain_world, report, noon):
    """Both loops want a ticket about one battery: one opens it, the other adds to it."""
    world = plain_world
    device_no = world.device()
    world.sag(device_no, noon - timedelta(hours=6))
    now = noon + timedelta(days=2)
    world.roll_up(now)
    world.report(device_no, report(0, "raised", "1600", "egis", late=timedelta(days=1)))
    start = threading.Barrier(2)
    failures = []
    book = _book(world)

    def race(work) -> None:
        try:
            with connect(world.url, role="fjarrkoll_diagnose") as conn:
                start.wait()
                work(conn)
                conn.commit()
        except Exception as exc:
            failures.append(exc)

    later = now + timedelta(minutes=2)
    works = (
        lambda conn: diagnose(conn, book, later, take_inbox(conn, later, 5)),
        lambda conn: work_agenda(conn, book, later, 5),
    )
    threads = [threading.Thread(target=race, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    world.look(later)  # a device that the other loop held is passed over, and looked at next time
    assert [row[1:3] for row in world.tickets()] == [("battery", "new")]
    rules = world.rows(
        "SELECT rule_id FROM ticket_finding JOIN finding USING (finding_no) ORDER BY 1"
    )
    assert {row[0] for row in rules} >= {"pack-voltage-under-load", "reported-fault"}


def _book(world):
    with connect(world.url) as conn:
        return Rules().book(conn)
