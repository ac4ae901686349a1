"""The clocks of tickets in the database: opened, paused, stopped, missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from fleet.sla.calendar import SWEDEN
from fleet.sla.policies import Clock, UnknownPolicyError
from fleet.ticket_actions import ActionRefusedError
from fleet.ticket_states import State
from storage.connection import connect
from storage.deadlines import (
    AgreementError,
    PauseRefusedError,
    agreement_of,
    assign_agreement,
    clocks_of,
    moved,
    open_clocks,
    record_breaches,
    take_to_breach,
    take_to_notify,
)
from storage.diagnosis import ROLE
from storage.migrate import migrate


def swedish(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SWEDEN).astimezone(UTC)


MONDAY = swedish("2026-11-23T10:00")
START_DUE, FINISH_DUE = swedish("2026-11-26T16:00"), swedish("2026-12-07T16:00")


class World:
    """A tenant with a centre, a chair there and a scale without one, and tickets about them."""

    def __init__(self, conn: psycopg.Connection) -> None:
        self.conn = conn
        self.run("INSERT INTO tenant (id, name) VALUES ('r1', 'R')")
        self.run("INSERT INTO centre (tenant_no, id, name) SELECT tenant_no, 'c1', 'C' FROM tenant")
        for name in ("powered_wheelchair", "scale", "hovercraft"):
            self.run("INSERT INTO model VALUES (%s, %s, 'maker', 'name')", name, name)
        for name, model, centre in (
            ("chair", "powered_wheelchair", "c1"), ("scale", "scale", None),
            ("new", "hovercraft", None),
        ):  # fmt: skip
            self.run(
                "INSERT INTO device (id, tenant_no, model_id, shard, centre_no) SELECT %s,"
                " tenant_no, %s, 7, (SELECT centre_no FROM centre WHERE id = %s) FROM tenant",
                name, model, centre,
            )  # fmt: skip

    def run(self, statement: str, *values: object) -> None:
        self.conn.execute(statement, values)

    def rows(self, statement: str, *values: object) -> list[tuple]:
        return self.conn.execute(statement, values).fetchall()

    def ticket(
        self,
        kind: str = "AU",
        device: str | None = "chair",
        known_at: datetime = MONDAY,
        replaces: int | None = None,
        state: str = "new",
    ) -> int:
        ((number,),) = self.rows(
            "INSERT INTO ticket (device_no, subject, tenant_no, cause, order_kind, severity,"
            " usability, fixer, component, title_sv, title_en, body_sv, body_en, started_at,"
            " known_at, updated_at, state_at, replaces_no, state, assignee)"
            " SELECT (SELECT device_no FROM device WHERE id = %s),"
            " CASE WHEN %s::text IS NULL THEN 'model:x' ELSE 'device' END, tenant_no,"
            " gen_random_uuid()::text, %s, 'major', 'usable', 'technician', 'battery', 't', 't',"
            " 'b', 'b', %s, %s, %s, %s, %s, %s, 'eva' FROM tenant RETURNING ticket_no",
            device, device, kind, known_at - timedelta(days=2), known_at, known_at, known_at,
            replaces, state,
        )  # fmt: skip
        return number

    def opened(self, *args, **more) -> int:
        number = self.ticket(*args, **more)
        open_clocks(self.conn, [number], MONDAY)
        return number

    def move(self, number: int, old: str, new: str, at: datetime, reason: str | None = None):
        """Change the state as callers do, then tell the clocks."""
        self.run(
            "UPDATE ticket SET state = %s, state_at = %s, waiting_reason = %s WHERE ticket_no = %s",
            new, at, reason, number,
        )  # fmt: skip
        moved(self.conn, number, State(old), State(new), at, reason)

    def due(self, number: int) -> dict[str, datetime]:
        found = self.rows("SELECT clock, due_at FROM ticket_clock WHERE ticket_no = %s", number)
        return dict(found)

    def stopped(self, number: int) -> set[str]:
        query = "SELECT clock FROM ticket_clock WHERE ticket_no = %s AND stopped_at IS NOT NULL"
        return {row[0] for row in self.rows(query, number)}

    def pauses(self, number: int) -> list[tuple]:
        query = "SELECT reason, from_at, until_at FROM ticket_pause WHERE ticket_no = %s ORDER BY 2"
        return self.rows(query, number)

    def events(self, number: int) -> list[str]:
        query = "SELECT kind FROM ticket_event WHERE ticket_no = %s ORDER BY event_no"
        return [row[0] for row in self.rows(query, number)]


@pytest.fixture(scope="module")
def migrated(plain):
    """One database for all of these: each test rolls back what it did."""
    url = plain.create_database("deadlines")
    migrate(url)
    yield url
    plain.drop_database("deadlines")


@pytest.fixture
def world(migrated):
    """With the rights of diagnostics, as the owner only for what that role may not do."""
    with connect(migrated) as conn:
        made = World(conn)
        assign_agreement(conn, tenant="r1", policy_id="vgr", from_at=MONDAY - DAY, who="eva")
        conn.execute(f"SET ROLE {ROLE}")
        yield made
        conn.rollback()


DAY = timedelta(days=1)


def test_clocks_are_opened_by_the_agreement_and_written_on_the_ticket(world):
    number = world.opened()
    assert world.due(number) == {"start": START_DUE, "finish": FINISH_DUE}
    assert world.rows(
        "SELECT policy_id, policy_version, policy_clause FROM ticket WHERE ticket_no = %s", number
    ) == [
        ("vgr", 1, "Avhjälpande underhåll: påbörjas inom 3 arbetsdagar;"
         " Avhjälpande underhåll: utförs inom 10 arbetsdagar"),
    ]  # fmt: skip
    notify_at = world.rows("SELECT notify_at FROM ticket_clock WHERE clock = 'start'")
    assert notify_at == [(swedish("2026-11-26T08:00"),)]


def test_the_clock_counts_from_knowing_and_not_from_the_fault_or_the_opening(world):
    number = world.ticket()
    open_clocks(world.conn, [number], MONDAY + 5 * DAY)
    assert world.due(number)["start"] == START_DUE


def test_what_the_agreement_does_not_promise_has_no_clock(world):
    number = world.opened("FU")
    assert world.due(number) == {}
    query = "SELECT policy_id, policy_clause FROM ticket WHERE ticket_no = %s"
    assert world.rows(query, number) == [("vgr", "")]


@pytest.mark.parametrize(("device", "kind"), [(None, "supplier"), ("new", "AU")])
def test_a_group_or_a_device_of_an_unknown_class_has_what_is_promised_for_all(world, device, kind):
    world.run("RESET ROLE")
    assign_agreement(
        world.conn, tenant="r1", policy_id="house", from_at=MONDAY - timedelta(hours=1), who="eva"
    )
    assert "start" in world.due(world.opened(kind, device))


def test_many_tickets_are_opened_at_once_and_none_is_fine(world):
    numbers = [world.ticket("AU"), world.ticket("akut AU"), world.ticket("supplier", None)]
    open_clocks(world.conn, numbers, MONDAY)
    assert [len(world.due(number)) for number in numbers] == [2, 1, 0]
    open_clocks(world.conn, [], MONDAY)
    open_clocks(world.conn, [10**9], MONDAY)


@pytest.mark.parametrize(
    ("agreements", "device", "expected"),
    [
        ([], "chair", "vgr"),
        ([("c1", "dalarna", -3)], "chair", "dalarna"),  # the centre's own, though it is older
        ([("c1", "dalarna", -3)], "scale", "vgr"),
        ([("c1", "dalarna", 1)], "chair", "vgr"),  # not yet
        ([("c1", "dalarna", -3), ("c1", "vastmanland", -2)], "chair", "vastmanland"),
        ([(None, "vastmanland", 0)], "scale", "vastmanland"),  # from that very instant
    ],
)
def test_whose_agreement_binds(world, agreements, device, expected):
    world.run("RESET ROLE")
    for centre, policy, days in agreements:
        assign_agreement(
            world.conn, tenant="r1", centre=centre, policy_id=policy, who="eva",
            from_at=MONDAY + days * DAY,
        )  # fmt: skip
    number = world.opened(device=device)
    query = "SELECT policy_id FROM ticket WHERE ticket_no = %s"
    assert world.rows(query, number) == [(expected,)]
    found = agreement_of(world.conn, "r1", "c1" if device == "chair" else None, MONDAY)
    assert found is not None
    assert found.policy_id == expected


def test_without_an_agreement_the_default_holds(world):
    number = world.opened(known_at=MONDAY - 2 * DAY)
    query = "SELECT policy_id FROM ticket WHERE ticket_no = %s"
    assert world.rows(query, number) == [("house",)]
    assert agreement_of(world.conn, "r1", "c1", MONDAY - 2 * DAY) is None
    assert agreement_of(world.conn, "nobody", None, MONDAY) is None


def test_an_agreement_of_another_release_gives_way_to_the_default(world):
    world.run("RESET ROLE")
    world.run("UPDATE agreement SET policy_id = 'of-next-year'")
    query = "SELECT policy_id FROM ticket WHERE ticket_no = %s"
    assert world.rows(query, world.opened()) == [("house",)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tenant": "r2"}, "no tenant 'r2': use one of r1"),
        ({"centre": "c9"}, "tenant r1 has no centre 'c9': use one of c1"),
        ({"policy_id": "skane"}, "use one of dalarna, house, vastmanland, vgr"),
        ({"from_at": MONDAY - DAY}, "tenant r1 has an agreement from 2026-11-22 09:00 UTC already"),
    ],
)
def test_an_agreement_that_cannot_be_is_explained(world, change, words):
    world.run("RESET ROLE")
    wanted = {"tenant": "r1", "policy_id": "dalarna", "from_at": MONDAY, "who": "eva", **change}
    with pytest.raises(AgreementError, match=words):
        assign_agreement(world.conn, **wanted)


def test_waiting_stops_the_clocks_and_going_on_moves_them(world):
    number = world.opened()
    world.move(number, "new", "triaged", MONDAY)
    world.move(number, "triaged", "waiting", swedish("2026-11-23T15:00"), "part_on_order")
    assert world.pauses(number) == [("part_on_order", swedish("2026-11-23T15:00"), None)]
    assert world.due(number)["start"] == START_DUE
    world.move(number, "waiting", "triaged", swedish("2026-11-25T16:00"))
    assert world.due(number) == {
        "start": swedish("2026-11-30T16:00"), "finish": swedish("2026-12-09T16:00"),
    }  # fmt: skip
    notify_at = world.rows("SELECT notify_at FROM ticket_clock WHERE clock = 'start'")
    assert notify_at == [(swedish("2026-11-30T08:00"),)]


def test_a_ticket_that_goes_on_by_being_assigned_has_been_started(world):
    number = world.opened()
    world.move(number, "triaged", "waiting", MONDAY, "part_on_order")
    world.move(number, "waiting", "assigned", MONDAY + 2 * DAY)
    assert world.stopped(number) == {"start"}
    assert world.due(number)["finish"] > FINISH_DUE


@pytest.mark.parametrize("reason", ["lunch", "solved", None])
def test_waiting_for_a_reason_outside_the_policy_is_refused(world, reason):
    number = world.opened()
    with pytest.raises(PauseRefusedError, match="patient_not_reached, part_on_order") as caught:
        moved(world.conn, number, State.TRIAGED, State.WAITING, MONDAY, reason)
    assert caught.value.allowed[0] == "patient_not_reached"
    assert isinstance(caught.value, ActionRefusedError)
    assert world.pauses(number) == []


def test_a_ticket_without_clocks_may_still_wait_and_go_on(world):
    number = world.ticket()
    world.move(number, "triaged", "waiting", MONDAY, "part_on_order")
    world.move(number, "waiting", "assigned", MONDAY + DAY)
    assert world.due(number) == {}
    assert len(world.pauses(number)) == 1


@pytest.mark.parametrize(
    ("old", "new", "stopped"),
    [
        ("new", "triaged", set()),
        ("new", "assigned", {"start"}),
        ("new", "solved", {"start", "finish"}),
        ("triaged", "void", {"start", "finish"}),
    ],
)
def test_what_a_change_of_state_stops(world, old, new, stopped):
    number = world.opened()
    world.move(number, old, new, MONDAY + DAY)
    assert world.stopped(number) == stopped


def test_a_change_to_the_same_state_changes_nothing(world):
    number = world.opened()
    moved(world.conn, number, State.ASSIGNED, State.ASSIGNED, MONDAY)
    assert world.stopped(number) == set()


def test_going_back_from_assigned_does_not_unstart_the_work(world):
    number = world.opened()
    world.move(number, "new", "assigned", MONDAY)
    world.move(number, "assigned", "triaged", MONDAY + DAY)
    assert world.stopped(number) == {"start"}


def test_a_repair_that_did_not_hold_runs_on_and_the_time_between_does_not_count(world):
    number = world.opened()
    solved_at, back_at = swedish("2026-11-25T07:30"), swedish("2026-11-27T16:00")
    world.move(number, "new", "assigned", MONDAY)
    world.move(number, "assigned", "solved", solved_at)
    world.move(number, "solved", "new", back_at)
    assert world.stopped(number) == {"start"}
    assert world.pauses(number) == [("solved", solved_at, back_at)]
    assert world.due(number)["finish"] == swedish("2026-12-10T16:00")
    world.move(number, "new", "assigned", back_at)
    world.move(number, "assigned", "solved", back_at + DAY)
    assert world.stopped(number) == {"start", "finish"}


def test_a_verified_repair_stays_finished(world):
    number = world.opened()
    world.move(number, "new", "solved", MONDAY)
    world.move(number, "solved", "verified", MONDAY + DAY)
    world.move(number, "verified", "closed", MONDAY + DAY)
    assert world.stopped(number) == {"start", "finish"}
    assert world.pauses(number) == []


def test_pauses_in_one_instant_and_a_clock_set_back_break_nothing(world):
    number = world.opened()
    for _ in range(2):
        world.move(number, "triaged", "waiting", MONDAY, "part_on_order")
        world.move(number, "waiting", "triaged", MONDAY)
    assert world.due(number)["start"] == START_DUE
    world.move(number, "triaged", "waiting", MONDAY + DAY, "part_on_order")
    world.move(number, "waiting", "triaged", MONDAY + DAY / 2)
    assert world.due(number)["start"] == START_DUE
    world.move(number, "triaged", "solved", MONDAY)
    world.move(number, "solved", "new", MONDAY)
    assert world.due(number)["finish"] == FINISH_DUE


def test_work_that_was_done_too_late_is_a_breach_though_nobody_had_looked(world):
    number = world.opened()
    world.move(number, "new", "assigned", START_DUE + timedelta(seconds=1))
    assert world.events(number) == ["deadline_breached"]
    assert world.rows("SELECT clock FROM ticket_clock WHERE breached_at IS NOT NULL") == [
        ("start",)
    ]
    world.move(number, "assigned", "solved", FINISH_DUE)
    assert world.events(number) == ["deadline_breached"]


def test_a_pause_that_ends_with_the_work_counts_before_the_deadline_is_judged(world):
    number = world.opened()
    world.move(number, "new", "assigned", MONDAY)
    world.move(number, "assigned", "waiting", swedish("2026-12-04T16:00"), "part_on_order")
    world.move(number, "waiting", "solved", swedish("2026-12-14T15:00"))
    assert world.events(number) == []
    assert world.due(number)["finish"] == swedish("2026-12-15T15:00")


def test_a_new_due_date_asks_for_a_new_notice(world):
    number = world.opened()
    told_at = swedish("2026-11-26T09:00")
    world.run("UPDATE ticket_clock SET notified_at = %s", told_at)
    world.move(number, "triaged", "waiting", told_at, "part_on_order")
    world.move(number, "waiting", "triaged", told_at + 14 * DAY)
    assert world.rows("SELECT clock FROM ticket_clock WHERE notified_at IS NOT NULL") == []


def test_a_short_pause_close_to_the_deadline_asks_for_none(world):
    number = world.opened()
    told_at = swedish("2026-11-26T12:00")
    world.run("UPDATE ticket_clock SET notified_at = %s WHERE clock = 'start'", told_at)
    world.move(number, "triaged", "waiting", told_at, "part_on_order")
    world.move(number, "waiting", "triaged", told_at + timedelta(minutes=10))
    found = world.rows("SELECT clock FROM ticket_clock WHERE notified_at IS NOT NULL")
    assert found == [("start",)]


def test_a_missed_deadline_stays_where_it_was(world):
    number = world.opened()
    record_breaches(world.conn, take_to_breach(world.conn, START_DUE + DAY, 9), START_DUE + DAY)
    world.move(number, "triaged", "waiting", START_DUE + DAY, "part_on_order")
    world.move(number, "waiting", "triaged", START_DUE + 2 * DAY)
    assert world.due(number)["start"] == START_DUE
    world.run("UPDATE ticket SET known_at = known_at - interval '7 days'")
    open_clocks(world.conn, [number], MONDAY)
    assert world.due(number)["start"] == START_DUE


def test_a_ticket_in_anothers_place_counts_from_the_same_knowledge(world):
    first = world.opened("support")
    world.move(first, "triaged", "waiting", MONDAY, "part_on_order")
    second = world.opened("AU", replaces=first)
    assert world.due(second)["start"] == START_DUE
    world.move(first, "waiting", "void", swedish("2026-11-25T16:00"))
    open_clocks(world.conn, [second], swedish("2026-11-25T16:00"))
    assert world.due(second)["start"] == swedish("2026-11-30T16:00")


def test_an_urgent_order_in_anothers_place_counts_from_that_order(world):
    first, ordered_at = world.opened("AU"), swedish("2026-11-25T08:00")
    second = world.ticket("akut AU", replaces=first)
    world.run("INSERT INTO ticket_event VALUES (%s, 1, %s, 'opened', 'eva')", second, ordered_at)
    open_clocks(world.conn, [second], ordered_at)
    assert world.due(second) == {"finish": swedish("2026-11-25T16:00")}


def test_opening_again_follows_the_moment_of_knowing_and_keeps_the_version(world):
    number = world.opened()
    world.run("UPDATE ticket SET known_at = known_at - interval '7 days'")
    open_clocks(world.conn, [number], MONDAY)
    assert world.due(number)["start"] == swedish("2026-11-19T16:00")
    query = "SELECT policy_id FROM ticket WHERE ticket_no = %s"
    assert world.rows(query, number) == [("vgr",)]


def test_clocks_opened_on_a_ticket_that_has_come_further_are_stopped_as_far(world):
    assert world.stopped(world.opened(state="assigned")) == {"start"}
    assert world.stopped(world.opened(state="solved")) == {"start", "finish"}


def test_a_ticket_of_a_newer_release_says_so_only_where_its_policy_is_needed(world):
    number = world.opened()
    world.run("UPDATE ticket SET policy_version = 99")
    world.move(number, "new", "assigned", MONDAY)
    assert world.stopped(number) == {"start"}
    with pytest.raises(UnknownPolicyError, match="'vgr' version 99"):
        world.move(number, "assigned", "waiting", MONDAY, "part_on_order")


def test_a_waiting_ticket_is_left_alone_unless_it_was_late_before(world):
    on_time, late_already = world.opened(), world.opened()
    world.move(on_time, "triaged", "waiting", START_DUE - DAY, "part_on_order")
    world.move(
        late_already, "triaged", "waiting", START_DUE + timedelta(minutes=1), "part_on_order"
    )
    taken = take_to_breach(world.conn, START_DUE + DAY, 9)
    assert [(c.ticket_no, c.clock) for c in taken] == [(late_already, Clock.START)]
    told = take_to_notify(world.conn, START_DUE + DAY, 9)
    assert [(c.ticket_no, c.clock) for c in told] == [(late_already, Clock.START)]


def test_at_the_very_instant_a_deadline_is_kept(world):
    world.opened()
    assert take_to_breach(world.conn, START_DUE, 9) == []
    assert len(take_to_breach(world.conn, START_DUE + timedelta(microseconds=1), 9)) == 1


def test_all_there_is_to_say_about_a_ticket(world):
    number = world.opened()
    world.move(number, "triaged", "waiting", MONDAY, "part_on_order")
    found = clocks_of(world.conn, number, MONDAY + DAY)
    assert found is not None
    assert [row.clock for row in found.clocks] == [Clock.START, Clock.FINISH]
    assert [tuple(pause) for pause in found.pauses] == [(MONDAY, MONDAY + DAY, "part_on_order")]
    assert found.waits_for == "part_on_order"
    assert found.terms.from_at == MONDAY
    assert clocks_of(world.conn, 10**9, MONDAY) is None


def test_clocks_that_are_due_are_found_by_index(world):
    world.run("RESET ROLE")
    first = world.opened()
    world.run(
        "INSERT INTO ticket_clock (ticket_no, clock, due_at, notify_at, stopped_at)"
        " SELECT %s, 'start', now(), now(), now() WHERE false", first,
    )  # fmt: skip
    world.run("SET LOCAL enable_seqscan = off")
    for index, condition in (
        ("ticket_clock_to_notify", "notified_at IS NULL AND notify_at <= now() ORDER BY notify_at"),
        ("ticket_clock_to_breach", "breached_at IS NULL AND due_at < now() ORDER BY due_at"),
    ):
        plan = world.rows(
            f"EXPLAIN SELECT 1 FROM ticket_clock WHERE stopped_at IS NULL AND {condition}"
        )
        assert index in str(plan)
