"""Loans, placements and facts of devices against the real database."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet.access.scopes import Reach, Scope
from storage.connection import connect
from storage.lending import (
    BASIC_NEED_LABELS,
    PLACE_LABELS,
    BasicNeed,
    Fact,
    LendingError,
    Place,
    change_needs,
    current_needs,
    describe,
    end_loan,
    loans,
    place,
    placements,
    quiet_spans,
    start_loan,
)
from storage.scope import enter

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
CHAIR = "chair-1"


def at(hours: float) -> datetime:
    return NOON + hours * HOUR


@pytest.fixture
def url(plain_database) -> str:
    with psycopg.connect(plain_database) as conn:
        conn.execute("INSERT INTO tenant (id, name) VALUES ('r1', 'R')")
        conn.execute("INSERT INTO model VALUES ('m3', 'powered_wheelchair', 'maker', 'name')")
        conn.execute(
            "INSERT INTO device (id, tenant_no, model_id, shard)"
            " SELECT new.id, tenant_no, 'm3', 7 FROM tenant, unnest(%s::text[]) AS new (id)",
            [[CHAIR, "chair-2"]],
        )
    return plain_database


@pytest.fixture
def conn(url):
    with connect(url) as connection:
        yield connection


def number_of(conn, device=CHAIR) -> int:
    return conn.execute("SELECT device_no FROM device WHERE id = %s", [device]).fetchone()[0]


def test_a_loan_begins_and_ends_and_the_next_one_follows(conn):
    needs = [BasicNeed.TOILET, BasicNeed.SOLE_MOBILITY, BasicNeed.TOILET]
    first = start_loan(conn, CHAIR, "p-17", needs, at(0))
    assert first.basic_needs == (BasicNeed.SOLE_MOBILITY, BasicNeed.TOILET)
    with pytest.raises(LendingError, match="out on loan since 2026-11-20 12:00 UTC: end that"):
        start_loan(conn, CHAIR, "p-18", [], at(1))
    with pytest.raises(LendingError, match="began 2026-11-20 12:00 UTC: it cannot end before"):
        end_loan(conn, CHAIR, at(-1))
    assert end_loan(conn, CHAIR, at(2)).ended_at == at(2)
    with pytest.raises(LendingError, match="is not on loan"):
        end_loan(conn, CHAIR, at(3))
    with pytest.raises(LendingError, match="was on loan until 2026-11-20 14:00 UTC"):
        start_loan(conn, CHAIR, None, [], at(1))
    second = start_loan(conn, CHAIR, None, [], at(2))
    assert [loan.loan_no for loan in loans(conn, CHAIR)] == [second.loan_no, first.loan_no]


def test_needs_are_those_of_the_loan_that_lasts(conn):
    number, other = number_of(conn), number_of(conn, "chair-2")
    assert current_needs(conn, [number, other]) == {}
    start_loan(conn, CHAIR, "p-17", [BasicNeed.EATING], at(0))
    start_loan(conn, "chair-2", "p-18", [], at(0))
    assert current_needs(conn, [number, other]) == {
        number: frozenset({"eating"}),
        other: frozenset(),
    }
    change_needs(conn, CHAIR, [BasicNeed.TRANSFER, BasicNeed.EATING])
    assert current_needs(conn, [number]) == {number: frozenset({"eating", "transfer"})}
    end_loan(conn, CHAIR, at(1))
    assert current_needs(conn, [number]) == {}
    with pytest.raises(LendingError, match="is not on loan"):
        change_needs(conn, CHAIR, [])


def test_a_second_current_loan_and_an_unknown_need_are_refused_by_the_database(conn):
    number = number_of(conn)
    start_loan(conn, CHAIR, None, [], at(0))
    insert = "INSERT INTO loan (device_no, basic_needs, started_at) VALUES (%s, %s, %s)"
    refused = pytest.raises(psycopg.errors.UniqueViolation, match="loan_one_current")
    with refused, conn.transaction():
        conn.execute(insert, [number, [], at(1)])
    with pytest.raises(psycopg.errors.CheckViolation, match="loan_basic_needs_words"):
        conn.execute(insert, [number_of(conn, "chair-2"), ["flying"], at(1)])


def test_the_words_are_those_of_the_database_and_have_labels(conn):
    number = number_of(conn)
    for word in Place:
        conn.execute(
            "INSERT INTO placement (device_no, place, from_at, until_at, who)"
            " VALUES (%s, %s, %s, %s, 'x')",
            [number, str(word), NOON, NOON],
        )
    start_loan(conn, CHAIR, None, BasicNeed, at(0))
    for lang in ("sv", "en"):
        assert set(PLACE_LABELS[lang]) == set(Place)
        assert set(BASIC_NEED_LABELS[lang]) == set(BasicNeed)


def race(url, attempt) -> tuple[list, list[LendingError]]:
    """Let sixteen people try at once; any other error than a refusal fails the test."""
    start, won, lost, broken = threading.Barrier(16), [], [], []

    def one(nth: int) -> None:
        try:
            with connect(url) as own:
                start.wait(20)
                won.append(attempt(own, nth))
        except LendingError as exc:
            lost.append(exc)
        except Exception as exc:
            broken.append(exc)

    threads = [threading.Thread(target=one, args=(nth,)) for nth in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert broken == []
    return won, lost


def test_of_sixteen_lenders_one_gets_the_device(url, conn):
    won, lost = race(url, lambda own, nth: start_loan(own, CHAIR, f"p-{nth}", [], at(0)))
    assert (len(won), len(lost)) == (1, 15)
    assert loans(conn, CHAIR) == won


def test_sixteen_people_move_a_device_one_after_the_other(url, conn):
    places = list(Place)
    won, lost = race(url, lambda own, nth: place(own, CHAIR, places[nth % 4], at(0), f"P{nth}"))
    assert (len(won), lost) == (16, [])
    told = placements(conn, CHAIR)
    assert [row.until_at for row in told] == [None, *[at(0)] * (len(told) - 1)]


def test_a_device_that_moves_is_quiet_until_it_is_back(conn):
    number, other = number_of(conn), number_of(conn, "chair-2")
    assert quiet_spans(conn, [number, other], at(0)) == {number: [], other: []}
    place(conn, CHAIR, Place.TRANSPORT, at(1), "Bo", "hämtad")
    place(conn, CHAIR, Place.WORKSHOP, at(2), "Bo", "broms")
    assert quiet_spans(conn, [number], at(0)) == {number: [(at(1), at(2)), (at(2), None)]}
    place(conn, CHAIR, Place.IN_USE, at(5), "Bo", "klar")
    place(conn, CHAIR, Place.STORAGE, at(9), "Bo")
    everything = [(at(1), at(2)), (at(2), at(5)), (at(9), None)]
    assert quiet_spans(conn, [number], at(0)) == {number: everything}
    assert quiet_spans(conn, [number], at(3)) == {number: everything[1:]}
    assert quiet_spans(conn, [number], at(5)) == {number: everything[2:]}
    assert quiet_spans(conn, [], at(5)) == {}


def test_a_device_stays_where_it_is_without_a_second_row(conn):
    first = place(conn, CHAIR, Place.WORKSHOP, at(0), "Bo")
    assert place(conn, CHAIR, Place.WORKSHOP, at(3), "Anna") == first
    assert placements(conn, CHAIR) == [first]


def test_the_past_changes_only_by_order_and_keeps_who_said_what(conn):
    number = number_of(conn)
    place(conn, CHAIR, Place.WORKSHOP, at(0), "Bo", "broms")
    place(conn, CHAIR, Place.IN_USE, at(4), "Bo", "klar")
    place(conn, CHAIR, Place.STORAGE, at(6), "Bo", "fel bock")
    with pytest.raises(LendingError, match="storage since 2026-11-20 18:00 UTC, as Bo said"):
        place(conn, CHAIR, Place.IN_USE, at(2), "Anna", "stod hos användaren")
    why = "stod hos användaren från 14"
    place(conn, CHAIR, Place.IN_USE, at(2), "Anna", why, is_correction=True)
    assert quiet_spans(conn, [number], at(0)) == {number: [(at(0), at(2))]}
    told = [(p.place, p.from_at, p.until_at, p.who) for p in placements(conn, CHAIR)]
    assert told == [
        (Place.STORAGE, at(6), at(6), "Bo"),
        (Place.IN_USE, at(4), at(4), "Bo"),
        (Place.IN_USE, at(2), None, "Anna"),
        (Place.WORKSHOP, at(0), at(2), "Bo"),
    ]


_MOVES = st.lists(st.tuples(st.sampled_from(Place), st.integers(0, 30), st.booleans()), max_size=8)


# A database per test, not per example: each example is rolled back.
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(moves=_MOVES)
def test_any_moves_leave_one_place_for_every_moment(conn, moves):
    number = number_of(conn)
    model: dict[int, Place] = dict.fromkeys(range(31), Place.IN_USE)
    since, current = -1, None
    for where, hour, is_correction in moves:
        if hour < since and not is_correction:
            with pytest.raises(LendingError, match="to change the past"):
                place(conn, CHAIR, where, at(hour), "Bo")
            continue
        place(conn, CHAIR, where, at(hour), "Bo", is_correction=is_correction)
        if where is not current or is_correction:
            since, current = hour, where
        model |= dict.fromkeys(range(hour, 31), where)
    spans = quiet_spans(conn, [number], at(-1))[number]
    covered = [(start <= at(h)) and (end or at(99)) > at(h) for h in model for start, end in spans]
    quiet = {h for h in model if any(s <= at(h) and (e or at(99)) > at(h) for s, e in spans)}
    open_n = sum(row.until_at is None for row in placements(conn, CHAIR))
    conn.rollback()
    assert quiet == {hour for hour, where in model.items() if where is not Place.IN_USE}
    assert sum(covered) == len(quiet), "no moment is in two places"
    assert open_n == min(len(moves), 1)


def test_facts_are_set_one_by_one_and_forgotten_on_purpose(conn):
    facts = describe(conn, CHAIR, {Fact.AREA: "Hisingen", Fact.IN_SERVICE_ON: date(2025, 3, 1)})
    assert facts == {
        Fact.AREA: "Hisingen", Fact.NETWORK: None, Fact.BATCH: None,
        Fact.IN_SERVICE_ON: date(2025, 3, 1),
    }  # fmt: skip
    facts = describe(conn, CHAIR, {Fact.NETWORK: "Telia 4G", Fact.AREA: None})
    assert (facts[Fact.AREA], facts[Fact.NETWORK]) == (None, "Telia 4G")
    assert facts[Fact.IN_SERVICE_ON] == date(2025, 3, 1)


@pytest.mark.parametrize(
    ("fact", "value", "words"),
    [
        (Fact.AREA, "Storgatan 12", "is an address"),
        (Fact.AREA, "", "1 to 60"),
        (Fact.NETWORK, "x" * 61, "1 to 60"),
        (Fact.BATCH, "a\nb", "1 to 60"),
        (Fact.BATCH, date(2026, 1, 1), "in_service_on is a date"),
        (Fact.IN_SERVICE_ON, "2026-01-01", "in_service_on is a date"),
    ],
)
def test_a_fact_that_cannot_be_one_is_refused(conn, fact, value, words):
    with pytest.raises(LendingError, match=words):
        describe(conn, CHAIR, {fact: value})


def test_an_unknown_device_is_said_to_be_unknown(conn):
    calls = [
        lambda: start_loan(conn, "chair-9", None, [], NOON),
        lambda: end_loan(conn, "chair-9", NOON),
        lambda: place(conn, "chair-9", Place.WORKSHOP, NOON, "Bo"),
        lambda: describe(conn, "chair-9", {Fact.AREA: "Hisingen"}),
    ]
    for call in calls:
        with pytest.raises(LendingError, match="chair-9 is not registered"):
            call()
    with pytest.raises(LendingError, match="use 1 to 80"):
        place(conn, CHAIR, Place.WORKSHOP, NOON, " ")


def test_diagnostics_may_read_where_devices_are_and_who_needs_them(url, conn):
    number = number_of(conn)
    start_loan(conn, CHAIR, "p-17", [BasicNeed.EATING], at(0))
    place(conn, CHAIR, Place.WORKSHOP, at(1), "Bo")
    conn.commit()
    with connect(url, role="fjarrkoll_diagnose") as own:
        assert quiet_spans(own, [number], at(0)) == {number: [(at(1), None)]}
        assert current_needs(own, [number]) == {number: frozenset({"eating"})}
        own.rollback()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            place(own, CHAIR, Place.IN_USE, at(2), "Bo")
        own.rollback()


def test_the_api_may_lend_move_and_describe_and_forget_nothing(url, conn):
    with connect(url, role="fjarrkoll_api") as own:
        enter(own, Scope("r1", Reach.TENANT))
        start_loan(own, CHAIR, "p-17", [BasicNeed.EATING], at(0))
        change_needs(own, CHAIR, [])
        end_loan(own, CHAIR, at(1))
        place(own, CHAIR, Place.WORKSHOP, at(1), "Bo")
        place(own, CHAIR, Place.STORAGE, at(0), "Bo", is_correction=True)
        describe(own, CHAIR, {Fact.AREA: "Hisingen"})
        own.commit()
        enter(own, Scope("r1", Reach.TENANT))
        for refused in (
            "DELETE FROM loan",
            "DELETE FROM placement",
            "UPDATE placement SET who = 'x'",
            "UPDATE person_link SET person = 'x'",
            "UPDATE device SET status = 'active'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), own.transaction():
                own.execute(refused)
