"""Faults that open no ticket: of a device in the workshop, and those that another one explains."""

from __future__ import annotations

from datetime import timedelta

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
LOW = "2C00"
"""A low battery, which the user puts right."""

LOST = {"code": "2015", "system": "rnet.ics"}
"""Modules that miss each other: a bus fault, which a low battery explains."""


def _needs(world):
    return world.findings("about", "need")


def test_a_device_in_the_workshop_is_quiet_until_it_is_back_with_its_user(world, report, noon):
    device_no = world.device()
    world.place("chair-1", "workshop", noon - timedelta(hours=1))
    world.report(device_no, report(0, "raised"), report(60, "raised", "7100"))
    world.live(noon + timedelta(hours=2))
    assert _needs(world) == [("vr2/3D00", "quiet"), ("vr2/7100", "quiet")]
    assert world.tickets() == []
    world.place("chair-1", "in_use", noon + timedelta(hours=3))
    world.live(noon + timedelta(hours=4))
    assert world.tickets() == [], "that it is back says nothing of its faults"
    world.report(device_no, report(300, "raised"))
    world.live(noon + timedelta(hours=6))
    assert _needs(world) == [("vr2/3D00", "ticket"), ("vr2/7100", "quiet")]
    assert [row[1:4] for row in world.tickets()] == [("left_motor", "new", "AU")]


def test_a_ticket_that_nobody_has_touched_goes_when_the_device_was_in_the_workshop(
    plain_world, report, noon
):
    world = plain_world
    device_no = world.device()
    world.report(device_no, report(0, "raised"))
    world.diagnose(noon + MINUTE)
    world.place("chair-1", "workshop", noon - timedelta(hours=1))
    world.live(noon + timedelta(hours=1))
    assert world.rows("SELECT state, is_withdrawn FROM ticket") == [("void", True)]
    assert world.value("SELECT detail ->> 'reason' FROM ticket_event WHERE kind = 'voided'") == (
        "not_in_use"
    )


def test_a_low_battery_hides_what_it_makes_other_parts_report(world, report, noon):
    device_no = world.device()
    world.report(device_no, report(0, "raised", LOW), report(0.2, "raised", **LOST))
    world.diagnose(noon + HOUR)
    assert _needs(world) == [("rnet.ics/2015", "explained")]
    world.report(device_no, report(90, "cleared", LOW), report(91, "cleared", **LOST))
    world.live(noon + 2 * HOUR)
    assert _needs(world) == [("rnet.ics/2015", "explained")]
    assert world.tickets() == []


def test_what_outlasts_its_cause_is_a_fault_of_its_own(world, report, noon):
    device_no = world.device()
    world.report(device_no, report(0, "raised", LOW), report(0.2, "raised", **LOST))
    world.diagnose(noon + 10 * MINUTE)
    world.report(device_no, report(30, "cleared", LOW))
    world.diagnose(noon + 31 * MINUTE)
    assert _needs(world) == [("rnet.ics/2015", "held")], "it may end with the charge"
    assert world.tickets() == []
    world.diagnose(noon + 50 * MINUTE)
    world.look(noon + 50 * MINUTE)
    assert _needs(world) == [("rnet.ics/2015", "ticket")]
    assert [row[1:3] for row in world.tickets()] == [("bus", "new")]


def test_a_ticket_that_turns_out_to_be_explained_is_withdrawn_and_is_no_persons_answer(
    world, report, noon
):
    device_no = world.device()
    world.report(device_no, report(0.2, "raised", **LOST))
    world.diagnose(noon + 20 * MINUTE)
    assert [row[1:3] for row in world.tickets()] == [("bus", "new")]
    world.report(device_no, report(0, "raised", LOW, late=21 * MINUTE))
    world.diagnose(noon + 22 * MINUTE)
    assert world.rows("SELECT state, is_withdrawn FROM ticket") == [("void", True)]
    who, detail = world.rows("SELECT who, detail FROM ticket_event WHERE kind = 'voided'")[0]
    assert (who, detail) == ("diagnostics", {"reason": "explained_by_another_fault"})
    # A person's void answers for the fault as long as it lasts; this one answers nothing.
    world.report(device_no, report(30, "cleared", LOW))
    world.diagnose(noon + HOUR)
    world.look(noon + HOUR)
    assert [row[1:3] for row in world.tickets()] == [("bus", "void"), ("bus", "new")]


def test_a_ticket_that_somebody_has_taken_is_kept_though_it_is_explained(plain_world, report, noon):
    world = plain_world
    device_no = world.device()
    world.report(device_no, report(0.2, "raised", **LOST))
    world.diagnose(noon + 20 * MINUTE)
    world.act(1, "assign", noon + 21 * MINUTE, assignee="eva")
    world.report(device_no, report(0, "raised", LOW, late=22 * MINUTE))
    world.diagnose(noon + 23 * MINUTE)
    assert world.rows("SELECT state, is_withdrawn FROM ticket") == [("assigned", False)]


def test_whatever_comes_first_the_end_is_the_same(plain_world, report, noon):
    world = plain_world
    device_no = world.device()
    told = [report(0, "raised", LOW), report(0.2, "raised", **LOST), report(30, "cleared", LOW)]
    numbered = [world.numbered(device_no, one) for one in told]
    pictures = []
    for order in ((0, 1, 2), (1, 2, 0), (2, 1, 0), (1, 0, 2)):
        world.forget()
        for nth in order:
            world.store([numbered[nth]])
            world.diagnose(noon + HOUR)
        world.look(noon + HOUR)
        pictures.append(world.picture())
    assert [row[1] for row in pictures[0]["tickets"]] == ["bus"]
    assert all(picture == pictures[0] for picture in pictures)


def test_a_blink_is_no_ticket_unless_it_comes_back(plain_world, report, noon):
    """The shipped rule waits for a major fault; a critical one is a ticket at once."""
    world = plain_world
    major, critical = world.devices(["major", "critical"])
    world.report(major, report(0, "raised", "7100"), report(1, "cleared", "7100"))
    world.report(critical, report(0, "raised"), report(1, "cleared"))
    world.diagnose(noon + 5 * MINUTE)
    assert [row[:2] for row in world.tickets()] == [(critical, "left_motor")]
    world.report(major, report(24 * 60, "raised", "7100"), report(24 * 60 + 1, "cleared", "7100"))
    world.diagnose(noon + 25 * HOUR)
    assert [row[:2] for row in world.tickets()] == [(critical, "left_motor"), (major, "joystick")]
