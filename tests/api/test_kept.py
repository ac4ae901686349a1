"""Sums that are kept: for whom, how long, and that they are counted once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from structlog.testing import capture_logs

from api.kept import COST_SHARE, GIVEN_TIMES, KEPT_FOR, KEPT_MAX, Kept
from fleet.access.scopes import Reach, Scope

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
WHOLE, NORTH = Scope("t", Reach.TENANT), Scope("t", Reach.CENTRE, "north")
GIVEN_FOR = GIVEN_TIMES * KEPT_FOR
JUST_BEFORE = timedelta(microseconds=-1)


@pytest.fixture
def waiting():
    """What was put off; call one to have it counted."""
    return []


@pytest.fixture
def kept(waiting):
    return Kept(waiting.append, clock=lambda: 0.0)


def test_what_was_counted_is_new_for_a_minute(kept, waiting):
    numbers = count()
    told = [
        kept.get(WHOLE, "a", NOW + after, lambda: next(numbers))
        for after in (timedelta(0), KEPT_FOR + JUST_BEFORE)
    ]
    assert (told, waiting) == ([0, 0], [])


def test_an_older_one_is_given_while_it_is_counted_anew_once(kept, waiting):
    numbers = count()
    told = [
        kept.get(WHOLE, "a", NOW + after, lambda: next(numbers))
        for after in (timedelta(0), KEPT_FOR, GIVEN_FOR + JUST_BEFORE)
    ]
    assert told == [0, 0, 0]
    (recount,) = waiting
    recount()
    assert kept.get(WHOLE, "a", NOW + KEPT_FOR, lambda: next(numbers)) == 1
    kept.get(WHOLE, "a", NOW + 2 * KEPT_FOR, lambda: next(numbers))
    assert len(waiting) == 2


def test_one_that_is_too_old_is_waited_for(kept, waiting):
    numbers = count()
    told = [
        kept.get(WHOLE, "a", NOW + after, lambda: next(numbers))
        for after in (timedelta(0), GIVEN_FOR)
    ]
    assert (told, waiting) == ([0, 1], [])


def test_what_was_counted_meanwhile_is_not_counted_again(kept, waiting):
    numbers = count()
    kept.get(WHOLE, "a", NOW, lambda: next(numbers))
    kept.get(WHOLE, "a", NOW + KEPT_FOR, lambda: next(numbers))
    later = NOW + GIVEN_FOR
    assert kept.get(WHOLE, "a", later, lambda: next(numbers)) == 1
    waiting[0]()
    assert kept.get(WHOLE, "a", later, lambda: next(numbers)) == 1


def test_a_sum_that_takes_long_is_new_for_longer(waiting):
    seconds = iter([0.0, 30.0])
    kept, numbers = Kept(waiting.append, clock=lambda: next(seconds)), count()
    long_after = NOW + COST_SHARE * timedelta(seconds=30) + JUST_BEFORE
    told = [kept.get(WHOLE, "a", at, lambda: next(numbers)) for at in (NOW, long_after)]
    assert (told, waiting) == ([0, 0], [])


def test_a_recount_that_fails_leaves_what_was_there_and_is_tried_again(kept, waiting):
    kept.get(WHOLE, "a", NOW, lambda: 1)
    kept.get(WHOLE, "a", NOW + KEPT_FOR, lambda: 1 / 0)
    with capture_logs() as logs:
        waiting.pop()()
    assert [line["event"] for line in logs] == ["sum_not_counted"]
    assert kept.get(WHOLE, "a", NOW + KEPT_FOR, lambda: 2) == 1
    waiting.pop()()
    assert kept.get(WHOLE, "a", NOW + KEPT_FOR, lambda: 3) == 2


def test_left_to_itself_it_counts_in_a_thread_of_its_own():
    kept, counted = Kept(), threading.Event()
    kept.get(WHOLE, "a", NOW, lambda: None)
    kept.get(WHOLE, "a", NOW + KEPT_FOR, counted.set)
    assert counted.wait(10)
    kept.close()


def test_a_clock_that_is_set_back_counts_anew(kept):
    kept.get(WHOLE, "a", NOW, lambda: "late")
    assert kept.get(WHOLE, "a", NOW - timedelta(hours=1), lambda: "early") == "early"


@pytest.mark.parametrize(
    "other", [NORTH, Scope("u", Reach.TENANT), Scope("t", Reach.CENTRE, "south")]
)
def test_no_scope_is_given_what_another_counted(kept, other):
    kept.get(WHOLE, "a", NOW, lambda: "mine")
    kept.get(NORTH, "b", NOW, lambda: "north")
    assert kept.get(other, "a", NOW, lambda: "own") == "own"


def test_what_fails_is_not_kept(kept):
    with pytest.raises(ZeroDivisionError):
        kept.get(WHOLE, "a", NOW, lambda: 1 / 0)
    assert kept.get(WHOLE, "a", NOW, lambda: 2) == 2


def test_the_one_that_nobody_asked_for_longest_goes_first(kept):
    numbers = count()
    for key in range(KEPT_MAX):
        kept.get(WHOLE, key, NOW, lambda: next(numbers))
    assert kept.get(WHOLE, 0, NOW, lambda: next(numbers)) == 0
    kept.get(WHOLE, "more", NOW, lambda: next(numbers))
    assert kept.get(WHOLE, 0, NOW, lambda: next(numbers)) == 0
    assert kept.get(WHOLE, 1, NOW, lambda: next(numbers)) == KEPT_MAX + 1


def test_many_who_ask_at_once_wait_for_one_count(kept):
    numbers, start = count(), threading.Barrier(8)
    told = []

    def ask():
        start.wait(5)
        told.append(kept.get(WHOLE, "a", NOW, lambda: next(numbers)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert told == [0] * 8
