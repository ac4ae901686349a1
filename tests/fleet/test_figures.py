"""Key figures: what each number counts, where it belongs, and what is not shown."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.figures import (
    BEHIND,
    Span,
    TicketFact,
    behind,
    by_municipality,
    decided,
    figures,
    working_days,
)
from fleet.sla.policies import Clock

LOW, HIGH = datetime(2026, 10, 31, 23, tzinfo=UTC), datetime(2026, 11, 30, 23, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SPAN = Span(LOW, HIGH, NOW)
DAY = timedelta(days=1)
KNOWN = datetime(2026, 11, 2, 9, tzinfo=UTC)  # a Monday


def fact(number=1, **fields):
    plain = {
        "ticket_no": number, "device_no": number, "centre_id": "norr", "area": "Borås",
        "device_class": "powered_wheelchair", "component": "battery", "order_kind": "AU",
        "state": "new", "known_at": KNOWN, "solved_at": None, "outcome": None, "minutes": None,
        "policy_id": "vgr", "policy_version": 1, "start_due_at": None, "start_stopped_at": None,
        "finish_due_at": None, "finish_stopped_at": None, "came_back": False,
    }  # fmt: skip
    return TicketFact(**(plain | fields))


def solved(number=1, days=1.0, outcome="real_fault", **fields):
    at = KNOWN + days * DAY
    return fact(number, state="solved", solved_at=at, outcome=outcome, **fields)


@pytest.mark.parametrize(
    ("due", "stopped", "kept"),
    [
        (KNOWN + 5 * DAY, KNOWN + 4 * DAY, True),
        (KNOWN + 5 * DAY, KNOWN + 5 * DAY, True),  # at that very instant is in time
        (KNOWN + 5 * DAY, KNOWN + 6 * DAY, False),
        (KNOWN + 5 * DAY, None, False),  # late before it is done
        (NOW + DAY, None, None),  # still in time
        (LOW - DAY, None, False if LOW - DAY >= LOW else None),  # late, in the month before
        (HIGH + DAY, KNOWN, True),  # done in the time, due after it
        (LOW - DAY, LOW + DAY, None),  # a late one belongs to when it was due
        (LOW + DAY, LOW - DAY, None),  # a kept one to when it was done
        (None, KNOWN, None),
    ],
)
def test_a_deadline_belongs_to_the_time_in_which_it_was_decided(due, stopped, kept):
    found = fact(finish_due_at=due, finish_stopped_at=stopped)
    assert decided(found, Clock.FINISH, SPAN) is kept
    assert decided(found, Clock.START, SPAN) is None


def test_promises_are_told_apart_by_order_and_policy():
    late = {"finish_due_at": KNOWN + DAY, "finish_stopped_at": KNOWN + 2 * DAY}
    kept = {"finish_due_at": KNOWN + 2 * DAY, "finish_stopped_at": KNOWN + DAY}
    found = figures(
        [
            fact(1, **kept),
            fact(2, **late),
            fact(3, order_kind="akut AU", **kept),
            fact(4, policy_id="vastmanland", **kept),
            fact(5, policy_id="no-such", **kept),
        ],
        SPAN,
    ).promises
    told = {
        (key.order_kind, key.policy_id, key.within, key.unit): (share.hit_n, share.n)
        for key, share in found.items()
    }
    assert told == {
        ("AU", "vgr", 10, "working_days"): (1, 2),
        ("AU", "vastmanland", 5, "working_days"): (1, 1),
        ("akut AU", "vgr", 8, "working_hours"): (1, 1),
    }
    assert {key.target_share for key in found if key.policy_id == "vastmanland"} == {0.88}


@pytest.mark.parametrize(
    ("after", "until", "n"),
    [
        (date(2026, 11, 2), date(2026, 11, 2), 0),
        (date(2026, 11, 2), date(2026, 11, 6), 4),
        (date(2026, 11, 2), date(2026, 11, 9), 5),
        (date(2026, 6, 18), date(2026, 6, 22), 1),  # Midsummer Eve and the weekend
        (date(2026, 12, 23), date(2026, 12, 28), 1),  # Christmas
        (date(2026, 11, 9), date(2026, 11, 2), 0),
    ],
)
def test_working_days_leave_out_weekends_and_red_days(after, until, n):
    assert working_days(after, until) == n


def test_repairs_within_five_working_days_and_nothing_but_repairs():
    found = figures(
        [solved(1, 7), solved(2, 8), solved(3, 1, order_kind="FU"), solved(4, 1, "user_error")],
        SPAN,
    ).five_days
    assert (found.hit_n, found.n) == (2, 3)


def test_solved_without_a_visit_is_told_at_least_and_at_most():
    found = figures(
        [solved(1, outcome="solved_remotely"), solved(2, outcome="user_error"), solved(3)], SPAN
    )
    assert (found.remote.hit_n, found.remote.n) == (1, 3)
    assert (found.remote_or_handling.hit_n, found.remote_or_handling.n) == (2, 3)


def test_what_came_back_did_not_hold_and_a_mistake_is_no_repair():
    found = figures(
        [solved(1), solved(2, came_back=True), solved(3, outcome="user_error", came_back=True)],
        SPAN,
    ).held
    assert (found.hit_n, found.n) == (1, 2)


def test_minutes_are_measured_by_what_it_took_before():
    found = figures([solved(1, minutes=10), solved(2, minutes=30), solved(3)], SPAN, 50.0).minutes
    assert (found.noted_n, found.sum_min, found.mean, found.median) == (2, 40, 20.0, 20.0)
    assert found.cut == pytest.approx(0.6)
    assert figures([solved(1, minutes=10)], SPAN).minutes.cut is None
    assert figures([solved(1)], SPAN, 50.0).minutes.cut is None


def test_causes_are_of_what_became_known_in_the_time():
    found = figures(
        [fact(1), fact(2), fact(3, component="brake"), fact(4, known_at=LOW - DAY)], SPAN
    )
    assert found.causes == [("battery", 2), ("brake", 1)]
    assert found.known_n == 3


def in_area(area, devices, first):
    return [fact(first + n, device_no=first + n, area=area) for n in range(devices)]


@pytest.mark.parametrize(
    ("sizes", "hidden"),
    [
        ({"A": 9, "B": 8}, set()),
        ({"A": 9, "B": 4, "C": 3}, {"B", "C"}),
        ({"A": 9, "B": 8, "C": 4}, {"B", "C"}),  # alone it could be had by subtraction
        ({"A": 4}, {"A"}),
        ({"A": 5}, set()),
    ],
)
def test_few_devices_in_a_municipality_are_not_shown(sizes, hidden):
    facts = [
        one
        for number, (area, n) in enumerate(sizes.items())
        for one in in_area(area, n, 100 * number)
    ]
    rows = by_municipality(facts, SPAN)
    assert {row.name for row in rows if row.figures is None} == hidden


def test_one_device_with_many_tickets_is_one_device():
    facts = [fact(number, device_no=1) for number in range(1, 20)]
    assert [row.figures for row in by_municipality(facts, SPAN)] == [None]


instants = st.integers(0, 75 * 24 * 60).map(
    lambda minutes: datetime(2026, 10, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)
maybe = st.none() | instants
some_facts = st.lists(
    st.builds(
        lambda known, took, due, stop, outcome, kind, minutes, back: fact(
            known_at=known,
            solved_at=known + took if outcome else None,
            finish_due_at=due,
            finish_stopped_at=stop,
            outcome=outcome,
            order_kind=kind,
            minutes=minutes if outcome else None,
            came_back=back,
        ),
        instants,
        st.timedeltas(timedelta(0), timedelta(days=20)),
        maybe,
        maybe,
        st.none() | st.sampled_from(["real_fault", "user_error", "solved_remotely"]),
        st.sampled_from(["AU", "akut AU", "FU"]),
        st.none() | st.integers(0, 90),
        st.booleans(),
    ),
    max_size=12,
).map(lambda found: [one._replace(ticket_no=number) for number, one in enumerate(found)])


@given(facts=some_facts)
def test_every_number_is_the_length_of_its_list(facts):
    found = figures(facts, SPAN)

    def n(figure, key=""):
        return len(behind(facts, SPAN, figure, key))

    assert n("known") == found.known_n
    assert n("solved") == found.solved_n
    assert {name: n("cause", name) for name, _ in found.causes} == dict(found.causes)
    assert (n("five_kept"), n("five_missed")) == (
        found.five_days.hit_n, found.five_days.n - found.five_days.hit_n,
    )  # fmt: skip
    assert n("remote") == found.remote.hit_n
    assert n("handling") == found.remote_or_handling.hit_n - found.remote.hit_n
    assert (n("held"), n("came_back")) == (found.held.hit_n, found.held.n - found.held.hit_n)
    assert n("minutes") == found.minutes.noted_n
    for key, share in found.promises.items():
        assert (n("kept", key.text), n("missed", key.text)) == (share.hit_n, share.n - share.hit_n)
    assert all(set(behind(facts, SPAN, name)) <= set(behind(facts, SPAN, "all")) for name in BEHIND)
