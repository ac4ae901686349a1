"""A bad batch: one ticket for the supplier, once a day, and the singles stay work of their own."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.world import DAY, NOON, looked_at

from diagnostics.groups import join_group, judge_fleets
from diagnostics.written import Written
from fleet.rules.facts import day_of
from storage.findings import Subject, group_findings

TODAY = day_of(NOON)


@pytest.fixture
def fleet(plain_world, report):
    """Sixty chairs of one model: eleven of fifteen in batch 2207 fault, one of the others."""
    world = plain_world
    bad = world.devices([f"bad-{n:02}" for n in range(15)], model_id="otto-bock-b400", batch="2207")
    good = world.devices([f"good-{n}" for n in range(45)], model_id="otto-bock-b400", batch="2109")
    for nth, no in enumerate([*bad[:11], good[0]]):
        world.report(no, report(-240.0 * nth, "raised"))
    world.diagnose(NOON + timedelta(hours=1))
    return world


def _supplier(world):
    return world.rows(
        "SELECT ticket_no, subject, cause, order_kind, state FROM ticket WHERE device_no IS NULL"
        " ORDER BY ticket_no"
    )


def test_a_bad_batch_is_one_supplier_ticket_that_links_the_singles(fleet):
    assert fleet.judge_fleets(looked_at(TODAY)) == 1
    ((number, subject, cause, kind, state),) = _supplier(fleet)
    assert (subject, cause) == ("model:otto-bock-b400/batch:2207", "left_motor")
    assert (kind, state) == ("supplier", "new")
    linked = fleet.rows(
        "SELECT device.id FROM ticket_finding JOIN finding USING (finding_no)"
        " JOIN device USING (device_no) WHERE ticket_no = %s ORDER BY 1",
        [number],
    )
    assert [row[0] for row in linked] == [f"bad-{n:02}" for n in range(11)]
    singles = fleet.rows(
        "SELECT DISTINCT order_kind, state FROM ticket WHERE device_no IS NOT NULL"
    )
    assert singles == [("AU", "new")], "the chairs are repaired all the same"
    assert fleet.value("SELECT count(*) FROM ticket WHERE device_no IS NOT NULL") == 12


def test_a_fleet_is_judged_once_a_day_and_its_ticket_is_opened_once(fleet, report):
    days = [fleet.judge_fleets(looked_at(TODAY) + n * DAY / 2) for n in range(4)]
    assert days == [1, 0, 1, 0]
    assert len(_supplier(fleet)) == 1
    assert fleet.value("SELECT count(*) FROM finding WHERE device_no IS NULL") == 1
    fleet.look(looked_at(TODAY) + 2 * DAY)
    assert [row[-1] for row in _supplier(fleet)] == ["new"], "recovered chairs do not end it"


def test_a_batch_that_is_bad_no_more_ends_the_finding_and_leaves_the_ticket_to_people(fleet):
    fleet.judge_fleets(looked_at(TODAY))
    fleet.judge_fleets(looked_at(TODAY + 200))
    ((ended_at,),) = fleet.findings("ended_at", where="device_no IS NULL")
    assert ended_at is not None
    assert [row[-1] for row in _supplier(fleet)] == ["new"]


def test_another_group_of_the_model_joins_the_open_ticket_about_the_same_part(fleet):
    fleet.judge_fleets(looked_at(TODAY))
    ((number, *_),) = _supplier(fleet)
    with fleet.process() as one:
        (known,) = [
            item
            for _, item in group_findings(one, 1, ["bad-batch"], looked_at(TODAY))
            if item.finding.is_open
        ]
        whole, other = (Subject(1, None, name) for name in ("model:otto-bock-b400", "model:other"))
        joined = [
            join_group(one, subject, known.finding, [], looked_at(TODAY), Written())
            for subject in (whole, other)
        ]
        one.commit()
    assert joined[0] == number != joined[1]
    told = fleet.rows("SELECT subject, title_sv FROM ticket WHERE ticket_no = %s", [number])
    assert "2207" in told[0][1], "the ticket says what it said"
    assert len(_supplier(fleet)) == 2


def test_ending_the_suppliers_ticket_gives_nothing_free(fleet):
    fleet.judge_fleets(looked_at(TODAY))
    ((number, *_),) = _supplier(fleet)
    fleet.act(number, "void", NOON + DAY, reason="duplicate", why="känt fel")
    fleet.look(NOON + 2 * DAY)
    assert fleet.value("SELECT count(*) FROM ticket WHERE device_no IS NOT NULL") == 12


def test_two_processes_judge_a_fleet_once(fleet):
    with fleet.process() as one, fleet.process() as two:
        book = fleet.rules.book(one)
        assert judge_fleets(one, book, looked_at(TODAY)) is not None
        assert judge_fleets(two, book, looked_at(TODAY)) is None
        one.commit()
        two.commit()
        assert judge_fleets(two, book, looked_at(TODAY)) is None
        two.commit()
