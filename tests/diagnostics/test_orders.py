"""Urgent is proposed with its reasons; the kind of an order is annulled, never changed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.world import by_day, looked_at

from fleet.rules.facts import day_of


def _proposed(world):
    return world.rows(
        "SELECT device.id, order_kind, urgent_because FROM ticket JOIN device USING (device_no)"
        " ORDER BY device.id"
    )


def test_urgent_is_proposed_by_what_the_person_cannot_do_without_the_device(world, report):
    for name, needs in (("a", ["toilet", "eating"]), ("b", []), ("c", ["sole_mobility"])):
        world.report(world.device(name), report(0, "raised"))
        world.lend(name, *needs)
    world.report(world.device("d-no-loan"), report(0, "raised"))
    world.report(world.device("e-major"), report(0, "raised", "7100"))
    world.diagnose()
    assert _proposed(world) == [
        ("a", "AU", ["eating", "toilet"]),
        ("b", "AU", []),
        ("c", "AU", ["sole_mobility"]),
        ("d-no-loan", "AU", ["needs_unknown"]),
        ("e-major", "AU", []),
    ]
    proposals = world.rows(
        "SELECT device.id, ticket_event.detail -> 'because'"
        " FROM ticket_event JOIN ticket USING (ticket_no)"
        " JOIN device USING (device_no) WHERE kind = 'urgent_proposed' ORDER BY device.id"
    )
    assert proposals == [
        ("a", ["eating", "toilet"]), ("c", ["sole_mobility"]), ("d-no-loan", ["needs_unknown"]),
    ]  # fmt: skip
    told = world.rows(
        "SELECT payload -> 'urgent_because' FROM outbox ORDER BY payload ->> 'device'"
    )
    assert [because for (because,) in told[:2]] == [["eating", "toilet"], []]


def test_needs_that_are_told_later_propose_it_then(plain_world, report):
    world = plain_world
    world.report(world.device("a"), report(0, "raised"))
    world.lend("a")
    world.diagnose()
    assert _proposed(world) == [("a", "AU", [])]
    world.conn.execute("UPDATE loan SET basic_needs = '{toilet}'")
    world.report(1, report(10, "raised"))
    world.diagnose()
    assert _proposed(world) == [("a", "AU", ["toilet"])]
    assert world.event_kinds().count("urgent_proposed") == 1


def test_a_persons_answer_stands_when_the_fault_is_reported_again(plain_world, report, noon):
    world = plain_world
    device_no = world.device("a")
    world.lend("a", "toilet")
    world.report(device_no, report(0, "raised"))
    world.diagnose()
    world.act(1, "confirm_urgent", noon + timedelta(hours=1))
    world.report(device_no, report(90, "raised"))
    world.diagnose()
    tickets = world.rows("SELECT state, order_kind, replaces_no FROM ticket ORDER BY ticket_no")
    assert tickets == [("void", "AU", None), ("triaged", "akut AU", 1)]


@pytest.fixture
def planned(plain_world, noon):
    """A chair whose battery wears out slowly: a ticket for planned maintenance."""
    world = plain_world
    device_no = world.device()
    first = day_of(noon) - 41
    world.measure(
        device_no, "battery_voltage_v", by_day(first, [27.4 - 0.05 * n for n in range(42)])
    )
    world.live(looked_at(day_of(noon)))
    assert [row[1:4] for row in world.tickets()] == [("battery", "new", "FU")]
    return world


def test_planned_maintenance_becomes_a_repair_when_a_worse_fault_comes(planned, report, noon):
    world = planned
    world.report(1, report(24 * 60, "raised", "1600", "egis"))
    world.diagnose(noon + timedelta(days=2))
    tickets = world.rows(
        "SELECT cause, state, order_kind, replaces_no, is_withdrawn FROM ticket ORDER BY ticket_no"
    )
    assert tickets == [
        ("battery", "void", "FU", None, True),
        ("battery", "new", "AU", 1, False),
    ]
    assert world.value("SELECT detail FROM ticket_event WHERE kind = 'voided'") == {
        "reason": "other_order_kind", "from": "FU", "to": "AU",
    }  # fmt: skip
    linked = world.rows(
        "SELECT rule_id FROM ticket_finding JOIN finding USING (finding_no)"
        " WHERE ticket_no = 2 ORDER BY 1"
    )
    assert ("reported-fault",) in linked, "the new ticket rests on the fault"
    assert len(linked) > 1, "and on what the planned one rested on"
    world.live(noon + timedelta(days=3))
    assert len(world.tickets()) == 2, "a further look opens nothing more"


def test_planned_maintenance_that_somebody_has_taken_stays_theirs(planned, report, noon):
    world = planned
    world.act(1, "assign", noon + timedelta(days=1), assignee="eva")
    world.report(1, report(24 * 60, "raised", "1600", "egis"))
    world.diagnose(noon + timedelta(days=2))
    assert world.rows("SELECT state, order_kind, severity FROM ticket") == [
        ("assigned", "FU", "major")
    ]
    assert "severity_raised" in world.event_kinds()
