"""Deadlines case by case: the published ones, pauses, daylight saving, and the account."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from fleet.sla.calendar import SWEDEN
from fleet.sla.deadlines import STOPS, Pause, Why, due_at, explain, notify_at, pause_label
from fleet.sla.policies import SOLVED, Clock, load_policies
from fleet.ticket_states import OrderKind, State

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "sla_calendar_se.json"
VGR = load_policies().newest("vgr")
DALARNA = load_policies().newest("dalarna")
START, FINISH = VGR.promises_for(OrderKind.REPAIR, None)
(URGENT,) = VGR.promises_for(OrderKind.URGENT_REPAIR, None)
(DALARNA_START,) = DALARNA.promises_for(OrderKind.REPAIR, None)


def swedish(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SWEDEN).astimezone(UTC)


def pause(from_text: str, until_text: str, reason: str = "part_on_order") -> Pause:
    return Pause(swedish(from_text), swedish(until_text), reason)


def due(promise, known, *pauses):
    """The deadline in Vastra Gotaland as clocks in Sweden show it."""
    found = due_at(VGR.hours, promise, swedish(known), pauses)
    return found.astimezone(SWEDEN).replace(tzinfo=None).isoformat(timespec="minutes")


CASES = [
    ("2026-03-31T10:00", "2026-04-07", "2026-04-16", "2026-04-01T09:30"),
    ("2026-04-02T15:00", "2026-04-09", "2026-04-20", "2026-04-07T14:30"),
    ("2026-05-13T09:00", "2026-05-19", "2026-05-28", "2026-05-15T08:30"),
    ("2026-06-18T13:00", "2026-06-24", "2026-07-03", "2026-06-22T12:30"),
]


@pytest.mark.parametrize(("ordered", "start", "finish", "urgent"), CASES)
def test_the_published_cases(ordered, start, finish, urgent):
    assert due(START, ordered) == f"{start}T16:00"
    assert due(FINISH, ordered) == f"{finish}T16:00"
    assert due(URGENT, ordered) == urgent


def test_the_cases_are_those_of_the_published_file():
    if not VECTORS.exists():
        pytest.skip("the cases ../shared/vectors/sla_calendar_se.json are not here")
    listed = [[text.removesuffix(":00") for text in case.values()]
              for case in json.loads(VECTORS.read_text("utf-8"))["cases"]]  # fmt: skip
    assert listed == [list(case) for case in CASES]


@pytest.mark.parametrize(
    ("promise", "known", "expected"),
    [
        (URGENT, "2026-11-23T07:30", "2026-11-23T15:30"),  # from opening
        (URGENT, "2026-11-23T03:00", "2026-11-23T15:30"),  # before it: from the next opening
        (URGENT, "2026-11-23T16:00", "2026-11-24T15:30"),  # at closing time it is closed
        (URGENT, "2026-11-21T12:00", "2026-11-23T15:30"),  # on a Saturday
        (URGENT, "2026-11-23T08:00", "2026-11-23T16:00"),  # ends at closing, not next opening
        (START, "2026-11-20T23:59", "2026-11-25T16:00"),  # late on Friday: Friday is day 0
        (START, "2026-11-21T00:00", "2026-11-25T16:00"),  # Saturday, Sunday: Monday is day 1
        (START, "2026-11-22T23:59", "2026-11-25T16:00"),
        (START, "2026-11-23T00:00", "2026-11-26T16:00"),
        (START, "2026-12-23T10:00", "2026-12-30T16:00"),  # Christmas between
        (START, "2026-12-30T10:00", "2027-01-07T16:00"),  # New Year and Epiphany
    ],
)
def test_when_counting_begins_and_ends(promise, known, expected):
    assert due(promise, known) == expected


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ("2026-03-27T15:00", "2026-03-30T14:30"),  # over the night of the missing hour
        ("2026-10-23T15:00", "2026-10-26T14:30"),  # over the night of the double hour
        ("2026-03-29T01:30", "2026-03-30T15:30"),
        ("2026-10-25T02:30", "2026-10-26T15:30"),
    ],
)
def test_daylight_saving_changes_no_working_hour(known, expected):
    assert due(URGENT, known) == expected


def test_a_short_day_before_a_red_day_closes_early():
    known = swedish("2026-03-26T10:00")
    found = due_at(DALARNA.hours, DALARNA_START, known)
    assert found == swedish("2026-04-02T16:00")
    assert due_at(DALARNA.hours, DALARNA_START, known - timedelta(days=1)) == swedish(
        "2026-04-01T16:30"
    )


@pytest.mark.parametrize(
    ("promise", "pauses", "expected"),
    [
        # Hours: as much later as open time was lost.
        (URGENT, [("2026-11-23T10:00", "2026-11-23T12:30")], "2026-11-24T10:00"),
        (URGENT, [("2026-11-23T15:00", "2026-11-24T08:30")], "2026-11-24T09:30"),
        (URGENT, [("2026-11-23T17:00", "2026-11-24T07:00")], "2026-11-23T16:00"),
        # Two that meet or overlap are one.
        (URGENT, [("2026-11-23T10:00", "2026-11-23T11:00"),
                  ("2026-11-23T10:30", "2026-11-23T12:30")], "2026-11-24T10:00"),
        # From before we knew: what of it came after counts as lost.
        (URGENT, [("2026-11-20T10:00", "2026-11-23T09:00")], "2026-11-24T08:30"),
        # Days: whole ones do not count; the deadline stays at closing time.
        (START, [("2026-11-24T07:30", "2026-11-25T16:00")], "2026-11-30T16:00"),
        (START, [("2026-11-23T18:00", "2026-11-26T07:00")], "2026-11-30T16:00"),
        # On day 0, at night and at the weekend nothing counted anyway.
        (START, [("2026-11-23T09:00", "2026-11-24T07:30")], "2026-11-26T16:00"),
        (FINISH, [("2026-11-27T16:00", "2026-11-30T07:30")], "2026-12-07T16:00"),
        # A part of a day gives back its share: 2 h 50 min of 8 h 30 min.
        (START, [("2026-11-24T10:00", "2026-11-24T12:50")], "2026-11-27T10:20"),
        # After the deadline it changes nothing.
        (START, [("2026-11-26T16:00", "2026-12-10T16:00")], "2026-11-26T16:00"),
        (START, [("2026-11-24T10:00", "2026-11-24T10:00")], "2026-11-26T16:00"),
    ],
)  # fmt: skip
def test_pauses(promise, pauses, expected):
    assert due(promise, "2026-11-23T08:00", *(pause(*p) for p in pauses)) == expected
    assert due(promise, "2026-11-23T08:00", *(pause(*p) for p in reversed(pauses))) == expected


def test_five_minutes_give_five_minutes_and_not_a_day():
    short = pause("2026-11-24T10:00", "2026-11-24T10:05")
    assert due(START, "2026-11-23T08:00", short) == "2026-11-27T07:35"


@pytest.mark.parametrize(
    ("promise", "known", "pauses", "expected"),
    [
        (START, "2026-11-23T08:00", [], "2026-11-26T08:00"),  # 8 of 8.5 hours before closing
        (URGENT, "2026-11-23T07:30", [], "2026-11-23T12:30"),  # 3 hours before 15.30
        (URGENT, "2026-11-23T15:00", [], "2026-11-24T11:30"),
        (URGENT, "2026-11-23T15:00", [("2026-11-24T12:00", "2026-11-24T13:00")],
         "2026-11-24T11:30"),
        (START, "2026-11-20T10:00", [("2026-11-25T10:00", "2026-11-25T11:00")],
         "2026-11-25T09:06:40"),
    ],
)  # fmt: skip
def test_when_the_notice_is_drafted(promise, known, pauses, expected):
    gone = [pause(*p) for p in pauses]
    known_at = swedish(known)
    due = due_at(VGR.hours, promise, known_at, gone)
    found = notify_at(VGR.hours, promise, known_at, due, gone)
    open_time = sum(
        (line.until_at - line.from_at
         for line in explain(VGR, promise, known_at, gone).lines
         if line.why is Why.COUNTED and line.from_at >= found), timedelta()
    )  # fmt: skip
    assert open_time <= promise.notify_before
    if not expected.endswith(":40"):
        assert found == swedish(expected)


@pytest.mark.parametrize("notify_before_h", [8.5, 9, 80])
def test_a_notice_is_never_drafted_before_we_knew(notify_before_h):
    known_at = swedish("2026-11-23T10:00")
    eager = replace(URGENT, notify_before=timedelta(hours=notify_before_h))
    due = due_at(VGR.hours, eager, known_at)
    assert notify_at(VGR.hours, eager, known_at, due) == known_at


def test_the_account_lists_every_interval_and_why_it_does_not_count():
    gone = [pause("2026-04-01T09:00", "2026-04-01T11:00")]
    account = explain(VGR, START, swedish("2026-03-31T10:00"), gone)
    listed = [
        (line.from_at.astimezone(SWEDEN).strftime("%d %H:%M"), str(line.why), line.sv)
        for line in account.lines
    ]
    assert listed == [
        ("31 10:00", "order_day", "dagen då felet blev känt är dag 0"),
        ("31 16:00", "closed", "stängt"),
        ("01 07:30", "counted", "räknas"),
        ("01 09:00", "paused", "Reservdel är beställd"),
        ("01 11:00", "counted", "räknas"),
        ("01 16:00", "closed", "stängt"),
        ("02 07:30", "counted", "räknas"),
        ("02 16:00", "closed", "stängt"),
        ("03 00:00", "red_day", "Långfredagen"),
        ("04 00:00", "weekend", "helg"),
        ("05 00:00", "red_day", "Påskdagen"),
        ("06 00:00", "red_day", "Annandag påsk"),
        ("07 00:00", "closed", "stängt"),
        ("07 07:30", "counted", "räknas"),
        ("07 16:00", "closed", "stängt"),
        ("08 07:30", "counted", "räknas"),
    ]
    assert [line.counted for line in account.lines if line.counted] == [
        Fraction(3, 17), Fraction(10, 17), 1, 1, Fraction(4, 17),
    ]  # fmt: skip


def test_the_time_between_a_repair_and_its_return_has_a_name():
    gone = [pause("2026-04-01T07:30", "2026-04-01T16:00", SOLVED)]
    account = explain(VGR, START, swedish("2026-03-31T10:00"), gone)
    (line,) = (line for line in account.lines if line.why is Why.PAUSED)
    assert (line.sv, line.en) == (
        "Åtgärdat, tills felet kom tillbaka",
        "Solved, until the fault came back",
    )


def test_a_reason_of_another_release_stays_as_it_is_stored():
    assert pause_label(VGR, "moon_phase", "sv") == "moon_phase"


@pytest.mark.parametrize(
    ("state", "stopped"),
    [
        ("new", []), ("triaged", []), ("waiting", []), ("assigned", ["start"]),
        ("solved", ["start", "finish"]), ("verified", ["start", "finish"]),
        ("closed", ["start", "finish"]), ("void", ["start", "finish"]),
    ],
)  # fmt: skip
def test_what_a_state_stops(state, stopped):
    assert STOPS[State(state)] == {Clock(word) for word in stopped}


def test_every_state_is_in_the_table():
    assert set(STOPS) == set(State)
